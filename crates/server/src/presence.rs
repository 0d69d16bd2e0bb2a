//! The status service: who is online, exactly.

mod places;
mod remote;
mod shared;
mod sink;

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use switchboard_core::{
    ClientId, Code, Error, Millis, Result, Tenant,
    presence::{Count, JOURNAL_MS, Journal, Point, Report, Seen, WINDOW_MS, Window},
    time::Clock,
};
use tokio::time::{self, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use self::places::Places;
pub(crate) use self::{remote::Remote, shared::Journaled, sink::Reports};
use crate::{node::Node, relay::Relay, telemetry::Metrics};

/// How often time passes by itself, and the metrics are set.
const TICK: Duration = Duration::from_secs(1);

/// After how many ticks the journal is pruned.
const PRUNE: u32 = 10;

/// How long after a failure to read the journal it is read again.
const RETRY: Duration = Duration::from_millis(500);

/// Tenants that metrics tell apart, where they do.
const TENANTS_TOLD: usize = 20;

/// Folds reports, and answers questions.
pub(crate) struct Tally {
    window: Mutex<Window>,
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// Whether metrics tell tenants apart.
    by_tenant: bool,
    /// Set once the journal is folded.
    ready: AtomicBool,
    /// What was folded, where other nodes append to the same journal.
    places: Mutex<Places>,
    relay: Arc<Relay>,
}

/// How many are online, and when.
pub(crate) struct Online {
    pub(crate) count: Count,
    pub(crate) as_of: Millis,
}

/// The length of the window, in seconds.
#[expect(clippy::cast_possible_truncation, reason = "it is 180")]
pub(crate) const WINDOW_SECONDS: u32 = (WINDOW_MS.unsigned_abs() / 1_000) as u32;

impl Tally {
    /// Nobody is online; `seed` is random.
    pub(crate) fn new(node: &Node, by_tenant: bool, seed: u64) -> Arc<Self> {
        let clock = Arc::clone(&node.ports.clock);
        let tally = Arc::new(Self {
            window: Mutex::new(Window::new(seed, clock.now().plus(-JOURNAL_MS))),
            journal: Arc::clone(&node.ports.journal),
            clock,
            metrics: Arc::clone(&node.metrics),
            by_tenant,
            ready: AtomicBool::new(false),
            places: Mutex::default(),
            relay: Arc::clone(&node.relay),
        });
        node.relay.fold(&tally);
        tally
    }

    /// Whether the journal is folded: before that nothing is answered.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    fn check_ready(&self) -> Result<()> {
        if self.is_ready() {
            return Ok(());
        }
        Err(Error::new(Code::Unavailable, "the journal is being read: try again in a moment"))
    }

    /// How many clients of a tenant are online, or of all.
    pub(crate) fn count(&self, tenant: Option<&Tenant>) -> Result<Online> {
        self.check_ready()?;
        let mut window = self.lock();
        let as_of = self.clock.now();
        Ok(Online { count: window.count(tenant, as_of), as_of })
    }

    /// What is known of one client.
    pub(crate) fn client(&self, tenant: &Tenant, client: &ClientId) -> Result<Seen> {
        self.check_ready()?;
        let window = self.lock();
        Ok(window.client(tenant, client, self.clock.now()))
    }

    /// The last minutes of a tenant, the oldest first. `minutes` is 1 to 1,440; 0 means 60.
    pub(crate) fn history(&self, tenant: &Tenant, minutes: u32) -> Result<Vec<Point>> {
        self.check_ready()?;
        let minutes = match minutes {
            0 => 60,
            1..=1_440 => minutes as usize,
            _ => {
                let what = format!("minutes is 1 to 1440, not {minutes}");
                return Err(Error::new(Code::InvalidRequest, what));
            }
        };
        let mut window = self.lock();
        // So that the minute that has just begun is there.
        window.tick(self.clock.now());
        Ok(window.history(Some(tenant), minutes))
    }

    /// Keeps a report and folds it.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the journal can't keep it; nothing is folded then.
    pub(crate) async fn take(&self, mut report: Report) -> Result<()> {
        self.check_ready()?;
        let received = self.clock.now();
        let lag = u64::try_from(received.since(report.at)).unwrap_or_default();
        if self.relay.is_alone() {
            self.lock().correct(&mut report, received);
        }
        if let Some(place) = self.journal.append(&report).await? {
            self.places().note(place);
            self.relay.report(place, &report);
        }
        let begun = Instant::now();
        let now = self.clock.now();
        self.lock().fold(&report, now);
        self.metrics.presence.folded(Duration::from_millis(lag), begun.elapsed());
        Ok(())
    }

    /// Folds the journal, then lets time pass until stopped.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => return,
            () = self.replay() => {}
        }
        let mut seconds = time::interval(TICK);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for tick in 1.. {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = seconds.tick() => {}
            }
            let now = self.clock.now();
            self.lock().tick(now);
            self.tell(now);
            if tick % PRUNE == 0
                && let Err(error) = self.journal.prune(now.plus(-JOURNAL_MS)).await
            {
                tracing::warn!(error = %error.chain(), "the journal could not be pruned");
            }
        }
    }

    async fn replay(&self) {
        let begun = Instant::now();
        let (mut from, mut reports) = (0, 0);
        loop {
            let page = match self.journal.read(from).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(error = %error.chain(), "the journal can't be read yet");
                    time::sleep(RETRY).await;
                    continue;
                }
            };
            let since = self.clock.now().plus(-JOURNAL_MS);
            for report in page.reports.iter().filter(|report| since <= report.at) {
                reports += 1;
                // As time passed when they came: the past is noted as it was.
                self.lock().fold(report, report.at.min(self.clock.now()));
            }
            for place in page.places {
                self.places().reach(place);
            }
            match page.next {
                Some(next) => from = next,
                None => break,
            }
        }
        // What was appended meanwhile.
        while let Err(error) = self.catch_up().await {
            tracing::warn!(error = %error.chain(), "the journal can't be read yet");
            time::sleep(RETRY).await;
        }
        self.lock().tick(self.clock.now());
        self.metrics.presence.replayed(begun.elapsed());
        self.ready.store(true, Ordering::Release);
        tracing::info!(reports, took_ms = begun.elapsed().as_millis(), "the journal is folded");
    }

    fn tell(&self, now: Millis) {
        let mut window = self.lock();
        let count = window.count(None, now);
        let largest = if self.by_tenant { window.largest(TENANTS_TOLD) } else { Vec::new() };
        let skew = window.skew_ms();
        drop(window);
        self.metrics.presence.tell(count, skew, &largest);
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The status service of this node as where a gateway's reports go.
#[derive(Debug)]
pub(crate) struct Here(pub(crate) Arc<Tally>);

impl Reports for Here {
    fn report(&self, report: Report) -> Pin<Box<dyn Future<Output = Result<()>> + Send>> {
        let tally = Arc::clone(&self.0);
        let fold = tracing::debug_span!("fold", capability = "presence");
        Box::pin(async move { tally.take(report).await }.instrument(fold))
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tally").field("ready", &self.ready).finish_non_exhaustive()
    }
}
