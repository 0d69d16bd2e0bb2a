//! Where the clients stand: a hash table with linear probing.
//!
//! Of ten million clients, waiting for memory is the cost of a sighting. So the places of many are
//! fetched together ([`Slots::touch`]), which a general table has no call for; and the table is in
//! parts, each grown by itself, so that nobody waits until all clients have moved (hashbrown's:
//! 120 ms for ten million, docs/benchmarks.md).

use std::{hint, mem};

use super::slots::{Id, Slot};

/// How many parts, as a power of two: a client's is the upper bits of its short id.
const PARTS_LOG2: u32 = 8;

/// Room of a part at first.
const ROOM: usize = 16;

/// All clients.
#[derive(Debug)]
pub(super) struct Slots {
    parts: Vec<Part>,
    len: usize,
}

#[derive(Clone, Debug, Default)]
struct Part {
    /// An id of nobody is an empty place.
    places: Vec<Slot>,
    len: usize,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self { parts: vec![Part::default(); 1 << PARTS_LOG2], len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Has the memory fetched in which clients probably stand, before they are looked for. Nothing
    /// branches by what is read: so the processor waits for all of them at once.
    #[inline]
    pub(super) fn touch(&self, shorts: impl Iterator<Item = u32>) {
        let touched = shorts.map(|short| {
            let part = &self.parts[part(short)];
            let home = part.home(short);
            // Most stand near their home, which is in one line of the cache or in the next.
            let seen = |place: usize| part.places.get(place).map_or(0, |slot| slot.seen);
            seen(home) ^ seen(home + 3)
        });
        hint::black_box(touched.fold(0, |all, one| all ^ one));
    }

    #[inline]
    pub(super) fn get(&self, id: Id) -> Option<&Slot> {
        self.sharing(id.short()).find(|slot| slot.id() == id)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut Slot> {
        let part = &mut self.parts[part(id.short())];
        let place = part.find(id)?;
        part.places.get_mut(place)
    }

    /// Takes in a client that is not there.
    pub(super) fn insert(&mut self, slot: Slot) {
        self.parts[part(slot.id().short())].insert(slot);
        self.len += 1;
    }

    pub(super) fn remove(&mut self, id: Id) {
        let part = &mut self.parts[part(id.short())];
        if let Some(place) = part.find(id) {
            part.remove(place);
            self.len -= 1;
        }
    }

    /// The clients that share this part of their ids; nearly always one.
    #[inline]
    pub(super) fn sharing(&self, short: u32) -> impl Iterator<Item = &Slot> {
        self.parts[part(short)].from(short).filter(move |slot| slot.id().short() == short)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        let places = self.parts.iter_mut().flat_map(|part| &mut part.places);
        places.filter(|slot| !slot.is_empty())
    }
}

/// The part in which a client stands.
#[inline]
fn part(short: u32) -> usize {
    (short >> (u32::BITS - PARTS_LOG2)) as usize
}

impl Part {
    /// Where a client stands, if no other stands there.
    #[inline]
    fn home(&self, short: u32) -> usize {
        // The rest of the bits, spread over the places.
        let share = u64::from(short << PARTS_LOG2) * self.places.len() as u64;
        (share >> u32::BITS) as usize
    }

    /// The clients from a home on, up to the next empty place.
    #[inline]
    fn from(&self, short: u32) -> impl Iterator<Item = &Slot> {
        let (before, after) = self.places.split_at(self.home(short));
        after.iter().chain(before).take_while(|slot| !slot.is_empty())
    }

    #[inline]
    fn find(&self, id: Id) -> Option<usize> {
        let home = self.home(id.short());
        let past = self.from(id.short()).position(|slot| slot.id() == id)?;
        let place = home + past;
        Some(if place < self.places.len() { place } else { place - self.places.len() })
    }

    fn insert(&mut self, slot: Slot) {
        // At most three quarters of the places are taken.
        if self.places.len() * 3 <= self.len * 4 {
            let room = ROOM.max(self.places.len() / 2 * 3);
            let full = mem::replace(&mut self.places, vec![Slot::EMPTY; room]);
            for slot in full.into_iter().filter(|slot| !slot.is_empty()) {
                self.put(slot);
            }
        }
        self.put(slot);
        self.len += 1;
    }

    fn put(&mut self, slot: Slot) {
        let mut place = self.home(slot.id().short());
        while !self.places[place].is_empty() {
            place = self.next(place);
        }
        self.places[place] = slot;
    }

    /// Empties a place, and moves those up that stand behind it for want of one.
    fn remove(&mut self, mut place: usize) {
        let mut other = self.next(place);
        while !self.places[other].is_empty() {
            let home = self.home(self.places[other].id().short());
            if self.way(place, other) <= self.way(home, other) {
                self.places[place] = self.places[other];
                place = other;
            }
            other = self.next(other);
        }
        self.places[place] = Slot::EMPTY;
        self.len -= 1;
    }

    fn next(&self, place: usize) -> usize {
        if place + 1 < self.places.len() { place + 1 } else { 0 }
    }

    /// How many places it is from one to another.
    fn way(&self, from: usize, to: usize) -> usize {
        if from <= to { to - from } else { to + self.places.len() - from }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn who_comes_in_is_found_until_he_goes(
            // Few homes, all at the end of a part: many share them, and stand at its beginning.
            steps in vec((any::<bool>(), 0_u32..40, 0_u32..4), 0..120),
        ) {
            let (mut slots, mut model) = (Slots::new(), BTreeMap::new());
            for (comes, home, rest) in steps {
                let id = Id::made((7 << 24) + 0x00ff_ffff - (home << 18), rest);
                if comes && !model.contains_key(&id) {
                    slots.insert(Slot::new(id, rest));
                    model.insert(id, rest);
                } else if !comes {
                    slots.remove(id);
                    model.remove(&id);
                }
                prop_assert_eq!(slots.len(), model.len());
                prop_assert_eq!(slots.iter_mut().count(), model.len());
                for (&id, &rest) in &model {
                    prop_assert_eq!(slots.get(id).map(Slot::tenant), Some(rest));
                    prop_assert_eq!(slots.get_mut(id).map(|slot| slot.tenant()), Some(rest));
                    let shared = model.keys().filter(|other| other.short() == id.short()).count();
                    prop_assert_eq!(slots.sharing(id.short()).count(), shared);
                }
                prop_assert_eq!(slots.get(id).is_some(), model.contains_key(&id));
            }
        }
    }
}
