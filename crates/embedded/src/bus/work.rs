//! What the writer is asked for.

use std::time::Instant;

use switchboard_core::{
    Error, Result,
    bus::{Draft, Published},
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
    Publish { drafts: Vec<Draft>, answer: Answer<Vec<Result<Published>>> },
}

/// What is answered once the group is durable.
#[derive(Debug)]
pub(super) enum Answered {
    Published(Answer<Vec<Result<Published>>>, Vec<Result<Published>>),
}

impl Waiting for Work {
    fn entries(&self) -> usize {
        match &self.task {
            Task::Publish { drafts, .. } => drafts.len(),
        }
    }

    fn refuse(self, error: Error) {
        // Nobody may be waiting any more.
        match self.task {
            Task::Publish { answer, .. } => drop(answer.send(Err(error))),
        }
    }
}

impl Answered {
    /// The group is durable, or did not get so.
    pub(super) fn tell(self, durable: Result<()>) {
        match self {
            Self::Published(answer, published) => drop(answer.send(durable.map(|()| published))),
        }
    }
}
