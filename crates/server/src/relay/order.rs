//! Events of several nodes, in the order of the log.
//!
//! Who publishes over several nodes has its events told by several nodes, and what was written
//! later may be told earlier. What stands next is handed out at once. What comes too early waits a
//! moment for those before it; if they do not come, they are read from the log.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use switchboard_core::{
    Code, Tenant,
    bus::{Event, Interest, Log, Read, Since},
};
use tokio::{sync::Notify, time};
use tokio_util::sync::CancellationToken;

use crate::{bus::Hub, telemetry::Metrics};

/// How long what is missing may take to come before it is read.
const PATIENCE: Duration = Duration::from_millis(20);

/// How long after a failure the log is read again.
const RETRY: Duration = Duration::from_millis(500);

/// What comes too early is kept up to so many bytes for one tenant; beyond it is read like what is
/// missing.
const EARLY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How many tenants' logs are read at once.
const READS_MAX: usize = 8;

/// How much is read at once.
const PAGE: u32 = 1_000;
const PAGE_BYTES: usize = 1024 * 1024;

/// Puts events in order.
#[derive(Debug)]
pub(super) struct Order {
    hub: Arc<Hub>,
    log: Arc<dyn Log>,
    metrics: Arc<Metrics>,
    gaps: Mutex<HashMap<Tenant, Gap>>,
    /// How many gaps there are.
    open: AtomicUsize,
    opened: Notify,
    everything: Option<Interest>,
}

/// Something is missing of a tenant's log.
#[derive(Debug)]
struct Gap {
    /// When it is to be read.
    due: Instant,
    /// What is known to be in the log.
    newest: u64,
    /// What came too early, by its first sequence.
    early: BTreeMap<u64, Vec<Event>>,
    bytes: usize,
}

impl Order {
    pub(super) fn new(hub: &Arc<Hub>, log: &Arc<dyn Log>, metrics: &Arc<Metrics>) -> Self {
        Self {
            hub: Arc::clone(hub),
            log: Arc::clone(log),
            metrics: Arc::clone(metrics),
            gaps: Mutex::default(),
            open: AtomicUsize::new(0),
            opened: Notify::new(),
            everything: Interest::new([">"], []).ok(),
        }
    }

    /// Events were appended to a tenant's log, without a gap between them.
    pub(super) fn appended(&self, tenant: Tenant, events: Vec<Event>) {
        let early = self.hub.append(&tenant, events);
        if early.is_none() && self.open.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut gaps = self.lock();
        match early {
            None => {
                if let Some(gap) = gaps.get_mut(&tenant) {
                    self.hand_out(&tenant, gap);
                }
            }
            Some(early) => {
                let newest = early.last().map_or(0, |event| event.sequence);
                let gap = self.gap(&mut gaps, tenant, newest);
                gap.keep(early);
                // What was missing may have come just before this was kept.
                self.hand_out(&tenant, gap);
            }
        }
        self.close(&mut gaps, tenant);
    }

    /// A tenant's log is known to reach so far. What does not come soon is read.
    pub(super) fn reaches(&self, tenant: Tenant, newest: u64) {
        if self.hub.told(&tenant).is_some_and(|told| told < newest) {
            let mut gaps = self.lock();
            self.gap(&mut gaps, tenant, newest);
            self.close(&mut gaps, tenant);
        }
    }

    /// The gap in a tenant's log, which is there from now on.
    fn gap<'a>(
        &self,
        gaps: &'a mut HashMap<Tenant, Gap>,
        tenant: Tenant,
        newest: u64,
    ) -> &'a mut Gap {
        let gap = gaps.entry(tenant).or_insert_with(|| {
            self.open.fetch_add(1, Ordering::Release);
            self.opened.notify_one();
            let due = Instant::now() + PATIENCE;
            Gap { due, newest, early: BTreeMap::new(), bytes: 0 }
        });
        gap.newest = newest.max(gap.newest);
        gap
    }

    /// Hands out of what came early what stands next by now.
    fn hand_out(&self, tenant: &Tenant, gap: &mut Gap) {
        while let Some((first, events)) = gap.early.pop_first() {
            gap.bytes = gap.bytes.saturating_sub(bytes(&events));
            let Some(early) = self.hub.append(tenant, events) else { continue };
            gap.bytes += bytes(&early);
            gap.early.insert(first, early);
            return;
        }
    }

    /// Forgets a gap that is none any more. One that is left and was narrowed has time again.
    fn close(&self, gaps: &mut HashMap<Tenant, Gap>, tenant: Tenant) {
        let told = self.hub.told(&tenant);
        if gaps.get(&tenant).is_some_and(|gap| told.is_none_or(|told| gap.newest <= told)) {
            gaps.remove(&tenant);
            self.open.fetch_sub(1, Ordering::Release);
        }
    }

    /// Reads what is missing, until stopped.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.opened.notified() => {}
            }
            while let Some((due, next)) = self.due() {
                if due.is_empty() {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = time::sleep_until(next.into()) => {}
                    }
                    continue;
                }
                let reads = stream::iter(due).for_each_concurrent(READS_MAX, |it| self.read(it));
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = reads => {}
                }
            }
        }
    }

    /// The gaps that are to be read now, and when the next is; nothing while there is none.
    fn due(&self) -> Option<(Vec<Tenant>, Instant)> {
        let now = Instant::now();
        let gaps = self.lock();
        let next = gaps.values().map(|gap| gap.due).min()?;
        let due = gaps.iter().filter(|(_, gap)| gap.due <= now);
        Some((due.map(|(tenant, _)| *tenant).collect(), next))
    }

    /// Reads a tenant's log from what was told last.
    async fn read(&self, tenant: Tenant) {
        let mut found = false;
        loop {
            let told = self.hub.told(&tenant);
            let newest = self.lock().get(&tenant).map(|gap| gap.newest);
            let (Some(told), Some(newest)) = (told, newest) else { break };
            let Some(interest) = self.everything.clone().filter(|_| told < newest) else { break };
            let (since, events_max, bytes_max) = (Since::After(told), PAGE, PAGE_BYTES);
            let page = self.log.read(Read { tenant, interest, since, events_max, bytes_max }).await;
            match page {
                Ok(page) => {
                    found |= !page.events.is_empty();
                    self.hub.read_on(&tenant, page.events, page.position);
                    if page.newest <= page.position {
                        // What is said to be behind it is in no log.
                        self.only_to(tenant, page.newest, newest);
                    }
                }
                Err(error) if error.code() == Code::Unavailable => {
                    tracing::debug!(error = %error.chain(), %tenant, "events can't be read yet");
                    self.postpone(tenant);
                    return;
                }
                // What is missing is not kept any more: each reader is told where he reads on.
                Err(error) => {
                    tracing::warn!(error = %error.chain(), %tenant, "who is subscribed reads on");
                    self.hub.lost(&tenant, newest);
                }
            }
            let mut gaps = self.lock();
            if let Some(gap) = gaps.get_mut(&tenant) {
                self.hand_out(&tenant, gap);
            }
        }
        if found {
            self.metrics.signals.reconciled(true);
        }
        self.finish(tenant);
    }

    /// The log was read to its end, which is before what it was said to reach when that began: so
    /// what came of that is in no log.
    fn only_to(&self, tenant: Tenant, end: u64, said: u64) {
        if said <= end {
            return;
        }
        let mut gaps = self.lock();
        if let Some(gap) = gaps.get_mut(&tenant) {
            gap.early.retain(|_, events| {
                let last = events.last().map_or(0, |event| event.sequence);
                last <= end || said < last
            });
            gap.bytes = gap.early.values().map(|events| bytes(events)).sum();
            let last = gap.early.values().flatten().map(|event| event.sequence);
            gap.newest = last.fold(end, u64::max);
        }
    }

    fn postpone(&self, tenant: Tenant) {
        if let Some(gap) = self.lock().get_mut(&tenant) {
            gap.due = Instant::now() + RETRY;
        }
    }

    fn finish(&self, tenant: Tenant) {
        let mut gaps = self.lock();
        if let Some(gap) = gaps.get_mut(&tenant) {
            gap.due = Instant::now() + PATIENCE;
        }
        self.close(&mut gaps, tenant);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Tenant, Gap>> {
        self.gaps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gap {
    fn keep(&mut self, events: Vec<Event>) {
        let Some(first) = events.first().map(|event| event.sequence) else { return };
        self.bytes += bytes(&events);
        if let Some(before) = self.early.insert(first, events) {
            self.bytes = self.bytes.saturating_sub(bytes(&before));
        }
        while EARLY_BYTES_MAX < self.bytes {
            // The last are needed last.
            let Some((_, events)) = self.early.pop_last() else { return };
            self.bytes = self.bytes.saturating_sub(bytes(&events));
        }
    }
}

fn bytes(events: &[Event]) -> usize {
    events.iter().map(|event| 64 + event.body.as_bytes().len()).sum()
}
