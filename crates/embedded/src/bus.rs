//! Typed events, and queues whose events are shared.
//!
//! They have a log of their own in `bus/log/`, which takes everything first ([`entry`]). What came
//! lately is in memory too ([`recent`]).
//!
//! One thread decides and writes ([`writer`]), another puts away ([`keeper`]), and whoever asks
//! reads by himself ([`reader`]), the cheapest way that there is ([`plan`]).

mod bytes;
mod carry;
mod entry;
mod expiry;
mod keeper;
mod labels;
mod marks;
mod open;
mod part;
mod plan;
mod queue;
mod queues;
mod reader;
mod recent;
mod replay;
mod state;
mod stays;
mod tables;
mod work;
mod writer;

use std::{
    future,
    hash::Hasher as _,
    sync::{Arc, PoisonError},
    time::Instant,
};

use switchboard_core::{
    Millis, Result, Tenant,
    bus::{
        self, Attendance, Created, Draft, Gone, Page, Published, Pull, Pulled, QueueId,
        QueueSettings, QueueState, Read, Retention, Settled, Settlement, Signals, Since,
    },
    presence::GatewayId,
};

pub(crate) use self::{
    carry::Events,
    keeper::Keeper,
    open::{Parts, open, size},
    work::Work,
    writer::Writer,
};
use self::{reader::Shared, work::Task, writer::Listener};
use crate::{
    queue::{Answer, Queue},
    slots::{Hash, Names},
};

/// The length of a segment of the log, in bytes.
pub(crate) const SEGMENT_BYTES: usize = 32 * 1024 * 1024;

/// After how many bytes of the log events are put into a volume.
pub(crate) const FLUSH_BYTES: usize = 64 * 1024 * 1024;

/// The folder of all that is the bus's.
pub(crate) const FOLDER: &str = "bus";

/// The way to events and queues for all who ask.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) queue: Arc<Queue<Work>>,
    shared: Arc<Shared>,
    listener: Arc<Listener>,
}

impl Front {
    fn ask<T: Send + 'static>(&self, task: impl FnOnce(Answer<T>) -> Task) -> bus::Answer<T> {
        self.queue.ask(|answer| Work { task: task(answer), arrived: Instant::now() })
    }
}

/// The hash of an event's key.
fn key_hash(names: &Names, tenant: u32, key: &str) -> Hash {
    names.hash(|to| {
        to.write_u32(tenant);
        to.write(key.as_bytes());
    })
}

impl bus::Log for Front {
    fn publish(&self, drafts: Vec<Draft>) -> bus::Answer<Vec<Result<Published>>> {
        self.ask(|answer| Task::Publish { drafts, answer })
    }

    fn read(&self, read: Read) -> bus::Answer<Page> {
        // What is read is there at once: nothing is waited for but the disk.
        Box::pin(future::ready(self.shared.page(&read)))
    }

    fn create_queue(
        &self,
        queue: QueueId,
        settings: QueueSettings,
        since: Since,
    ) -> bus::Answer<Created> {
        let settings = Box::new(settings);
        let made = self.ask(|answer| Task::CreateQueue { queue, settings, since, answer });
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let (look, new) = made.await?;
            Ok(Created { queue: shared.queue_state(look)?, new })
        })
    }

    fn delete_queue(&self, queue: QueueId) -> bus::Answer<bool> {
        self.ask(|answer| Task::DeleteQueue { queue, answer })
    }

    fn queue(&self, queue: QueueId) -> bus::Answer<QueueState> {
        let look = self.ask(|answer| Task::Queue { queue, answer });
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.queue_state(look.await?) })
    }

    fn queues(&self, tenant: Tenant) -> bus::Answer<Vec<QueueState>> {
        let looks = self.ask(|answer| Task::Queues { tenant, answer });
        let shared = Arc::clone(&self.shared);
        Box::pin(
            async move { looks.await?.into_iter().map(|look| shared.queue_state(look)).collect() },
        )
    }

    fn pull(&self, pull: Pull) -> bus::Answer<Pulled> {
        let leases = self.ask(|answer| Task::Pull { pull, answer });
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { Ok(shared.pulled(leases.await?)) })
    }

    fn settle(&self, settlement: Settlement) -> bus::Answer<Vec<Settled>> {
        self.ask(|answer| Task::Settle { settlement, answer })
    }

    fn sweep(&self, now: Millis) -> bus::Answer<()> {
        self.ask(|answer| Task::Sweep { now, answer })
    }

    fn attend(&self, attendances: Vec<Attendance>) -> bus::Answer<()> {
        self.ask(|answer| Task::Attend { attendances, answer })
    }

    fn abandon(&self, gone: Gone, now: Millis) -> bus::Answer<u64> {
        let (gone, queue) = (Arc::new(gone), Arc::clone(&self.queue));
        let part = move |behind| {
            let (gone, arrived) = (Arc::clone(&gone), Instant::now());
            let task = |answer| Task::Abandon { gone, behind, now, answer };
            queue.ask(|answer| Work { task: task(answer), arrived })
        };
        let first = part(None);
        Box::pin(async move {
            let (mut notes, mut behind) = first.await?;
            // A part at a time, so that others are not held up.
            while behind.is_some() {
                let (more, next) = part(behind).await?;
                notes += more;
                behind = next;
            }
            Ok(notes)
        })
    }

    fn gateways(&self) -> bus::Answer<Vec<GatewayId>> {
        Box::pin(future::ready(Ok(self.shared.gateways())))
    }

    fn newest(&self, tenants: Vec<Tenant>) -> bus::Answer<Vec<u64>> {
        let newest = tenants.iter().map(|tenant| self.shared.newest_of(tenant)).collect();
        Box::pin(future::ready(Ok(newest)))
    }

    fn expire(&self, rules: Arc<[Retention]>, now: Millis) -> bus::Answer<u64> {
        match self.shared.expiring(&rules, now) {
            Ok(expiring) if expiring.is_empty() => Box::pin(future::ready(Ok(0))),
            Ok(expiring) => self.ask(|answer| Task::Expire { expiring, answer }),
            Err(refusal) => Box::pin(future::ready(Err(refusal))),
        }
    }

    fn listen(&self, signals: Arc<dyn Signals>) {
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(signals);
    }
}
