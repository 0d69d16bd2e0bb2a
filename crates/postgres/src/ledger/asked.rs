//! What a group asks for: every key of it once, and what becomes of it.

use std::collections::HashMap;

use switchboard_core::ingest::{Entry, Receipt};

use super::Record;

/// The entries of a group, each once, in the order in which they first came.
#[derive(Debug, Default)]
pub(super) struct Asked<'a> {
    /// Whose the keys are.
    pub(super) tenants: Vec<&'a str>,
    /// The keys, as their numbers.
    pub(super) keys: Vec<i32>,
    /// By entry of the group: which of the distinct ones it is, and whether it is the first.
    places: Vec<(u32, bool)>,
}

/// What the database says of a distinct entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) id: i64,
    pub(super) new: bool,
}

impl<'a> Asked<'a> {
    pub(super) fn new(works: &'a [Record]) -> Self {
        let count = works.iter().map(|work| work.entries.len()).sum();
        let mut seen: HashMap<Entry, u32> = HashMap::with_capacity(count);
        let mut asked = Self { places: Vec::with_capacity(count), ..Self::default() };
        for entry in works.iter().flat_map(|work| &work.entries) {
            // A group is bounded, far below 2^32.
            let next = u32::try_from(asked.keys.len()).unwrap_or(u32::MAX);
            let place = *seen.entry(*entry).or_insert(next);
            asked.places.push((place, place == next));
            if place == next {
                asked.tenants.push(entry.tenant.as_str());
                // There are fewer keys than 2^31.
                asked.keys.push(i32::try_from(entry.key.number()).unwrap_or(i32::MAX));
            }
        }
        asked
    }

    /// The receipts of each batch, of what was found of each distinct entry. Of equal entries only
    /// the first is new.
    pub(super) fn receipts(&self, works: &[Record], found: &[Found]) -> Vec<Vec<Receipt>> {
        let mut places = self.places.iter();
        let batch = |work: &Record| {
            let places = places.by_ref().take(work.entries.len());
            let receipt = |&(place, first): &(u32, bool)| {
                let Found { id, new } = found[place as usize];
                Receipt { id: id.unsigned_abs(), new: new && first }
            };
            places.map(receipt).collect()
        };
        works.iter().map(batch).collect()
    }
}
