//! Publishes, decided.

use switchboard_core::{
    Code, Error as Refusal, Result as Answer, Tenant,
    bus::{Body, Draft, Published},
};

use super::{
    super::{
        entry::{EVENT_HEADER, EventEntry, TENANT_MAX},
        key_hash,
        reader::unreadable,
    },
    Head, Writer,
};
use crate::{Error, slots::Pair};

/// What is known of a key.
enum Known {
    /// Nothing: this slot is free for it.
    Free(u64),
    /// The event with this sequence was published with it, and says the same.
    Same(u64),
    /// It says something else.
    Other(u64),
    /// It can't be looked at.
    Unreadable(Refusal),
}

impl Writer {
    pub(super) fn publish(&mut self, drafts: &[Draft]) -> Result<Vec<Answer<Published>>, Error> {
        drafts.iter().map(|draft| self.publish_one(draft)).collect()
    }

    fn publish_one(&mut self, draft: &Draft) -> Result<Answer<Published>, Error> {
        let Draft { tenant, body, at } = draft;
        let has_key = !body.key().is_empty();
        let mut slot = None;
        if has_key && let Some(number) = self.tenants.number(tenant) {
            match self.find(number, body)? {
                Known::Unreadable(refusal) => return Ok(Err(refusal)),
                Known::Free(free) => slot = Some(free),
                Known::Same(sequence) => return Ok(Ok(Published { sequence, new: false })),
                Known::Other(sequence) => return Ok(Err(conflict(sequence))),
            }
        }
        if let Err(why) = self.reserve(event_len(body))? {
            return Ok(Err(refused(&why)));
        }
        let number = self.tenant(tenant);
        if has_key {
            let slot = match slot {
                Some(slot) => slot,
                None => self.names.free(key_hash(&self.names, number, body.key()))?,
            };
            self.names.insert(slot, self.fresh.numbers + 1);
            self.fresh.pairs.push(Pair { slot, id: self.fresh.numbers + 1 });
            self.fresh.keyed += 1;
        }
        Ok(Ok(Published { sequence: self.append(number, body, at.0), new: true }))
    }

    /// Adds an event to a tenant's log, for which there must be room.
    pub(super) fn append(&mut self, tenant: u32, body: &Body, at: i64) -> u64 {
        let head = &mut self.heads[tenant as usize];
        head.newest += 1;
        head.at = at.max(head.at);
        self.fresh.numbers += 1;
        let event = EventEntry {
            tenant,
            sequence: head.newest,
            at: head.at,
            number: self.fresh.numbers,
            body: body.as_bytes(),
        };
        self.group.event_of(head, &event, (body.topic(), body.kind()));
        head.newest
    }

    /// The number of a tenant, which gets one if it has none: there must be room for that.
    pub(super) fn tenant(&mut self, tenant: &Tenant) -> u32 {
        if let Some(number) = self.tenants.number(tenant) {
            return number;
        }
        self.group.define(*tenant);
        self.fresh.tenants.push(*tenant);
        self.heads.push(Head::new(*tenant));
        self.tenants.define(*tenant)
    }

    /// What is known of the key of an event.
    fn find(&mut self, tenant: u32, body: &Body) -> Result<Known, Error> {
        let hash = key_hash(&self.names, tenant, body.key());
        for probe in 0.. {
            let slot = hash.slot(probe);
            let Some(number) = self.names.find(slot)? else { return Ok(Known::Free(slot)) };
            let found = match self.group.event(number, self.fresh.numbers + 1) {
                Some(event) if event.tenant != tenant => None,
                Some(event) => {
                    let there = Body::from_bytes(&event.body.into(), 0, event.body.len());
                    there.map(|body| (event.sequence, body))
                }
                None => match self.shared.numbered(tenant, number) {
                    Ok(event) => event.map(|event| (event.sequence, event.body)),
                    Err(error) => return Ok(Known::Unreadable(unreadable(error))),
                },
            };
            match found {
                Some((sequence, there)) if there == *body => return Ok(Known::Same(sequence)),
                Some((sequence, there)) if there.key() == body.key() => {
                    return Ok(Known::Other(sequence));
                }
                _ => {}
            }
            // Two keys share a slot, which happens once in very many, or the event has expired: the
            // later has the next.
        }
        Ok(Known::Free(hash.slot(u32::MAX)))
    }
}

/// What publishing an event takes at most, in bytes.
pub(super) fn event_len(body: &Body) -> usize {
    EVENT_HEADER + body.as_bytes().len() + TENANT_MAX
}

fn conflict(sequence: u64) -> Refusal {
    let what = format!("the event {sequence} has the same key and says something else");
    Refusal::new(Code::Conflict, what)
}

pub(super) fn refused(why: &str) -> Refusal {
    let what = format!("the store takes no writes now: {why}; nothing was done, try again later");
    Refusal::new(Code::Unavailable, what)
}
