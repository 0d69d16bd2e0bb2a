//! Chat: private conversations between phone numbers.
//!
//! The calls here are single requests over gRPC; each is repeated until it is answered or the
//! client's timeout is over, which is safe: a send without a name of its own gets one. Whoever
//! wants to hear what happens holds a session ([`crate::session::Builder::with_inbox`]).

use switchboard_proto::v1::{
    self, AcknowledgeRequest, FollowInboxRequest, ListChatsRequest, ListMessagesRequest,
    ReadInboxRequest, RegisterUserRequest, SendMessageRequest, TraceMessageRequest,
    chat_service_client::ChatServiceClient, inbox_entry,
};
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::Channel;

use crate::{Client, Error, name::made_up, retry};

/// How far a message has come, as its sender sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageStatus {
    /// It is durable.
    Sent,
    /// A session of the recipient has it.
    Delivered,
    /// The recipient has read it.
    Read,
}

impl MessageStatus {
    /// The name, as REST tells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
        }
    }
}

impl From<v1::MessageStatus> for MessageStatus {
    fn from(status: v1::MessageStatus) -> Self {
        match status {
            v1::MessageStatus::Unspecified | v1::MessageStatus::Sent => Self::Sent,
            v1::MessageStatus::Delivered => Self::Delivered,
            v1::MessageStatus::Read => Self::Read,
        }
    }
}

/// A message, as one of its two users sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its number within the chat, from 1, without gaps.
    pub id: u64,
    /// The chat: the number of the other user.
    pub chat: String,
    /// Who sent it.
    pub from: String,
    /// To whom.
    pub to: String,
    /// What is written.
    pub text: String,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub sent_at: i64,
    /// How far it has come.
    pub status: MessageStatus,
    /// What the sender called it; empty for the recipient.
    pub client_message_id: String,
}

impl From<v1::Message> for Message {
    fn from(it: v1::Message) -> Self {
        let status = it.status().into();
        let v1::Message { id, chat, from, to, text, sent_at, client_message_id, .. } = it;
        Self { id, chat, from, to, text, sent_at, status, client_message_id }
    }
}

/// One of a user's chats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    /// With whom.
    pub peer: String,
    /// The name that the peer has set, if any.
    pub peer_name: Option<String>,
    /// The last message, whoever sent it.
    pub last_message: Option<Message>,
    /// Messages of the peer behind the user's own read mark.
    pub unread: u64,
    /// When the last message was sent, in milliseconds since the Unix epoch.
    pub updated_at: i64,
    /// Whether the peer was online in the last three minutes, if the node knows.
    pub online: Option<bool>,
    /// When the peer was last seen online, if that is known.
    pub last_seen: Option<i64>,
}

impl From<v1::Chat> for Chat {
    fn from(it: v1::Chat) -> Self {
        Self {
            peer: it.peer,
            peer_name: it.peer_name,
            last_message: it.last_message.map(Into::into),
            unread: it.unread,
            updated_at: it.updated_at,
            online: it.online,
            last_seen: it.last_seen,
        }
    }
}

/// A part of a list, and where it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// Where to read on (of messages: to older ones); empty when these were the last.
    pub next_cursor: String,
    /// Of messages: where to read newer ones, also those that are yet to come.
    pub previous_cursor: String,
}

/// One thing that happened to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counts what happened to this user, from 1, without gaps.
    pub sequence: u64,
    /// Reading on from here resumes behind this entry.
    pub cursor: String,
    /// What happened.
    pub what: Happening,
}

/// What can happen to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happening {
    /// He got a message, or sent one. Its status is that of the moment.
    Message(Message),
    /// What he sent to somebody has arrived there.
    Delivered(Receipt),
    /// What he sent to somebody was read, and so has arrived.
    Read(Receipt),
    /// Something that this version does not know.
    Unknown,
}

/// How far a peer has come with what a user sent him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The number of the peer.
    pub chat: String,
    /// The messages up to this id.
    pub up_to: u64,
    /// When, in milliseconds since the Unix epoch.
    pub at: i64,
}

impl From<v1::InboxEntry> for Entry {
    fn from(it: v1::InboxEntry) -> Self {
        let receipt = |it: v1::InboxReceipt| Receipt { chat: it.chat, up_to: it.up_to, at: it.at };
        let what = match it.what {
            Some(inbox_entry::What::Message(message)) => Happening::Message(message.into()),
            Some(inbox_entry::What::Delivered(it)) => Happening::Delivered(receipt(it)),
            Some(inbox_entry::What::Read(it)) => Happening::Read(receipt(it)),
            None => Happening::Unknown,
        };
        Self { sequence: it.sequence, cursor: it.cursor, what }
    }
}

/// Where a user's marks in a chat are: ids of messages, 0 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Messages up to this id have arrived.
    pub delivered_up_to: u64,
    /// Messages up to this id were read.
    pub read_up_to: u64,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// In E.164.
    pub phone: String,
    /// His name, if he has set one.
    pub name: Option<String>,
    /// When he was made known, in milliseconds since the Unix epoch.
    pub created_at: i64,
    /// Whether he was not known before.
    pub new: bool,
}

impl Client {
    fn chats(&self) -> Result<ChatServiceClient<Channel>, Error> {
        Ok(ChatServiceClient::new(self.channel()?))
    }

    /// Makes a user known, and sets his name if one is given.
    ///
    /// # Errors
    ///
    /// `invalid_phone`, `invalid_tenant`, `invalid_request`; `unavailable`.
    pub async fn register_user(&self, phone: &str, name: Option<&str>) -> Result<Profile, Error> {
        let (tenant, name) = (self.tenant.to_string(), name.map(ToOwned::to_owned));
        let request = RegisterUserRequest { tenant, phone: phone.to_owned(), name };
        let service = self.chats()?;
        let answer = retry::until(self.timeout, || {
            let (mut service, request) = (service.clone(), request.clone());
            async move { service.register_user(request).await }
        });
        let it = answer.await?.into_inner();
        Ok(Profile { phone: it.phone, name: it.name, created_at: it.created_at, new: it.new })
    }

    /// Sends a message, once for each `client_message_id` of its sender: the message, and whether
    /// this call sent it. None: one is made up, so that a repeat within this call is no other
    /// message.
    ///
    /// # Errors
    ///
    /// `invalid_phone`, `invalid_recipient`, `invalid_text`, `too_large`, `invalid_tenant`;
    /// `conflict` where the same was sent with another recipient or text; `unavailable`.
    pub async fn send_message(
        &self,
        from: &str,
        to: &str,
        text: &str,
        client_message_id: Option<&str>,
    ) -> Result<(Message, bool), Error> {
        let request = SendMessageRequest {
            tenant: self.tenant.to_string(),
            from: from.to_owned(),
            to: to.to_owned(),
            text: text.to_owned(),
            client_message_id: client_message_id.map_or_else(made_up, ToOwned::to_owned),
        };
        let service = self.chats()?;
        let answer = retry::until(self.timeout, || {
            let (mut service, request) = (service.clone(), request.clone());
            async move { service.send_message(request).await }
        });
        let sent = answer.await?.into_inner();
        let message = sent.message.ok_or_else(|| Error::new("internal", "no message came back"))?;
        Ok((message.into(), sent.new))
    }

    /// A page of a user's chats, the latest activity first. `limit` is 1 to 1,000, 0 for 50; an
    /// empty cursor reads from the first.
    ///
    /// # Errors
    ///
    /// `invalid_phone`, `invalid_cursor`, `too_large`, `invalid_tenant`; `unavailable`.
    pub async fn list_chats(
        &self,
        phone: &str,
        limit: u32,
        cursor: &str,
    ) -> Result<Page<Chat>, Error> {
        let (tenant, phone) = (self.tenant.to_string(), phone.to_owned());
        let request = ListChatsRequest { tenant, phone, limit, cursor: cursor.to_owned() };
        let service = self.chats()?;
        let answer = retry::until(self.timeout, || {
            let (mut service, request) = (service.clone(), request.clone());
            async move { service.list_chats(request).await }
        });
        let page = answer.await?.into_inner();
        let entries = page.chats.into_iter().map(Into::into).collect();
        Ok(Page { entries, next_cursor: page.next_cursor, previous_cursor: String::new() })
    }

    /// A page of a chat's messages, the newest first; none where there is no such chat. As
    /// [`Client::list_chats`].
    ///
    /// # Errors
    ///
    /// Those of [`Client::list_chats`]; `invalid_recipient` for a chat with oneself.
    pub async fn list_messages(
        &self,
        phone: &str,
        peer: &str,
        limit: u32,
        cursor: &str,
    ) -> Result<Page<Message>, Error> {
        let request = ListMessagesRequest {
            tenant: self.tenant.to_string(),
            phone: phone.to_owned(),
            peer: peer.to_owned(),
            limit,
            cursor: cursor.to_owned(),
        };
        let service = self.chats()?;
        let answer = retry::until(self.timeout, || {
            let (mut service, request) = (service.clone(), request.clone());
            async move { service.list_messages(request).await }
        });
        let page = answer.await?.into_inner();
        let entries = page.messages.into_iter().map(Into::into).collect();
        let (next_cursor, previous_cursor) = (page.next_cursor, page.previous_cursor);
        Ok(Page { entries, next_cursor, previous_cursor })
    }

    /// States up to which message a user has got and read what a peer wrote to him.
    ///
    /// # Errors
    ///
    /// `not_found` for a message that is not there; `invalid_phone`, `invalid_tenant`;
    /// `unavailable`.
    pub async fn acknowledge(
        &self,
        phone: &str,
        peer: &str,
        delivered_up_to: Option<u64>,
        read_up_to: Option<u64>,
    ) -> Result<Marks, Error> {
        let request = AcknowledgeRequest {
            tenant: self.tenant.to_string(),
            phone: phone.to_owned(),
            peer: peer.to_owned(),
            delivered_up_to,
            read_up_to,
        };
        let service = self.chats()?;
        let answer = retry::until(self.timeout, || {
            let (mut service, request) = (service.clone(), request.clone());
            async move { service.acknowledge(request).await }
        });
        let marks = answer.await?.into_inner();
        Ok(Marks { delivered_up_to: marks.delivered_up_to, read_up_to: marks.read_up_to })
    }

    /// A page of a user's inbox: `after` is the cursor of an entry, `now`, or empty: then from the
    /// first. The page's cursor is there also when nothing is behind it yet.
    ///
    /// # Errors
    ///
    /// Those of [`Client::list_chats`].
    pub async fn read_inbox(
        &self,
        phone: &str,
        after: &str,
        limit: u32,
    ) -> Result<Page<Entry>, Error> {
        let (tenant, phone) = (self.tenant.to_string(), phone.to_owned());
        let request = ReadInboxRequest { tenant, phone, after: after.to_owned(), limit };
        let service = self.chats()?;
        let answer = retry::until(self.timeout, || {
            let (mut service, request) = (service.clone(), request.clone());
            async move { service.read_inbox(request).await }
        });
        let page = answer.await?.into_inner();
        let entries = page.entries.into_iter().map(Into::into).collect();
        Ok(Page { entries, next_cursor: page.next_cursor, previous_cursor: String::new() })
    }

    /// A user's inbox from a place on (as in [`Client::read_inbox`]), then live, without a seam,
    /// until the node or the connection ends: follow on from the last entry's cursor. A session
    /// does that by itself.
    ///
    /// # Errors
    ///
    /// Those of [`Client::list_chats`], also from the stream.
    pub async fn follow_inbox(
        &self,
        phone: &str,
        after: &str,
    ) -> Result<impl Stream<Item = Result<Entry, Error>> + Unpin + use<>, Error> {
        let (tenant, phone) = (self.tenant.to_string(), phone.to_owned());
        let request = FollowInboxRequest { tenant, phone, after: after.to_owned() };
        let followed = self.chats()?.follow_inbox(request).await?;
        Ok(followed.into_inner().map(|entry| Ok(entry?.into())))
    }

    /// Where a message is: it, and the steps that were made with their times, in milliseconds since
    /// the Unix epoch.
    ///
    /// # Errors
    ///
    /// `not_found` where the user sent none of this name; `invalid_phone`, `invalid_tenant`;
    /// `unavailable`.
    pub async fn trace_message(
        &self,
        phone: &str,
        client_message_id: &str,
    ) -> Result<(Message, Vec<(String, i64)>), Error> {
        let request = TraceMessageRequest {
            tenant: self.tenant.to_string(),
            phone: phone.to_owned(),
            client_message_id: client_message_id.to_owned(),
        };
        let service = self.chats()?;
        let answer = retry::until(self.timeout, || {
            let (mut service, request) = (service.clone(), request.clone());
            async move { service.trace_message(request).await }
        });
        let traced = answer.await?.into_inner();
        let message = traced.message.ok_or_else(|| Error::new("internal", "no message came"))?;
        let steps = traced.steps.into_iter().map(|step| (step.step, step.at)).collect();
        Ok((message.into(), steps))
    }
}
