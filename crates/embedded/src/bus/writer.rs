//! The one that writes: takes all that waits, decides it, makes it durable with one sync, lets it
//! be read, answers and signals it.
//!
//! Everything is decided here, between one sync and the next, in the order in which it came; so
//! there is no lock to hold over a sync, and a repeat of what is being written finds it.

mod attend;
mod group;
mod load;
mod publish;
mod queues;

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError, mpsc::SyncSender},
};

use switchboard_core::{Tenant, bus::Signals, store::Observer};

pub(super) use self::group::Group;
use super::{
    keeper::Flush,
    labels::Labels,
    queues::Queues,
    reader::Shared,
    work::{Answered, Task, Work},
};
use crate::{
    Error,
    health::{Gate, Health},
    log::Log,
    serve::{Writes, failed},
    slots::{Names, Pair},
    tenants::Tenants,
};

/// Who is told what happens.
pub(super) type Listener = Mutex<Option<Arc<dyn Signals>>>;

#[derive(Debug)]
pub(crate) struct Writer {
    pub(super) log: Log,
    pub(super) tenants: Tenants,
    pub(super) heads: Vec<Head>,
    pub(super) names: Names,
    pub(super) queues: Queues,
    /// Why what nobody settled in time is delivered again.
    pub(super) timed_out: Arc<str>,
    pub(super) shared: Arc<Shared>,
    pub(super) listener: Arc<Listener>,
    pub(super) gate: Arc<Gate>,
    pub(super) health: Arc<Health>,
    pub(super) observer: Arc<dyn Observer>,
    /// The longest payload of one record, in bytes.
    pub(super) payload_max: usize,
    /// After how many bytes they are handed to the keeper.
    pub(super) flush_bytes: usize,
    pub(super) group: Group,
    pub(super) fresh: Fresh,
    /// What was taken of another store and is not durable yet.
    pub(super) loading: Vec<u8>,
}

/// What is decided by, of one tenant.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) tenant: Tenant,
    /// The sequence of its newest event, and the time; the group under way included.
    pub(super) newest: u64,
    pub(super) at: i64,
    /// The sequence of the newest that is durable.
    pub(super) durable: u64,
    /// What the topics and types of the current generation are called.
    pub(super) labels: Labels,
}

/// What the sorted files and the tables do not have yet, beside the current generation.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    pub(super) pairs: Vec<Pair>,
    pub(super) tenants: Vec<Tenant>,
    pub(super) tenants_from: u32,
    /// The number of the last event of all.
    pub(super) numbers: u64,
    /// How many events ever had a key.
    pub(super) keyed: u64,
}

impl Head {
    /// Of a tenant without events.
    pub(super) fn new(tenant: Tenant) -> Self {
        Self { tenant, newest: 0, at: i64::MIN, durable: 0, labels: Labels::default() }
    }

    /// The events up to a sequence are not here.
    pub(super) fn move_to(&mut self, newest: u64, at: i64) {
        (self.newest, self.durable, self.at) = (newest, newest, at);
    }
}

impl Writer {
    fn decide(&mut self, task: Task) -> Result<(), Error> {
        let answered = match task {
            Task::Publish { drafts, answer } => Answered::new(answer, Ok(self.publish(&drafts)?)),
            Task::CreateQueue { queue, settings, since, answer } => {
                Answered::new(answer, self.create_queue(queue, *settings, since)?)
            }
            Task::DeleteQueue { queue, answer } => {
                Answered::new(answer, self.delete_queue(&queue)?)
            }
            Task::Queue { queue, answer } => Answered::new(answer, self.queue(&queue)?),
            Task::Queues { tenant, answer } => Answered::new(answer, Ok(self.queues(&tenant)?)),
            Task::Pull { pull, answer } => Answered::new(answer, self.pull(&pull)?),
            Task::Settle { settlement, answer } => Answered::new(answer, self.settle(&settlement)?),
            Task::Sweep { now, answer } => Answered::new(answer, self.sweep(now)?),
            Task::Attend { attendances, answer } => {
                Answered::new(answer, self.attend(&attendances)?)
            }
            Task::Expire { expiring, answer } => Answered::new(answer, self.expire(expiring)?),
            Task::Abandon { gone, behind, now, answer } => {
                Answered::new(answer, self.abandon(&gone, behind.as_ref(), now)?)
            }
        };
        self.group.answer(answered);
        Ok(())
    }

    /// Everything that the tables do not have yet. Waits for the keeper to be done with the last;
    /// none when it has failed.
    pub(crate) fn flush(&mut self) -> Option<Flush> {
        let position = self.log.position();
        let mut state = self.shared.change_when_flushed(|| self.health.has_failed())?;
        let generation = Arc::new(mem::take(&mut state.current));
        state.flushing = Some(Arc::clone(&generation));
        drop(state);
        for &tenant in generation.tenants.keys() {
            if let Some(head) = self.heads.get_mut(tenant as usize) {
                head.labels.clear();
            }
        }
        self.queues.forget_labels();
        let fresh = self.fresh.take(self.tenants.count());
        Some(Flush { generation, fresh, position })
    }

    fn listener(&self) -> Option<Arc<dyn Signals>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Writes for Writer {
    type Work = Work;
    type Flush = Flush;
    const WHAT: &'static str = "bus";

    fn commit(&mut self, works: &mut Vec<Work>) -> Result<(), Error> {
        for work in works.drain(..) {
            self.group.begin_work(work.arrived);
            self.decide(work.task)?;
        }
        self.end_group()
    }

    fn hand_over(&mut self, _flushes: &SyncSender<Flush>, _at_the_end: bool) {}

    fn refuse_group(&mut self) {
        for answered in self.group.take_answers() {
            answered.tell(Err(failed()));
        }
    }

    fn health(&self) -> &Arc<Health> {
        &self.health
    }
}

impl Fresh {
    /// Hands over what there is.
    fn take(&mut self, tenants: u32) -> Self {
        let next = Self {
            tenants_from: tenants,
            numbers: self.numbers,
            keyed: self.keyed,
            ..Self::default()
        };
        mem::replace(self, next)
    }
}
