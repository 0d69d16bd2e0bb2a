//! What another store tells, taken with the sequences that it has there.
//!
//! Nothing is decided. Events that had expired there are missing here. What was taken can be read
//! before it is durable, since nobody reads.

use std::{borrow::Cow, mem, sync::Arc};

use switchboard_core::{
    Error as Refusal, Millis, Tenant,
    bus::{DeliveryId, Event, QueueId, QueueSettings},
    transfer::{Expiry, Held, Progress, Row, Stay as Told},
};

use super::{
    super::{
        entry::{DELIVERY_MAX, EVENT_HEADER, Entry, EventEntry, Stay, TENANT_MAX},
        key_hash,
        marks::Mark,
        queue::{Counts, Place, Queue},
    },
    Writer,
};
use crate::{
    Error,
    slots::Pair,
    transfer::{conflict, no_room},
};

type Taken = Result<Result<(), Refusal>, Error>;

/// What an entry takes at most that is no event.
const OTHERS_MAX: usize = 32 * 1024;

impl Writer {
    /// Takes rows, durably.
    pub(in super::super) fn load(&mut self, rows: Vec<Row>) -> Taken {
        for row in rows {
            let taken = match row {
                Row::Expiry(expiry) => self.load_expiry(expiry)?,
                Row::Event { tenant, event } => self.load_event(&tenant, &event)?,
                Row::Head { tenant, newest, at } => self.load_head(&tenant, newest, at)?,
                Row::Queue { queue, settings, progress } => {
                    self.load_queue(queue, settings, progress)?
                }
                Row::Delivery { queue, id, held } => self.load_delivery(&queue, id, held)?,
                Row::Stay(stay) => self.load_stay(stay)?,
                _ => Ok(()),
            };
            if taken.is_err() {
                return Ok(taken);
            }
        }
        self.end_load()
    }

    /// Makes room for an entry, behind what may be there of others, and numbers its tenant.
    fn begin_load(
        &mut self,
        needed: usize,
        tenant: &Tenant,
    ) -> Result<Result<u32, Refusal>, Error> {
        let there = self.loading.len() + self.group.payload().len();
        if self.payload_max < there + needed + TENANT_MAX + DELIVERY_MAX
            && let Err(refusal) = self.end_load()?
        {
            return Ok(Err(refusal));
        }
        if self.payload_max < needed + TENANT_MAX + DELIVERY_MAX {
            return Ok(Err(no_room("an entry is longer than a segment of the log")));
        }
        Ok(Ok(self.tenant(tenant)))
    }

    /// What was taken can be read.
    fn let_be_read(&mut self) -> Result<(), Error> {
        if !self.group.payload().is_empty() {
            self.loading.extend_from_slice(self.group.payload());
            self.let_read()?;
        }
        Ok(())
    }

    /// What was taken is durable.
    fn end_load(&mut self) -> Taken {
        self.let_be_read()?;
        let payload = mem::take(&mut self.loading);
        if payload.is_empty() {
            return Ok(Ok(()));
        }
        if let Err(why) = self.log.reserve(payload.len()) {
            return Ok(Err(no_room(&why)));
        }
        self.log.append(&payload)?;
        Ok(Ok(()))
    }

    fn load_expiry(&mut self, told: Expiry) -> Taken {
        let Expiry { tenant, filter, sequence, count } = told;
        let number = match self.begin_load(OTHERS_MAX, &tenant)? {
            Ok(number) => number,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.let_be_read()?;
        let known = self.shared.marks(number);
        match known.told().get(&filter) {
            Some(there) if *there == (sequence, count) => return Ok(Ok(())),
            Some(_) => {
                return Ok(Err(conflict(&format!("what has expired of {}", filter.as_str()))));
            }
            None => {}
        }
        let mark = Mark::told(filter, sequence, count);
        let marks = std::slice::from_ref(&mark);
        self.group.write(&Entry::Expired { tenant: number, marks: Cow::Borrowed(marks) });
        self.group.expire(number, Arc::new(known.with(marks)));
        Ok(Ok(()))
    }

    fn load_event(&mut self, tenant: &Tenant, event: &Event) -> Taken {
        let Event { sequence, at: Millis(at), body } = event;
        let (sequence, at) = (*sequence, *at);
        let needed = EVENT_HEADER + body.as_bytes().len();
        let number = match self.begin_load(needed, tenant)? {
            Ok(number) => number,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let head = &self.heads[number as usize];
        if sequence <= head.newest {
            self.let_be_read()?;
            let there = self.shared.event(number, sequence)?;
            let is_it = there.as_ref() == Some(event);
            let what = format!("the event {sequence} of {tenant}");
            return Ok(if is_it { Ok(()) } else { Err(conflict(&what)) });
        }
        if at < head.at {
            return Ok(Err(conflict("an event that is older than the one before it")));
        }
        if head.newest + 1 < sequence {
            let at = head.at;
            self.move_to(number, sequence - 1, at)?;
        }
        let head = &mut self.heads[number as usize];
        (head.newest, head.at) = (sequence, at);
        self.fresh.numbers += 1;
        let counted = self.fresh.numbers;
        let body_bytes = body.as_bytes();
        let entry = EventEntry { tenant: number, sequence, at, number: counted, body: body_bytes };
        self.group.event_of(head, &entry, (body.topic(), body.kind()));
        if !body.key().is_empty() {
            let slot = self.names.free(key_hash(&self.names, number, body.key()))?;
            self.names.insert(slot, counted);
            self.fresh.pairs.push(Pair { slot, id: counted });
            self.fresh.keyed += 1;
        }
        Ok(Ok(()))
    }

    /// The events of a tenant up to a sequence are not here.
    fn move_to(&mut self, tenant: u32, newest: u64, at: i64) -> Result<(), Error> {
        self.let_be_read()?;
        self.group.write(&Entry::Head { tenant, newest, at });
        self.let_be_read()?;
        self.heads[tenant as usize].move_to(newest, at);
        self.shared.change().move_to(tenant, newest);
        Ok(())
    }

    fn load_head(&mut self, tenant: &Tenant, newest: u64, Millis(at): Millis) -> Taken {
        let number = match self.begin_load(OTHERS_MAX, tenant)? {
            Ok(number) => number,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let head = &self.heads[number as usize];
        if newest < head.newest || at < head.at {
            return Ok(Err(conflict(&format!("events of {tenant} behind the newest"))));
        }
        if (newest, at) != (head.newest, head.at) {
            self.move_to(number, newest, at)?;
        }
        Ok(Ok(()))
    }

    fn load_queue(&mut self, id: QueueId, settings: QueueSettings, progress: Progress) -> Taken {
        let tenant = match self.begin_load(OTHERS_MAX, &id.tenant)? {
            Ok(number) => number,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.let_be_read()?;
        let Progress { cursor, dead_lettered, acknowledged, redelivered } = progress;
        let counts = Counts { dead_lettered, acknowledged, redelivered };
        if let Some((_, there)) = self.queues.get(tenant, &id.name) {
            let is_it =
                (&there.settings, there.cursor, there.counts) == (&settings, cursor, counts);
            let what = format!("the queue {}", id.name);
            return Ok(if is_it { Ok(()) } else { Err(conflict(&what)) });
        }
        let queue = self.queues.next;
        self.group.write(&Entry::Queue {
            queue,
            tenant,
            cursor,
            name: id.name.clone(),
            settings: Cow::Borrowed(&settings),
        });
        self.group.write(&Entry::Counts { queue, counts });
        let mut made = Queue::new(id, tenant, settings, cursor);
        made.counts = counts;
        self.queues.insert(queue, made);
        Ok(Ok(()))
    }

    fn load_delivery(&mut self, id: &QueueId, delivery: DeliveryId, held: Held) -> Taken {
        let tenant = match self.begin_load(OTHERS_MAX, &id.tenant)? {
            Ok(number) => number,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some((queue, there)) = self.queues.get(tenant, &id.name) else {
            return Ok(Err(conflict("a delivery of a queue that is not there")));
        };
        let DeliveryId { sequence, attempt } = delivery;
        let place = match held {
            Held::Until(Millis(until)) => Place::Leased(until),
            Held::Again(Millis(at)) => Place::Waits(at),
        };
        if let Some((attempts, known)) = there.hold_of(sequence) {
            let is_it = (attempts, known) == (attempt, place);
            let what = format!("a delivery of the queue {}", id.name);
            return Ok(if is_it { Ok(()) } else { Err(conflict(&what)) });
        }
        self.group.write(&Entry::Held { queue, sequence, attempts: attempt, place });
        if let Some(queue) = self.queues.change(queue) {
            queue.hold(sequence, attempt, place);
        }
        Ok(Ok(()))
    }

    fn load_stay(&mut self, told: Told) -> Taken {
        let Told { tenant, client, newest, gateways } = told;
        let needed = OTHERS_MAX + 16 * gateways.len();
        let tenant = match self.begin_load(needed, &tenant)? {
            Ok(number) => number,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.let_be_read()?;
        let place = (tenant, client.clone());
        let (stay, there) = (Stay { gateways, newest }, self.shared.stay(&place));
        if !there.gateways.is_empty() {
            let mut sorted = there;
            sorted.gateways.sort_unstable();
            return Ok(if sorted == stay { Ok(()) } else { Err(conflict("where a client is")) });
        }
        self.group.write(&Entry::Stay { tenant, client, stay: Cow::Borrowed(&stay) });
        self.group.note(place, stay);
        Ok(Ok(()))
    }
}
