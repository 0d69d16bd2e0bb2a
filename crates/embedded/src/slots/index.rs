//! Slots and ids in memory, up to a bound.

use std::sync::Arc;

use hashbrown::HashTable;

use super::{Pair, Runs};
use crate::Error;

/// How many tables there are. Each grows by itself, so that no request waits for more than a small
/// one to be moved, and memory is never held twice.
const SHARDS: usize = 1 << 8;

/// What an entry takes in a table: itself and a byte of hashbrown's.
const SLOT_BYTES: usize = size_of::<Pair>() + 1;

/// The index of everything that was ever recorded.
#[derive(Debug)]
pub(crate) struct Index {
    shards: Vec<Shard>,
    runs: Arc<Runs>,
    /// The most bytes that one shard takes.
    shard_bytes_max: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Shard {
    pairs: HashTable<Pair>,
    /// Whether everything that was ever recorded in this shard is in memory, so that what is not
    /// here is nowhere.
    complete: bool,
}

impl Index {
    /// The index of what the sorted files hold: all of it in memory if it fits, else none of it
    /// yet.
    pub(crate) fn load(runs: Arc<Runs>, memory_bytes: usize) -> Result<Self, Error> {
        let set = runs.get();
        // A table is at worst just over 7/16 full.
        let needed = set.entries() * SLOT_BYTES as u64 * 16 / 7;
        let fits = needed <= memory_bytes as u64;
        // What fits in memory can be counted by a usize.
        let entries = if fits { usize::try_from(set.entries()).unwrap_or_default() } else { 0 };
        let shard = |_| Shard { pairs: HashTable::with_capacity(entries / SHARDS), complete: fits };
        let shards = (0..SHARDS).map(shard).collect();
        let mut index = Self { shards, runs, shard_bytes_max: memory_bytes / SHARDS, bytes: 0 };
        index.bytes = index.shards.iter().map(|shard| shard.pairs.allocation_size()).sum();
        if fits {
            set.for_each(|pair| index.insert(pair.slot, pair.id))?;
        }
        Ok(index)
    }

    /// The id of a slot, if it has one.
    #[inline]
    pub(crate) fn find(&mut self, slot: u64) -> Result<Option<u64>, Error> {
        let shard = &self.shards[shard_of(slot)];
        if let Some(pair) = shard.pairs.find(slot, |pair| pair.slot == slot) {
            return Ok(Some(pair.id));
        }
        if shard.complete {
            return Ok(None);
        }
        let found = self.runs.get().find(slot)?;
        if let Some(id) = found {
            // Asked for once, likely asked for again.
            self.insert(slot, id);
        }
        Ok(found)
    }

    /// Adds a slot that is not there.
    #[inline]
    pub(crate) fn insert(&mut self, slot: u64, id: u64) {
        let shard = &mut self.shards[shard_of(slot)];
        if shard.pairs.len() == shard.pairs.capacity() {
            let before = shard.pairs.allocation_size();
            shard.make_room(self.shard_bytes_max, &self.runs);
            self.bytes = self.bytes - before + shard.pairs.allocation_size();
        }
        shard.pairs.insert_unique(slot, Pair { slot, id }, |pair| pair.slot);
    }

    /// What the tables take, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes
    }
}

impl Shard {
    /// Grows the table or, where that would exceed the bound, forgets what can be looked up on
    /// disk.
    fn make_room(&mut self, bytes_max: usize, runs: &Runs) {
        let grown = 2 * self.pairs.num_buckets().max(4) * SLOT_BYTES;
        if bytes_max < grown {
            let flushed = runs.get().flushed_id();
            let before = self.pairs.len();
            self.pairs.retain(|pair| flushed < pair.id);
            self.complete &= self.pairs.len() == before;
            if self.pairs.len() < self.pairs.capacity() / 2 {
                return;
            }
            // What is not on disk yet stays, whatever the bound.
        }
        self.pairs.reserve(1, |pair| pair.slot);
    }
}

/// Bits in the middle: the tables use those at both ends.
#[inline]
fn shard_of(slot: u64) -> usize {
    usize::from(slot.to_le_bytes()[5])
}
