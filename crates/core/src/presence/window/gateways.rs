//! The gateways that report, and the sessions that they have.

use std::{
    collections::{BTreeMap, HashMap},
    mem,
};

use super::{
    slots::{Id, Slot},
    table::Slots,
};
use crate::{
    Millis,
    presence::{GatewayId, Report},
};

/// After how long without a report a gateway is taken for dead, in milliseconds.
pub(super) const SILENT_MS: i64 = 10_000;

/// The most gateways at once: sessions at further ones are not counted.
const GATEWAYS_MAX: usize = 50_000;

/// The number of no gateway.
const NOBODY: u16 = 0;

/// Open sessions by tenant.
pub(super) type Connected = HashMap<u32, u32>;

/// The gateways that are alive.
#[derive(Debug)]
pub(super) struct Gateways {
    numbers: HashMap<GatewayId, u16>,
    /// By number; a number is given again only once no slot holds it.
    alive: HashMap<u16, Gateway>,
    last: u16,
    /// Sessions of clients at further gateways than the one in their slot.
    further: BTreeMap<(Id, u16), u16>,
    /// None is taken for dead before.
    due: Millis,
}

#[derive(Debug)]
struct Gateway {
    id: GatewayId,
    /// When its newest report was made, by its own word.
    newest: Millis,
    /// The same, no later than it came.
    heard: Millis,
    connected: Connected,
}

/// What a report says of sessions, if it is the newest of its gateway.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    number: u16,
    /// Whether nothing as new of its gateway was folded before: neither itself nor another part.
    pub(super) first: bool,
    /// Whether its gateway has no sessions at all.
    idle: bool,
}

impl Gateways {
    pub(super) fn new() -> Self {
        Self {
            numbers: HashMap::new(),
            alive: HashMap::new(),
            last: NOBODY,
            further: BTreeMap::new(),
            due: Millis(i64::MAX),
        }
    }

    /// Hears a gateway's report. None when it says nothing of sessions any more: a newer one has
    /// come, or it is so old that its gateway may be dead.
    pub(super) fn hear(&mut self, report: &Report, now: Millis, slots: &mut Slots) -> Option<Told> {
        let (id, at, heard) = (report.gateway, report.at, report.at.min(now));
        let idle = report.tenants.iter().all(|part| part.connected == 0);
        if SILENT_MS <= now.since(at) {
            return None;
        }
        if let Some(&number) = self.numbers.get(&id) {
            let gateway = self.alive.get_mut(&number)?;
            let first = gateway.newest < at;
            let newest = gateway.newest <= at;
            gateway.newest = gateway.newest.max(at);
            gateway.heard = gateway.heard.max(heard);
            return newest.then_some(Told { number, first, idle });
        }
        if GATEWAYS_MAX <= self.alive.len() {
            return None;
        }
        let number = self.next_number(slots);
        self.numbers.insert(id, number);
        let gateway = Gateway { id, newest: at, heard, connected: Connected::new() };
        self.alive.insert(number, gateway);
        self.due = self.due.min(heard.plus(SILENT_MS));
        Some(Told { number, first: true, idle })
    }

    /// Sets the open sessions of a gateway by tenant, and returns what they were. One that has none
    /// left has none of any client either.
    pub(super) fn set_connected(
        &mut self,
        told: Told,
        connected: Connected,
        slots: &mut Slots,
    ) -> Connected {
        let Some(gateway) = self.alive.get_mut(&told.number) else { return Connected::new() };
        let left = told.idle && !gateway.connected.is_empty();
        let before = mem::replace(&mut gateway.connected, connected);
        if left && let Some(gateway) = self.alive.remove(&told.number) {
            self.further.retain(|&(_, other), _| other != told.number);
            let number = self.next_number(slots);
            self.numbers.insert(gateway.id, number);
            self.alive.insert(number, gateway);
        }
        before
    }

    fn next_number(&mut self, slots: &mut Slots) -> u16 {
        loop {
            if self.last == u16::MAX {
                // From here on numbers are given again: let nobody inherit sessions.
                for slot in slots.iter_mut().filter(|slot| !self.alive.contains_key(&slot.gateway))
                {
                    (slot.gateway, slot.sessions) = (NOBODY, 0);
                }
                self.last = NOBODY;
            }
            self.last += 1;
            if !self.alive.contains_key(&self.last) {
                return self.last;
            }
        }
    }

    /// Whether a gateway may have been silent for too long.
    #[inline]
    pub(super) fn is_due(&self, now: Millis) -> bool {
        self.due <= now
    }

    /// Takes gateways that have not reported for too long for dead, and returns the open sessions
    /// that each had.
    pub(super) fn bury(&mut self, now: Millis) -> Vec<Connected> {
        let dead = self.alive.extract_if(|_, gateway| gateway.is_dead(now));
        let dead: HashMap<u16, Gateway> = dead.collect();
        if !dead.is_empty() {
            self.further.retain(|(_, number), _| !dead.contains_key(number));
        }
        let heard = self.alive.values().map(|gateway| gateway.heard).min();
        self.due = heard.map_or(Millis(i64::MAX), |heard| heard.plus(SILENT_MS));
        let buried = dead.into_values().map(|gateway| {
            self.numbers.remove(&gateway.id);
            gateway.connected
        });
        buried.collect()
    }

    /// Notes the sessions that a client has at a gateway.
    #[inline]
    pub(super) fn set_sessions(&mut self, slot: &mut Slot, told: Told, sessions: u16) {
        let (gateway, sessions) = (told.number, if told.idle { 0 } else { sessions });
        if slot.gateway == gateway {
            slot.sessions = sessions;
        } else if slot.sessions == 0 || !self.alive.contains_key(&slot.gateway) {
            (slot.gateway, slot.sessions) = (gateway, sessions);
            if !self.further.is_empty() {
                self.further.remove(&(slot.id(), gateway));
            }
        } else if sessions == 0 {
            self.further.remove(&(slot.id(), gateway));
        } else {
            self.further.insert((slot.id(), gateway), sessions);
        }
    }

    /// The sessions of a client, at all gateways that are alive.
    pub(super) fn sessions(&self, slot: &Slot, now: Millis) -> u32 {
        let further = self.further.range((slot.id(), 0)..=(slot.id(), u16::MAX));
        let further = further.map(|(&(_, number), &sessions)| (number, sessions));
        let all = further.chain([(slot.gateway, slot.sessions)]);
        let is_alive = |number: u16| self.alive.get(&number).is_some_and(|one| !one.is_dead(now));
        all.filter(|&(number, _)| is_alive(number)).map(|(_, sessions)| u32::from(sessions)).sum()
    }

    /// Has the next numbers given again.
    #[cfg(test)]
    pub(super) fn run_out(&mut self) {
        self.last = u16::MAX;
    }
}

impl Gateway {
    fn is_dead(&self, now: Millis) -> bool {
        SILENT_MS <= now.since(self.heard)
    }
}
