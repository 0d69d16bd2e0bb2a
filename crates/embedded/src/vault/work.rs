//! What the writer is asked for.

use std::time::Instant;

use switchboard_core::{
    Error, Millis, Result, Tenant,
    vault::{Change, Outcome, Profile},
};

use crate::queue::{Answer, Waiting};

/// Something that is to be done, and who waits for it.
#[derive(Debug)]
pub(crate) struct Work {
    pub(super) task: Task,
    pub(super) arrived: Instant,
}

#[derive(Debug)]
pub(super) enum Task {
    Change {
        changes: Vec<Change>,
        answer: Answer<Vec<Outcome>>,
    },
    AddProfile {
        tenant: Tenant,
        profile: Profile,
        answer: Answer<std::sync::Arc<[Profile]>>,
    },
    /// Removes some of what has expired, and answers how many.
    Expire {
        now: Millis,
        answer: Answer<u64>,
    },
}

/// What is answered once the group is durable.
#[derive(Debug)]
pub(super) enum Answered {
    Changed(Answer<Vec<Outcome>>, Vec<Outcome>),
    Profiles(Answer<std::sync::Arc<[Profile]>>, std::sync::Arc<[Profile]>),
    Expired(Answer<u64>, u64),
}

impl Waiting for Work {
    fn entries(&self) -> usize {
        match &self.task {
            Task::Change { changes, .. } => changes.len(),
            Task::AddProfile { .. } | Task::Expire { .. } => 1,
        }
    }

    fn refuse(self, error: Error) {
        // Nobody may be waiting any more.
        match self.task {
            Task::Change { answer, .. } => drop(answer.send(Err(error))),
            Task::AddProfile { answer, .. } => drop(answer.send(Err(error))),
            Task::Expire { answer, .. } => drop(answer.send(Err(error))),
        }
    }
}

impl Answered {
    /// The group is durable, or did not get so.
    pub(super) fn tell(self, durable: Result<()>) {
        match self {
            Self::Changed(answer, outcomes) => drop(answer.send(durable.map(|()| outcomes))),
            Self::Profiles(answer, profiles) => drop(answer.send(durable.map(|()| profiles))),
            Self::Expired(answer, removed) => drop(answer.send(durable.map(|()| removed))),
        }
    }
}
