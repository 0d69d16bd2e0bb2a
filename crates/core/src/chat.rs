//! Chat: private conversations of two users, who are phone numbers.
//!
//! Everything that happens to a user stands in his own ordered feed, his *inbox*: messages that he
//! got or sent, and what became of those that he sent. What a [`Chats`] has answered it keeps; what
//! it has kept it tells [`Signals`], which carry it to whoever listens right now.

mod cursor;
mod inbox;
mod message;
mod phone;
mod receipt;
mod signals;
mod trace;
mod user;

use std::{fmt, pin::Pin, sync::Arc};

pub use self::{
    cursor::{ChatsPlace, Cursor, Written},
    inbox::{Entry, Happening, InboxPage},
    message::{ClientMessageId, Draft, Message, MessageStatus, Sent, TEXT_CHARS_MAX, Text},
    phone::PhoneNumber,
    receipt::{Acknowledgement, Marks},
    signals::{Signal, Signals},
    trace::{Steps, TraceContext},
    user::{Name, Profile, Registered, User},
};
use crate::{Code, Error, Millis, Result};

/// The most entries of one page of anything.
pub const PAGE_MAX: u32 = 1_000;

/// How many entries a page has where the caller doesn't say.
pub const PAGE_DEFAULT: u32 = 50;

/// An answer on its way.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// One of a user's chats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    /// With whom.
    pub peer: PhoneNumber,
    /// The name that the peer has registered, if any.
    pub peer_name: Option<Name>,
    /// The last message, whoever sent it.
    pub last: Listed,
    /// How many messages of the peer are behind the user's own read mark.
    pub unread: u64,
}

/// A message in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The message.
    pub message: Arc<Message>,
    /// How far it has come, as its sender sees it.
    pub status: MessageStatus,
}

/// A page of a user's chats, the latest activity first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChatsPage {
    /// The chats.
    pub chats: Vec<Chat>,
    /// Where to read on; none when these were the last.
    pub next: Option<ChatsPlace>,
}

/// Which messages of a chat to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The newest.
    Newest,
    /// The newest of those before this id.
    Before(u64),
    /// The oldest of those behind this id.
    After(u64),
}

/// A page of a chat's messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessagesPage {
    /// The messages, the newest first, without a gap between their ids.
    pub messages: Vec<Listed>,
    /// The id of the last message of the chat; 0 where there is none.
    pub last_id: u64,
}

/// All conversations.
///
/// # What an implementation promises
///
/// - What was answered is durable. A send is one step: the message, the chats of both and the
///   inboxes of both are there, or none of them. What is not durable is not read.
/// - Of sends with the same sender and client message id, in one batch or over all time, exactly
///   one is `new`; all answer the same message. With another recipient or text it is
///   [`Code::Conflict`].
/// - Ids of a chat, and sequences of an inbox, count from 1 without gaps. Of two sends of one
///   caller the earlier has the lower id.
/// - A chat is seen by its two users and by nobody else; of a user the same holds within his
///   tenant.
/// - Marks only move forward, never beyond the last message, and read implies delivered. A mark
///   that moves is told in the peer's inbox, once; one that does not is answered and changes
///   nothing.
/// - A page continued from its place has everything once, in order, also when much happens between.
/// - Once listened to, everything is signalled after it is durable, in the order of each inbox;
///   signals may be lost, entries not.
///
/// The suite in `switchboard-contract` holds an implementation to each of these.
pub trait Chats: fmt::Debug + Send + Sync {
    /// Sends messages, in order. Each is answered by itself: a refused one is no reason to refuse
    /// another. They take their places when this is called.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the store can't write; of one message [`Code::Conflict`].
    fn send(&self, drafts: Vec<Draft>) -> Answer<Vec<Result<Sent>>>;

    /// Moves marks forward, in order. Each is answered by itself.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the store can't write; of one acknowledgement [`Code::NotFound`]
    /// when it speaks of a message that is not there.
    fn acknowledge(&self, receipts: Vec<Acknowledgement>) -> Answer<Vec<Result<Marks>>>;

    /// Makes a user known, and sets his name if one is given.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the store can't write.
    fn register(&self, user: User, name: Option<Name>, at: Millis) -> Answer<Registered>;

    /// A user's chats, the latest activity first, from the start or on from a place. Those of a
    /// place are listed as they were ordered when its first page was read.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the store can't be read.
    fn chats(&self, user: User, on: Option<ChatsPlace>, limit: u32) -> Answer<ChatsPage>;

    /// Messages of a chat; none where there is no such chat.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the store can't be read.
    fn messages(
        &self,
        user: User,
        peer: PhoneNumber,
        reach: Reach,
        limit: u32,
    ) -> Answer<MessagesPage>;

    /// What stands in an inbox behind a sequence, in order.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidCursor`] when nothing of this sequence has happened yet;
    /// [`Code::Unavailable`] when the store can't be read.
    fn inbox(&self, user: User, after: u64, limit: u32) -> Answer<InboxPage>;

    /// The sequence of the newest entry of each inbox, in the order in which they are asked for; 0
    /// where there is none. Whoever listens to signals asks now and then whether the last of them
    /// was lost: a store that can answers all at once.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the store can't be read.
    fn newest(&self, users: Vec<User>) -> Answer<Vec<u64>>;

    /// What became of a message, told to its sender.
    ///
    /// # Errors
    ///
    /// [`Code::NotFound`]; [`Code::Unavailable`] when the store can't be read.
    fn trace(&self, sender: User, id: ClientMessageId) -> Answer<Steps>;

    /// From now on tells these what happens. The last to be named is the one that is told.
    fn tell(&self, signals: Arc<dyn Signals>);
}

/// Checks how many entries are asked for: 0 stands for [`PAGE_DEFAULT`].
///
/// # Errors
///
/// [`Code::TooLarge`] for more than [`PAGE_MAX`].
pub fn page_limit(asked: u32) -> Result<u32> {
    match asked {
        0 => Ok(PAGE_DEFAULT),
        1..=PAGE_MAX => Ok(asked),
        _ => Err(Error::new(
            Code::TooLarge,
            format!("a page has at most {PAGE_MAX} entries, {asked} were asked for"),
        )),
    }
}
