//! The gateways that report, and the sessions that they have.

use std::collections::HashMap;

use super::slots::{Id, Slot};
use crate::{Millis, presence::GatewayId};

/// After how long without a report a gateway is taken for dead, in milliseconds.
const SILENT_MS: i64 = 10_000;

/// From where on a difference of clocks is one, in milliseconds: below it is the time that reports
/// take to come.
const SKEW_MS: i64 = 250;

/// For how long the smallest difference is kept, in milliseconds.
const SKEW_KEPT_MS: i64 = 60_000;

/// The gateways that are alive.
#[derive(Debug, Default)]
pub(super) struct Gateways {
    numbers: HashMap<GatewayId, u16>,
    /// By number; numbers are given again only after all have been.
    alive: HashMap<u16, Gateway>,
    last: u16,
    /// Sessions of clients at further gateways than the one in their slot.
    further: HashMap<(Id, u16), u16>,
}

#[derive(Debug)]
struct Gateway {
    id: GatewayId,
    reported: Millis,
    /// Open sessions by tenant.
    connected: HashMap<u32, u32>,
    /// How far its clock seems to be behind: the least of this minute and of the last.
    behind: [i64; 2],
    since: Millis,
}

impl Gateways {
    /// How far a gateway's clock is behind, by what it just said of the time; 0 where the
    /// difference may be the time that the report took.
    pub(super) fn behind(&mut self, id: GatewayId, at: Millis, now: Millis) -> i64 {
        let number = self.number(id, at);
        let seems = now.since(at);
        let Some(gateway) = self.alive.get_mut(&number) else { return 0 };
        if SKEW_KEPT_MS <= now.since(gateway.since) {
            gateway.behind = [gateway.behind[1], i64::MAX];
            gateway.since = now;
        }
        gateway.behind[1] = gateway.behind[1].min(seems);
        gateway.skew()
    }

    /// The greatest difference of a gateway's clock, in milliseconds.
    pub(super) fn skew_ms(&self) -> i64 {
        let skews = self.alive.values().map(Gateway::skew);
        skews.max_by_key(|skew| skew.abs()).unwrap_or_default()
    }

    /// The number of a gateway that has just reported.
    pub(super) fn number(&mut self, id: GatewayId, reported: Millis) -> u16 {
        if let Some(&number) = self.numbers.get(&id) {
            if let Some(gateway) = self.alive.get_mut(&number) {
                gateway.reported = gateway.reported.max(reported);
            }
            return number;
        }
        loop {
            // 0 is nobody's.
            self.last = self.last.checked_add(1).unwrap_or(1);
            if !self.alive.contains_key(&self.last) {
                break;
            }
        }
        self.numbers.insert(id, self.last);
        let gateway = Gateway {
            id,
            reported,
            connected: HashMap::new(),
            behind: [i64::MAX; 2],
            since: reported,
        };
        self.alive.insert(self.last, gateway);
        self.last
    }

    /// Sets the open sessions of a gateway by tenant, if this is its newest report, and returns
    /// what they were.
    pub(super) fn set_connected(
        &mut self,
        number: u16,
        at: Millis,
        connected: HashMap<u32, u32>,
    ) -> Option<HashMap<u32, u32>> {
        let gateway = self.alive.get_mut(&number)?;
        (gateway.reported <= at).then(|| std::mem::replace(&mut gateway.connected, connected))
    }

    /// Takes a gateway that has not reported for too long for dead, and returns the open sessions
    /// that it had by tenant.
    pub(super) fn next_dead(&mut self, now: Millis) -> Option<HashMap<u32, u32>> {
        let silent = |gateway: &Gateway| SILENT_MS <= now.since(gateway.reported);
        let (&number, _) = self.alive.iter().find(|(_, gateway)| silent(gateway))?;
        let gateway = self.alive.remove(&number)?;
        self.numbers.remove(&gateway.id);
        self.further.retain(|&(_, other), _| other != number);
        Some(gateway.connected)
    }

    /// Notes the sessions that a client has at a gateway.
    #[inline]
    pub(super) fn set_sessions(&mut self, slot: &mut Slot, gateway: u16, sessions: u16) {
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
    pub(super) fn sessions(&self, slot: &Slot) -> u32 {
        let further = |number: &u16| self.further.get(&(slot.id(), *number)).copied();
        let further: u32 = if self.further.is_empty() {
            0
        } else {
            self.alive.keys().filter_map(further).map(u32::from).sum()
        };
        let here = if self.alive.contains_key(&slot.gateway) { slot.sessions } else { 0 };
        further + u32::from(here)
    }
}

impl Gateway {
    fn skew(&self) -> i64 {
        match self.behind.into_iter().min() {
            Some(behind) if behind != i64::MAX && SKEW_MS <= behind.abs() => behind,
            _ => 0,
        }
    }
}
