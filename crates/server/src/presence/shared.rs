//! A journal to which several nodes append: each folds what all of them have stated.

use std::{
    pin::Pin,
    sync::{Arc, PoisonError},
    time::Duration,
};

use switchboard_core::{
    Result,
    bus::Gone,
    presence::{JOURNAL_MS, Journal, Place, Report},
};
use tokio::time::{self, Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{Places, Reports, TICK, Tally};
use crate::{node::Node, relay::Relay};

/// How much of the time between two looks counts at the most: if it was more, something else held
/// the node up.
const UNDISTURBED: Duration = Duration::from_secs(2);

/// After how many looks it is asked at which gateways somebody is.
const NOTED: u32 = 3;

impl Tally {
    /// A report of another node, which is in the journal.
    pub(crate) fn hear(&self, place: Place, report: &Report) {
        // Before that the journal is folded in its order.
        if self.is_ready() && self.places().note(place) {
            self.watch_clock(report);
            self.fold(report);
        }
    }

    /// The gateway's clock is watched and not corrected: all nodes tell the time by that of the
    /// store, and all fold the same.
    fn watch_clock(&self, report: &Report) {
        let mut head = Report { tenants: Vec::new(), ..*report };
        self.lock().correct(&mut head, self.clock.now());
    }

    /// Reads what others have stated and was not heard, and folds it.
    pub(super) async fn catch_up(&self) -> Result<()> {
        loop {
            let through = self.places().through();
            let missed = self.journal.others(through).await?;
            if missed.is_empty() {
                return Ok(());
            }
            for (place, report) in &missed {
                if self.places().reach(*place) {
                    self.fold(report);
                }
            }
        }
    }

    /// Folds what is not too old to matter.
    fn fold(&self, report: &Report) {
        let begun = std::time::Instant::now();
        let now = self.clock.now();
        if now.plus(-JOURNAL_MS) <= report.at {
            self.lock().fold(report, now);
            let lag = u64::try_from(now.since(report.at)).unwrap_or_default();
            self.metrics.presence.folded(Duration::from_millis(lag), begun.elapsed());
        }
    }

    /// Each second folds what was not heard, and announces whose gateways are no more, until
    /// stopped.
    pub(crate) async fn follow_others(
        self: Arc<Self>,
        node: Node,
        silence: Duration,
        stop: CancellationToken,
    ) {
        let mut seconds = time::interval(TICK);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut looked, mut failing) = (None::<Instant>, false);
        for look in 1.. {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = seconds.tick() => {}
            }
            if !self.is_ready() {
                continue;
            }
            let looking = async {
                self.catch_up().await?;
                let now = Instant::now();
                let since = looked.replace(now).map_or(Duration::ZERO, |before| now - before);
                self.places().pass(since.min(UNDISTURBED));
                if look % NOTED == 0 {
                    self.abandon(&node, silence).await?;
                }
                Ok(())
            };
            let done: Result<()> = tokio::select! {
                () = stop.cancelled() => return,
                done = looking => done,
            };
            if let Err(error) = &done {
                // Nobody was silent while nobody could listen.
                looked = None;
                if !failing {
                    let error = error.chain();
                    tracing::warn!(%error, "what other gateways have stated can't be read");
                }
            }
            failing = done.is_err();
        }
    }

    /// Announces who was at gateways that have not been heard of for long.
    async fn abandon(&self, node: &Node, silence: Duration) -> Result<()> {
        let noted = node.ports.log.gateways().await?;
        let silent = self.places().silent(&noted, silence);
        if silent.is_empty() {
            return Ok(());
        }
        let gateways = silent.len();
        let clients = node.ports.log.abandon(Gone::These(silent), self.clock.now()).await?;
        if 0 < clients {
            tracing::info!(gateways, clients, "announced who left with gateways that are no more");
        }
        Ok(())
    }

    pub(super) fn places(&self) -> std::sync::MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The journal as where the reports of a gateway go: whoever folds them reads them there.
#[derive(Debug)]
pub(crate) struct Journaled {
    journal: Arc<dyn Journal>,
    relay: Arc<Relay>,
}

impl Journaled {
    pub(crate) fn new(node: &Node) -> Self {
        Self { journal: Arc::clone(&node.ports.journal), relay: Arc::clone(&node.relay) }
    }
}

impl Reports for Journaled {
    fn report(&self, report: Report) -> Pin<Box<dyn Future<Output = Result<()>> + Send>> {
        let appended = self.journal.append(&report);
        let relay = Arc::clone(&self.relay);
        Box::pin(async move {
            if let Some(place) = appended.await? {
                relay.report(place, &report);
            }
            Ok(())
        })
    }
}
