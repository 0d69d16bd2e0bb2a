//! Writes what a lane of the bus is asked for.
//!
//! A transaction first holds the rows of the queues that it is about, then the heads of the tenants
//! whose logs it adds to, each in their order: so transactions wait for each other in one direction
//! only. With that it reads what decides, in the same round trip (what comes next of queues takes
//! another); decides in memory, in the order in which it was asked; and writes, again in one.
//! Publishes, comings and goings come first, then what consumers ask: what is asked at the same
//! time may happen in any order, but a publish has its place.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use switchboard_core::{
    Tenant,
    bus::{Event, QueueId, Signal},
};

use super::{
    Listener,
    append::{Appending, Heads, Perhaps},
    group::Group,
    labels::Labels,
    no_queue, queues,
    takers::Takers,
    work::{Done, Task, Work},
};
use crate::{
    lane::{self, Fault, Writing, Written},
    link::Link,
};

/// A lane's own.
#[derive(Debug)]
pub(super) struct Writer {
    labels: Arc<Labels>,
    listener: Arc<Listener>,
    heads: Heads,
    takers: Takers,
}

impl lane::Writer for Writer {
    type Work = Work;

    fn write<'a>(&'a mut self, link: &'a Link, works: &'a [Work]) -> Writing<'a, Done> {
        Box::pin(self.write_group(link, works))
    }
}

/// What a group is about.
#[derive(Debug, Default)]
struct About {
    queues: BTreeSet<QueueId>,
    tenants: BTreeSet<Tenant>,
    perhaps: Vec<Perhaps>,
}

impl About {
    fn of(works: &[Work]) -> Self {
        let mut about = Self::default();
        for work in works {
            match &work.task {
                Task::Publish(drafts) => {
                    about.tenants.extend(drafts.iter().map(|draft| draft.tenant));
                }
                Task::Attend(all) => about.tenants.extend(all.iter().map(|it| it.tenant)),
                Task::Abandon { tenant, .. } => {
                    about.tenants.insert(*tenant);
                }
                Task::CreateQueue { queue, .. } | Task::DeleteQueue(queue) => {
                    about.queues.insert(queue.clone());
                    about.tenants.insert(queue.tenant);
                }
                Task::Pull(pull) => {
                    about.queues.insert(pull.queue.clone());
                    let name = pull.queue.name.as_str().to_owned();
                    about.perhaps.push((pull.queue.tenant, name, pull.now.0));
                }
                Task::Settle(settlement) => {
                    about.queues.insert(settlement.queue.clone());
                    let is_back = |(_, verdict): &(_, _)| {
                        *verdict != switchboard_core::bus::Verdict::Acknowledge
                    };
                    if settlement.deliveries.iter().any(is_back) {
                        about.tenants.insert(settlement.queue.tenant);
                    }
                }
                // They look for what they are about.
                Task::Sweep { .. } | Task::Expire { .. } => {}
            }
        }
        about
    }
}

/// Whether something is done together with others of its kind.
fn is_common(work: &Work) -> bool {
    matches!(work.task, Task::Publish(_) | Task::Attend(_) | Task::Pull(_) | Task::Settle(_))
}

/// What is done together, in order.
fn parts(works: &[Work]) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    for (index, work) in works.iter().enumerate() {
        match parts.last_mut() {
            Some(last) if is_common(work) && is_common(&works[last.start]) => last.end = index + 1,
            _ => parts.push(index..index + 1),
        }
    }
    parts
}

impl Writer {
    pub(super) fn new(labels: &Arc<Labels>, listener: &Arc<Listener>) -> Self {
        Self {
            labels: Arc::clone(labels),
            listener: Arc::clone(listener),
            heads: Heads::default(),
            takers: Takers::default(),
        }
    }

    async fn write_group(&mut self, link: &Link, works: &[Work]) -> Result<Written<Done>, Fault> {
        let about = About::of(works);
        let labels = Arc::clone(&self.labels);
        let mut group = Group::new(link, &labels);
        let mut appending = Appending::default();
        let mut done = Vec::with_capacity(works.len());
        let parts = parts(works);
        {
            let locking = async {
                let queues = queues::lock(link, &about.queues);
                let of = (&about.tenants, &about.perhaps[..]);
                let heads = appending.lock(link, &mut self.heads, of);
                let (queues, heads) = tokio::join!(biased; queues, heads);
                heads?;
                queues
            };
            // What is read first is read as soon as all is held.
            let first = parts.first().map_or(&works[..0], |part| &works[part.clone()]);
            let reading = group.read(first);
            let (locked, read) = tokio::join!(biased; locking, reading);
            let (queues, read) = (locked?, read?);
            group.begin(queues, appending, read)?;
        }
        for (number, part) in parts.into_iter().enumerate() {
            let works = &works[part];
            if 0 < number {
                let read = group.read(works).await?;
                group.take(read)?;
            }
            match works {
                [work] if !is_common(work) => done.push(self.single(&mut group, &work.task).await?),
                works => done.extend(group.common(works).await?),
            }
        }
        self.takers.learn(link, group.appending.changes()).await?;
        let Group { appending, mut ready, wrote, changed, .. } = group;
        for (tenant, events) in &appending.events {
            self.takers.ready(*tenant, events, &mut ready);
        }
        for tenant in changed {
            // The transaction may come to nothing.
            self.takers.forget(tenant);
        }
        let signal = self.signal(appending.events, ready);
        Ok(Written { done, wrote, signal })
    }

    /// Does what has statements of its own.
    async fn single(&mut self, group: &mut Group<'_>, task: &Task) -> Result<Done, Fault> {
        match task {
            Task::CreateQueue { queue, settings, since } => {
                let asked = (queue, &**settings, *since);
                let created = queues::create(group.link, &self.labels, asked).await?;
                if matches!(created, Ok(true)) {
                    group.wrote = true;
                    group.change(queue).await?;
                }
                Ok(Done::Created(created))
            }
            Task::DeleteQueue(id) => {
                let Some(queue) = group.queues.remove(id) else { return Ok(Done::Deleted(false)) };
                queues::remove(group.link, id, &queue).await?;
                group.wrote = true;
                group.change(id).await?;
                Ok(Done::Deleted(true))
            }
            Task::Abandon { tenant, gateways, behind, now } => {
                let (notes, next) =
                    group.abandon((*tenant, gateways, behind.as_ref()), *now).await?;
                Ok(Done::Abandoned(notes, next))
            }
            Task::Sweep { tenant, now } => {
                group.sweep(&mut self.heads, *tenant, now.0).await.map(Done::Swept)
            }
            Task::Expire { tenant, rules, now } => {
                let (count, more) = group.expire(&mut self.heads, *tenant, (rules, *now)).await?;
                Ok(Done::Expired(count, more))
            }
            Task::Publish(_) | Task::Attend(_) | Task::Pull(_) | Task::Settle(_) => {
                Err(Fault::Refused(no_queue()))
            }
        }
    }

    /// Tells whoever listens, once it is committed.
    fn signal(
        &self,
        events: BTreeMap<Tenant, Vec<Event>>,
        ready: BTreeSet<QueueId>,
    ) -> Option<Box<dyn FnOnce() + Send>> {
        if events.is_empty() && ready.is_empty() {
            return None;
        }
        let listener = Arc::clone(&self.listener);
        Some(Box::new(move || {
            let Some(signals) = listener.get() else { return };
            let appended =
                events.into_iter().map(|(tenant, events)| Signal::Appended { tenant, events });
            let ready = ready.into_iter().map(|queue| Signal::Ready { queue });
            signals.tell(appended.chain(ready).collect());
        }))
    }
}
