//! Queues: what becomes of them and of their deliveries, decided.

use std::{borrow::Cow, sync::Arc};

use switchboard_core::{
    Code, Error as Refusal, Millis, Result as Answer, Tenant,
    bus::{
        DeadLetter, IN_FLIGHT_MAX, Pull, QueueId, QueueName, QueueSettings, Settled, Settlement,
        Since, Verdict,
    },
};

use super::{
    super::{
        entry::{DELIVERY_MAX, Entry, LIST_MAX, TENANT_MAX},
        expiry::Expiring,
        queue::{Known, NEXT_MAX, Queue},
        reader::unreadable,
        work::{Leases, Look},
    },
    Writer,
    publish::{event_len, refused},
};
use crate::Error;

/// The most events of a queue that may be unsettled, or back in the queue for later: then only
/// these are delivered.
const HELD_MAX: usize = 4 * IN_FLIGHT_MAX;

/// How often the store is looked into at most to find what comes next, for one pull.
const LOOKS_MAX: usize = 4;

/// An event that was delivered often enough.
struct GivenUp {
    /// When its last delivery came to an end.
    ended_at: i64,
    name: QueueName,
    queue: u32,
    sequence: u64,
    reason: Arc<str>,
}

/// What was decided of deliveries of one queue.
#[derive(Debug, Default)]
struct Steps {
    settled: Vec<u64>,
    returned: Vec<(u64, i64)>,
    forgotten: Vec<u64>,
}

impl Writer {
    pub(super) fn create_queue(
        &mut self,
        id: QueueId,
        settings: QueueSettings,
        since: Since,
    ) -> Result<Answer<(Look, bool)>, Error> {
        if let Some((number, queue)) = self.queue_of(&id) {
            if queue.settings == settings {
                return Ok(Ok((self.look(number)?, false)));
            }
            let what = format!("there is a queue {} with other settings", id.name);
            return Ok(Err(Refusal::new(Code::Conflict, what)));
        }
        // Its place is one among what can be read.
        self.end_group()?;
        let known = self.tenants.number(&id.tenant);
        let cursor = match self.shared.place(known, &settings.interest, since) {
            Ok(cursor) => cursor,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let number = self.queues.next;
        let entry = |tenant| Entry::Queue {
            queue: number,
            tenant,
            cursor,
            name: id.name.clone(),
            settings: Cow::Borrowed(&settings),
        };
        let mut bytes = Vec::new();
        entry(0).write(&mut bytes);
        if let Err(why) = self.reserve(TENANT_MAX + bytes.len())? {
            return Ok(Err(refused(&why)));
        }
        let tenant = self.tenant(&id.tenant);
        self.group.write(&entry(tenant));
        self.queues.insert(number, Queue::new(id, tenant, settings, cursor));
        Ok(Ok((self.look(number)?, true)))
    }

    pub(super) fn delete_queue(&mut self, id: &QueueId) -> Result<Answer<bool>, Error> {
        let Some((number, _)) = self.queue_of(id) else { return Ok(Ok(false)) };
        if let Err(why) = self.reserve(DELIVERY_MAX)? {
            return Ok(Err(refused(&why)));
        }
        self.group.write(&Entry::Removed { queue: number });
        self.queues.remove(number);
        Ok(Ok(true))
    }

    /// A queue as it is.
    pub(super) fn queue(&mut self, id: &QueueId) -> Result<Answer<Look>, Error> {
        match self.queue_of(id) {
            Some((number, _)) => Ok(Ok(self.look(number)?)),
            None => Ok(Err(no_queue())),
        }
    }

    /// All queues of a tenant, by name.
    pub(super) fn queues(&mut self, tenant: &Tenant) -> Result<Vec<Look>, Error> {
        let Some(tenant) = self.tenants.number(tenant) else { return Ok(Vec::new()) };
        self.queues.of(tenant).into_iter().map(|number| self.look(number)).collect()
    }

    fn look(&self, number: u32) -> Result<Look, Error> {
        let queue = self.queues.queue(number);
        let queue = queue.ok_or_else(|| Error::Corrupt("a queue is nowhere".to_owned()))?;
        let oldest = queue.held().find(|&sequence| self.is_kept(queue.tenant, sequence));
        Ok(Look {
            tenant: queue.tenant,
            name: queue.id.name.clone(),
            settings: queue.settings.clone(),
            cursor: queue.cursor,
            counts: queue.counts,
            in_flight: queue.in_flight(),
            waits: queue.waits(),
            oldest,
        })
    }

    pub(super) fn pull(&mut self, pull: &Pull) -> Result<Answer<Leases>, Error> {
        let Some((number, _)) = self.queue_of(&pull.queue) else { return Ok(Err(no_queue())) };
        if let Err(refusal) = self.time_out(&[number], pull.now)? {
            return Ok(Err(refusal));
        }
        let Some(queue) = self.queues.queue(number) else { return Ok(Err(no_queue())) };
        let (tenant, now) = (queue.tenant, pull.now.0);
        let room = IN_FLIGHT_MAX.saturating_sub(queue.in_flight());
        let max = room.min(pull.max as usize);
        let mut these: Vec<u64> = queue.returned(now).take(max).collect();
        let returned = these.len();
        let rest = (max - returned).min(HELD_MAX.saturating_sub(queue.held_len()));
        if let Err(refusal) = self.look_ahead(number, rest + 1) {
            return Ok(Err(refusal));
        }
        let Some(queue) = self.queues.look(number) else { return Ok(Err(no_queue())) };
        these.extend(queue.next.sequences.iter().take(rest));
        let others = rest == max - returned;
        let others = others && (!queue.next.all || rest < queue.next.sequences.len());
        let more = max < room && (others || queue.returned(now).nth(returned).is_some());
        let until = pull.now.plus(queue.settings.ack_timeout_ms.into());
        for (turn, some) in these.chunks(LIST_MAX).enumerate() {
            if let Err(why) = self.reserve(DELIVERY_MAX + 8 * some.len())? {
                return Ok(Err(refused(&why)));
            }
            let Some(queue) = self.queues.change(number) else { break };
            // Those that were returned stand before the others.
            let others = turn * LIST_MAX + some.len();
            let others = others.saturating_sub(returned.max(turn * LIST_MAX));
            queue.next.sequences.drain(..others);
            let cursor = if others == 0 { queue.cursor } else { some[some.len() - 1] };
            queue.lease(some, until.0, cursor);
            let (queue, until, sequences) = (number, until.0, some.into());
            self.group.write(&Entry::Leased { queue, until, cursor, sequences });
        }
        let Some(queue) = self.queues.queue(number) else { return Ok(Err(no_queue())) };
        let deliveries = these.iter().map(|&sequence| (sequence, queue.attempts(sequence)));
        Ok(Ok(Leases {
            tenant,
            deliveries: deliveries.collect(),
            until,
            more,
            next_at: queue.next_at(now).map(Millis),
        }))
    }

    /// Finds out what comes next of a queue, so many if there are, and not too far away.
    fn look_ahead(&mut self, number: u32, wanted: usize) -> Answer<()> {
        for _ in 0..LOOKS_MAX {
            let Some(queue) = self.queues.look(number) else { return Ok(()) };
            let there = queue.next.sequences.len();
            if queue.next.all || wanted <= there {
                return Ok(());
            }
            let max = wanted.max(NEXT_MAX) - there;
            let interest = &queue.settings.interest;
            let found = self.shared.ahead(queue.tenant, interest, queue.next.looked_to, max)?;
            queue.next.sequences.extend(found.sequences);
            queue.next.looked_to = found.position;
            queue.next.all = found.newest <= found.position;
        }
        Ok(())
    }

    pub(super) fn settle(
        &mut self,
        settlement: &Settlement,
    ) -> Result<Answer<Vec<Settled>>, Error> {
        let Some((number, queue)) = self.queue_of(&settlement.queue) else {
            return Ok(Err(no_queue()));
        };
        let was_full = is_full(queue);
        let mut all = Vec::with_capacity(settlement.deliveries.len());
        let mut letters = Vec::new();
        for some in settlement.deliveries.chunks(LIST_MAX) {
            if let Err(why) = self.reserve(3 * DELIVERY_MAX + 16 * some.len())? {
                return Ok(Err(refused(&why)));
            }
            let mut steps = Steps::default();
            for (id, verdict) in some {
                let is_given_up = letters.iter().any(|it: &GivenUp| it.sequence == id.sequence);
                let queue = self.queues.queue(number).filter(|_| !is_given_up);
                let known = queue.map_or(Known::No, |queue| queue.known(*id, settlement.now.0));
                all.push(match known {
                    Known::No => Settled::Unknown,
                    Known::Late => Settled::Late,
                    Known::Leased { attempts } => {
                        let (sequence, at) = (id.sequence, settlement.now.0);
                        let delivery = (number, sequence, attempts);
                        letters.extend(self.decide_one(delivery, verdict, at, &mut steps));
                        Settled::Done
                    }
                });
            }
            self.write_steps(number, &steps);
        }
        if let Err(refusal) = self.give_up(letters, settlement.now)? {
            return Ok(Err(refusal));
        }
        self.tell_ready(number, settlement.now);
        if was_full && self.queues.queue(number).is_some_and(|queue| !is_full(queue)) {
            // Whoever asked meanwhile got nothing, and waits.
            self.group.ready(number);
        }
        Ok(Ok(all))
    }

    /// Takes the step that follows for one delivery, which came to its end at a time; or says that
    /// the event is to be given up.
    fn decide_one(
        &mut self,
        (number, sequence, attempts): (u32, u64, u32),
        verdict: &Verdict,
        ended_at: i64,
        steps: &mut Steps,
    ) -> Option<GivenUp> {
        let queue = self.queues.queue(number)?;
        let (tenant, often) = (queue.tenant, queue.settings.max_deliveries <= attempts);
        let name = queue.id.name.clone();
        match verdict {
            Verdict::Acknowledge => {
                self.queues.change(number)?.acknowledge(&[sequence]);
                steps.settled.push(sequence);
            }
            // What has expired meanwhile is on no topic, so neither on that of dead letters.
            Verdict::Return { .. } if !self.is_kept(tenant, sequence) => {
                self.queues.change(number)?.forget(&[sequence]);
                steps.forgotten.push(sequence);
            }
            Verdict::Return { reason, .. } if often => {
                let reason = Arc::clone(reason);
                return Some(GivenUp { ended_at, name, queue: number, sequence, reason });
            }
            Verdict::Return { at, .. } => {
                self.queues.change(number)?.take_back(&[(sequence, at.0)]);
                steps.returned.push((sequence, at.0));
            }
        }
        None
    }

    /// Adds what was decided, for which there must be room.
    fn write_steps(&mut self, queue: u32, steps: &Steps) {
        if !steps.settled.is_empty() {
            let sequences = (&steps.settled[..]).into();
            self.group.write(&Entry::Settled { queue, sequences });
        }
        if !steps.returned.is_empty() {
            let deliveries = (&steps.returned[..]).into();
            self.group.write(&Entry::Returned { queue, deliveries });
        }
        if !steps.forgotten.is_empty() {
            let sequences = (&steps.forgotten[..]).into();
            self.group.write(&Entry::Forgotten { queue, sequences });
        }
    }

    /// Takes back what nobody settled in time, of queues of one tenant.
    fn time_out(&mut self, numbers: &[u32], now: Millis) -> Result<Answer<()>, Error> {
        let mut letters = Vec::new();
        for &number in numbers {
            let late = self.queues.queue(number).map(|queue| queue.late(now.0)).unwrap_or_default();
            for some in late.chunks(LIST_MAX) {
                if let Err(why) = self.reserve(3 * DELIVERY_MAX + 16 * some.len())? {
                    return Ok(Err(refused(&why)));
                }
                let mut steps = Steps::default();
                for &(until, sequence) in some {
                    let attempts = self.queues.queue(number).map_or(0, |it| it.attempts(sequence));
                    let reason = Arc::clone(&self.timed_out);
                    let verdict = Verdict::Return { at: Millis(until), reason };
                    let delivery = (number, sequence, attempts);
                    letters.extend(self.decide_one(delivery, &verdict, until, &mut steps));
                }
                self.write_steps(number, &steps);
            }
        }
        letters.sort_by(|a: &GivenUp, b| a.order().cmp(&b.order()));
        self.give_up(letters, now)
    }

    /// Puts events on the topics of those that were given up.
    fn give_up(&mut self, letters: Vec<GivenUp>, now: Millis) -> Result<Answer<()>, Error> {
        for GivenUp { name, queue: number, sequence, reason, .. } in letters {
            let Some(queue) = self.queues.queue(number) else { continue };
            let (tenant, attempts) = (queue.tenant, queue.attempts(sequence));
            let again_at = now.0.saturating_add(queue.settings.ack_timeout_ms.into());
            let topic = queue.settings.dead_letter_topic.clone();
            let event = match self.shared.event(tenant, sequence) {
                Ok(event) => event,
                Err(error) => {
                    // It stays in the queue: it may be there again.
                    unreadable(error);
                    self.put_off(number, sequence, again_at)?;
                    continue;
                }
            };
            let body = event.map(|event| {
                let letter = DeadLetter {
                    queue: name.as_str().into(),
                    reason,
                    attempts,
                    topic: event.body.topic().into(),
                    sequence,
                };
                event.body.given_up(&topic, &letter)
            });
            let needed = DELIVERY_MAX + body.as_ref().map_or(0, event_len);
            if let Err(why) = self.reserve(needed)? {
                return Ok(Err(refused(&why)));
            }
            let Some(queue) = self.queues.change(number) else { continue };
            if let Some(body) = body {
                queue.give_up(sequence);
                self.append(tenant, &body, now.0);
                self.group.write(&Entry::GivenUp { queue: number, sequence });
            } else {
                queue.forget(&[sequence]);
                let sequences = vec![sequence].into();
                self.group.write(&Entry::Forgotten { queue: number, sequences });
            }
        }
        Ok(Ok(()))
    }

    /// Puts an event off that is to be given up and can't be read.
    fn put_off(&mut self, queue: u32, sequence: u64, at: i64) -> Result<(), Error> {
        if self.reserve(DELIVERY_MAX)?.is_ok()
            && let Some(it) = self.queues.change(queue)
        {
            let deliveries = [(sequence, at)];
            it.take_back(&deliveries);
            self.group.write(&Entry::Returned { queue, deliveries: deliveries[..].into() });
        }
        Ok(())
    }

    /// Takes back what nobody settled in time, of all queues.
    pub(super) fn sweep(&mut self, now: Millis) -> Result<Answer<()>, Error> {
        for tenant in self.queues.tenants() {
            let numbers = self.queues.of(tenant);
            if let Err(refusal) = self.time_out(&numbers, now)? {
                return Ok(Err(refusal));
            }
            for number in numbers {
                self.tell_ready(number, now);
            }
        }
        Ok(Ok(()))
    }

    /// Lets go of what was found out to be kept no more, and says how many events.
    pub(super) fn expire(&mut self, expiring: Vec<Expiring>) -> Result<Answer<u64>, Error> {
        // Queues look at what can be read, before and after.
        self.end_group()?;
        let (mut count, mut tenants) = (0, Vec::new());
        for Expiring { tenant, mut marks, count: own } in expiring {
            let known = self.shared.marks(tenant);
            for mark in &mut marks {
                mark.expiry = known.expiries() + 1;
            }
            let entry = Entry::Expired { tenant, marks: Cow::Borrowed(&marks) };
            let mut bytes = Vec::new();
            entry.write(&mut bytes);
            if let Err(why) = self.reserve(bytes.len())? {
                return Ok(Err(refused(&why)));
            }
            self.group.write(&entry);
            self.group.expire(tenant, Arc::new(known.with(&marks)));
            tenants.push(tenant);
            count += own;
        }
        self.end_group()?;
        for tenant in tenants {
            self.queues.forget_expired(tenant, &self.shared);
        }
        Ok(Ok(count))
    }

    /// Signals a queue that has something to deliver again.
    fn tell_ready(&mut self, number: u32, now: Millis) {
        if self.queues.queue(number).is_some_and(|it| it.returned(now.0).next().is_some()) {
            self.group.ready(number);
        }
    }

    /// Whether an event has not expired. One that can't be read may be there again.
    fn is_kept(&self, tenant: u32, sequence: u64) -> bool {
        self.shared.is_kept(tenant, sequence)
    }

    fn queue_of(&mut self, id: &QueueId) -> Option<(u32, &Queue)> {
        let tenant = self.tenants.number(&id.tenant)?;
        self.queues.get(tenant, &id.name)
    }
}

impl GivenUp {
    /// Those whose time was up first come first, then those of the first queue.
    fn order(&self) -> (i64, &QueueName, u64) {
        (self.ended_at, &self.name, self.sequence)
    }
}

/// Whether there is no room for more that are not done with.
fn is_full(queue: &Queue) -> bool {
    IN_FLIGHT_MAX <= queue.in_flight() || HELD_MAX <= queue.held_len()
}

fn no_queue() -> Refusal {
    Refusal::new(Code::NotFound, "there is no such queue")
}
