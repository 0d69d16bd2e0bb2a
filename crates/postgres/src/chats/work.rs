//! What the lanes are asked for.

use std::time::Instant;

use switchboard_core::{
    Millis, Result,
    chat::{Acknowledgement, Draft, Marks, Name, Registered, Sent, User},
};
use tokio::sync::oneshot::Sender;

use crate::lane;

/// Something to be written, with who waits for it.
#[derive(Debug)]
pub(super) enum Work {
    Send { drafts: Vec<Draft>, arrived: Instant, answer: Sender<Result<Vec<Result<Sent>>>> },
    Acknowledge { receipts: Vec<Acknowledgement>, answer: Sender<Result<Vec<Result<Marks>>>> },
    Register { user: User, name: Option<Name>, at: Millis, answer: Sender<Result<Registered>> },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Done {
    Sent(Vec<Result<Sent>>),
    Marks(Vec<Result<Marks>>),
    Registered(Registered),
}

impl lane::Work for Work {
    type Done = Done;

    fn weight(&self) -> usize {
        match self {
            Self::Send { drafts, .. } => drafts.len(),
            Self::Acknowledge { receipts, .. } => receipts.len(),
            Self::Register { .. } => 1,
        }
    }

    fn answer(self, done: Result<Done>) {
        // Whoever does not wait any more is told nothing.
        match (self, done) {
            (Self::Send { answer, .. }, Ok(Done::Sent(sent))) => drop(answer.send(Ok(sent))),
            (Self::Send { answer, .. }, Err(error)) => drop(answer.send(Err(error))),
            (Self::Acknowledge { answer, .. }, Ok(Done::Marks(marks))) => {
                drop(answer.send(Ok(marks)));
            }
            (Self::Acknowledge { answer, .. }, Err(error)) => drop(answer.send(Err(error))),
            (Self::Register { answer, .. }, Ok(Done::Registered(registered))) => {
                drop(answer.send(Ok(registered)));
            }
            (Self::Register { answer, .. }, Err(error)) => drop(answer.send(Err(error))),
            // Never: each kind of work comes to its own. A dropped answer is one that is not known.
            (_, Ok(_)) => {}
        }
    }
}
