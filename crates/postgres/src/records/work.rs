//! What the lane of the vault is asked for.

use std::sync::Arc;

use switchboard_core::{
    Millis, Result, Tenant,
    vault::{Change, Outcome, Profile, Then},
};
use tokio::sync::oneshot::Sender;

use crate::lane;

/// So many bytes weigh as much as one change without any.
const WEIGHED: usize = 4_096;

/// How much one transaction takes of what was asked for at once.
const PART_MAX: usize = 1_024;

/// Something that is to be done, and who waits for it.
#[derive(Debug)]
pub(super) enum Work {
    Change { changes: Vec<Change>, answer: Sender<Result<Vec<Outcome>>> },
    AddProfile { tenant: Tenant, profile: Profile, answer: Sender<Result<Arc<[Profile]>>> },
    Expire { due: Due, answer: Sender<Result<Gone>> },
}

/// Records of a tenant whose time is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// As the table has it.
    pub(super) tenant: String,
    pub(super) now: Millis,
    /// Behind which time and id they are.
    pub(super) behind: (i64, Vec<u8>),
}

impl Due {
    /// All that are due.
    pub(super) fn first(tenant: String, now: Millis) -> Self {
        Self { tenant, now, behind: (i64::MIN, Vec::new()) }
    }
}

/// What was removed because its time was up.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) removed: u64,
    /// What may still be due.
    pub(super) rest: Option<Due>,
}

/// What came of a work.
#[derive(Debug)]
pub(super) enum Done {
    Changed(Vec<Outcome>),
    Profiles(Arc<[Profile]>),
    Expired(Gone),
}

impl lane::Work for Work {
    type Done = Done;

    fn weight(&self) -> usize {
        match self {
            Self::Change { changes, .. } => changes.iter().map(weight).sum(),
            Self::AddProfile { .. } => 1,
            Self::Expire { .. } => super::expiry::PART_MAX,
        }
    }

    fn answer(self, done: Result<Done>) {
        // Nobody may be waiting any more.
        match (self, done) {
            (Self::Change { answer, .. }, Ok(Done::Changed(it))) => drop(answer.send(Ok(it))),
            (Self::AddProfile { answer, .. }, Ok(Done::Profiles(it))) => drop(answer.send(Ok(it))),
            (Self::Expire { answer, .. }, Ok(Done::Expired(it))) => drop(answer.send(Ok(it))),
            (Self::Change { answer, .. }, Err(error)) => drop(answer.send(Err(error))),
            (Self::AddProfile { answer, .. }, Err(error)) => drop(answer.send(Err(error))),
            (Self::Expire { answer, .. }, Err(error)) => drop(answer.send(Err(error))),
            // Each is done as what it is; whoever waits is told that nothing is known.
            (_, Ok(_)) => {}
        }
    }
}

fn weight(change: &Change) -> usize {
    match &change.then {
        Then::Put(record) => 1 + record.sealed.as_bytes().len() / WEIGHED,
        Then::Delete => 1,
    }
}

/// Changes in parts that a transaction can take: each happens by itself.
pub(super) fn parts(changes: Vec<Change>) -> Vec<Vec<Change>> {
    let mut parts: Vec<Vec<Change>> = Vec::new();
    let mut filled = PART_MAX;
    for change in changes {
        let weight = weight(&change);
        match parts.last_mut() {
            Some(part) if filled + weight <= PART_MAX => {
                part.push(change);
                filled += weight;
            }
            _ => {
                parts.push(vec![change]);
                filled = weight;
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use switchboard_core::vault::{Expected, Record, RecordId, Sealed};

    use super::*;

    fn put(len: usize) -> Change {
        let sealed = Sealed::new(vec![0; len]);
        let record = Record { version: 1, updated_at: Millis(0), expires_at: None, sealed };
        Change {
            tenant: "a".parse().unwrap(),
            id: RecordId::new("k").unwrap(),
            expected: Expected::Absent,
            then: Then::Put(record),
        }
    }

    #[track_caller]
    fn check(lengths: &[usize], expected: &[usize]) {
        let parts = parts(lengths.iter().map(|&len| put(len)).collect());
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn parts_are_bounded_by_number_and_bytes() {
        check(&[], &[]);
        check(&[0; 1_024], &[1_024]);
        check(&[0; 1_025], &[1_024, 1]);
        check(&[1 << 20; 8], &[3, 3, 2]);
        // One that is longer than a part goes alone.
        check(&[1, 16 << 20, 1, 1], &[1, 1, 2]);
    }
}
