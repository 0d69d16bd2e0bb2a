//! What was read lately, in memory: a system call for each message of a list costs more than all
//! else.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use super::super::Location;

/// How long a part is that is kept as one, in bytes.
pub(super) const BLOCK: u64 = 16 * 1024;

/// How many places there are for a part; the one that came first gives way.
const WAYS: usize = 4;

/// Parts of segments, each in one of a few places.
#[derive(Debug)]
pub(super) struct Cache(Vec<Mutex<Set>>);

type Set = [Option<(u64, Arc<[u8]>)>; WAYS];

impl Cache {
    /// Keeps at most so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let block = usize::try_from(BLOCK).unwrap_or(usize::MAX);
        let sets = bytes / block / WAYS;
        Self((0..sets).map(|_| Mutex::default()).collect())
    }

    pub(super) fn get(&self, begin: Location) -> Option<Arc<[u8]>> {
        let set = self.set(begin)?.lock().unwrap_or_else(PoisonError::into_inner);
        let found = set.iter().flatten().find(|(place, _)| *place == begin.0);
        found.map(|(_, bytes)| Arc::clone(bytes))
    }

    pub(super) fn put(&self, begin: Location, bytes: &Arc<[u8]>) {
        let Some(set) = self.set(begin) else { return };
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        let mut moved = Some((begin.0, Arc::clone(bytes)));
        for place in &mut *set {
            // Two may have read it at once.
            if place.as_ref().is_some_and(|(there, _)| *there == begin.0) {
                return;
            }
            moved = mem::replace(place, moved);
        }
    }

    fn set(&self, begin: Location) -> Option<&Mutex<Set>> {
        // Parts that follow each other are spread evenly, by the golden ratio.
        let number = begin.0 / BLOCK;
        let turn = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let place = (turn * self.0.len() as u64) >> 32;
        self.0.get(usize::try_from(place).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(number: u8) -> Arc<[u8]> {
        vec![number; 4].into()
    }

    #[test]
    fn what_was_kept_is_found_until_it_gives_way() {
        let cache = Cache::new(4 * 16 * 1024);
        let place = |number: u64| Location((1 << 32) + number * BLOCK);
        assert_eq!(cache.get(place(0)), None);
        for number in 0..5_u8 {
            cache.put(place(number.into()), &bytes(number));
            cache.put(place(number.into()), &bytes(number));
        }
        let found = (0..5).map(|number| cache.get(place(number)).map(|it| it[0]));
        assert_eq!(found.collect::<Vec<_>>(), [None, Some(1), Some(2), Some(3), Some(4)]);
    }

    #[test]
    fn no_room_keeps_nothing() {
        let cache = Cache::new(0);
        cache.put(Location(BLOCK), &bytes(1));
        assert_eq!(cache.get(Location(BLOCK)), None);
    }
}
