//! What is asked of a lane of the bus.

use std::sync::Arc;

use switchboard_core::{
    ClientId, Millis, Result, Tenant,
    bus::{
        Attendance, Draft, Published, Pull, Pulled, QueueId, QueueSettings, Retention, Settled,
        Settlement, Since,
    },
    presence::GatewayId,
};
use tokio::sync::oneshot;

use crate::lane;

/// The weight of what shares its transaction with nothing: that of a whole group.
const ALONE: usize = 4_096;

/// The weight of what takes statements of its own.
const HEAVY: usize = 64;

/// Of so many bytes of a body each weighs as much as a small event.
const BYTES: usize = 1_024;

/// Something to be done, with who waits for it.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) task: Task,
    pub(super) answer: oneshot::Sender<Result<Done>>,
}

/// Something to be done, for tenants of one lane.
#[derive(Debug)]
pub(super) enum Task {
    Publish(Vec<Draft>),
    Attend(Vec<Attendance>),
    /// The next of those who were at these gateways leave.
    Abandon {
        tenant: Tenant,
        gateways: Vec<GatewayId>,
        behind: Option<ClientId>,
        now: Millis,
    },
    CreateQueue {
        queue: QueueId,
        settings: Box<QueueSettings>,
        since: Since,
    },
    DeleteQueue(QueueId),
    Pull(Pull),
    Settle(Settlement),
    /// What is due of a tenant's queues.
    Sweep {
        tenant: Tenant,
        now: Millis,
    },
    /// The next of what rules do not keep of a tenant's.
    Expire {
        tenant: Tenant,
        rules: Arc<[Retention]>,
        now: Millis,
    },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Done {
    Published(Vec<Result<Published>>),
    Attended,
    /// How many were noted, and behind whom there may be more.
    Abandoned(u64, Option<ClientId>),
    /// Whether it is new.
    Created(Result<bool>),
    Deleted(bool),
    Pulled(Result<Pulled>),
    Settled(Result<Vec<Settled>>),
    /// Whether there is more.
    Swept(bool),
    /// How many, and whether there is more.
    Expired(u64, bool),
}

impl lane::Work for Work {
    type Done = Done;

    fn weight(&self) -> usize {
        match &self.task {
            Task::Publish(drafts) => {
                drafts.iter().map(|draft| 1 + draft.body.as_bytes().len() / BYTES).sum()
            }
            Task::Attend(attendances) => attendances.len(),
            Task::Abandon { .. } | Task::CreateQueue { .. } | Task::DeleteQueue(_) => HEAVY,
            Task::Pull(pull) => pull.max as usize,
            Task::Settle(settlement) => settlement.deliveries.len(),
            Task::Sweep { .. } | Task::Expire { .. } => ALONE,
        }
    }

    fn answer(self, done: Result<Done>) {
        // Whoever asked may be gone.
        let _ = self.answer.send(done);
    }
}
