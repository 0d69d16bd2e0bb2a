//! The frames of chats as protobuf's JSON.

use serde::{Deserialize, Serialize};
use switchboard_core::{
    chat::{Entry, Happening, Marks, Message, MessageStatus, PhoneNumber, Sent, Written},
    session::{ChatRequest, Request},
};

use super::{Long, is_default, or_default};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Send {
    #[serde(deserialize_with = "or_default")]
    to: String,
    #[serde(deserialize_with = "or_default")]
    text: String,
    #[serde(alias = "client_message_id", deserialize_with = "or_default")]
    client_message_id: String,
    #[serde(alias = "request_id")]
    request_id: Long,
    #[serde(deserialize_with = "or_default")]
    traceparent: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Acknowledge {
    #[serde(deserialize_with = "or_default")]
    peer: String,
    #[serde(alias = "delivered_up_to")]
    delivered_up_to: Option<Long>,
    #[serde(alias = "read_up_to")]
    read_up_to: Option<Long>,
    #[serde(alias = "request_id")]
    request_id: Long,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Follow {
    #[serde(deserialize_with = "or_default")]
    after: String,
    #[serde(alias = "request_id")]
    request_id: Long,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Typing {
    #[serde(deserialize_with = "or_default")]
    peer: String,
    #[serde(deserialize_with = "or_default")]
    typing: bool,
}

impl Send {
    pub(super) fn request(&self) -> Request<'_> {
        let Self { to, text, client_message_id, request_id, traceparent } = self;
        let request = ChatRequest::Send { to, text, client_message_id, traceparent };
        Request::Chat { request_id: request_id.0, request }
    }
}

impl Acknowledge {
    pub(super) fn request(&self) -> Request<'_> {
        let Self { peer, delivered_up_to, read_up_to, request_id } = self;
        let (delivered_up_to, read_up_to) =
            (delivered_up_to.map(|id| id.0), read_up_to.map(|id| id.0));
        let request = ChatRequest::Acknowledge { peer, delivered_up_to, read_up_to };
        Request::Chat { request_id: request_id.0, request }
    }
}

impl Follow {
    pub(super) fn request(&self) -> Request<'_> {
        let request = ChatRequest::Follow { after: &self.after };
        Request::Chat { request_id: self.request_id.0, request }
    }
}

impl Typing {
    pub(super) fn request(&self) -> Request<'_> {
        let request = ChatRequest::Typing { peer: &self.peer, typing: self.typing };
        Request::Chat { request_id: 0, request }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SentFrame {
    id: Long,
    sent_at: String,
    status: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    new: bool,
    #[serde(skip_serializing_if = "is_default")]
    request_id: Long,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MarkedFrame {
    #[serde(skip_serializing_if = "is_default")]
    delivered_up_to: Long,
    #[serde(skip_serializing_if = "is_default")]
    read_up_to: Long,
    #[serde(skip_serializing_if = "is_default")]
    request_id: Long,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FollowingFrame {
    cursor: String,
    #[serde(skip_serializing_if = "is_default")]
    request_id: Long,
}

#[derive(Serialize)]
pub(super) struct TypingFrame {
    peer: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    typing: bool,
}

#[derive(Serialize)]
pub(super) struct EntryFrame<'a> {
    sequence: Long,
    cursor: String,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum What<'a> {
    Message(MessageFrame<'a>),
    Delivered(ReceiptFrame),
    Read(ReceiptFrame),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageFrame<'a> {
    id: Long,
    chat: String,
    from: String,
    to: String,
    text: &'a str,
    sent_at: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_message_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReceiptFrame {
    chat: String,
    up_to: Long,
    at: String,
}

pub(super) fn sent(request_id: u64, Sent { message, status, new }: &Sent) -> SentFrame {
    SentFrame {
        id: Long(message.id),
        sent_at: message.sent_at.0.to_string(),
        status: name_of(*status),
        new: *new,
        request_id: Long(request_id),
    }
}

pub(super) fn marked(request_id: u64, marks: Marks) -> MarkedFrame {
    MarkedFrame {
        delivered_up_to: Long(marks.delivered_up_to),
        read_up_to: Long(marks.read_up_to),
        request_id: Long(request_id),
    }
}

pub(super) fn following(request_id: u64, cursor: &Written) -> FollowingFrame {
    FollowingFrame { cursor: cursor.to_string(), request_id: Long(request_id) }
}

pub(super) fn typing(peer: PhoneNumber, typing: bool) -> TypingFrame {
    TypingFrame { peer: peer.to_string(), typing }
}

pub(super) fn entry<'a>(user: PhoneNumber, entry: &'a Entry, cursor: &Written) -> EntryFrame<'a> {
    let receipt = |peer: &PhoneNumber, up_to, at: switchboard_core::Millis| ReceiptFrame {
        chat: peer.to_string(),
        up_to: Long(up_to),
        at: at.0.to_string(),
    };
    let what = match &entry.what {
        Happening::Message(it) => What::Message(message(user, it)),
        Happening::Delivered { peer, up_to, at } => What::Delivered(receipt(peer, *up_to, *at)),
        Happening::Read { peer, up_to, at } => What::Read(receipt(peer, *up_to, *at)),
    };
    EntryFrame { sequence: Long(entry.sequence), cursor: cursor.to_string(), what }
}

fn message(user: PhoneNumber, message: &Message) -> MessageFrame<'_> {
    MessageFrame {
        id: Long(message.id),
        chat: message.peer_of(user).to_string(),
        from: message.from.to_string(),
        to: message.to.to_string(),
        text: message.text.as_str(),
        sent_at: message.sent_at.0.to_string(),
        status: name_of(MessageStatus::Sent),
        // What the sender called a message is told to him alone.
        client_message_id: (message.from == user).then(|| message.client_message_id.as_str()),
    }
}

fn name_of(status: MessageStatus) -> &'static str {
    match status {
        MessageStatus::Sent => "MESSAGE_STATUS_SENT",
        MessageStatus::Delivered => "MESSAGE_STATUS_DELIVERED",
        MessageStatus::Read => "MESSAGE_STATUS_READ",
    }
}
