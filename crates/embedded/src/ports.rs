//! The ports that the store is.

use std::{
    future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use switchboard_core::{
    Code, Millis, Result, Tenant,
    bus::{
        self, Attendance, Created, Gone, Log, Published, QueueId, QueueSettings, QueueState, Since,
    },
    chat::{
        Acknowledgement, Answer, Chats, ChatsPage, ChatsPlace, ClientMessageId, Draft, InboxPage,
        Marks, MessagesPage, Name, PhoneNumber, Reach, Registered, Sent, Signals, Steps, User,
    },
    ingest::{Entry, Recording},
    presence::{Appended, GatewayId, Journal, Page as Reports, Place as ReportPlace, Report},
    store::{Store, Vitals},
    vault::{Change, Outcome, Page, Place, Profile, Range, RecordId, Records},
};
use tokio::sync::oneshot;

use crate::{
    Embedded, bus as events, chat, engine::Engine, log, open, presence, queue::Batch, slots, vault,
};

impl switchboard_core::ingest::Ledger for Embedded {
    fn record(&self, entries: Vec<Entry>) -> Recording {
        let (answer, answered) = oneshot::channel();
        self.queue.push(Batch { entries, answer, arrived: Instant::now() });
        Box::pin(async {
            answered.await.unwrap_or_else(|_| {
                let what = "the store ended before the answer: it is not known what was recorded";
                Err(switchboard_core::Error::new(Code::Unavailable, what))
            })
        })
    }
}

impl Journal for Embedded {
    fn append(&self, report: &Report) -> Answer<Appended> {
        let (answer, answered) = oneshot::channel();
        let (bytes, at) = (report.to_bytes(), report.at);
        self.reports.ask(presence::Request::Append { bytes, at, answer });
        Box::pin(async { told(answered).await.map(|()| None) })
    }

    fn others(&self, _behind: Vec<ReportPlace>) -> Answer<Vec<(ReportPlace, Report)>> {
        // One process at a time has the directory.
        Box::pin(future::ready(Ok(Vec::new())))
    }

    fn read(&self, from: u64) -> Answer<Reports> {
        let (answer, answered) = oneshot::channel();
        self.reports.ask(presence::Request::Read { from, answer });
        Box::pin(told(answered))
    }

    fn prune(&self, before: Millis) -> Answer<()> {
        let (answer, answered) = oneshot::channel();
        self.reports.ask(presence::Request::Prune { before, answer });
        Box::pin(told(answered))
    }
}

/// The journal's answer, or that there is none.
async fn told<T>(answered: oneshot::Receiver<Result<T>>) -> Result<T> {
    answered.await.unwrap_or_else(|_| {
        let what = "the store ended before the answer";
        Err(switchboard_core::Error::new(Code::Unavailable, what))
    })
}

impl Chats for Embedded {
    fn send(&self, drafts: Vec<Draft>) -> Answer<Vec<Result<Sent>>> {
        self.chats.send(drafts)
    }

    fn acknowledge(&self, receipts: Vec<Acknowledgement>) -> Answer<Vec<Result<Marks>>> {
        self.chats.acknowledge(receipts)
    }

    fn register(&self, user: User, name: Option<Name>, at: Millis) -> Answer<Registered> {
        self.chats.register(user, name, at)
    }

    fn chats(&self, user: User, on: Option<ChatsPlace>, limit: u32) -> Answer<ChatsPage> {
        self.chats.chats(user, on, limit)
    }

    fn messages(
        &self,
        user: User,
        peer: PhoneNumber,
        reach: Reach,
        limit: u32,
    ) -> Answer<MessagesPage> {
        self.chats.messages(user, peer, reach, limit)
    }

    fn inbox(&self, user: User, after: u64, limit: u32) -> Answer<InboxPage> {
        self.chats.inbox(user, after, limit)
    }

    fn newest(&self, users: Vec<User>) -> Answer<Vec<u64>> {
        self.chats.newest(users)
    }

    fn trace(&self, sender: User, id: ClientMessageId) -> Answer<Steps> {
        self.chats.trace(sender, id)
    }

    fn tell(&self, signals: Arc<dyn Signals>) {
        self.chats.tell(signals);
    }
}

impl Records for Embedded {
    fn profiles(&self, tenant: Tenant) -> Answer<Arc<[Profile]>> {
        self.records.profiles(tenant)
    }

    fn add_profile(&self, tenant: Tenant, profile: Profile) -> Answer<Arc<[Profile]>> {
        self.records.add_profile(tenant, profile)
    }

    fn get(&self, tenant: Tenant, id: &RecordId) -> Answer<Place> {
        self.records.get(tenant, id)
    }

    fn list(&self, tenant: Tenant, range: Range) -> Answer<Page> {
        self.records.list(tenant, range)
    }

    fn change(&self, changes: Vec<Change>) -> Answer<Vec<Outcome>> {
        self.records.change(changes)
    }

    fn expire(&self, now: Millis) -> Answer<u64> {
        self.records.expire(now)
    }
}

impl Log for Embedded {
    fn publish(&self, drafts: Vec<bus::Draft>) -> Answer<Vec<Result<Published>>> {
        self.bus.publish(drafts)
    }

    fn read(&self, read: bus::Read) -> Answer<bus::Page> {
        self.bus.read(read)
    }

    fn create_queue(
        &self,
        queue: QueueId,
        settings: QueueSettings,
        since: Since,
    ) -> Answer<Created> {
        self.bus.create_queue(queue, settings, since)
    }

    fn delete_queue(&self, queue: QueueId) -> Answer<bool> {
        self.bus.delete_queue(queue)
    }

    fn queue(&self, queue: QueueId) -> Answer<QueueState> {
        self.bus.queue(queue)
    }

    fn queues(&self, tenant: Tenant) -> Answer<Vec<QueueState>> {
        self.bus.queues(tenant)
    }

    fn pull(&self, pull: bus::Pull) -> Answer<bus::Pulled> {
        self.bus.pull(pull)
    }

    fn settle(&self, settlement: bus::Settlement) -> Answer<Vec<bus::Settled>> {
        self.bus.settle(settlement)
    }

    fn sweep(&self, now: Millis) -> Answer<()> {
        self.bus.sweep(now)
    }

    fn attend(&self, attendances: Vec<Attendance>) -> Answer<()> {
        self.bus.attend(attendances)
    }

    fn abandon(&self, gone: Gone, now: Millis) -> Answer<u64> {
        self.bus.abandon(gone, now)
    }

    fn gateways(&self) -> Answer<Vec<GatewayId>> {
        self.bus.gateways()
    }

    fn newest(&self, tenants: Vec<Tenant>) -> Answer<Vec<u64>> {
        self.bus.newest(tenants)
    }

    fn expire(&self, rules: Arc<[bus::Retention]>, now: Millis) -> Answer<u64> {
        self.bus.expire(rules, now)
    }

    fn listen(&self, signals: Arc<dyn bus::Signals>) {
        self.bus.listen(signals);
    }
}

impl Store for Embedded {
    fn vitals(&self) -> Vitals {
        Vitals {
            condition: self.health.condition(),
            commits_waiting: (self.queue.len()
                + self.chats.queue.len()
                + self.records.queue.len()
                + self.bus.queue.len()) as u64,
            ingest_keys: self.health.keys.load(Ordering::Relaxed),
            ingest_index_bytes: self.health.index_bytes.load(Ordering::Relaxed),
            size_bytes: log::size(&*self.disk, self.layout)
                + slots::size(&*open::runs_of(&self.disk))
                + Engine::size(&*self.disk)
                + chat::size(&self.disk, self.chat_segment_bytes)
                + vault::size(&self.disk, self.vault_segment_bytes)
                + events::size(&self.disk, self.bus_segment_bytes),
            free_bytes: self.disk.free_bytes().ok(),
        }
    }

    fn failed(&self) -> Pin<Box<dyn Future<Output = switchboard_core::Error> + Send>> {
        let mut failure = self.health.failure();
        Box::pin(async move {
            let failed = failure.wait_for(Option::is_some).await.ok();
            let Some(why) = failed.and_then(|why| why.clone()) else {
                // Closed in good order: it will never fail.
                return future::pending().await;
            };
            let what = format!("the store has failed: {why}");
            switchboard_core::Error::new(Code::Unavailable, what)
        })
    }
}
