//! What the writer is asked for.

use std::{fmt, sync::Arc, time::Instant};

use switchboard_core::{
    ClientId, Error, Millis, Result, Tenant,
    bus::{
        Attendance, Draft, Gone, Published, Pull, QueueId, QueueName, QueueSettings, Settled,
        Settlement, Since,
    },
};

use super::{expiry::Expiring, queue::Counts};
use crate::queue::{Answer, Waiting};

/// Something that is to be done, and who waits for it.
#[derive(Debug)]
pub(crate) struct Work {
    pub(super) task: Task,
    pub(super) arrived: Instant,
}

#[derive(Debug)]
pub(super) enum Task {
    Publish {
        drafts: Vec<Draft>,
        answer: Answer<Vec<Result<Published>>>,
    },
    CreateQueue {
        queue: QueueId,
        settings: Box<QueueSettings>,
        since: Since,
        answer: Answer<(Look, bool)>,
    },
    DeleteQueue {
        queue: QueueId,
        answer: Answer<bool>,
    },
    Queue {
        queue: QueueId,
        answer: Answer<Look>,
    },
    Queues {
        tenant: Tenant,
        answer: Answer<Vec<Look>>,
    },
    Pull {
        pull: Pull,
        answer: Answer<Leases>,
    },
    Settle {
        settlement: Settlement,
        answer: Answer<Vec<Settled>>,
    },
    Sweep {
        now: Millis,
        answer: Answer<()>,
    },
    Attend {
        attendances: Vec<Attendance>,
        answer: Answer<()>,
    },
    /// Lets go of what was found out to be kept no more.
    Expire {
        expiring: Vec<Expiring>,
        answer: Answer<u64>,
    },
    /// Lets some of those leave that are behind a place in the order of all clients.
    Abandon {
        gone: Arc<Gone>,
        behind: Option<Place>,
        now: Millis,
        answer: Answer<Abandoned>,
    },
}

/// A client among all: the number of its tenant, and its id.
pub(super) type Place = (u32, ClientId);

/// How many notes were removed, and where to go on, if anything is left.
pub(super) type Abandoned = (u64, Option<Place>);

/// A queue as the writer knows it.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) tenant: u32,
    pub(super) name: QueueName,
    pub(super) settings: QueueSettings,
    pub(super) cursor: u64,
    pub(super) counts: Counts,
    pub(super) in_flight: usize,
    pub(super) waits: usize,
    /// The first of those that were delivered, and are kept and not done with.
    pub(super) oldest: Option<u64>,
}

/// What a pull got.
#[derive(Debug)]
pub(super) struct Leases {
    pub(super) tenant: u32,
    /// The events, and how often each was delivered.
    pub(super) deliveries: Vec<(u64, u32)>,
    pub(super) until: Millis,
    pub(super) more: bool,
    pub(super) next_at: Option<Millis>,
}

impl Waiting for Work {
    fn entries(&self) -> usize {
        match &self.task {
            Task::Publish { drafts, .. } => drafts.len(),
            Task::Settle { settlement, .. } => settlement.deliveries.len(),
            Task::Attend { attendances, .. } => attendances.len(),
            _ => 1,
        }
    }

    fn refuse(self, error: Error) {
        // Nobody may be waiting any more.
        match self.task {
            Task::Publish { answer, .. } => drop(answer.send(Err(error))),
            Task::CreateQueue { answer, .. } => drop(answer.send(Err(error))),
            Task::DeleteQueue { answer, .. } => drop(answer.send(Err(error))),
            Task::Queue { answer, .. } => drop(answer.send(Err(error))),
            Task::Queues { answer, .. } => drop(answer.send(Err(error))),
            Task::Pull { answer, .. } => drop(answer.send(Err(error))),
            Task::Settle { answer, .. } => drop(answer.send(Err(error))),
            Task::Sweep { answer, .. } | Task::Attend { answer, .. } => {
                drop(answer.send(Err(error)));
            }
            Task::Expire { answer, .. } => drop(answer.send(Err(error))),
            Task::Abandon { answer, .. } => drop(answer.send(Err(error))),
        }
    }
}

/// What is answered once the group is durable, or did not get so.
pub(super) struct Answered(Box<dyn FnOnce(Result<()>) + Send>);

impl Answered {
    pub(super) fn new<T: Send + 'static>(answer: Answer<T>, what: Result<T>) -> Self {
        // Nobody may be waiting any more.
        Self(Box::new(move |durable| drop(answer.send(durable.and(what)))))
    }

    pub(super) fn tell(self, durable: Result<()>) {
        (self.0)(durable);
    }
}

impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answered").finish_non_exhaustive()
    }
}
