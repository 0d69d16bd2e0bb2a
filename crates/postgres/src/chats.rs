//! Conversations.
//!
//! A send is one row, with its places in the inboxes of both, and a change of three: the chat, and
//! both users. What is decided is decided here, as the rules say it, from rows that are locked
//! until it is committed ([`wanted`], [`state`], [`put`]); so it comes to the same whichever nodes
//! decide, and the database is asked twice for a group, however much that is. Reads are one
//! statement each ([`reader`], [`order`]).
//!
//! A tenant's writes are in one lane, in the order in which they came.

pub(crate) mod keys;
mod order;
mod put;
mod reader;
pub(crate) mod rows;
mod state;
mod wanted;
mod work;
mod writer;
pub(crate) mod written;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Instant,
};

use futures_util::future::join_all;
use switchboard_core::{
    Error, Millis, Result, Tenant,
    chat::{
        self, Acknowledgement, ChatsPage, ChatsPlace, ClientMessageId, Draft, InboxPage, Marks,
        MessagesPage, Name, PhoneNumber, Reach, Registered, Sent, Signals, Steps, User,
    },
};
use tokio::sync::oneshot::Sender;

use self::{
    work::Work,
    writer::{Listener, Writer},
};
use crate::{Ground, Lane, Readers};

/// The lanes that tenants are spread over.
const LANES: [&str; 4] = ["chats-1", "chats-2", "chats-3", "chats-4"];

/// Where conversations are kept.
#[derive(Debug)]
pub struct Front {
    readers: Arc<Readers>,
    lanes: [Lane<Work>; LANES.len()],
    listener: Arc<Listener>,
}

impl Front {
    pub(crate) fn new(ground: &Ground) -> Self {
        let listener = Arc::new(Listener::default());
        let lane = |name| ground.lane(name, Writer { listener: Arc::clone(&listener) });
        Self { readers: Arc::clone(&ground.readers), lanes: LANES.map(lane), listener }
    }

    /// Hands each to the lane of its tenant, and puts their answers in order again.
    fn each<T, D: Send + 'static>(
        &self,
        all: Vec<T>,
        tenant: impl Fn(&T) -> Tenant,
        work: impl Fn(Vec<T>, Sender<Result<Vec<Result<D>>>>) -> Work,
    ) -> chat::Answer<Vec<Result<D>>> {
        let lanes: Vec<usize> = all.iter().map(|it| lane(&tenant(it))).collect();
        let Some(&first) = lanes.first() else { return Box::pin(async { Ok(Vec::new()) }) };
        if lanes.iter().all(|&lane| lane == first) {
            return Box::pin(self.lanes[first].ask(|answer| work(all, answer)));
        }
        let mut parts: [Vec<T>; LANES.len()] = Default::default();
        for (it, &lane) in all.into_iter().zip(&lanes) {
            parts[lane].push(it);
        }
        let answers = parts.into_iter().zip(&self.lanes).map(|(part, lane)| {
            let count = part.len();
            let asked = (0 < count).then(|| lane.ask(|answer| work(part, answer)));
            async move {
                let Some(asked) = asked else { return Vec::new() };
                asked.await.unwrap_or_else(|error| (0..count).map(|_| Err(same(&error))).collect())
            }
        });
        // Asked of all lanes before this returns.
        let answers: Vec<_> = answers.collect();
        Box::pin(async move {
            let answers = join_all(answers).await;
            let mut answers: Vec<_> = answers.into_iter().map(Vec::into_iter).collect();
            let unknown = "a part of the store did not answer";
            let unknown = || Err(Error::new(switchboard_core::Code::Internal, unknown));
            Ok(lanes.into_iter().map(|lane| answers[lane].next().unwrap_or_else(unknown)).collect())
        })
    }
}

/// The lane of a tenant. Nodes need not agree on it.
fn lane(tenant: &Tenant) -> usize {
    let mut hasher = DefaultHasher::new();
    tenant.hash(&mut hasher);
    usize::try_from(hasher.finish() % LANES.len() as u64).unwrap_or_default()
}

/// What one of many is told when all of them were refused.
fn same(error: &Error) -> Error {
    Error::new(error.code(), error.to_string())
}

impl chat::Chats for Front {
    fn send(&self, drafts: Vec<Draft>) -> chat::Answer<Vec<Result<Sent>>> {
        let arrived = Instant::now();
        self.each(
            drafts,
            |draft| draft.from.tenant,
            |drafts, answer| Work::Send { drafts, arrived, answer },
        )
    }

    fn acknowledge(&self, receipts: Vec<Acknowledgement>) -> chat::Answer<Vec<Result<Marks>>> {
        self.each(
            receipts,
            |stated| stated.user.tenant,
            |receipts, answer| Work::Acknowledge { receipts, answer },
        )
    }

    fn register(&self, user: User, name: Option<Name>, at: Millis) -> chat::Answer<Registered> {
        let lane = &self.lanes[lane(&user.tenant)];
        Box::pin(lane.ask(|answer| Work::Register { user, name, at, answer }))
    }

    fn chats(&self, user: User, on: Option<ChatsPlace>, limit: u32) -> chat::Answer<ChatsPage> {
        Box::pin(order::chats(Arc::clone(&self.readers), user, on, limit))
    }

    fn messages(
        &self,
        user: User,
        peer: PhoneNumber,
        reach: Reach,
        limit: u32,
    ) -> chat::Answer<MessagesPage> {
        Box::pin(reader::messages(Arc::clone(&self.readers), user, peer, reach, limit))
    }

    fn inbox(&self, user: User, after: u64, limit: u32) -> chat::Answer<InboxPage> {
        Box::pin(reader::inbox(Arc::clone(&self.readers), user, after, limit))
    }

    fn newest(&self, users: Vec<User>) -> chat::Answer<Vec<u64>> {
        Box::pin(reader::newest(Arc::clone(&self.readers), users))
    }

    fn trace(&self, sender: User, id: ClientMessageId) -> chat::Answer<Steps> {
        Box::pin(reader::trace(Arc::clone(&self.readers), sender, id))
    }

    fn tell(&self, signals: Arc<dyn Signals>) {
        self.listener.set(signals);
    }
}
