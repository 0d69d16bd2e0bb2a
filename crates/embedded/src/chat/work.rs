//! What the writer is asked for.

use std::time::Instant;

use switchboard_core::{
    Error, Millis, Result,
    chat::{Acknowledgement, ClientMessageId, Draft, Marks, Name, Registered, Sent, Steps, User},
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
    Send { drafts: Vec<Draft>, answer: Answer<Vec<Result<Sent>>> },
    Acknowledge { receipts: Vec<Acknowledgement>, answer: Answer<Vec<Result<Marks>>> },
    Register { user: User, name: Option<Name>, at: Millis, answer: Answer<Registered> },
    Trace { sender: User, id: ClientMessageId, answer: Answer<Steps> },
}

/// What is answered once the group is durable.
#[derive(Debug)]
pub(super) enum Answered {
    Sent(Answer<Vec<Result<Sent>>>, Vec<Result<Sent>>),
    Marks(Answer<Vec<Result<Marks>>>, Vec<Result<Marks>>),
    Registered(Answer<Registered>, Result<Registered>),
    /// Where the message stands.
    Traced(Answer<Steps>, Result<u64>),
}

impl Waiting for Work {
    fn entries(&self) -> usize {
        match &self.task {
            Task::Send { drafts, .. } => drafts.len(),
            Task::Acknowledge { receipts, .. } => receipts.len(),
            Task::Register { .. } | Task::Trace { .. } => 1,
        }
    }

    fn refuse(self, error: Error) {
        // Nobody may be waiting any more.
        match self.task {
            Task::Send { answer, .. } => drop(answer.send(Err(error))),
            Task::Acknowledge { answer, .. } => drop(answer.send(Err(error))),
            Task::Register { answer, .. } => drop(answer.send(Err(error))),
            Task::Trace { answer, .. } => drop(answer.send(Err(error))),
        }
    }
}

impl Answered {
    /// The group did not get durable.
    pub(super) fn fail(self, error: Error) {
        match self {
            Self::Sent(answer, _) => drop(answer.send(Err(error))),
            Self::Marks(answer, _) => drop(answer.send(Err(error))),
            Self::Registered(answer, _) => drop(answer.send(Err(error))),
            Self::Traced(answer, _) => drop(answer.send(Err(error))),
        }
    }
}
