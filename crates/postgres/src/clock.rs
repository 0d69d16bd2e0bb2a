//! How far the machine's clock is ahead of the database's.
//!
//! Nodes that write to one database compare times that others of them wrote: which was seen last,
//! what has expired. So that a node whose clock is wrong does no harm, all can go by the one clock
//! that they have in common.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use switchboard_core::{Millis, time::Clock};

use crate::{Ground, link::Link};

/// How often it is measured.
const INTERVAL: Duration = Duration::from_secs(5);

/// From how many milliseconds on a difference counts. What is less may be the way of the question.
const COUNTS_MS: i64 = 250;

/// How often it is asked at once: the quickest answer tells most.
const QUESTIONS: usize = 3;

/// How far the machine's clock is ahead of the database's, as it was measured last.
#[derive(Debug, Default)]
pub struct Offset {
    told: AtomicI64,
    measured: AtomicI64,
}

impl Offset {
    /// How many milliseconds are to be taken off what the machine's clock tells, for the database's
    /// time. Stays as it is until it is wrong by 250: a clock that is right is told as it is.
    pub fn ahead_ms(&self) -> i64 {
        self.told.load(Ordering::Relaxed)
    }

    /// What was measured last, in milliseconds.
    pub fn measured_ms(&self) -> i64 {
        self.measured.load(Ordering::Relaxed)
    }

    /// Measures once.
    pub(crate) async fn look(
        &self,
        link: &Link,
        clock: &dyn Clock,
    ) -> Result<(), tokio_postgres::Error> {
        if let Some(ahead_ms) = ask(link, clock).await? {
            self.measure(ahead_ms);
        }
        Ok(())
    }

    /// Measures each few seconds, until the store is closed.
    pub(crate) async fn watch(self: Arc<Self>, ground: Ground, clock: Arc<dyn Clock>) {
        let closing = ground.health.closing().clone();
        loop {
            tokio::select! {
                () = closing.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            let (offset, clock) = (Arc::clone(&self), Arc::clone(&clock));
            let look = |link: Arc<Link>| async move { offset.look(&link, &*clock).await };
            // While the database is away, what was measured last is as good as it gets.
            if let Err(error) = ground.readers.read(look).await {
                tracing::debug!(error = %error.chain(), "the clocks were not compared");
            }
        }
    }

    /// Takes in what was measured.
    fn measure(&self, ahead_ms: i64) {
        self.measured.store(ahead_ms, Ordering::Relaxed);
        let told = self.ahead_ms();
        if COUNTS_MS <= ahead_ms.saturating_sub(told).saturating_abs() {
            tracing::warn!(ahead_ms, "the machine's clock is not the database's");
            self.told.store(ahead_ms, Ordering::Relaxed);
        }
    }
}

/// The database's time, told by the machine's clock and what it is ahead. May step back when the
/// machine was found to be ahead: put it into a [`switchboard_core::time::Forward`].
pub struct DatabaseClock<C> {
    machine: C,
    offset: Arc<Offset>,
}

impl<C: Clock> DatabaseClock<C> {
    /// Takes off from a clock what it is ahead.
    pub fn new(machine: C, offset: Arc<Offset>) -> Self {
        Self { machine, offset }
    }
}

impl<C: Clock> Clock for DatabaseClock<C> {
    fn now(&self) -> Millis {
        self.machine.now().plus(self.offset.ahead_ms().saturating_neg())
    }
}

impl<C> fmt::Debug for DatabaseClock<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseClock").field("offset", &self.offset).finish_non_exhaustive()
    }
}

/// What the machine's clock is ahead, by the quickest of a few answers: half of the way there and
/// back has passed when the database looks at its clock. None if all took so long that it would be
/// a guess.
async fn ask(link: &Link, clock: &dyn Clock) -> Result<Option<i64>, tokio_postgres::Error> {
    let now = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    let statement = link.statement(now).await?;
    let mut best = None::<(i64, i64)>;
    for _ in 0..QUESTIONS {
        let asked = clock.now();
        let row = link.client.query_one(&statement, &[]).await?;
        let took = clock.now().since(asked);
        let ahead = asked.plus(took / 2).since(Millis(row.get(0)));
        if (0..COUNTS_MS).contains(&took) && best.is_none_or(|(quickest, _)| took < quickest) {
            best = Some((took, ahead));
        }
    }
    Ok(best.map(|(_, ahead)| ahead))
}
