//! What passphrases have become, for a short while.

use std::{collections::HashMap, sync::Arc, time::Duration};

use switchboard_core::vault::ClientKey;
use tokio::{sync::OnceCell, time::Instant};

/// What is derived once for all who wait for it.
pub(super) type Cell = Arc<OnceCell<ClientKey>>;

/// By what a passphrase is found again: a hash under a key that this process alone has. The
/// passphrase itself is not kept.
pub(super) type Address = [u8; 32];

/// A bounded number of keys, each for a bounded time; wiped when they are dropped.
#[derive(Debug)]
pub(super) struct Cache {
    places: HashMap<Address, Place>,
    places_max: usize,
    idle: Duration,
}

#[derive(Debug)]
struct Place {
    cell: Cell,
    born: Instant,
    used: Instant,
}

/// How many times the idle time a key is kept at most.
const AGE: u32 = 3;

impl Cache {
    pub(super) fn new(places_max: usize, idle: Duration) -> Self {
        Self { places: HashMap::new(), places_max, idle }
    }

    /// What is there for an address.
    pub(super) fn find(&mut self, address: &Address, now: Instant) -> Option<Cell> {
        let place = self.places.get_mut(address)?;
        if !place.is_fresh(now, self.idle) {
            self.places.remove(address);
            return None;
        }
        place.used = now;
        Some(Arc::clone(&place.cell))
    }

    /// A new place. Where there are too many, the one that was not used for longest goes.
    pub(super) fn add(&mut self, address: Address, now: Instant) -> Cell {
        if self.places_max <= self.places.len() {
            // A derivation takes a thousand times as long as looking at all of them.
            let oldest = self.places.iter().min_by_key(|(_, place)| place.used);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.places.remove(&oldest);
            }
        }
        let cell = Cell::default();
        let place = Place { cell: Arc::clone(&cell), born: now, used: now };
        self.places.insert(address, place);
        cell
    }

    /// Nothing came of a derivation, or it is not to be remembered.
    pub(super) fn remove(&mut self, address: &Address, cell: &Cell) {
        if self.places.get(address).is_some_and(|place| Arc::ptr_eq(&place.cell, cell)) {
            self.places.remove(address);
        }
    }

    /// Forgets those whose time is up.
    pub(super) fn forget(&mut self, now: Instant) {
        let idle = self.idle;
        self.places.retain(|_, place| place.is_fresh(now, idle));
    }

    pub(super) fn forget_all(&mut self) {
        self.places.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}

impl Place {
    fn is_fresh(&self, now: Instant, idle: Duration) -> bool {
        now.saturating_duration_since(self.used) < idle
            && now.saturating_duration_since(self.born) < AGE * idle
            // What is under way is waited for by somebody.
            || !self.cell.initialized() && 1 < Arc::strong_count(&self.cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(10);

    #[test]
    fn a_key_is_forgotten_when_nobody_uses_it() {
        let (mut cache, begin) = (Cache::new(9, IDLE), Instant::now());
        cache.add([1; 32], begin);
        assert!(cache.find(&[1; 32], begin + IDLE / 2).is_some());
        assert!(cache.find(&[1; 32], begin + IDLE).is_some(), "used since");
        cache.forget(begin + IDLE * 3 / 2);
        assert_eq!(cache.len(), 1);
        cache.forget(begin + IDLE * 2);
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn a_key_is_forgotten_after_a_while_whoever_uses_it() {
        let (mut cache, begin) = (Cache::new(9, IDLE), Instant::now());
        cache.add([1; 32], begin);
        for half in 1..6 {
            assert!(cache.find(&[1; 32], begin + IDLE / 2 * half).is_some());
        }
        assert!(cache.find(&[1; 32], begin + IDLE * 3).is_none());
    }

    #[test]
    fn the_one_not_used_for_longest_makes_room() {
        let (mut cache, begin) = (Cache::new(2, IDLE), Instant::now());
        let at = |ms| begin + Duration::from_millis(ms);
        cache.add([1; 32], at(0));
        cache.add([2; 32], at(1));
        assert!(cache.find(&[1; 32], at(2)).is_some());
        cache.add([3; 32], at(3));
        assert_eq!(cache.len(), 2);
        assert!(cache.find(&[2; 32], at(4)).is_none());
        assert!(cache.find(&[1; 32], at(4)).is_some());
    }
}
