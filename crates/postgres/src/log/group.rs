//! One transaction of the bus: what it has read, decides, and writes.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use switchboard_core::{
    ClientId, Millis, Result as Answer, Tenant,
    bus::{DeadLetter, IN_FLIGHT_MAX, Pull, Pulled, QueueId, Settlement},
    presence::GatewayId,
};

use super::{
    append::{Appending, Heads, label},
    attend::{self, LEAVE_MAX, Stays},
    held::{self, At, Queues},
    labels::Labels,
    no_queue, number, place,
    publish::Keys,
    queue::Letter,
    queues, search,
    search::Search,
    state,
    work::{Done, Task, Work},
};
use crate::{lane::Fault, link::Link};

const BODIES: &str = "SELECT d.place, e.body \
     FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY d (tenant, sequence, place) \
     CROSS JOIN LATERAL (SELECT body FROM bus_event e \
     WHERE e.tenant = d.tenant AND e.sequence = d.sequence LIMIT 1) e";

/// A transaction.
pub(super) struct Group<'a> {
    pub(super) link: &'a Link,
    pub(super) labels: &'a Labels,
    pub(super) appending: Appending,
    pub(super) queues: Queues,
    /// Those that have something to deliver.
    pub(super) ready: BTreeSet<QueueId>,
    pub(super) wrote: bool,
    /// Whose queues were made or removed.
    pub(super) changed: BTreeSet<Tenant>,
    keys: Keys,
    stays: Stays,
}

/// What was read for some works.
pub(super) struct ReadFirst<'w> {
    keys: Keys,
    stays: Stays,
    appending: Appending,
    due: (Vec<At<'w>>, held::Rows),
    over: (Vec<At<'w>>, held::Rows),
    these: (Vec<At<'w>>, held::Rows),
}

/// The pulls of one queue: up to which time, and how many deliveries of all.
fn pulls<'w>(works: &'w [Work]) -> BTreeMap<&'w QueueId, (i64, usize)> {
    let mut pulls: BTreeMap<&'w QueueId, (i64, usize)> = BTreeMap::new();
    for work in works {
        if let Task::Pull(pull) = &work.task {
            let (now, max) = pulls.entry(&pull.queue).or_insert((i64::MIN, 0));
            *now = pull.now.0.max(*now);
            *max = max.saturating_add(pull.max as usize);
        }
    }
    pulls
}

/// All deliveries that are settled, of which queues.
fn settled(works: &[Work]) -> Vec<At<'_>> {
    let mut settled: Vec<At<'_>> = works
        .iter()
        .filter_map(|work| match &work.task {
            Task::Settle(settlement) => Some(settlement),
            _ => None,
        })
        .flat_map(|it| it.deliveries.iter().map(|(id, _)| (&it.queue, number(id.sequence))))
        .collect();
    settled.sort_unstable();
    settled.dedup();
    settled
}

impl<'a> Group<'a> {
    pub(super) fn new(link: &'a Link, labels: &'a Labels) -> Self {
        Self {
            link,
            labels,
            appending: Appending::default(),
            queues: Queues::new(),
            ready: BTreeSet::new(),
            wrote: false,
            changed: BTreeSet::new(),
            keys: Keys::default(),
            stays: Stays::default(),
        }
    }

    /// Reads what decides about some works: it is sent at once, behind what was sent before.
    pub(super) async fn read<'w>(&self, works: &'w [Work]) -> Result<ReadFirst<'w>, Fault> {
        let (mut keys, mut stays) = (Keys::default(), Stays::default());
        let mut appending = Appending::default();
        let (mut labels, mut who) = (BTreeSet::new(), BTreeSet::new());
        let mut drafts = Vec::new();
        for work in works {
            match &work.task {
                Task::Publish(all) => {
                    labels.extend(all.iter().map(|draft| label(draft.tenant, &draft.body)));
                    drafts.extend(all);
                }
                Task::Attend(all) => {
                    let told = all.iter().flat_map(|it| attend::labels(it.tenant, &it.client));
                    labels.extend(told);
                    who.extend(all.iter().map(|it| (it.tenant, it.client.clone())));
                }
                _ => {}
            }
        }
        let pulls = pulls(works);
        let times: Vec<At<'w>> = pulls.iter().map(|(&queue, &(now, _))| (queue, now)).collect();
        let settled = settled(works);
        let most = pulls.values().map(|(_, max)| *max).max().unwrap_or_default();
        let link = self.link;
        let (keyed, labelled, stay, due, over, these) = tokio::join!(biased;
            keys.find(link, drafts.into_iter()),
            appending.find_labels(link, labels),
            stays.find(link, who),
            held::due(link, &times, (most + 1).saturating_add(settled.len())),
            held::over(link, &times),
            held::these(link, &settled),
        );
        keyed?;
        labelled?;
        stay?;
        let (due, over, these) = ((times.clone(), due?), (times, over?), (settled, these?));
        Ok(ReadFirst { keys, stays, appending, due, over, these })
    }

    /// Takes what is held, and what was read when it was.
    pub(super) fn begin(
        &mut self,
        queues: Queues,
        locked: Appending,
        read: ReadFirst<'_>,
    ) -> Result<(), Fault> {
        (self.queues, self.appending) = (queues, locked);
        self.take(read)
    }

    /// Takes what was read.
    pub(super) fn take(&mut self, read: ReadFirst<'_>) -> Result<(), Fault> {
        let ReadFirst { keys, stays, appending, due, over, these } = read;
        (self.keys, self.stays) = (keys, stays);
        self.appending.know(appending);
        these.1.put(&mut self.queues, &these.0, false)?;
        over.1.put(&mut self.queues, &over.0, false)?;
        due.1.put(&mut self.queues, &due.0, true)
    }

    /// Does what is common.
    pub(super) async fn common(&mut self, works: &[Work]) -> Result<Vec<Done>, Fault> {
        let mut done: Vec<Option<Done>> = works.iter().map(|_| None).collect();
        for (work, done) in works.iter().zip(&mut done) {
            match &work.task {
                Task::Publish(drafts) => {
                    let (keys, appending) = (&mut self.keys, &mut self.appending);
                    let published = drafts.iter().map(|draft| keys.publish(appending, draft));
                    *done = Some(Done::Published(published.collect()));
                }
                Task::Attend(all) => {
                    for attendance in all {
                        self.stays.attend(&mut self.appending, attendance);
                    }
                    *done = Some(Done::Attended);
                }
                _ => {}
            }
        }
        let pulls = pulls(works);
        self.find_others(&pulls).await?;
        let mut letters = Vec::new();
        for (work, done) in works.iter().zip(&mut done) {
            match &work.task {
                Task::Pull(pull) => {
                    *done = Some(Done::Pulled(self.pull(pull, &mut letters).await?));
                }
                Task::Settle(settlement) => {
                    *done = Some(self.settle(settlement, &mut letters));
                }
                _ => {}
            }
        }
        self.give_up(letters).await?;
        self.write().await?;
        for (work, done) in works.iter().zip(&mut done) {
            if let (Task::Pull(pull), Some(Done::Pulled(Ok(pulled)))) = (&work.task, done) {
                let next_at = self.queues.get(&pull.queue).and_then(|queue| queue.next_at);
                pulled.next_at = next_at.filter(|at| pull.now.0 < *at).map(Millis);
            }
        }
        Ok(done.into_iter().flatten().collect())
    }

    /// Finds what comes next of queues that are pulled.
    async fn find_others(&mut self, pulls: &BTreeMap<&QueueId, (i64, usize)>) -> Result<(), Fault> {
        let searches = pulls.iter().filter_map(|(&id, &(_, max))| {
            let queue = self.queues.get(id)?;
            let (link, labels, interest) = (self.link, self.labels, &queue.settings.interest);
            let (tenant, after) = (id.tenant, queue.cursor);
            let max = (max + 1).saturating_sub(queue.due.len());
            // Where enough is delivered again nothing else is looked for.
            let search = Search { tenant, interest, after, max, bytes_max: usize::MAX };
            Some(async move {
                let found = search::find(link, labels, search).await?;
                Ok::<_, Fault>((id, (max, found)))
            })
        });
        for (id, (max, found)) in try_join_all(searches).await? {
            let Some(queue) = self.queues.get_mut(id) else { continue };
            let full = found.events.len() == max;
            queue.others = found.events.into();
            queue.others_more = full || found.position < found.head.newest;
            if queue.others_more && queue.others.is_empty() && 0 < max {
                // Much was looked at, and nothing was found: it is not looked at again.
                queue.cursor = found.position;
                queue.dirty = true;
            }
            if !queue.others_more
                && let Some(fresh) = self.appending.events.get(&id.tenant)
            {
                // What this transaction adds comes behind all.
                let behind = found.head.newest.max(queue.cursor);
                let takes = |event: &&_| {
                    let switchboard_core::bus::Event { sequence, body, .. } = event;
                    behind < *sequence && queue.settings.interest.wants(body.topic(), body.kind())
                };
                queue.others.extend(fresh.iter().filter(takes).cloned());
            }
        }
        Ok(())
    }

    async fn pull(
        &mut self,
        pull: &Pull,
        letters: &mut Vec<(QueueId, Letter, Millis)>,
    ) -> Result<Answer<Pulled>, Fault> {
        let &Pull { queue: ref id, max, now } = pull;
        let Some(queue) = self.queues.get_mut(id) else { return Ok(Err(no_queue())) };
        let given_up = queue.sweep(now.0);
        letters.extend(given_up.into_iter().map(|letter| (id.clone(), letter, now)));
        // Those whose time was up count as leased until they are looked for.
        let mut in_flight = usize::try_from(queue.leased).unwrap_or_default();
        if IN_FLIGHT_MAX < in_flight.saturating_add(max as usize) {
            let late = state::late(self.link, id.tenant, queue).await?;
            in_flight = in_flight.saturating_sub(usize::try_from(late).unwrap_or_default());
        }
        Ok(Ok(queue.pull(max, now.0, in_flight)))
    }

    fn settle(
        &mut self,
        settlement: &Settlement,
        letters: &mut Vec<(QueueId, Letter, Millis)>,
    ) -> Done {
        let Settlement { queue: id, deliveries, now } = settlement;
        let Some(queue) = self.queues.get_mut(id) else {
            return Done::Settled(Err(no_queue()));
        };
        let mut all = Vec::with_capacity(deliveries.len());
        for (delivery, verdict) in deliveries {
            let (settled, letter) = queue.settle(*delivery, verdict, now.0);
            all.push(settled);
            letters.extend(letter.map(|letter| (id.clone(), letter, *now)));
        }
        if queue.first_at.is_some_and(|at| at <= now.0) {
            self.ready.insert(id.clone());
        }
        Done::Settled(Ok(all))
    }

    /// Puts what was given up on the topics for that, in order.
    pub(super) async fn give_up(
        &mut self,
        letters: Vec<(QueueId, Letter, Millis)>,
    ) -> Result<(), Fault> {
        if letters.is_empty() {
            return Ok(());
        }
        let tenants: Vec<&str> = letters.iter().map(|(queue, ..)| queue.tenant.as_str()).collect();
        let sequences: Vec<i64> =
            letters.iter().map(|(_, letter, _)| number(letter.sequence)).collect();
        let statement = self.link.statement(BODIES).await?;
        let rows = self.link.client.query(&statement, &[&tenants, &sequences]).await?;
        let mut bodies = Vec::new();
        for row in rows {
            let Some((id, letter, at)) = letters.get(place(&row, 0)) else { continue };
            let Some(queue) = self.queues.get(id) else { continue };
            let body = search::body(row.get(1))?;
            let told = DeadLetter {
                queue: id.name.as_str().into(),
                reason: letter.reason.clone(),
                attempts: letter.attempts,
                topic: body.topic().into(),
                sequence: letter.sequence,
            };
            bodies.push((
                place(&row, 0),
                id.tenant,
                body.given_up(&queue.settings.dead_letter_topic, &told),
                *at,
            ));
        }
        bodies.sort_by_key(|(place, ..)| *place);
        let labels = bodies.iter().map(|(_, tenant, body, _)| label(*tenant, body)).collect();
        self.appending.find_labels(self.link, labels).await?;
        let held: BTreeSet<Tenant> = bodies.iter().map(|(_, tenant, ..)| *tenant).collect();
        self.appending.hold(self.link, &held).await?;
        for (_, tenant, body, at) in bodies {
            self.appending.append(tenant, body, at);
        }
        Ok(())
    }

    /// Writes what has changed.
    pub(super) async fn write(&mut self) -> Result<(), Fault> {
        self.wrote |= self.appending.is_fresh();
        let (queues, stays, appended) = tokio::join!(biased;
            held::write(self.link, &mut self.queues),
            self.stays.write(self.link),
            self.appending.write(self.link),
        );
        self.wrote |= queues? | stays?;
        appended
    }

    /// A queue was made or removed.
    pub(super) async fn change(&mut self, id: &QueueId) -> Result<(), Fault> {
        self.changed.insert(id.tenant);
        self.appending.queues_changed(id.tenant);
        self.queues.remove(id);
        let these = BTreeSet::from([id.clone()]);
        self.queues.extend(queues::lock(self.link, &these).await?);
        Ok(())
    }

    /// The next of those who were at some gateways leave. Says how many were noted, and behind whom
    /// there may be more.
    pub(super) async fn abandon(
        &mut self,
        (tenant, gateways, behind): (Tenant, &[GatewayId], Option<&ClientId>),
        now: Millis,
    ) -> Result<(u64, Option<ClientId>), Fault> {
        let clients = attend::leaving(self.link, tenant, gateways, behind).await?;
        let next = clients.get(LEAVE_MAX - 1).cloned();
        let Some(first) = clients.first() else { return Ok((0, None)) };
        let labels = attend::labels(tenant, first).into();
        let leaving: BTreeSet<_> = clients.iter().map(|it| (tenant, it.clone())).collect();
        self.stays = Stays::default();
        let (labelled, found) = tokio::join!(biased;
            self.appending.find_labels(self.link, labels),
            self.stays.find(self.link, leaving.clone()),
        );
        labelled?;
        found?;
        let notes = self.stays.leave(&mut self.appending, (&leaving, gateways), now);
        self.write().await?;
        self.stays = Stays::default();
        Ok((notes, next))
    }

    /// Holds the head of a tenant, behind the queues.
    pub(super) async fn hold(&mut self, known: &mut Heads, tenant: Tenant) -> Result<(), Fault> {
        let tenants = BTreeSet::from([tenant]);
        self.appending.lock(self.link, known, (&tenants, &[])).await
    }
}
