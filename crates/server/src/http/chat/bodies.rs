//! What chats are called in JSON.

use serde::{Deserialize, Serialize, Serializer};
use switchboard_core::chat::{
    self, Entry, Happening, Message, MessageStatus, PhoneNumber, Steps, Written,
};
use utoipa::ToSchema;

/// A phone number, written without an allocation: a page of messages has very many.
#[derive(Clone, Copy, Debug)]
struct Phone(PhoneNumber);

impl Serialize for Phone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// What is known of a user.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegisterRequest {
    /// 1 to 128 characters. Absent: the name stays as it is.
    #[schema(example = "Zoë")]
    pub(super) name: Option<String>,
}

/// A message to send.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SendRequest {
    /// A phone number in any usual international writing.
    #[schema(example = "+41 79 123 45 68")]
    pub(super) to: String,
    /// 1 to 4,096 characters; no control characters but line breaks and tabs.
    #[schema(example = "Hello!")]
    pub(super) text: String,
    /// 1 to 128 bytes. Absent: the node makes one up, and a repeat is another message.
    #[schema(example = "7f1c2")]
    pub(super) client_message_id: Option<String>,
}

/// Up to which messages of a chat a user has come.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReceiptRequest {
    /// The id of a message: those up to it have arrived.
    #[schema(example = 3)]
    pub(super) delivered_up_to: Option<u64>,
    /// The id of a message: those up to it were read, and so have arrived.
    #[schema(example = 2)]
    pub(super) read_up_to: Option<u64>,
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Profile<'a> {
    /// In E.164.
    #[schema(example = "+41791234567", value_type = String)]
    phone: Phone,
    /// `null` where none was ever set.
    #[schema(example = "Zoë")]
    name: Option<&'a str>,
    /// When he was made known, in milliseconds since the Unix epoch.
    #[schema(example = 1_790_000_000_000_i64)]
    created_at: i64,
}

impl<'a> Profile<'a> {
    pub(super) fn of(profile: &'a chat::Profile) -> Self {
        Self {
            phone: Phone(profile.phone),
            name: profile.name.as_ref().map(chat::Name::as_str),
            created_at: profile.created_at.0,
        }
    }
}

/// A message, as one of its two users sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Message)]
pub(super) struct MessageBody<'a> {
    /// Its number within the chat, from 1, without gaps.
    #[schema(example = 1)]
    id: u64,
    /// The chat: the number of the other user.
    #[schema(example = "+41791234568", value_type = String)]
    chat: Phone,
    /// Who sent it.
    #[schema(example = "+41791234567", value_type = String)]
    from: Phone,
    /// To whom.
    #[schema(example = "+41791234568", value_type = String)]
    to: Phone,
    /// What is written.
    #[schema(example = "Hello!")]
    text: &'a str,
    /// When it was accepted, in milliseconds since the Unix epoch.
    #[schema(example = 1_790_000_000_000_i64)]
    sent_at: i64,
    /// `sent`, `delivered` or `read`, as the sender sees it.
    #[schema(example = "sent")]
    status: &'static str,
    /// What the sender called it; told to him alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "7f1c2")]
    client_message_id: Option<&'a str>,
}

impl<'a> MessageBody<'a> {
    pub(super) fn of(user: PhoneNumber, message: &'a Message, status: MessageStatus) -> Self {
        Self {
            id: message.id,
            chat: Phone(message.peer_of(user)),
            from: Phone(message.from),
            to: Phone(message.to),
            text: message.text.as_str(),
            sent_at: message.sent_at.0,
            status: status.as_str(),
            client_message_id: (message.from == user).then(|| message.client_message_id.as_str()),
        }
    }
}

/// A message was sent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SentMessage)]
pub(super) struct Sent<'a> {
    /// The message, as it was sent first.
    pub(super) message: MessageBody<'a>,
    /// Whether this request sent it, rather than an earlier one.
    pub(super) new: bool,
}

/// One of a user's chats.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Chat)]
pub(super) struct ChatBody<'a> {
    /// With whom.
    #[schema(example = "+41791234568", value_type = String)]
    peer: Phone,
    /// The name that the peer has set; `null` if none.
    peer_name: Option<&'a str>,
    /// The last message, whoever sent it.
    last_message: MessageBody<'a>,
    /// Messages of the peer behind the user's own read mark.
    #[schema(example = 1)]
    unread: u64,
    /// When the last message was sent, in milliseconds since the Unix epoch.
    #[schema(example = 1_790_000_000_000_i64)]
    updated_at: i64,
    /// Whether the peer was online in the last three minutes; `null` where this node does not know.
    online: Option<bool>,
    /// When the peer was last seen online; `null` if that is not known.
    last_seen: Option<i64>,
}

impl<'a> ChatBody<'a> {
    pub(super) fn of(
        user: PhoneNumber,
        chat: &'a chat::Chat,
        known: Option<(bool, Option<i64>)>,
    ) -> Self {
        Self {
            peer: Phone(chat.peer),
            peer_name: chat.peer_name.as_ref().map(chat::Name::as_str),
            last_message: MessageBody::of(user, &chat.last.message, chat.last.status),
            unread: chat.unread,
            updated_at: chat.last.message.sent_at.0,
            online: known.map(|(online, _)| online),
            last_seen: known.and_then(|(_, last_seen)| last_seen),
        }
    }
}

/// A page of chats.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Chats<'a> {
    /// The latest activity first.
    pub(super) chats: Vec<ChatBody<'a>>,
    /// Where to read on; `null` when these were the last.
    pub(super) next_cursor: Option<String>,
}

/// A page of messages.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names of the answer")]
pub(super) struct Messages<'a> {
    /// The newest first, in both directions.
    pub(super) messages: Vec<MessageBody<'a>>,
    /// Leads to older messages; `null` when there are none.
    pub(super) next_cursor: Option<String>,
    /// Leads to newer messages, also to those that are yet to come; `null` where there are none.
    pub(super) previous_cursor: Option<String>,
}

/// Where a user's marks are.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Marks {
    /// Messages up to this id have arrived; 0 for none.
    #[schema(example = 3)]
    pub(super) delivered_up_to: u64,
    /// Messages up to this id were read; 0 for none.
    #[schema(example = 2)]
    pub(super) read_up_to: u64,
}

/// Where a message is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessageTrace)]
pub(super) struct Trace<'a> {
    /// The message.
    message: MessageBody<'a>,
    /// The steps that were made, in order.
    steps: Vec<Step>,
}

/// One step of a message.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessageStep)]
pub(super) struct Step {
    /// `accepted`, `stored`, `signalled`, `delivered` or `read`.
    #[schema(example = "accepted")]
    step: &'static str,
    /// When, in milliseconds since the Unix epoch.
    #[schema(example = 1_790_000_000_000_i64)]
    at: i64,
}

impl<'a> Trace<'a> {
    pub(super) fn of(steps: &'a Steps) -> Self {
        let message = MessageBody::of(steps.message.from, &steps.message, steps.status());
        let made = crate::chat::steps(steps).into_iter();
        Self { message, steps: made.map(|(step, at)| Step { step, at: at.0 }).collect() }
    }
}

/// One thing that happened to a user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InboxEntry)]
pub(super) struct Known<'a> {
    /// Counts what happened to this user, from 1, without gaps.
    #[schema(example = 7)]
    sequence: u64,
    /// Reading on from here resumes behind this entry.
    cursor: String,
    /// `message`, `delivered` or `read`.
    #[schema(example = "message")]
    r#type: &'static str,
    /// Of a `message`: one that the user got, or sent. Its status is that of the moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<MessageBody<'a>>,
    /// Of `delivered` and `read`: who has got, or read, what the user sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    chat: Option<String>,
    /// Of `delivered` and `read`: the messages up to this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    up_to: Option<u64>,
    /// When it happened, in milliseconds since the Unix epoch.
    #[schema(example = 1_790_000_000_000_i64)]
    at: i64,
}

impl<'a> Known<'a> {
    pub(super) fn of(user: PhoneNumber, entry: &'a Entry, cursor: &Written) -> Self {
        let (message, receipt, at) = match &entry.what {
            Happening::Message(message) => {
                let body = MessageBody::of(user, message, MessageStatus::Sent);
                (Some(body), None, message.sent_at)
            }
            Happening::Delivered { peer, up_to, at } | Happening::Read { peer, up_to, at } => {
                (None, Some((peer.to_string(), *up_to)), *at)
            }
        };
        let (chat, up_to) = receipt.unzip();
        Self {
            sequence: entry.sequence,
            cursor: cursor.to_string(),
            r#type: entry.what.as_str(),
            message,
            chat,
            up_to,
            at: at.0,
        }
    }
}

/// A page of an inbox.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Inbox<'a> {
    /// In order.
    pub(super) entries: Vec<Known<'a>>,
    /// Where to read on, also when nothing is there yet.
    pub(super) next_cursor: &'a str,
}
