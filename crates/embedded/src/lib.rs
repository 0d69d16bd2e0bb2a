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
//! vault/log/*.log     sealed records, until they are in tables
//! vault/engine.redb   tables: sealed records
//! bus/log/*.log       events, and what becomes of queues, until they are in volumes and tables
//! bus/keys/*.run      sorted files of what publishers called their events
//! bus/engine.redb     tables: queues, who is there, which volumes count
//! TRANSFER            where the store was carried from, and how far that has come
//! engine.redb         tables, and up to which record of the log they and the files hold everything
//! ```
//!
//! A write is appended to the log and synced with all that came at the same time ([`commit`]), then
//! acknowledged. In the background it is put where it is read from ([`keeper`]), and the log is
//! cut. A start reads what was put away, then replays what the log holds beyond it ([`open`]).
//! Nothing that memory holds is the only copy.

#[expect(dead_code, reason = "volumes and queues come next")]
mod bus;
mod chat;
mod commit;
pub mod disk;
mod engine;
mod error;
mod handover;
mod health;
mod ingest;
mod keeper;
mod log;
mod open;
mod ports;
#[cfg(test)]
mod power_cut;
mod presence;
mod queue;
mod serve;
mod slots;
mod tenants;
mod threads;
pub mod transfer;
mod vault;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use switchboard_core::store::Observer;

pub use self::error::Error;
use self::{
    disk::Disk,
    health::Health,
    log::{Layout, Spare},
    open::Parts,
    queue::Queue,
    threads::{Ends, Threads},
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
    /// The length of a segment of the vault's log, in bytes: from 4 KiB, and more than twice the
    /// longest record. Two are on disk at the least.
    pub vault_segment_bytes: usize,
    /// After how many bytes of records they are put into tables. Until then they are in memory
    /// too, and have to be replayed after a crash.
    pub vault_flush_bytes: usize,
    /// The length of a segment of the bus's log, in bytes: a record is up to half of it, and holds
    /// an event, or one with the other that it gave rise to. Two are on disk at the least.
    pub bus_segment_bytes: usize,
    /// After how many bytes of the bus's log its events are put into a volume. Until then they are
    /// in memory too, and have to be replayed after a restart.
    pub bus_flush_bytes: usize,
    /// The most memory that the bus takes for what publishers called their events, in bytes. Beyond
    /// it look-ups go to disk.
    pub bus_memory_bytes: usize,
    /// The most memory that the bus takes for what was read lately of volumes, in bytes.
    pub bus_cache_bytes: usize,
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
            vault_segment_bytes: vault::SEGMENT_BYTES,
            vault_flush_bytes: vault::FLUSH_BYTES,
            bus_segment_bytes: bus::SEGMENT_BYTES,
            bus_flush_bytes: bus::FLUSH_BYTES,
            bus_memory_bytes: 256 * 1024 * 1024,
            bus_cache_bytes: 256 * 1024 * 1024,
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
    records: vault::Front,
    bus: bus::Front,
    health: Arc<Health>,
    disk: Arc<dyn Disk>,
    layout: Layout,
    chat_segment_bytes: usize,
    vault_segment_bytes: usize,
    bus_segment_bytes: usize,
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
    /// another version wrote it; [`Error::Unfinished`] when it was not carried whole from another
    /// store; [`Error::Disk`] and [`Error::Engine`] when reading fails. Nothing
    /// was changed then.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: &Options,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, Error> {
        transfer::check_finished(&*disk)?;
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
        let chats: chat::Parts = chat::open(&disk, options, &health, Arc::clone(&observer))?;
        let records: vault::Parts = vault::open(&disk, options, &health, Arc::clone(&observer))?;
        let events: bus::Parts = bus::open(&disk, options, &health, observer)?;
        let queue = Arc::new(Queue::new(options.waiting_entries_max));
        let (reports, requests) = presence::Door::new();
        let spares = vec![spare, reports_keeper.spare(), chats.spare, records.spare, events.spare];
        let closing = Arc::new(AtomicBool::new(false));
        let queues: [Arc<dyn Ends>; 4] = [
            Arc::clone(&queue) as _,
            Arc::clone(&chats.front.queue) as _,
            Arc::clone(&records.front.queue) as _,
            Arc::clone(&events.front.queue) as _,
        ];
        let mut threads = Threads::new(&health, &closing, queues);

        threads.spawn_pair(["commit", "checkpoint"], &queue, writer, keeper)?;
        let names = ["chat", "chat-checkpoint"];
        threads.spawn_pair(names, &chats.front.queue, chats.writer, chats.keeper)?;
        let names = ["vault", "vault-checkpoint"];
        threads.spawn_pair(names, &records.front.queue, records.writer, records.keeper)?;
        let names = ["bus", "bus-checkpoint"];
        threads.spawn_pair(names, &events.front.queue, events.writer, events.keeper)?;
        threads.spawn("reports", move || reports_keeper.run(&requests))?;
        let names =
            ["log-prepare", "reports-prepare", "chat-prepare", "vault-prepare", "bus-prepare"];
        for (name, spare) in names.iter().zip(&spares) {
            let spare = spare.clone();
            threads.spawn_preparer(name, move || spare.run())?;
        }
        let layout = Layout { segment_bytes: options.segment_bytes, entropy: options.entropy };
        let threads = Mutex::new(threads);
        Ok(Self {
            queue,
            reports,
            chats: chats.front,
            records: records.front,
            bus: events.front,
            health,
            disk,
            layout,
            chat_segment_bytes: options.chat_segment_bytes,
            vault_segment_bytes: options.vault_segment_bytes,
            bus_segment_bytes: options.bus_segment_bytes,
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
        self.records.queue.close("the store is closing");
        self.bus.queue.close("the store is closing");
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

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
