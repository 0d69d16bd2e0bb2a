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

mod running;

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use switchboard_core::{self as core, store::Commit};
use tokio::sync::{Notify, oneshot};

use self::running::Running;
pub(crate) use self::running::forget_fences;
use crate::{Ground, health::Health, link::Link};

/// How much one transaction writes at the most.
const GROUP_MAX: usize = 4_096;

/// How much waits at the most.
const WAITING_MAX: usize = 65_536;

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
    /// Tells whoever listens, once it is committed and before the answers.
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

    /// What is to be measured of a group that was committed, before it is answered; what every lane
    /// measures is added by the lane.
    fn measure(&self, _done: &[<Self::Work as Work>::Done]) -> Commit {
        Commit::default()
    }
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
    waiting: Mutex<Waiting<W>>,
    news: Notify,
    /// Whether nothing is taken now.
    away: AtomicBool,
    health: Arc<Health>,
}

#[derive(Debug)]
struct Waiting<W> {
    works: Vec<W>,
    /// How much they are.
    weight: usize,
    /// Since when the first of them has waited.
    since: Instant,
}

impl<W: Work> Lane<W> {
    pub(crate) fn open<T: Writer<Work = W>>(
        name: &'static str,
        ground: &Ground,
        writer: T,
    ) -> Self {
        let shared = Arc::new(Shared {
            name,
            waiting: Mutex::new(Waiting { works: Vec::new(), weight: 0, since: Instant::now() }),
            news: Notify::new(),
            away: AtomicBool::new(false),
            health: Arc::clone(&ground.health),
        });
        ground.tasks.spawn(Running::new(Arc::clone(&shared), writer, ground).run());
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
                Ok(Err(_)) | Err(_) => Err(unknown()),
            }
        }
    }
}

impl<W: Work> Shared<W> {
    fn lock(&self) -> MutexGuard<'_, Waiting<W>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, work: W) -> core::Result<()> {
        if self.away.load(Ordering::Acquire) || self.health.closing().is_cancelled() {
            return Err(away());
        }
        let mut waiting = self.lock();
        if WAITING_MAX <= waiting.weight {
            let what = "more waits to be written than is taken: try again in a moment";
            return Err(core::Error::new(core::Code::TooManyRequests, what));
        }
        self.health.waiting.fetch_add(1, Ordering::Relaxed);
        waiting.weight += weight_of(&work);
        if waiting.works.is_empty() {
            waiting.since = Instant::now();
        }
        waiting.works.push(work);
        drop(waiting);
        self.news.notify_one();
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.lock().works.is_empty()
    }

    /// Takes what goes together, and since when the first of it has waited.
    fn take(&self) -> (Vec<W>, Instant) {
        let mut waiting = self.lock();
        let (mut count, mut weight) = (0, 0);
        for work in &waiting.works {
            let more = weight + weight_of(work);
            // One that is more than a group goes alone.
            if 0 < count && GROUP_MAX < more {
                break;
            }
            (count, weight) = (count + 1, more);
        }
        let rest = waiting.works.split_off(count);
        let taken = std::mem::replace(&mut waiting.works, rest);
        waiting.weight -= weight;
        let since = waiting.since;
        drop(waiting);
        self.health.waiting.fetch_sub(taken.len() as u64, Ordering::Relaxed);
        (taken, since)
    }

    /// From now on nothing is taken, and what waits is told so.
    fn turn_away(&self, why: &str) {
        self.away.store(true, Ordering::Release);
        self.health.refuse(self.name, why.to_owned());
        loop {
            let (taken, _) = self.take();
            if taken.is_empty() {
                return;
            }
            for work in taken {
                work.answer(Err(away()));
            }
        }
    }

    fn take_again(&self) {
        self.health.work(self.name);
        self.away.store(false, Ordering::Release);
    }
}

/// Nothing is for nothing: so that what waits is bounded whatever it is.
fn weight_of(work: &impl Work) -> usize {
    work.weight().max(1)
}

fn away() -> core::Error {
    let what = "the store can't be reached now: nothing was recorded";
    core::Error::new(core::Code::Unavailable, what)
}

fn unknown() -> core::Error {
    let what = "the store did not answer: it is not known what was recorded; repeat the request";
    core::Error::new(core::Code::Unavailable, what)
}
