//! What callers call things by names of their own, as slots.

use std::sync::Arc;

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::{Index, Runs};
use crate::Error;

/// Names as slots, and the number that each has.
///
/// A slot is a part of a keyed hash of who named the thing and what he calls it. Two names may
/// share one, so the thing itself is looked at; the next slot of the same hash is then tried.
#[derive(Debug)]
pub(crate) struct Names {
    index: Index,
    seed: u64,
}

/// The hash of one name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hash(u64, u64);

impl Names {
    pub(crate) fn load(runs: Arc<Runs>, memory_bytes: usize, seed: u64) -> Result<Self, Error> {
        Ok(Self { index: Index::load(runs, memory_bytes)?, seed })
    }

    /// The hash of a name: of all that `write` says.
    pub(crate) fn hash(&self, write: impl FnOnce(&mut SipHasher13)) -> Hash {
        let mut hasher = SipHasher13::new_with_keys(self.seed, !self.seed);
        write(&mut hasher);
        let hash = hasher.finish128();
        Hash(hash.h1, hash.h2)
    }

    /// The number of a slot, if it has one.
    pub(crate) fn find(&mut self, slot: u64) -> Result<Option<u64>, Error> {
        self.index.find(slot)
    }

    /// The first slot of a hash that is free.
    pub(crate) fn free(&mut self, hash: Hash) -> Result<u64, Error> {
        let mut slot = hash.slot(0);
        for probe in 1.. {
            if self.find(slot)?.is_none() {
                break;
            }
            slot = hash.slot(probe);
        }
        Ok(slot)
    }

    /// Gives a slot that is free to a number.
    pub(crate) fn insert(&mut self, slot: u64, number: u64) {
        self.index.insert(slot, number);
    }
}

impl Hash {
    /// The first slot of a name, and those after it.
    pub(crate) fn slot(self, probe: u32) -> u64 {
        self.0.wrapping_add(self.1.wrapping_mul(probe.into()))
    }
}
