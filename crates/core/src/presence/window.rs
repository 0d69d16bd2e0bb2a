//! The exact count.
//!
//! Counts are plain numbers, changed only when a client comes online or its time is up; a sighting
//! of a client that is online already costs one look-up. The times are kept to the millisecond.

mod clocks;
mod gateways;
mod queues;
mod slots;
mod table;
mod tenants;

use std::{iter, mem};

use self::{
    clocks::Clocks,
    gateways::{Connected, Gateways, Told},
    queues::{Away, Queues},
    slots::{Id, Ids, Slot},
    table::Slots,
    tenants::Tenants,
};
use super::{Report, Sighting, Status, WINDOW_MS};
use crate::{ClientId, Millis, Tenant};

/// For how long a client that is not online stays known, in milliseconds.
pub(super) const KNOWN_MS: i64 = 86_400_000;

/// How many clients that are not online stay known: of more, those that left first are forgotten
/// early. Who is online, or has sessions, is never forgotten for that.
const KNOWN_MAX: usize = 10_000_000;

/// How many clients are looked at in one tick to be forgotten, so that nobody waits for it long.
const FORGET_MAX: usize = 100_000;

/// How far ahead of the window's edge clients leave their queues, in milliseconds: so a count finds
/// that done.
const EARLY_MS: i64 = 2_000;

/// How far before the present times can be told, in milliseconds, and after how long they are told
/// anew: 32 bits hold fifty days.
const REACH_MS: i64 = 2 * KNOWN_MS;
const REBASE_MS: i64 = 30 * KNOWN_MS;

const MINUTE: i64 = 60_000;

/// Sightings that are looked for at once.
const AHEAD: usize = 32;

/// How many clients are online.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Unique clients seen online in the window.
    pub online: u64,
    /// Sessions open, as the gateways last reported.
    pub connected: u64,
}

/// What is known of one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether it counts as online.
    pub online: bool,
    /// What it reported last.
    pub status: Status,
    /// When it was last seen online, if that is known.
    pub last_seen: Option<Millis>,
    /// Its sessions, as the gateways last reported.
    pub sessions: u32,
}

/// One point of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// When: the beginning of a minute.
    pub at: Millis,
    /// How many were online then.
    pub online: u64,
}

/// The clients of the last three minutes, and of the last day those that left.
///
/// Time comes in with each call; one before the latest is taken for the latest.
///
/// Everything is bounded by who is there: 44 to 63 bytes a client (measured, docs/benchmarks.md).
/// Who is online or connected is never left out; of those who left, ten million stay known for a
/// day. Of more than a million tenants at once the later ones are not counted, and the past is
/// known of 10,000, the first that had a client online.
#[derive(Debug)]
pub struct Window {
    ids: Ids,
    slots: Slots,
    queues: Queues,
    away: Away,
    clocks: Clocks,
    gateways: Gateways,
    tenants: Tenants,
    known_max: usize,
    /// What times in slots are told from.
    base: i64,
    /// The next minute that is noted.
    minute: i64,
    /// Empty; kept for its room.
    places: Vec<(Id, u8)>,
}

impl Window {
    /// An empty window. `seed` is random: nobody can make two clients that are taken for one.
    pub fn new(seed: u64, now: Millis) -> Self {
        Self {
            ids: Ids::new(seed),
            slots: Slots::new(),
            queues: Queues::new(now.plus(-WINDOW_MS).0),
            away: Away::default(),
            clocks: Clocks::default(),
            gateways: Gateways::new(),
            tenants: Tenants::new(),
            known_max: KNOWN_MAX,
            base: now.plus(-REACH_MS).0,
            minute: (now.0.div_euclid(MINUTE) + 1) * MINUTE,
            places: Vec::new(),
        }
    }

    /// Tells the times of a report that has just come by this clock, where its gateway's differs by
    /// a quarter of a second and more. Smaller differences may be the time that it took to come.
    pub fn correct(&mut self, report: &mut Report, now: Millis) {
        self.clocks.correct(report, now);
    }

    /// The greatest difference of a gateway's clock to this one's, in milliseconds; positive where
    /// it is behind.
    pub fn skew_ms(&self) -> i64 {
        self.clocks.skew_ms()
    }

    /// Folds a report. Folding it again, or folding an older one of its gateway late, changes
    /// nothing of what newer ones said; what an older one alone knows of who was seen counts.
    pub fn fold(&mut self, report: &Report, now: Millis) {
        self.advance(now);
        let told = self.gateways.hear(report, now, &mut self.slots);
        let mut connected = Connected::new();
        for part in &report.tenants {
            let sessions = if told.is_some() { part.connected } else { 0 };
            if sessions == 0 && part.sightings.is_empty() {
                continue;
            }
            let Some(tenant) = self.tenants.number(part.tenant) else { continue };
            if 0 < sessions {
                connected.insert(tenant, sessions);
            }
            for sightings in part.sightings.chunks(AHEAD) {
                self.sight(tenant, told, sightings, now);
            }
        }
        let Some(told) = told else { return };
        // What is added first is not let go of in between.
        for (&tenant, &sessions) in &connected {
            self.tenants.connect(tenant, sessions, true);
        }
        let before = self.gateways.set_connected(told, connected, &mut self.slots);
        self.disconnect(before);
    }

    fn disconnect(&mut self, connected: Connected) {
        for (tenant, sessions) in connected {
            self.tenants.connect(tenant, sessions, false);
        }
    }

    /// Folds a few sightings. All are looked for before the first is changed: so the processor
    /// waits for the memory of all of them at once.
    fn sight(&mut self, tenant: u32, told: Option<Told>, sightings: &[Sighting], now: Millis) {
        let mut ids = [None; AHEAD];
        for (id, sighting) in ids.iter_mut().zip(sightings) {
            *id = Some(self.ids.of(tenant, sighting.client.as_str()));
        }
        let known = self.slots.len();
        self.slots.touch(ids.iter().flatten().map(|id| id.short()));
        for (id, sighting) in ids.into_iter().flatten().zip(sightings) {
            self.sight_one(id, tenant, told, sighting);
        }
        let new = self.slots.len() - known;
        // Each that is new may push out two, so that it ends.
        for _ in 0..2 * new {
            if !self.is_crowded() {
                break;
            }
            let Some(oldest) = self.away.oldest() else { break };
            self.forget(oldest, now);
        }
    }

    #[inline]
    fn sight_one(&mut self, id: Id, tenant: u32, told: Option<Told>, sighting: &Sighting) {
        // Nobody is seen much later than now, whatever a clock says.
        let latest = Millis(self.queues.over_ms()).plus(2 * WINDOW_MS);
        let seen = sighting.seen.map_or(0, |seen| self.told(seen.min(latest)));
        if let Some(slot) = self.slots.get_mut(id) {
            if let Some(told) = told {
                self.gateways.set_sessions(slot, told, sighting.sessions);
            }
            // That it is not online is no sighting: it counts if it is the latest word.
            let last_word = told.is_some_and(|told| told.first || slot.seen <= seen);
            if slot.seen < seen || last_word && !sighting.status.is_online() {
                slot.set_status(sighting.status);
            }
            if seen <= slot.seen {
                return;
            }
            slot.seen = seen;
            if slot.is_online() {
                return;
            }
        } else {
            let mut slot = Slot::new(id, tenant);
            slot.seen = seen;
            slot.set_status(sighting.status);
            if let Some(told) = told {
                self.gateways.set_sessions(&mut slot, told, sighting.sessions);
            }
            self.slots.insert(slot);
            self.tenants.get_mut(tenant).clients += 1;
        }
        self.come(id);
    }

    /// A client that was not online was seen, or is new: puts it where it belongs.
    fn come(&mut self, id: Id) {
        let (base, over) = (self.base, self.queues.over_ms());
        let Some(slot) = self.slots.get_mut(id) else { return };
        let seen = base + i64::from(slot.seen);
        if slot.seen != 0 && over < seen {
            slot.set_online(true);
            slot.set_queued(Queues::place(seen));
            self.queues.push(seen, id.short());
            let tenant = slot.tenant();
            self.tenants.get_mut(tenant).online += 1;
            self.tenants.online += 1;
        } else if !slot.is_away() {
            slot.set_away(true);
            // One that was never seen is looked at when its day is over as well.
            let from = if slot.seen == 0 { over + WINDOW_MS } else { seen };
            self.away.push(from + KNOWN_MS, id.short());
        }
    }

    /// How many clients of a tenant are online, or of all: two numbers that are there already, and
    /// what is due since time was last let pass.
    pub fn count(&mut self, tenant: Option<&Tenant>, now: Millis) -> Count {
        self.advance(now);
        let Some(tenant) = tenant else {
            return Count { online: self.tenants.online, connected: self.tenants.connected };
        };
        let members = self.tenants.find(tenant).map(|number| self.tenants.get(number));
        members.map_or_else(Count::default, |members| Count {
            online: members.online.into(),
            connected: members.connected,
        })
    }

    /// The tenants with the most clients online, up to so many, and how many they are.
    pub fn largest(&self, tenants: usize) -> Vec<(Tenant, u64)> {
        self.tenants.largest(tenants)
    }

    /// What is known of one client.
    pub fn client(&self, tenant: &Tenant, client: &ClientId, now: Millis) -> Seen {
        let tenant = self.tenants.find(tenant);
        let slot = tenant.and_then(|tenant| self.slots.get(self.ids.of(tenant, client.as_str())));
        let Some(slot) = slot else { return Seen::default() };
        let last_seen = (slot.seen != 0).then(|| Millis(self.base + i64::from(slot.seen)));
        Seen {
            online: last_seen.is_some_and(|seen| now.since(seen) < WINDOW_MS),
            status: slot.status(),
            last_seen,
            sessions: self.gateways.sessions(slot, now),
        }
    }

    /// The last `minutes` of a tenant, or of all, as far as they are known: 1,440 at most,
    /// the oldest first.
    pub fn history(&self, tenant: Option<&Tenant>, minutes: usize) -> Vec<Point> {
        self.tenants.history(tenant, minutes)
    }

    /// Lets time pass: to be called each second or so, so that counts are fast.
    pub fn tick(&mut self, now: Millis) {
        self.advance(now);
        self.leave_queues(self.queues.over_ms() + EARLY_MS);
        self.clocks.tidy(now);
        for _ in 0..FORGET_MAX {
            let crowded = self.is_crowded().then(|| self.away.oldest()).flatten();
            let Some(client) = crowded.or_else(|| self.away.due(now.0)) else { break };
            self.forget(client, now);
        }
    }

    #[inline]
    fn advance(&mut self, now: Millis) {
        if self.minute <= now.0 {
            self.pass_minutes(now);
        }
        if self.gateways.is_due(now) {
            for connected in self.gateways.bury(now) {
                self.disconnect(connected);
            }
        }
        self.expire(now.plus(-WINDOW_MS).0);
    }

    /// Notes the minutes that have passed as they were.
    fn pass_minutes(&mut self, now: Millis) {
        if REBASE_MS < now.0 - self.base {
            self.rebase(now);
        }
        // After a pause of days only what is still known is told.
        self.minute = self.minute.max((now.0 - KNOWN_MS).div_euclid(MINUTE) * MINUTE);
        while self.minute <= now.0 {
            self.expire(self.minute - WINDOW_MS);
            self.tenants.note(self.minute);
            self.minute += MINUTE;
        }
    }

    /// Takes out what was last seen up to a time.
    #[inline]
    fn expire(&mut self, over: i64) {
        if over <= self.queues.over_ms() {
            return;
        }
        self.leave_queues(over);
        while self.expire_some(over) {}
        self.queues.set_over_ms(over);
    }

    /// Takes out a few; all are looked for before the first is changed, as with sightings.
    fn expire_some(&mut self, over: i64) -> bool {
        let due: Vec<_> = iter::from_fn(|| self.queues.pop(over)).take(AHEAD).collect();
        self.slots.touch(due.iter().map(|&(_, short)| short));
        let mut places = mem::take(&mut self.places);
        for &(seen, short) in &due {
            let place = Queues::place(seen);
            places.extend(self.slots.sharing(short).map(|slot| (slot.id(), place)));
        }
        for (id, place) in places.drain(..) {
            self.expire_client(id, place, over);
        }
        self.places = places;
        !due.is_empty()
    }

    /// Takes the clients of the seconds up to a time out of their queues, and puts them where they
    /// belong by when they were last seen.
    #[inline]
    fn leave_queues(&mut self, up_to: i64) {
        while let Some((place, clients)) = self.queues.next_second(up_to) {
            for clients in clients.chunks(AHEAD) {
                self.put_back(place, clients);
            }
            self.queues.settle();
        }
    }

    fn put_back(&mut self, place: u8, clients: &[u32]) {
        let mut places = mem::take(&mut self.places);
        self.slots.touch(clients.iter().copied());
        for &short in clients {
            places.extend(self.slots.sharing(short).map(|slot| (slot.id(), place)));
        }
        for (id, place) in places.drain(..) {
            let Some(slot) = self.slots.get_mut(id) else { continue };
            // Another that only shares a part of its id may stand elsewhere.
            if slot.is_online() && slot.queued() == place {
                let seen = self.base + i64::from(slot.seen);
                slot.set_queued(Queues::place(seen));
                self.queues.put_back(seen, id.short());
            }
        }
        self.places = places;
    }

    /// A client's place in a queue has come: it is over, unless it has been seen since.
    fn expire_client(&mut self, id: Id, place: u8, over: i64) {
        let base = self.base;
        let Some(slot) = self.slots.get_mut(id) else { return };
        if !slot.is_online() {
            return;
        }
        let seen = base + i64::from(slot.seen);
        if over < seen {
            // One that only shares a part of its id stands elsewhere.
            if slot.queued() == place {
                slot.set_queued(Queues::place(seen));
                self.queues.push(seen, id.short());
            }
            return;
        }
        slot.set_online(false);
        let (tenant, away) = (slot.tenant(), slot.is_away());
        slot.set_away(true);
        if !away {
            self.away.push(seen + KNOWN_MS, id.short());
        }
        self.tenants.get_mut(tenant).online -= 1;
        self.tenants.online -= 1;
    }

    /// Whether more clients are known than may be.
    fn is_crowded(&self) -> bool {
        let online = usize::try_from(self.tenants.online).unwrap_or(usize::MAX);
        self.known_max < self.slots.len().saturating_sub(online)
    }

    /// Looks at the clients that share this part of their ids, and forgets those whose day is over,
    /// and those that are more than may be.
    fn forget(&mut self, short: u32, now: Millis) {
        let crowded = self.is_crowded();
        let mut again: Option<i64> = None;
        let away = self.slots.sharing(short).filter(|slot| slot.is_away());
        for id in away.map(Slot::id).collect::<Vec<_>>() {
            let Some(slot) = self.slots.get_mut(id) else { continue };
            if slot.is_online() {
                slot.set_away(false);
                continue;
            }
            let seen = self.base + i64::from(slot.seen);
            let fresh = slot.seen != 0 && now.0 - seen < KNOWN_MS && !crowded;
            if fresh || 0 < self.gateways.sessions(slot, now) {
                // One place in the queue for all of them: so there are never more than clients.
                let at = if fresh { seen } else { now.0 } + KNOWN_MS;
                again = Some(again.map_or(at, |other| other.min(at)));
                continue;
            }
            let tenant = slot.tenant();
            self.slots.remove(id);
            self.tenants.get_mut(tenant).clients -= 1;
            self.tenants.tidy(tenant);
        }
        if let Some(at) = again {
            self.away.push(at, short);
        }
    }

    /// A time as it is kept in a slot. What is too old to be told was never.
    #[inline]
    fn told(&self, at: Millis) -> u32 {
        let told = at.0.saturating_sub(self.base).max(0);
        u32::try_from(told).unwrap_or(u32::MAX)
    }

    /// Tells all times from a later base, before 32 bits no longer hold them.
    fn rebase(&mut self, now: Millis) {
        let base = now.plus(-REACH_MS).0;
        let by = u32::try_from(base - self.base).unwrap_or(u32::MAX);
        for slot in self.slots.iter_mut() {
            slot.seen = slot.seen.saturating_sub(by);
        }
        self.base = base;
    }
}

#[cfg(test)]
mod tests;
