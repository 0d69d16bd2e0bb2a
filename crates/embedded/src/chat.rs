//! Private conversations.
//!
//! They have a log of their own in `chat/log/`, which is never cut: it is where the messages are
//! kept, in the order in which they came. Everything else says where in it something stands: the
//! messages of a chat, the entries of an inbox ([`tables`], [`recent`]), and what a sender called a
//! message ([`crate::slots`]). A checkpoint writes eight bytes for each list that a message is in,
//! and puts the messages of each chat together once more. Why:
//! `docs/decisions/0003-the-log-is-where-messages-are-kept.md`.
//!
//! One thread decides and writes ([`writer`]), another puts away ([`keeper`]), and whoever asks
//! reads by himself ([`reader`]).

mod bodies;
mod carry;
mod entry;
mod heads;
mod keeper;
mod keys;
mod open;
mod order;
mod reader;
mod recent;
mod replay;
mod tables;
mod work;
mod writer;

use std::{
    future,
    sync::{Arc, PoisonError},
    time::Instant,
};

use switchboard_core::{
    Code, Error as Refusal, Millis, Result as Answer,
    chat::{
        self, Acknowledgement, ChatsPage, ChatsPlace, ClientMessageId, Draft, InboxPage, Marks,
        MessagesPage, Name, PhoneNumber, Reach, Registered, Sent, Signals, Steps, User,
    },
};

pub(crate) use self::{
    carry::Said,
    keeper::Keeper,
    open::{Parts, open, size},
    work::Work,
    writer::Writer,
};
use self::{reader::Shared, work::Task, writer::Listener};
use crate::{Error, queue::Queue};

/// The length of a segment of the log, in bytes.
pub(crate) const SEGMENT_BYTES: usize = 32 * 1024 * 1024;

/// The folder of all that is chat's.
pub(crate) const FOLDER: &str = "chat";

/// The way to chats for all who ask.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) queue: Arc<Queue<Work>>,
    shared: Arc<Shared>,
    listener: Arc<Listener>,
}

impl Front {
    fn ask<T: Send + 'static>(
        &self,
        task: impl FnOnce(crate::queue::Answer<T>) -> Task,
    ) -> chat::Answer<T> {
        self.queue.ask(|answer| Work { task: task(answer), arrived: Instant::now() })
    }

    /// What was read is there at once: nothing is waited for but the disk.
    fn told<T: Send + 'static>(read: Result<T, Error>) -> chat::Answer<T> {
        Box::pin(future::ready(read.map_err(unreadable)))
    }
}

fn unreadable(error: Error) -> Refusal {
    tracing::error!(error = %error.chain(), "chats can't be read");
    Refusal::new(Code::Unavailable, "the store could not be read").caused_by(error)
}

impl chat::Chats for Front {
    fn send(&self, drafts: Vec<Draft>) -> chat::Answer<Vec<Answer<Sent>>> {
        self.ask(|answer| Task::Send { drafts, answer })
    }

    fn acknowledge(&self, receipts: Vec<Acknowledgement>) -> chat::Answer<Vec<Answer<Marks>>> {
        self.ask(|answer| Task::Acknowledge { receipts, answer })
    }

    fn register(&self, user: User, name: Option<Name>, at: Millis) -> chat::Answer<Registered> {
        self.ask(|answer| Task::Register { user, name, at, answer })
    }

    fn chats(&self, user: User, on: Option<ChatsPlace>, limit: u32) -> chat::Answer<ChatsPage> {
        Self::told(self.shared.chats(&user, on, limit))
    }

    fn messages(
        &self,
        user: User,
        peer: PhoneNumber,
        reach: Reach,
        limit: u32,
    ) -> chat::Answer<MessagesPage> {
        Self::told(self.shared.messages(&user, peer, reach, limit))
    }

    fn inbox(&self, user: User, after: u64, limit: u32) -> chat::Answer<InboxPage> {
        let page = self.shared.inbox(&user, after, limit).map_err(unreadable);
        Box::pin(future::ready(page.and_then(|page| {
            page.ok_or_else(|| {
                let what = "nothing of this cursor has happened yet: it is not of this inbox";
                Refusal::new(Code::InvalidCursor, what)
            })
        })))
    }

    fn newest(&self, users: Vec<User>) -> chat::Answer<Vec<u64>> {
        Self::told(users.iter().map(|user| self.shared.newest_of(user)).collect())
    }

    fn trace(&self, sender: User, id: ClientMessageId) -> chat::Answer<Steps> {
        self.ask(|answer| Task::Trace { sender, id, answer })
    }

    fn tell(&self, signals: Arc<dyn Signals>) {
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(signals);
    }
}
