//! What the log holds beyond the last checkpoint, done again.

use std::{mem, sync::Arc};

use switchboard_core::bus::{Body, QueueId};

use super::{
    entry::{self, Entry, EventEntry},
    queue::{Next, Queue},
    queues::Queues,
    reader::Shared,
    recent::Placed,
    writer::{Fresh, Head},
};
use crate::{
    Error,
    log::Position,
    slots::{Names, Pair},
    tenants::Tenants,
};

/// What the writer will go on with.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) tenants: Tenants,
    pub(super) heads: Vec<Head>,
    pub(super) names: Names,
    pub(super) queues: Queues,
    pub(super) shared: Arc<Shared>,
    pub(super) fresh: Fresh,
    /// Events that can be read once their tenant is another one's turn.
    pub(super) run: Vec<Placed>,
}

impl Replay {
    /// Does one record again.
    pub(super) fn payload(&mut self, position: Position, payload: &[u8]) -> Result<(), Error> {
        let damaged = || {
            let what = format!("record {} of the bus's log can't be read", position.sequence);
            Error::Corrupt(what)
        };
        let chunk: Arc<[u8]> = payload.into();
        self.shared.change().current.add_chunk(&chunk);
        let mut rest = &*chunk;
        while !rest.is_empty() {
            let (entry, behind) = entry::read(rest).ok_or_else(damaged)?;
            rest = behind;
            match entry {
                Entry::Tenant(tenant) => {
                    self.fresh.tenants.push(tenant);
                    self.heads.push(Head::new(tenant));
                    self.tenants.define(tenant);
                    self.shared.change().define(tenant);
                }
                Entry::Expired { tenant, marks } => {
                    let known = self.shared.marks(tenant);
                    self.shared.change().expire(tenant, Arc::new(known.with(&marks)));
                }
                Entry::Stay { tenant, client, stay } => {
                    let stays = &mut self.shared.change().current.stays;
                    stays.insert((tenant, client), stay.into_owned());
                }
                Entry::Head { tenant, newest, at } => {
                    self.end_run();
                    let head = self.heads.get_mut(tenant as usize).ok_or_else(damaged)?;
                    if newest < head.newest || at < head.at {
                        return Err(damaged());
                    }
                    head.move_to(newest, at);
                    self.shared.change().move_to(tenant, newest);
                }
                Entry::Queue { queue, tenant, cursor, name, settings } => {
                    let head = self.heads.get(tenant as usize).ok_or_else(damaged)?;
                    let id = QueueId { tenant: head.tenant, name };
                    let made = Queue::new(id, tenant, settings.into_owned(), cursor);
                    self.queues.insert(queue, made);
                }
                Entry::Removed { queue } => self.queues.remove(queue),
                Entry::Leased { queue, .. }
                | Entry::Settled { queue, .. }
                | Entry::Returned { queue, .. }
                | Entry::GivenUp { queue, .. }
                | Entry::Counts { queue, .. }
                | Entry::Held { queue, .. }
                | Entry::Forgotten { queue, .. } => {
                    step(self.queues.change(queue).ok_or_else(damaged)?, &entry);
                }
                Entry::Event(event) => {
                    let end = chunk.len() - rest.len();
                    self.event(&chunk, &event, end - event.body.len()).ok_or_else(damaged)??;
                }
            }
        }
        self.end_run();
        Ok(())
    }

    /// An event whose body begins at a byte of the record. None if it can't be.
    fn event(
        &mut self,
        chunk: &Arc<[u8]>,
        event: &EventEntry<'_>,
        start: usize,
    ) -> Option<Result<(), Error>> {
        let &EventEntry { tenant, sequence, at, number, .. } = event;
        let len = event.body.len();
        let body = Body::from_bytes(chunk, start, len)?;
        if self.run.last().is_some_and(|last| last.tenant != tenant) {
            self.end_run();
        }
        let head = self.heads.get_mut(tenant as usize)?;
        let follows = head.newest + 1 == sequence && self.fresh.numbers + 1 == number;
        if !follows || at < head.at {
            return None;
        }
        (head.newest, head.durable, head.at) = (sequence, sequence, at);
        self.fresh.numbers = number;
        let pair = head.labels.number(body.topic(), body.kind());
        let (start, len) = (u32::try_from(start).ok()?, u32::try_from(len).ok()?);
        self.run.push(Placed { tenant, start, len, pair });
        if body.key().is_empty() {
            return Some(Ok(()));
        }
        Some(self.key(tenant, body.key(), number))
    }

    fn key(&mut self, tenant: u32, key: &str, number: u64) -> Result<(), Error> {
        let slot = self.names.free(super::key_hash(&self.names, tenant, key))?;
        self.names.insert(slot, number);
        self.fresh.pairs.push(Pair { slot, id: number });
        self.fresh.keyed += 1;
        Ok(())
    }

    /// What is in the log can be read.
    fn end_run(&mut self) {
        let run = mem::take(&mut self.run);
        if let Some(first) = run.first()
            && let Some(head) = self.heads.get(first.tenant as usize)
        {
            self.shared.change().add(first.tenant, &run, &head.labels);
        }
    }
}

/// Takes a step of a queue again.
fn step(queue: &mut Queue, entry: &Entry<'_>) {
    match entry {
        Entry::Leased { until, cursor, sequences, .. } => {
            queue.lease(sequences, *until, *cursor);
            queue.next = Next::behind(queue.cursor);
        }
        Entry::Settled { sequences, .. } => queue.acknowledge(sequences),
        Entry::Returned { deliveries, .. } => queue.take_back(deliveries),
        Entry::GivenUp { sequence, .. } => queue.give_up(*sequence),
        Entry::Forgotten { sequences, .. } => queue.forget(sequences),
        Entry::Counts { counts, .. } => queue.counts = *counts,
        Entry::Held { sequence, attempts, place, .. } => queue.hold(*sequence, *attempts, *place),
        _ => {}
    }
}
