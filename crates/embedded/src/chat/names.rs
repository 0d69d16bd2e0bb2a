//! Which message a sender's own name for it stands for.

use std::{hash::Hasher as _, sync::Arc};

use siphasher::sip128::{Hasher128 as _, SipHasher13};
use switchboard_core::chat::ClientMessageId;

use super::keys::UserKey;
use crate::{
    Error,
    slots::{Index, Runs},
};

/// Names as slots, and where their messages stand.
///
/// A slot is a part of a keyed hash of who sent the message and what he calls it. Two names may
/// share one, so the message is looked at; the next slot of the same hash is then tried.
#[derive(Debug)]
pub(super) struct Names {
    index: Index,
    seed: u64,
}

/// The hash of one name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hash(u64, u64);

impl Names {
    pub(super) fn load(runs: Arc<Runs>, memory_bytes: usize, seed: u64) -> Result<Self, Error> {
        Ok(Self { index: Index::load(runs, memory_bytes)?, seed })
    }

    pub(super) fn hash(&self, sender: UserKey, id: &ClientMessageId) -> Hash {
        let mut hasher = SipHasher13::new_with_keys(self.seed, !self.seed);
        hasher.write_u32(sender.tenant);
        hasher.write_u64(sender.phone);
        hasher.write(id.as_str().as_bytes());
        let hash = hasher.finish128();
        Hash(hash.h1, hash.h2)
    }

    /// Where the message of a slot stands, if it has one.
    pub(super) fn find(&mut self, slot: u64) -> Result<Option<u64>, Error> {
        self.index.find(slot)
    }

    /// Gives a slot that is free to a message.
    pub(super) fn insert(&mut self, slot: u64, place: u64) {
        self.index.insert(slot, place);
    }
}

impl Hash {
    /// The first slot of a name, and those after it.
    pub(super) fn slot(self, probe: u32) -> u64 {
        self.0.wrapping_add(self.1.wrapping_mul(probe.into()))
    }
}
