//! Who is where, for whoever asks.

use std::{collections::BTreeSet, ops::Bound};

use switchboard_core::{Tenant, bus::Gone, presence::GatewayId};

use super::{entry::Stay, reader::Shared, work::Place};

impl Shared {
    /// Where a client is.
    pub(super) fn stay(&self, place: &Place) -> Stay {
        let state = self.read();
        let noted = state.generations().filter_map(|it| it.stays.get(place)).last();
        noted.cloned().unwrap_or_default()
    }

    /// Clients that are at gateways that are no more, in order, so many at most.
    pub(super) fn abandoned(&self, gone: &Gone, behind: Option<&Place>, max: usize) -> Vec<Place> {
        let state = self.read();
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let is_left = |stay: &Stay| stay.gateways.iter().any(|(it, _)| gone.includes(*it));
        let mut places = Vec::new();
        let now = state.current.stays.range((from, Bound::Unbounded));
        places.extend(
            now.filter(|(_, stay)| is_left(stay)).take(max).map(|(place, _)| place.clone()),
        );
        if let Some(flushing) = &state.flushing {
            let older = flushing.stays.range((from, Bound::Unbounded));
            let older = older
                .filter(|(place, stay)| is_left(stay) && !state.current.stays.contains_key(place));
            places.extend(older.take(max).map(|(place, _)| place.clone()));
        }
        places.sort_unstable();
        places.truncate(max);
        places
    }

    /// The gateways at which somebody is.
    pub(super) fn gateways(&self) -> Vec<GatewayId> {
        let state = self.read();
        let now = &state.current.stays;
        let older = state.flushing.iter().flat_map(|flushing| &flushing.stays);
        let older = older.filter(|(place, _)| !now.contains_key(place));
        let stays = now.iter().chain(older).map(|(_, stay)| stay);
        let all: BTreeSet<_> = stays.flat_map(|it| it.gateways.iter().map(|(it, _)| *it)).collect();
        all.into_iter().collect()
    }

    /// The sequence of a tenant's newest event.
    pub(super) fn newest_of(&self, tenant: &Tenant) -> u64 {
        let state = self.read();
        let newest =
            state.tenants.get(tenant).and_then(|&number| state.newest.get(number as usize));
        newest.copied().unwrap_or_default()
    }
}
