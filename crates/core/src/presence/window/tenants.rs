//! The tenants that have clients, and their past.

use std::collections::{HashMap, VecDeque};

use super::{Point, slots::TENANTS_MAX};
use crate::{Millis, Tenant};

/// How far back the past is known, in minutes.
pub(super) const MINUTES_MAX: usize = 1_440;

/// Tenants whose past is known.
const PASTS_MAX: usize = 10_000;

const MINUTE: i64 = 60_000;

/// The tenants that have clients.
#[derive(Debug)]
pub(super) struct Tenants {
    numbers: HashMap<Tenant, u32>,
    members: Vec<Members>,
    free: Vec<u32>,
    pub(super) online: u64,
    pub(super) connected: u64,
    past: Past,
    pasts: HashMap<Tenant, Past>,
    /// The minutes that were noted.
    minutes: VecDeque<u32>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    name: Option<Tenant>,
    pub(super) online: u32,
    pub(super) connected: u64,
    /// Clients that are known.
    pub(super) clients: u32,
}

/// How many were online in the minutes in which any were. Minutes are told since the Unix epoch; so
/// the pasts of all tenants take 115 MB at most, and rarely a tenth of it.
#[derive(Debug, Default)]
struct Past(VecDeque<(u32, u32)>);

impl Tenants {
    pub(super) fn new() -> Self {
        Self {
            numbers: HashMap::new(),
            members: Vec::new(),
            free: Vec::new(),
            online: 0,
            connected: 0,
            past: Past::default(),
            pasts: HashMap::new(),
            minutes: VecDeque::new(),
        }
    }

    /// The number of a tenant that is known.
    pub(super) fn find(&self, tenant: &Tenant) -> Option<u32> {
        self.numbers.get(tenant).copied()
    }

    /// The number of a tenant; none when there are as many as there may be.
    pub(super) fn number(&mut self, tenant: Tenant) -> Option<u32> {
        if let Some(number) = self.find(&tenant) {
            return Some(number);
        }
        let number = if let Some(number) = self.free.pop() {
            number
        } else {
            let number = u32::try_from(self.members.len()).ok()?;
            if TENANTS_MAX <= number {
                return None;
            }
            self.members.push(Members::default());
            number
        };
        self.get_mut(number).name = Some(tenant);
        self.numbers.insert(tenant, number);
        Some(number)
    }

    /// How many tenants are known.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// What is known of a tenant. Numbers come from here only.
    pub(super) fn get(&self, number: u32) -> &Members {
        &self.members[number as usize]
    }

    pub(super) fn get_mut(&mut self, number: u32) -> &mut Members {
        &mut self.members[number as usize]
    }

    /// Lets go of a tenant that has nothing left.
    pub(super) fn tidy(&mut self, number: u32) {
        let members = self.get_mut(number);
        if members.clients == 0
            && members.connected == 0
            && let Some(name) = members.name.take()
        {
            self.numbers.remove(&name);
            self.free.push(number);
        }
    }

    /// Adds to the open sessions of a tenant, or takes from them.
    pub(super) fn connect(&mut self, number: u32, sessions: u32, more: bool) {
        let (members, sessions) = (self.get_mut(number), u64::from(sessions));
        if more {
            members.connected += sessions;
            self.connected += sessions;
        } else {
            members.connected -= sessions;
            self.connected -= sessions;
            self.tidy(number);
        }
    }

    /// The tenants with the most clients online, up to so many.
    pub(super) fn largest(&self, tenants: usize) -> Vec<(Tenant, u64)> {
        let online = self.members.iter().filter(|members| 0 < members.online);
        let mut all: Vec<_> =
            online.filter_map(|members| Some((members.name?, u64::from(members.online)))).collect();
        all.sort_unstable_by_key(|&(tenant, online)| (std::cmp::Reverse(online), tenant));
        all.truncate(tenants);
        all
    }

    /// Notes the count at the beginning of a minute.
    pub(super) fn note(&mut self, at_ms: i64) {
        let minute = u32::try_from(at_ms.div_euclid(MINUTE)).unwrap_or_default();
        self.minutes.push_back(minute);
        if MINUTES_MAX < self.minutes.len() {
            self.minutes.pop_front();
        }
        let oldest = self.minutes.front().copied().unwrap_or(minute);
        self.past.note(minute, u32::try_from(self.online).unwrap_or(u32::MAX), oldest);
        for members in &self.members {
            let Some(name) = members.name.filter(|_| 0 < members.online) else { continue };
            if self.pasts.len() < PASTS_MAX || self.pasts.contains_key(&name) {
                self.pasts.entry(name).or_default().note(minute, members.online, oldest);
            }
        }
        // Whose past is empty has none.
        self.pasts.retain(|_, past| past.0.back().is_some_and(|&(last, _)| oldest <= last));
    }

    /// The last minutes of a tenant, or of all; the oldest first.
    pub(super) fn history(&self, tenant: Option<&Tenant>, minutes: usize) -> Vec<Point> {
        let past = match tenant {
            Some(tenant) => self.pasts.get(tenant),
            None => Some(&self.past),
        };
        let skip = self.minutes.len().saturating_sub(minutes);
        let point = |&minute: &u32| Point {
            at: Millis(i64::from(minute) * MINUTE),
            online: past.map(|past| past.at(minute)).unwrap_or_default(),
        };
        self.minutes.iter().skip(skip).map(point).collect()
    }
}

impl Past {
    fn note(&mut self, minute: u32, online: u32, oldest: u32) {
        if 0 < online {
            if self.0.len() == self.0.capacity() {
                // No more than there will ever be.
                let more =
                    self.0.len().clamp(8, 256).min(1 + MINUTES_MAX.saturating_sub(self.0.len()));
                self.0.reserve_exact(more);
            }
            self.0.push_back((minute, online));
        }
        while self.0.front().is_some_and(|&(first, _)| first < oldest) {
            self.0.pop_front();
        }
    }

    fn at(&self, minute: u32) -> u64 {
        let found = self.0.binary_search_by_key(&minute, |&(minute, _)| minute);
        found.map_or(0, |place| self.0[place].1.into())
    }
}
