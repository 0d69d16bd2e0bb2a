//! Who is subscribed to what at this node.

mod shared;
mod waiting;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
    time::Instant,
};

use switchboard_core::{
    Tenant,
    bus::{Event, Handle, Interest, Matcher, QueueId, Signal, Signals},
};

pub(crate) use self::waiting::Waiting;
use self::waiting::Waitings;
use super::{mailbox::Mailbox, run::Run};
use crate::{relay::Ears, telemetry::Metrics};

/// How much a mailbox holds while all together hold more than they should, in bytes.
const SHARE: usize = 64 * 1024;

/// Hands events to those who are subscribed, and news to those who wait for a queue.
pub(crate) struct Hub {
    tenants: RwLock<HashMap<Tenant, Arc<RwLock<Members>>>>,
    waitings: Mutex<HashMap<QueueId, Waitings>>,
    /// What all runs that are under way take, in bytes.
    held: Arc<AtomicUsize>,
    mailbox_bytes_max: usize,
    held_bytes_max: usize,
    metrics: Arc<Metrics>,
    /// What other nodes are asked to tell.
    ears: Arc<Ears>,
}

/// Those of one tenant.
#[derive(Debug, Default)]
struct Members {
    matcher: Matcher,
    subscriptions: Vec<Option<Subscription>>,
    free: Vec<u32>,
    /// The sequence up to which everything was told here; none before anything was.
    told: Option<u64>,
    /// Those who have read further than was told, and wait for that.
    ahead: Vec<Waker>,
    /// How many are subscribed, or are about to be.
    present: usize,
}

#[derive(Debug)]
struct Subscription {
    mailbox: Arc<Mailbox>,
    /// The number by which its owner knows it.
    number: u32,
    /// Its place in the matcher.
    handle: Handle,
}

/// A stay at the hub, of one session or stream: from before the log is read for its first
/// subscription to the end of the last.
pub(crate) struct Stay {
    hub: Arc<Hub>,
    tenant: Tenant,
    members: Arc<RwLock<Members>>,
    mailbox: Arc<Mailbox>,
}

/// Where a subscription stands at the hub. It is to be given back to the stay that it is of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place(u32);

/// Whether somebody who has read up to a place gets what comes behind it from now on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Join {
    Joined(Place),
    /// More was told already: it is to be read.
    Behind,
    /// What was read has not been told: the task is woken when it is.
    Ahead,
}

impl Hub {
    /// Nobody is subscribed. A mailbox holds so many bytes, as long as all together hold less than
    /// so many.
    pub(crate) fn new(
        metrics: &Arc<Metrics>,
        (mailbox_bytes_max, held_bytes_max): (usize, usize),
        ears: &Arc<Ears>,
    ) -> Arc<Self> {
        Arc::new(Self {
            tenants: RwLock::default(),
            waitings: Mutex::default(),
            held: Arc::default(),
            mailbox_bytes_max,
            held_bytes_max,
            metrics: Arc::clone(metrics),
            ears: Arc::clone(ears),
        })
    }

    /// Begins a stay, with a mailbox of its own: what is told of the tenant from now on is noted.
    pub(crate) fn enter(self: &Arc<Self>, tenant: Tenant) -> Stay {
        self.ears.subscribe(tenant, true);
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        let members = Arc::clone(tenants.entry(tenant).or_default());
        write(&members).present += 1;
        drop(tenants);
        Stay { hub: Arc::clone(self), tenant, members, mailbox: Arc::default() }
    }

    /// Hands ephemeral events to those who are subscribed right now.
    pub(crate) fn publish(&self, tenant: &Tenant, events: Vec<Event>) {
        let Some(members) = self.members(tenant) else { return };
        self.hand_out(&read(&members), events);
    }

    /// A queue's news for one of those who wait for it.
    pub(crate) fn ready(&self, queue: &QueueId) {
        if let Some(waitings) = self.waitings().get_mut(queue) {
            waitings.wake_one();
        }
    }

    /// Waits for news of a queue from now on.
    pub(crate) fn wait(self: &Arc<Self>, queue: QueueId) -> Waiting {
        self.ears.subscribe(queue.tenant, true);
        let token = self.waitings().entry(queue.clone()).or_default().join();
        Waiting::new(Arc::clone(self), queue, token)
    }

    /// Each queue for which somebody waits may have something.
    pub(crate) fn look_again(&self) {
        self.waitings().values_mut().for_each(Waitings::wake_one);
    }

    fn members(&self, tenant: &Tenant) -> Option<Arc<RwLock<Members>>> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.get(tenant).cloned()
    }

    fn waitings(&self) -> MutexGuard<'_, HashMap<QueueId, Waitings>> {
        self.waitings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands events to whoever wants them, run by run.
    fn hand_out(&self, members: &Members, mut events: Vec<Event>) {
        if members.matcher.is_empty() {
            return;
        }
        let at = Instant::now();
        while !events.is_empty() {
            let behind = split_run(&mut events);
            let first = &events[0].body;
            let mut found = Vec::new();
            members.matcher.matching(first.topic(), first.kind(), |place| found.push(place));
            // Whoever has several filters that match gets it once.
            found.sort_unstable();
            found.dedup();
            if !found.is_empty() {
                self.deliver(members, &found, Arc::new(Run::new(events, at, &self.held)));
            }
            events = behind;
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "the run is gone if nobody has taken it")]
    fn deliver(&self, members: &Members, found: &[u32], run: Arc<Run>) {
        let crowded = self.held_bytes_max < self.held.load(Ordering::Relaxed);
        let bytes_max = if crowded { SHARE } else { self.mailbox_bytes_max };
        let mut spilt = 0;
        for &place in found {
            let there = members.subscriptions.get(place as usize).and_then(Option::as_ref);
            if let Some(Subscription { mailbox, number, .. }) = there {
                spilt += u64::from(mailbox.put(*number, &run, bytes_max));
            }
        }
        self.metrics.bus.handed_out(run.events().len() as u64 * found.len() as u64, spilt);
    }

    /// Hands on what was added to a tenant's log.
    fn appended(&self, tenant: &Tenant, mut events: Vec<Event>) {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return };
        let (first, last) = (first.sequence, last.sequence);
        let Some(members) = self.members(tenant) else { return };
        let mut members = write(&members);
        let told = members.told.unwrap_or(first - 1);
        if told + 1 < first {
            // What is between was told to nobody here: all read on from where they are.
            tracing::warn!(%tenant, told, first, "signals were lost: who is subscribed reads on");
            members.subscriptions.iter().flatten().for_each(|it| it.mailbox.spill());
        }
        events.retain(|event| told < event.sequence);
        members.told = Some(last.max(told));
        let ahead = std::mem::take(&mut members.ahead);
        self.hand_out(&members, events);
        drop(members);
        ahead.into_iter().for_each(Waker::wake);
    }
}

/// Leaves the first run, and returns what is behind it.
fn split_run(events: &mut Vec<Event>) -> Vec<Event> {
    let first = &events[0].body;
    let same =
        |event: &&Event| event.body.topic() == first.topic() && event.body.kind() == first.kind();
    let run = events.iter().take_while(same).count();
    events.split_off(run)
}

impl Signals for Hub {
    fn tell(&self, signals: Vec<Signal>) {
        for signal in signals {
            match signal {
                Signal::Appended { tenant, events } => {
                    self.count_appended(&events);
                    self.appended(&tenant, events);
                }
                Signal::Ready { queue } => self.ready(&queue),
            }
        }
    }
}

impl Stay {
    /// Whose events these are.
    pub(crate) fn tenant(&self) -> Tenant {
        self.tenant
    }

    /// What comes live.
    pub(crate) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Has everything that is wanted behind `position`, up to which the log was read, put into the
    /// mailbox from now on, under a number.
    pub(crate) fn join(
        &self,
        position: u64,
        interest: &Interest,
        number: u32,
        waker: &Waker,
    ) -> Join {
        let mut members = write(&self.members);
        match members.told {
            Some(told) if position < told => return Join::Behind,
            Some(told) if told < position && members.is_heard() => {
                members.ahead.push(waker.clone());
                return Join::Ahead;
            }
            // Nobody else needs to be told what was read here.
            _ => members.told = Some(position),
        }
        let place = members.add(interest, Arc::clone(&self.mailbox), number);
        self.hub.metrics.bus.subscribed(1);
        Join::Joined(Place(place))
    }

    /// Nothing more comes for these.
    pub(crate) fn leave(&self, places: impl IntoIterator<Item = Place>) {
        let mut members = write(&self.members);
        let left = places.into_iter().map(|Place(place)| members.remove(place)).count();
        self.hub.metrics.bus.subscribed(-i64::try_from(left).unwrap_or_default());
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.hub.ears.subscribe(self.tenant, false);
        let mut members = write(&self.members);
        members.present -= 1;
        let empty = members.present == 0;
        drop(members);
        if empty {
            let mut tenants = self.hub.tenants.write().unwrap_or_else(PoisonError::into_inner);
            // Somebody may have come meanwhile.
            if tenants.get(&self.tenant).is_some_and(|members| read(members).present == 0) {
                tenants.remove(&self.tenant);
            }
        }
    }
}

impl Members {
    /// Whether anybody gets what is told.
    fn is_heard(&self) -> bool {
        !self.matcher.is_empty()
    }

    fn add(&mut self, interest: &Interest, mailbox: Arc<Mailbox>, number: u32) -> u32 {
        let place = self.free.pop().unwrap_or_else(|| {
            self.subscriptions.push(None);
            // Each takes some 100 bytes of memory: there are far fewer than 2^32.
            u32::try_from(self.subscriptions.len() - 1).unwrap_or(u32::MAX)
        });
        let handle = self.matcher.insert(interest, place);
        self.subscriptions[place as usize] = Some(Subscription { mailbox, number, handle });
        place
    }

    fn remove(&mut self, place: u32) {
        if let Some(subscription) = self.subscriptions[place as usize].take() {
            self.matcher.remove(subscription.handle);
            self.free.push(place);
        }
    }
}

fn read(members: &RwLock<Members>) -> RwLockReadGuard<'_, Members> {
    members.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(members: &RwLock<Members>) -> RwLockWriteGuard<'_, Members> {
    members.write().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl fmt::Debug for Stay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stay").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
