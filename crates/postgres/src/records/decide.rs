//! What becomes of changes, decided in memory.

use std::collections::BTreeMap;

use switchboard_core::vault::{Change, Expected, Outcome, Record, RecordId, Then};

use super::row::Head;

/// From this version on damage has made it: so many changes nobody makes.
const VERSION_MAX: u64 = 1 << 63;

/// What a group of changes has to do with a tenant.
#[derive(Debug, Default)]
pub(super) struct Part<'a> {
    /// The greatest version that was removed.
    pub(super) removed: u64,
    pub(super) places: BTreeMap<&'a RecordId, Place<'a>>,
}

/// The place of an id.
#[derive(Debug, Default)]
pub(super) struct Place<'a> {
    /// What the table has there.
    pub(super) before: Option<Before>,
    /// What has become of it.
    pub(super) now: Now<'a>,
}

/// A row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) version: u64,
    /// Whether its version is as it was put.
    pub(super) is_sound: bool,
}

/// What a place has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Now<'a> {
    /// What it was.
    #[default]
    Same,
    /// Another record.
    Put(&'a Record),
    /// Nothing, after this record was there for a moment.
    Passed(&'a Record),
    /// Nothing.
    Gone,
}

impl<'a> Part<'a> {
    /// Decides a change of one of the places; they are decided in order.
    pub(super) fn decide(&mut self, change: &'a Change) -> Outcome {
        let place = self.places.entry(&change.id).or_default();
        let there = place.there();
        let is_as_expected = match (change.expected, there) {
            (Expected::Absent, None) => true,
            (Expected::Version(expected), Some(there)) => expected == there.version,
            _ => false,
        };
        if !is_as_expected {
            return Outcome::Changed;
        }
        match &change.then {
            Then::Put(record) => {
                let greater_than = match there {
                    Some(there) if there.is_sound || there.version < record.version => {
                        there.version
                    }
                    // What damage has made of a version does not count.
                    _ => self.removed,
                };
                if record.version <= greater_than {
                    return Outcome::Changed;
                }
                place.now = Now::Put(record);
            }
            Then::Delete => {
                if let Some(there) = there {
                    self.removed = self.removed.max(there.removed());
                }
                place.now = match (place.before, place.now) {
                    (Some(_), _) => Now::Gone,
                    // It is put and deleted again, so that nobody else puts it at the same time.
                    (None, Now::Put(record) | Now::Passed(record)) => Now::Passed(record),
                    (None, Now::Same | Now::Gone) => Now::Same,
                };
            }
        }
        Outcome::Done
    }
}

impl Place<'_> {
    fn there(&self) -> Option<Before> {
        match self.now {
            Now::Same => self.before,
            Now::Put(record) => Some(Before { version: record.version, is_sound: true }),
            Now::Passed(_) | Now::Gone => None,
        }
    }
}

impl Before {
    /// The version that is not to be put again once it was removed. If it is damaged, nobody knows
    /// which that was: it counts as it is, unless that would leave none to go on with.
    pub(super) fn removed(self) -> u64 {
        if self.is_sound || self.version < VERSION_MAX { self.version } else { 0 }
    }

    pub(super) fn of(head: &Head, is_sound: bool) -> Self {
        Self { version: head.version, is_sound }
    }
}
