//! All queues, and which of them take an event.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
};

use switchboard_core::bus::{Handle, Matcher, QueueName};

use super::{
    labels::Labels,
    queue::{Next, Queue},
    reader::Shared,
    recent::Placed,
};

/// All queues, by number.
#[derive(Debug, Default)]
pub(super) struct Queues {
    all: HashMap<u32, Queue>,
    by_tenant: HashMap<u32, Own>,
    /// The number that no queue ever had.
    pub(super) next: u32,
    /// Those that are not as the tables have them.
    changed: BTreeSet<u32>,
}

/// The queues of one tenant.
#[derive(Debug, Default)]
struct Own {
    names: BTreeMap<QueueName, u32>,
    matcher: Matcher,
    handles: HashMap<u32, Handle>,
    /// Who takes the events of a topic and type, by the number of both, as far as it was asked.
    takers: Vec<Option<Box<[u32]>>>,
}

impl Queues {
    pub(super) fn get(&self, tenant: u32, name: &QueueName) -> Option<(u32, &Queue)> {
        let number = *self.by_tenant.get(&tenant)?.names.get(name)?;
        self.all.get(&number).map(|queue| (number, queue))
    }

    /// A queue that is about to change.
    pub(super) fn change(&mut self, number: u32) -> Option<&mut Queue> {
        self.changed.insert(number);
        self.all.get_mut(&number)
    }

    /// A queue of which only changes what is known of what comes next.
    pub(super) fn look(&mut self, number: u32) -> Option<&mut Queue> {
        self.all.get_mut(&number)
    }

    pub(super) fn queue(&self, number: u32) -> Option<&Queue> {
        self.all.get(&number)
    }

    /// The tenants that have queues.
    pub(super) fn tenants(&self) -> Vec<u32> {
        let mut tenants: Vec<u32> = self.by_tenant.keys().copied().collect();
        tenants.sort_unstable();
        tenants
    }

    /// The queues of a tenant, by name.
    pub(super) fn of(&self, tenant: u32) -> Vec<u32> {
        let own = self.by_tenant.get(&tenant);
        own.map(|own| own.names.values().copied().collect()).unwrap_or_default()
    }

    /// Takes a queue that the tables have.
    pub(super) fn load(&mut self, number: u32, queue: Queue) {
        self.insert(number, queue);
        self.changed.remove(&number);
    }

    /// Takes a queue that is new.
    pub(super) fn insert(&mut self, number: u32, queue: Queue) {
        let own = self.by_tenant.entry(queue.tenant).or_default();
        own.names.insert(queue.id.name.clone(), number);
        let handle = own.matcher.insert(&queue.settings.interest, number);
        own.handles.insert(number, handle);
        own.takers.clear();
        self.next = self.next.max(number.saturating_add(1));
        self.all.insert(number, queue);
        self.changed.insert(number);
    }

    pub(super) fn remove(&mut self, number: u32) {
        let Some(queue) = self.all.remove(&number) else { return };
        self.changed.insert(number);
        let Some(own) = self.by_tenant.get_mut(&queue.tenant) else { return };
        own.names.remove(&queue.id.name);
        if let Some(handle) = own.handles.remove(&number) {
            own.matcher.remove(handle);
        }
        own.takers.clear();
        if own.names.is_empty() {
            self.by_tenant.remove(&queue.tenant);
        }
    }

    /// Events of a tenant were published, from a sequence on. Hands over each queue that takes one.
    pub(super) fn publish(
        &mut self,
        (tenant, first): (u32, u64),
        events: &[Placed],
        labels: &Labels,
        mut ready: impl FnMut(u32),
    ) {
        let Some(own) = self.by_tenant.get_mut(&tenant) else { return };
        for (sequence, placed) in (first..).zip(events) {
            for &number in own.takers(placed.pair, labels) {
                if let Some(queue) = self.all.get_mut(&number) {
                    queue.next.publish(sequence);
                    ready(number);
                }
            }
        }
    }

    /// More of a tenant has expired: it is not delivered any more, and not what comes next.
    pub(super) fn forget_expired(&mut self, tenant: u32, shared: &Shared) {
        for number in self.of(tenant) {
            let Some(queue) = self.change(number) else { continue };
            let gone = queue.waiting().filter(|&sequence| !shared.is_kept(tenant, sequence));
            let gone: Vec<u64> = gone.collect();
            queue.forget(&gone);
            queue.next = Next::behind(queue.cursor);
        }
    }

    /// The numbers of topics and types are others now.
    pub(super) fn forget_labels(&mut self) {
        self.by_tenant.values_mut().for_each(|own| own.takers.clear());
    }

    /// Those that have changed since this was asked last, as they are now: none was removed.
    pub(super) fn take_changed(&mut self) -> Vec<(u32, Option<Vec<u8>>)> {
        let changed = mem::take(&mut self.changed);
        changed.into_iter().map(|it| (it, self.all.get(&it).map(Queue::to_bytes))).collect()
    }
}

impl Own {
    /// The queues that take the events of a topic and type.
    fn takers(&mut self, pair: u32, labels: &Labels) -> &[u32] {
        let index = pair as usize;
        if self.takers.len() <= index {
            self.takers.resize_with(index + 1, || None);
        }
        let matcher = &self.matcher;
        self.takers[index].get_or_insert_with(|| {
            let (topic, kind) = labels.names(pair);
            let mut found = Vec::new();
            matcher.matching(topic, kind, |number| found.push(number));
            found.sort_unstable();
            found.dedup();
            found.into()
        })
    }
}
