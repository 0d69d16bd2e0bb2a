//! What gets durable with the next sync.

use std::{
    collections::{BTreeSet, HashMap},
    mem,
    sync::Arc,
    time::Instant,
};

use switchboard_core::{Tenant, bus::Signal, store::Commit};

use super::{
    super::{
        entry::{self, Entry, EventEntry, Stay},
        marks::Marks,
        reader::State,
        recent::{self, Placed},
        work::{Answered, Place},
    },
    Head, Writer,
};
use crate::Error;

/// The room for a payload that is kept from one group to the next, in bytes.
const PAYLOAD_KEPT: usize = 1024 * 1024;

/// The group under way.
#[derive(Debug, Default)]
pub(in super::super) struct Group {
    payload: Vec<u8>,
    tenants: Vec<Tenant>,
    /// The events, in order. The numbers of them follow each other.
    events: Vec<Placed>,
    /// Where clients are now.
    stays: HashMap<Place, Stay>,
    /// What has expired of tenants.
    expired: Vec<(u32, Arc<Marks>)>,
    /// Queues that have something to deliver.
    ready: BTreeSet<u32>,
    answers: Vec<Answered>,
    commit: Commit,
}

impl Group {
    /// The next work is looked at.
    pub(super) fn begin_work(&mut self, arrived: Instant) {
        let waited = arrived.elapsed();
        self.commit.waited = self.commit.waited.max(waited);
        self.commit.batches += 1;
    }

    pub(super) fn answer(&mut self, answered: Answered) {
        self.answers.push(answered);
    }

    pub(super) fn take_answers(&mut self) -> Vec<Answered> {
        mem::take(&mut self.answers)
    }

    /// What it says so far.
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Adds an entry, for which there must be room.
    pub(super) fn write(&mut self, entry: &Entry<'_>) {
        entry.write(&mut self.payload);
    }

    pub(super) fn define(&mut self, tenant: Tenant) {
        self.write(&Entry::Tenant(tenant));
        self.tenants.push(tenant);
    }

    /// A client is there now.
    pub(super) fn note(&mut self, place: Place, stay: Stay) {
        self.stays.insert(place, stay);
    }

    /// More of a tenant has expired.
    pub(super) fn expire(&mut self, tenant: u32, marks: Arc<Marks>) {
        self.expired.push((tenant, marks));
    }

    /// Where a client is, if that changes with this group.
    pub(super) fn stay(&self, place: &Place) -> Option<&Stay> {
        self.stays.get(place)
    }

    /// A queue has something to deliver.
    pub(super) fn ready(&mut self, queue: u32) {
        self.ready.insert(queue);
    }

    /// The event with a number, if it is in this group, where the number after the last is `next`.
    pub(super) fn event(&self, number: u64, next: u64) -> Option<EventEntry<'_>> {
        let behind = usize::try_from(next.checked_sub(number)?).ok()?;
        let placed = self.events.get(self.events.len().checked_sub(behind)?)?;
        entry::read_event(placed.entry(&self.payload))
    }

    /// Adds an event, for which there must be room.
    pub(super) fn event_of(
        &mut self,
        head: &mut Head,
        event: &EventEntry<'_>,
        names: (&str, &str),
    ) {
        self.write(&Entry::Event(*event));
        let len = event.body.len();
        let start = self.payload.len() - len;
        let pair = head.labels.number(names.0, names.1);
        // A payload is bounded by a segment, which is far shorter than 4 GiB.
        let [start, len] = [start, len].map(|it| u32::try_from(it).unwrap_or(u32::MAX));
        self.events.push(Placed { tenant: event.tenant, start, len, pair });
    }
}

impl Writer {
    /// Makes room for entries of so many bytes in the group under way, or in the next. Says why
    /// there is none.
    pub(super) fn reserve(&mut self, needed: usize) -> Result<Result<(), String>, Error> {
        let there = self.group.payload.len();
        if 0 < there && self.payload_max < there + needed {
            self.end_group()?;
        }
        if self.payload_max < needed {
            return Ok(Err("the entry is longer than a segment of the log".to_owned()));
        }
        let room = self.log.reserve(self.group.payload.len() + needed);
        if room.is_err() {
            self.gate.set_refusing(true);
        }
        Ok(room)
    }

    /// Makes the group durable, lets it be read, answers and signals it.
    pub(super) fn end_group(&mut self) -> Result<(), Error> {
        let mut signals = Vec::new();
        if !self.group.payload.is_empty() {
            let began = Instant::now();
            self.group.commit.bytes = self.log.append(&self.group.payload)?;
            self.group.commit.synced = began.elapsed();
            self.gate.set_refusing(false);
            signals = self.let_read()?;
        }
        self.signal_queues(&mut signals);
        // Those who asked first: handing out signals takes longer.
        for answered in self.group.answers.drain(..) {
            answered.tell(Ok(()));
        }
        if !signals.is_empty()
            && let Some(listener) = self.listener()
        {
            listener.tell(signals);
        }
        let commit = mem::take(&mut self.group.commit);
        if 0 < commit.batches {
            self.observer.committed(&commit);
        }
        Ok(())
    }

    /// What is durable can be read. Says what is to be signalled.
    pub(super) fn let_read(&mut self) -> Result<Vec<Signal>, Error> {
        let chunk: Arc<[u8]> = self.group.payload.as_slice().into();
        // One long group is no reason to keep its room for ever.
        self.group.payload.clear();
        self.group.payload.shrink_to(PAYLOAD_KEPT);
        self.publish_to_queues();
        {
            let mut state = self.shared.change();
            apply(&mut state, &chunk, &mut self.group, &self.heads);
        }
        let signals = self.signals(&chunk)?;
        self.group.tenants.clear();
        self.group.events.clear();
        Ok(signals)
    }

    /// Lets queues know what comes next.
    fn publish_to_queues(&mut self) {
        let Group { events, ready, .. } = &mut self.group;
        for run in events.chunk_by(|a, b| a.tenant == b.tenant) {
            let Some(head) = self.heads.get_mut(run[0].tenant as usize) else { continue };
            let first = head.durable + 1;
            head.durable += run.len() as u64;
            let is_ready = |queue| {
                ready.insert(queue);
            };
            self.queues.publish((run[0].tenant, first), run, &head.labels, is_ready);
        }
    }

    /// The queues that have something to deliver.
    fn signal_queues(&mut self, signals: &mut Vec<Signal>) {
        for number in mem::take(&mut self.group.ready) {
            if let Some(queue) = self.queues.queue(number) {
                signals.push(Signal::Ready { queue: queue.id.clone() });
            }
        }
    }

    /// The events of the group, by tenant.
    fn signals(&self, chunk: &Arc<[u8]>) -> Result<Vec<Signal>, Error> {
        if self.group.events.is_empty() || self.listener().is_none() {
            return Ok(Vec::new());
        }
        let mut by_tenant: HashMap<u32, (Tenant, Vec<_>)> = HashMap::new();
        for run in self.group.events.chunk_by(|a, b| a.tenant == b.tenant) {
            let number = run[0].tenant;
            let Some(head) = self.heads.get(number as usize) else { continue };
            let (_, events) = by_tenant.entry(number).or_insert_with(|| (head.tenant, Vec::new()));
            for placed in run {
                events.push(recent::told(chunk, placed)?);
            }
        }
        let signal = |(tenant, events)| Signal::Appended { tenant, events };
        Ok(by_tenant.into_values().map(signal).collect())
    }
}

/// What a group has changed, for all who read.
fn apply(state: &mut State, chunk: &Arc<[u8]>, group: &mut Group, heads: &[Head]) {
    for tenant in &group.tenants {
        state.define(*tenant);
    }
    state.current.add_chunk(chunk);
    for run in group.events.chunk_by(|a, b| a.tenant == b.tenant) {
        let tenant = run[0].tenant;
        let Some(head) = heads.get(tenant as usize) else { continue };
        state.add(tenant, run, &head.labels);
    }
    state.current.stays.extend(group.stays.drain());
    for (tenant, marks) in group.expired.drain(..) {
        state.expire(tenant, marks);
    }
}
