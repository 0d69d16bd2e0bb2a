//! What is durable and not in the tables yet.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use switchboard_core::{Tenant, vault::Profile};

use super::entry::{self, Key};

/// What is known of a tenant beside its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Card {
    /// The greatest version that was ever removed.
    pub(super) removed: u64,
    /// By number.
    pub(super) profiles: Arc<[Profile]>,
}

impl Card {
    /// Adds a profile, unless there is one of its number.
    pub(super) fn add(&mut self, profile: Profile) -> bool {
        if self.profiles.iter().any(|known| known.number == profile.number) {
            return false;
        }
        let mut profiles = self.profiles.to_vec();
        profiles.push(profile);
        profiles.sort_unstable_by_key(|profile| profile.number);
        self.profiles = profiles.into();
        true
    }
}

/// What is at a place now.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    /// A record as it is kept.
    Record(Arc<[u8]>),
    /// None any more.
    Nothing,
}

impl Kept {
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Record(bytes) => Some(bytes),
            Self::Nothing => None,
        }
    }
}

/// What happened once it is durable.
#[derive(Debug)]
pub(super) enum Happened {
    /// What is at a place.
    Place(Key, Kept),
    /// A tenant as it is now.
    Card(Tenant, Card),
}

/// What happened since the last generation.
#[derive(Debug, Default)]
pub(super) struct Generation {
    pub(super) records: BTreeMap<Key, Kept>,
    /// Those of them that expire, the earliest first.
    pub(super) expiring: BTreeSet<(i64, Key)>,
    /// The tenants of which anything changed.
    pub(super) cards: BTreeMap<Tenant, Card>,
    /// How many bytes all of that takes, roughly.
    pub(super) bytes: usize,
}

/// What each thing costs beside its own bytes, roughly.
const BESIDE: usize = 64;

impl Generation {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.cards.is_empty()
    }

    pub(super) fn apply(&mut self, happened: Happened) {
        match happened {
            Happened::Place(key, now) => {
                self.bytes += BESIDE + key.len() + now.bytes().map_or(0, <[u8]>::len);
                if let Some(at) = now.bytes().and_then(entry::expires_at) {
                    self.expiring.insert((at, key.clone()));
                }
                let before = self.records.insert(key.clone(), now);
                let Some(before) = before.as_ref().and_then(Kept::bytes) else { return };
                self.bytes -= before.len();
                let at = entry::expires_at(before);
                if let Some(at) = at.filter(|_| at != self.expires_at(&key)) {
                    self.expiring.remove(&(at, key));
                }
            }
            Happened::Card(tenant, card) => {
                self.bytes += BESIDE;
                self.cards.insert(tenant, card);
            }
        }
    }

    fn expires_at(&self, key: &[u8]) -> Option<i64> {
        self.records.get(key)?.bytes().and_then(entry::expires_at)
    }
}
