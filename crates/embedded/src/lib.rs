//! The store of Switchboard in one local directory.
//!
//! ```text
//! LOCK                the process that uses the directory holds a lock on it
//! log/*.log           the commit log: what every acknowledged write stands in first
//! ingest/*.run        sorted files of the ledger
//! presence/log/*.log  the reports of gateways of the last minutes
//! engine.redb         tables, and up to which record of the log they and the files hold everything
//! ```
//!
//! A write is appended to the log and synced with all that came at the same time ([`commit`]), then
//! acknowledged. In the background it is put where it is read from ([`keeper`]), and the log is
//! cut. A start reads what was put away, then replays what the log holds beyond it ([`open`]).
//! Nothing that memory holds is the only copy.

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

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use switchboard_core::{
    Code, Millis,
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
    health: Arc<Health>,
    disk: Arc<dyn Disk>,
    layout: Layout,
    spare: Spare,
    reports_spare: Spare,
    closing: Arc<AtomicBool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
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
            open::open(Arc::clone(&disk), options, observer)?;
        // All is opened before a thread is started: what can't be opened stays as it is.
        let folder = disk::Folder::open(Arc::clone(&disk), "presence")?;
        let reports_keeper = presence::Keeper::open(
            Arc::new(folder),
            options.reports_segment_bytes,
            options.entropy,
            Arc::clone(&health),
        )?;
        let queue = Arc::new(Queue::new(options.waiting_entries_max));
        let closing = Arc::new(AtomicBool::new(false));
        let (flushes, taken) = mpsc::sync_channel(1);

        let spawn = |name, run| spawn(name, &health, &queue, run);
        let prepare = {
            let spare = spare.clone();
            spawn("log-prepare", Box::new(move || spare.run()) as Box<dyn FnOnce() + Send>)?
        };
        let keep = {
            let (health, closing) = (Arc::clone(&health), Arc::clone(&closing));
            let closing = move || closing.load(Ordering::Acquire);
            spawn("checkpoint", Box::new(move || keeper.run(&taken, &health, closing)))?
        };
        let write = {
            let queue = Arc::clone(&queue);
            spawn("commit", Box::new(move || writer.run(&queue, &flushes)))?
        };
        let reports_spare = reports_keeper.spare();
        let (reports, requests) = presence::Door::new();
        let prepare_reports = {
            let spare = reports_spare.clone();
            spawn("reports-prepare", Box::new(move || spare.run()))?
        };
        let keep_reports = spawn("reports", Box::new(move || reports_keeper.run(&requests)))?;
        let layout = Layout { segment_bytes: options.segment_bytes, entropy: options.entropy };
        // In the order in which they end.
        let threads = vec![write, keep, keep_reports, prepare, prepare_reports];
        let threads = Mutex::new(threads);
        Ok(Self { queue, reports, health, disk, layout, spare, reports_spare, closing, threads })
    }

    /// Records what waits, puts everything away, and ends. Batches that come later are refused.
    ///
    /// Blocks for as long as that takes. Closing twice does nothing.
    pub fn close(&self) {
        self.queue.close("the store is closing");
        self.reports.close();
        self.closing.store(true, Ordering::Release);
        let threads = std::mem::take(&mut *lock(&self.threads));
        for (place, thread) in threads.into_iter().enumerate() {
            if place == 3 {
                self.spare.stop();
                self.reports_spare.stop();
            }
            // One that panicked has been told of by its guard.
            let _ = thread.join();
        }
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
async fn told<T>(
    answered: oneshot::Receiver<switchboard_core::Result<T>>,
) -> switchboard_core::Result<T> {
    answered.await.unwrap_or_else(|_| {
        let what = "the store ended before the answer";
        Err(switchboard_core::Error::new(Code::Unavailable, what))
    })
}

impl Store for Embedded {
    fn vitals(&self) -> Vitals {
        Vitals {
            condition: self.health.condition(),
            commits_waiting: self.queue.len() as u64,
            ingest_keys: self.health.keys.load(Ordering::Relaxed),
            ingest_index_bytes: self.health.index_bytes.load(Ordering::Relaxed),
            size_bytes: log::size(&*self.disk, self.layout)
                + slots::size(&*open::runs_of(&self.disk))
                + Engine::size(&*self.disk),
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

/// Starts a thread that the store can't do without: its panic is the store's failure.
fn spawn(
    name: &'static str,
    health: &Arc<Health>,
    queue: &Arc<Queue>,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    struct Guard(&'static str, Arc<Health>, Arc<Queue>);
    impl Drop for Guard {
        fn drop(&mut self) {
            let Self(name, health, queue) = self;
            if thread::panicking() {
                health.fail(&format!("the thread {name} panicked"));
                // Who waits is answered: the other end of his answer is dropped.
                queue.close(commit::FAILED);
                drop(queue.take(Vec::new()));
            }
        }
    }
    let guard = Guard(name, Arc::clone(health), Arc::clone(queue));
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _guard = guard;
        run();
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
