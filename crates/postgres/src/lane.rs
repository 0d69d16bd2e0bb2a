//! Writes what comes together in one transaction, in the order in which it came.
//!
//! A lane has one connection, so that the order in which it was asked is that in which things
//! happen. While one group is being written the next one gathers.
//!
//! **Every answered group has written something.** With synchronous replication an `INSERT … ON
//! CONFLICT DO NOTHING` that finds its row writes nothing, and so is answered at once, although the
//! row may be on the primary's disk only: its first writer was told a warning, and never an answer.
//! A group that changed nothing therefore writes to the `fence`, and waits as all others do. A
//! warning of the server makes the outcome of a group unknown.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use switchboard_core as core;
use tokio::sync::{Notify, oneshot};
use tokio_postgres::error::SqlState;

use crate::{
    Ground,
    error::unavailable,
    health::Health,
    link::{Connector, Link},
};

/// How much one transaction writes at the most.
const GROUP_MAX: usize = 4_096;

/// How much waits at the most.
const WAITING_MAX: usize = 65_536;

/// How often a group is tried again that another transaction was in the way of.
const TRIES: usize = 10;

/// How long after a failure it is connected again.
const RETRY: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Something to be written, with who waits for it.
pub(crate) trait Work: fmt::Debug + Send + Sync + 'static {
    /// What comes of it.
    type Done: Send;

    /// How much of a group it is.
    fn weight(&self) -> usize;

    /// Tells who waits.
    fn answer(self, done: core::Result<Self::Done>);
}

/// What a group came to. Nothing of it is told before it is committed.
pub(crate) struct Written<D> {
    /// For each work, in order.
    pub(crate) done: Vec<D>,
    /// Whether anything was written.
    pub(crate) wrote: bool,
    /// Tells whoever listens, after the answers.
    pub(crate) signal: Option<Box<dyn FnOnce() + Send>>,
}

/// Why a group was not written.
#[derive(Debug)]
pub(crate) enum Fault {
    /// What the database says.
    Database(tokio_postgres::Error),
    /// What the store itself found.
    Refused(core::Error),
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error)
    }
}

/// A group on its way.
pub(crate) type Writing<'a, D> =
    Pin<Box<dyn Future<Output = Result<Written<D>, Fault>> + Send + 'a>>;

/// Writes groups, within a transaction that the lane begins and ends.
pub(crate) trait Writer: Send + Sync + 'static {
    /// What it writes.
    type Work: Work;

    /// Writes a group. May be called again with the same one, when the first try came to nothing.
    fn write<'a>(
        &'a mut self,
        link: &'a Link,
        works: &'a [Self::Work],
    ) -> Writing<'a, <Self::Work as Work>::Done>;
}

/// The way to a lane.
#[derive(Debug)]
pub(crate) struct Lane<W> {
    shared: Arc<Shared<W>>,
    answer: Duration,
}

#[derive(Debug)]
struct Shared<W> {
    name: &'static str,
    waiting: Mutex<Vec<W>>,
    news: Notify,
    /// Whether nothing is taken now.
    away: AtomicBool,
    weight: AtomicU64,
    health: Arc<Health>,
}

impl<W: Work> Lane<W> {
    pub(crate) fn open<T: Writer<Work = W>>(
        name: &'static str,
        ground: &Ground,
        writer: T,
    ) -> Self {
        let shared = Arc::new(Shared {
            name,
            waiting: Mutex::default(),
            news: Notify::new(),
            away: AtomicBool::new(false),
            weight: AtomicU64::new(0),
            health: Arc::clone(&ground.health),
        });
        let running = Running {
            shared: Arc::clone(&shared),
            writer,
            connector: ground.connector.clone(),
            observer: Arc::clone(&ground.observer),
            fence: fence(),
            stall: ground.options.answer,
        };
        ground.tasks.spawn(running.run());
        Self { shared, answer: ground.options.answer }
    }

    /// Hands work over; it has its place when this returns.
    ///
    /// # Errors
    ///
    /// [`core::Code::Unavailable`]: at once while the database is known to be away, and when there
    /// is no answer in time: what becomes of it is not known then.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(oneshot::Sender<core::Result<T>>) -> W,
    ) -> impl Future<Output = core::Result<T>> + Send + 'static {
        let (answer, answered) = oneshot::channel();
        let taken = self.shared.put(work(answer));
        let limit = self.answer;
        async move {
            taken?;
            match tokio::time::timeout(limit, answered).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(unknown()),
                Err(_) => Err(unknown()),
            }
        }
    }
}

impl<W: Work> Shared<W> {
    fn lock(&self) -> MutexGuard<'_, Vec<W>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, work: W) -> core::Result<()> {
        if self.away.load(Ordering::Acquire) || self.health.closing().is_cancelled() {
            return Err(away());
        }
        let weight = work.weight().max(1) as u64;
        let mut waiting = self.lock();
        if WAITING_MAX as u64 <= self.weight.load(Ordering::Relaxed) {
            let what = "more waits to be written than is taken: try again in a moment";
            return Err(core::Error::new(core::Code::TooManyRequests, what));
        }
        self.weight.fetch_add(weight, Ordering::Relaxed);
        self.health.waiting.fetch_add(1, Ordering::Relaxed);
        waiting.push(work);
        drop(waiting);
        self.news.notify_one();
        Ok(())
    }

    /// Takes what goes together.
    fn take(&self) -> Vec<W> {
        let mut waiting = self.lock();
        let mut weight = 0;
        let count = waiting
            .iter()
            .take_while(|work| {
                let first = weight == 0;
                weight += work.weight().max(1);
                first || weight <= GROUP_MAX
            })
            .count();
        let rest = waiting.split_off(count);
        let taken = std::mem::replace(&mut *waiting, rest);
        drop(waiting);
        let weight: usize = taken.iter().map(|work| work.weight().max(1)).sum();
        self.weight.fetch_sub(weight as u64, Ordering::Relaxed);
        self.health.waiting.fetch_sub(taken.len() as u64, Ordering::Relaxed);
        taken
    }

    /// From now on nothing is taken, and what waits is told so.
    fn turn_away(&self, why: &str) {
        self.away.store(true, Ordering::Release);
        self.health.refuse(self.name, why.to_owned());
        loop {
            let taken = self.take();
            if taken.is_empty() {
                return;
            }
            taken.into_iter().for_each(|work| work.answer(Err(away())));
        }
    }

    fn take_again(&self) {
        self.health.work(self.name);
        self.away.store(false, Ordering::Release);
    }
}

/// The lane's own.
struct Running<T: Writer> {
    shared: Arc<Shared<T::Work>>,
    writer: T,
    connector: Connector,
    observer: Arc<dyn core::store::Observer>,
    /// The row of the fence that is this lane's own.
    fence: i64,
    /// How long a group may take before others are turned away.
    stall: Duration,
}

/// How a try to write a group ended.
enum Try<D> {
    Committed(Written<D>),
    /// Nothing was written.
    Refused(core::Error),
    /// Another transaction was in the way: nothing was written.
    Again,
    /// Whether it was written is not known.
    Unknown(core::Error),
}

impl<T: Writer> Running<T> {
    async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let closing = shared.health.closing().clone();
        let mut link = None;
        let mut pause = RETRY;
        loop {
            let there = match link.take().filter(|link: &Link| !link.is_closed()) {
                Some(there) => there,
                None => match self.connect().await {
                    Ok(there) => {
                        shared.take_again();
                        pause = RETRY;
                        there
                    }
                    Err(error) => {
                        shared.turn_away(&error.to_string());
                        tokio::select! {
                            () = closing.cancelled() => return,
                            () = tokio::time::sleep(pause) => {}
                        }
                        pause = (2 * pause).min(RETRY_MAX);
                        continue;
                    }
                },
            };
            let group = shared.take();
            if group.is_empty() {
                tokio::select! {
                    () = shared.news.notified() => {}
                    () = closing.cancelled() => {
                        if shared.lock().is_empty() {
                            return;
                        }
                    }
                }
                link = Some(there);
                continue;
            }
            link = self.commit(there, group).await;
        }
    }

    async fn connect(&self) -> Result<Link, crate::Error> {
        let link = self.connector.connect().await?;
        let own = "INSERT INTO fence (lane, beat) VALUES ($1, 0) ON CONFLICT (lane) DO NOTHING";
        link.client.execute(own, &[&self.fence]).await?;
        Ok(link)
    }

    /// Writes a group and answers it. Returns the connection if it can still be used.
    async fn commit(&mut self, link: Link, group: Vec<T::Work>) -> Option<Link> {
        let shared = Arc::clone(&self.shared);
        let begun = Instant::now();
        let stall = self.stall;
        let mut stalled = false;
        let committed = {
            let committing = self.try_again(&link, &group);
            tokio::pin!(committing);
            tokio::select! {
                committed = &mut committing => committed,
                () = tokio::time::sleep(stall) => {
                    stalled = true;
                    shared.turn_away("it does not answer");
                    // A statement that may be in its commit is never cancelled.
                    committing.await
                }
            }
        };
        if stalled && !link.is_closed() {
            shared.take_again();
        }
        match committed {
            Try::Committed(Written { done, signal, .. }) => {
                let commit = core::store::Commit {
                    batches: group.len() as u64,
                    synced: begun.elapsed(),
                    ..core::store::Commit::default()
                };
                for (work, done) in group.into_iter().zip(done) {
                    work.answer(Ok(done));
                }
                if let Some(signal) = signal {
                    signal();
                }
                self.observer.committed(&commit);
                Some(link)
            }
            // One that the database refuses is no reason to refuse the others.
            Try::Refused(_) if 1 < group.len() && !link.is_closed() => {
                let mut link = Some(link);
                for work in group {
                    match link.take().filter(|link| !link.is_closed()) {
                        Some(there) => link = Box::pin(self.commit(there, vec![work])).await,
                        None => work.answer(Err(away())),
                    }
                }
                link
            }
            Try::Refused(error) => {
                tracing::warn!(lane = shared.name, error = %error.chain(), "nothing was written");
                let mut error = Some(error);
                for work in group {
                    work.answer(Err(error.take().unwrap_or_else(away)));
                }
                Some(link)
            }
            Try::Again => {
                group.into_iter().for_each(|work| work.answer(Err(away())));
                Some(link)
            }
            Try::Unknown(error) => {
                tracing::warn!(
                    lane = shared.name,
                    error = %error.chain(),
                    "it is not known whether a group was written"
                );
                group.into_iter().for_each(|work| work.answer(Err(unknown())));
                None
            }
        }
    }

    async fn try_again(&mut self, link: &Link, group: &[T::Work]) -> Try<<T::Work as Work>::Done> {
        for tries in 1..=TRIES {
            match self.try_once(link, group).await {
                Try::Again if tries < TRIES => {
                    tokio::time::sleep(Duration::from_millis(tries as u64)).await;
                }
                other => return other,
            }
        }
        Try::Again
    }

    async fn try_once(&mut self, link: &Link, group: &[T::Work]) -> Try<<T::Work as Work>::Done> {
        link.has_warned();
        let begin = link.client.batch_execute("BEGIN");
        let writing = self.writer.write(link, group);
        // Both are sent before either is answered.
        let (begun, written) = tokio::join!(biased; begin, writing);
        let written = match (begun, written) {
            (Ok(()), Ok(written)) => written,
            (Err(error), _) => return gone(link, error).await,
            (_, Err(Fault::Refused(error))) => {
                return match link.client.batch_execute("ROLLBACK").await {
                    Ok(()) => Try::Refused(error),
                    Err(error) => Try::Unknown(unavailable(error)),
                };
            }
            (_, Err(Fault::Database(error))) => return gone(link, error).await,
        };
        if !written.wrote {
            let beat = "UPDATE fence SET beat = beat + 1, at = now() WHERE lane = $1";
            let beaten = async {
                let statement = link.statement(beat).await?;
                link.client.execute(&statement, &[&self.fence]).await
            };
            if let Err(error) = beaten.await {
                return gone(link, error).await;
            }
        }
        match link.client.batch_execute("COMMIT").await {
            Ok(()) if !link.has_warned() => Try::Committed(written),
            Ok(()) => {
                let what = "the database warned when it committed";
                Try::Unknown(core::Error::new(core::Code::Unavailable, what))
            }
            Err(error) => Try::Unknown(unavailable(error)),
        }
    }
}

/// What an error before the commit means.
async fn gone<D>(link: &Link, error: tokio_postgres::Error) -> Try<D> {
    let again = matches!(
        error.code(),
        Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED)
    );
    if link.client.batch_execute("ROLLBACK").await.is_err() || link.is_closed() {
        return Try::Unknown(unavailable(error));
    }
    if again { Try::Again } else { Try::Refused(unavailable(error)) }
}

fn away() -> core::Error {
    let what = "the store can't be reached now: nothing was recorded";
    core::Error::new(core::Code::Unavailable, what)
}

fn unknown() -> core::Error {
    let what = "the store did not answer: it is not known what was recorded; repeat the request";
    core::Error::new(core::Code::Unavailable, what)
}

/// A number that no other lane has.
fn fence() -> i64 {
    use std::hash::{BuildHasher as _, RandomState};
    i64::from_ne_bytes(RandomState::new().hash_one(0).to_ne_bytes())
}
