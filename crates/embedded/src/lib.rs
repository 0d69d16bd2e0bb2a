//! The store of Switchboard in one local directory.
//!
//! ```text
//! LOCK                the process that uses the directory holds a lock on it
//! log/*.log           the commit log: what every acknowledged write stands in first
//! ingest/*.run        sorted files of the ledger
//! presence/log/*.log  the reports of gateways of the last minutes
//! chat/log/*.log      everything that was said, for ever
//! chat/names/*.run    sorted files of what senders called their messages
//! chat/engine.redb    tables: where in the log of chat something stands
//! engine.redb         tables, and up to which record of the log they and the files hold everything
//! ```
//!
//! A write is appended to the log and synced with all that came at the same time ([`commit`]), then
//! acknowledged. In the background it is put where it is read from ([`keeper`]), and the log is
//! cut. A start reads what was put away, then replays what the log holds beyond it ([`open`]).
//! Nothing that memory holds is the only copy.

mod chat;
mod commit;
pub mod disk;
mod engine;
mod error;
mod health;
mod ingest;
mod keeper;
mod log;
mod open;
#[cfg(test)]
mod power_cut;
mod presence;
mod queue;
mod slots;
mod tenants;
mod threads;

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Instant,
};

use switchboard_core::{
    Code, Millis, Result,
    chat::{
        Acknowledgement, Answer, Chats, ChatsPage, ChatsPlace, ClientMessageId, Draft, InboxPage,
        Marks, MessagesPage, Name, PhoneNumber, Reach, Registered, Sent, Signals, Steps, User,
    },
    ingest::{Entry, Recording},
    presence::{Appending, Journal, Reading, Report},
    store::{Observer, Store, Vitals},
};
use tokio::sync::oneshot;

pub use self::error::Error;
use self::{
    disk::Disk,
    engine::Engine,
    health::Health,
    log::{Layout, Spare},
    open::Parts,
    queue::{Batch, Queue},
    threads::Threads,
};

/// How a store is laid out and bounded.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The length of a segment of the log, in bytes: from 4 KiB. Two are on disk at the least.
    pub segment_bytes: usize,
    /// The most memory that ingest's index takes, in bytes. Beyond it look-ups go to disk.
    pub ingest_memory_bytes: usize,
    /// After how many new keys they are written to a sorted file. Until then each takes 16 bytes
    /// more of memory, and has to be replayed after a crash.
    pub flush_keys: usize,
    /// The length of a segment of the reports, in bytes: from 4 KiB. Two are on disk at the least.
    pub reports_segment_bytes: usize,
    /// The length of a segment of chat's log, in bytes: from 128 KiB. Two are on disk at the least.
    pub chat_segment_bytes: usize,
    /// The most memory that chat takes for what senders called their messages, in bytes. Beyond it
    /// look-ups go to disk.
    pub chat_memory_bytes: usize,
    /// The most memory that chat takes for messages that were read lately, in bytes.
    pub chat_cache_bytes: usize,
    /// After how many messages and receipts they are put into tables. Until then each takes about
    /// 150 bytes more of memory, and has to be replayed after a crash.
    pub chat_flush_entries: usize,
    /// The most entries that may wait for their commit.
    pub waiting_entries_max: usize,
    /// A random number, another with each start.
    pub entropy: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * 1024 * 1024,
            ingest_memory_bytes: 1024 * 1024 * 1024,
            flush_keys: 1_000_000,
            reports_segment_bytes: presence::SEGMENT_BYTES,
            chat_segment_bytes: chat::SEGMENT_BYTES,
            chat_memory_bytes: 256 * 1024 * 1024,
            chat_cache_bytes: 512 * 1024 * 1024,
            chat_flush_entries: 500_000,
            waiting_entries_max: 1_000_000,
            entropy: 0,
        }
    }
}

/// The store, open.
///
/// Dropping it closes it.
#[derive(Debug)]
pub struct Embedded {
    queue: Arc<Queue>,
    reports: presence::Door,
    chats: chat::Front,
    health: Arc<Health>,
    disk: Arc<dyn Disk>,
    layout: Layout,
    chat_segment_bytes: usize,
    spares: Vec<Spare>,
    closing: Arc<AtomicBool>,
    threads: Mutex<Threads>,
}

impl Embedded {
    /// Opens the store on a disk, or makes it there.
    ///
    /// Returns once everything that was ever acknowledged is known again.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] when something that was durable is damaged; [`Error::Format`] when
    /// another version wrote it; [`Error::Disk`] and [`Error::Engine`] when reading fails. Nothing
    /// was changed then.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: &Options,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, Error> {
        let Parts { writer, keeper, spare, health } =
            open::open(Arc::clone(&disk), options, Arc::clone(&observer))?;
        // All is opened before a thread is started: what can't be opened stays as it is.
        let folder = disk::Folder::open(Arc::clone(&disk), "presence")?;
        let reports_keeper = presence::Keeper::open(
            Arc::new(folder),
            options.reports_segment_bytes,
            options.entropy,
            Arc::clone(&health),
        )?;
        let chats = chat::open(&disk, options, &health, observer)?;
        let queue = Arc::new(Queue::new(options.waiting_entries_max));
        let (reports, requests) = presence::Door::new();
        let chat::Parts { writer: chat_writer, keeper: chat_keeper, spare: chat_spare, front } =
            chats;
        let spares = vec![spare, reports_keeper.spare(), chat_spare];
        let closing = Arc::new(AtomicBool::new(false));
        let has_closed = || {
            let closing = Arc::clone(&closing);
            move || closing.load(Ordering::Acquire)
        };
        let mut threads = Threads::new(&health, &queue, &front.queue);

        // In the order in which they end.
        let (flushes, taken) = mpsc::sync_channel(1);
        let (chat_flushes, chat_taken) = mpsc::sync_channel(1);
        let (waiting, has_failed) = (Arc::clone(&queue), Arc::clone(&health));
        threads.spawn("commit", move || writer.run(&waiting, &flushes))?;
        let (waiting, chat_failed) = (Arc::clone(&front.queue), Arc::clone(&health));
        threads.spawn("chat", move || chat_writer.run(&waiting, &chat_flushes))?;
        let closed = has_closed();
        threads.spawn("checkpoint", move || keeper.run(&taken, &has_failed, closed))?;
        let closed = has_closed();
        threads.spawn("chat-checkpoint", move || {
            chat_keeper.run(&chat_taken, &chat_failed, closed);
        })?;
        threads.spawn("reports", move || reports_keeper.run(&requests))?;
        for (name, spare) in ["log-prepare", "reports-prepare", "chat-prepare"].iter().zip(&spares)
        {
            let spare = spare.clone();
            threads.spawn_preparer(name, move || spare.run())?;
        }
        let layout = Layout { segment_bytes: options.segment_bytes, entropy: options.entropy };
        let chat_segment_bytes = options.chat_segment_bytes;
        let threads = Mutex::new(threads);
        Ok(Self {
            queue,
            reports,
            chats: front,
            health,
            disk,
            layout,
            chat_segment_bytes,
            spares,
            closing,
            threads,
        })
    }

    /// Records what waits, puts everything away, and ends. Batches that come later are refused.
    ///
    /// Blocks for as long as that takes. Closing twice does nothing.
    pub fn close(&self) {
        self.queue.close("the store is closing");
        self.chats.queue.close("the store is closing");
        self.reports.close();
        self.closing.store(true, Ordering::Release);
        let mut threads = lock(&self.threads);
        threads.join();
        // Whoever still wrote may have waited for them.
        self.spares.iter().for_each(Spare::stop);
        threads.join_preparers();
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.close();
    }
}

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
    fn append(&self, report: &Report) -> Appending {
        let (answer, answered) = oneshot::channel();
        let (bytes, at) = (presence::encode(report), report.at);
        self.reports.ask(presence::Request::Append { bytes, at, answer });
        Box::pin(told(answered))
    }

    fn read(&self, from: u64) -> Reading {
        let (answer, answered) = oneshot::channel();
        self.reports.ask(presence::Request::Read { from, answer });
        Box::pin(told(answered))
    }

    fn prune(&self, before: Millis) -> Appending {
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

    fn trace(&self, sender: User, id: ClientMessageId) -> Answer<Steps> {
        self.chats.trace(sender, id)
    }

    fn tell(&self, signals: Arc<dyn Signals>) {
        self.chats.tell(signals);
    }
}

impl Store for Embedded {
    fn vitals(&self) -> Vitals {
        Vitals {
            condition: self.health.condition(),
            commits_waiting: (self.queue.len() + self.chats.queue.len()) as u64,
            ingest_keys: self.health.keys.load(Ordering::Relaxed),
            ingest_index_bytes: self.health.index_bytes.load(Ordering::Relaxed),
            size_bytes: log::size(&*self.disk, self.layout)
                + slots::size(&*open::runs_of(&self.disk))
                + Engine::size(&*self.disk)
                + chat::size(&self.disk, self.chat_segment_bytes),
            free_bytes: self.disk.free_bytes().ok(),
        }
    }

    fn failed(&self) -> Pin<Box<dyn Future<Output = switchboard_core::Error> + Send>> {
        let mut failure = self.health.failure();
        Box::pin(async move {
            let failed = failure.wait_for(Option::is_some).await.ok();
            let Some(why) = failed.and_then(|why| why.clone()) else {
                // Closed in good order: it will never fail.
                return std::future::pending().await;
            };
            let what = format!("the store has failed: {why}");
            switchboard_core::Error::new(Code::Unavailable, what)
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
