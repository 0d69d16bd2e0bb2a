//! Events and queues.
//!
//! All that changes a tenant goes through one lane of this node, in the order in which it was
//! asked; of several nodes, whoever holds the tenant's head, or the queue's row, is the one that
//! decides ([`writer`]). Whoever reads asks the database by himself ([`search`]). Signals are those
//! of what this node has written: another carries them on.

pub(crate) mod append;
mod attend;
mod expire;
mod group;
mod held;
mod labels;
mod marks;
mod publish;
mod queue;
mod queues;
mod reader;
mod search;
mod state;
mod sweep;
mod takers;
mod upkeep;
mod work;
mod writer;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, PoisonError},
};

use switchboard_core::{
    Code, Error, Millis, Result, Tenant,
    bus::{
        self, Answer, Attendance, Created, Draft, Gone, Page, Published, Pull, Pulled, QueueId,
        QueueSettings, QueueState, Read, Retention, Settled, Settlement, Signals, Since,
    },
    presence::GatewayId,
};
use tokio_postgres::Row;

use self::{
    labels::Labels,
    work::{Done, Task, Work},
    writer::Writer,
};
use crate::{
    Ground,
    lane::{Fault, Lane},
    link::Link,
    readers::Readers,
};

/// Lanes, by the hash of tenants.
const LANES: [&str; 4] = ["bus-1", "bus-2", "bus-3", "bus-4"];

/// Where events and queues are kept.
#[derive(Clone, Debug)]
pub struct Front {
    lanes: Arc<[Lane<Work>]>,
    readers: Arc<Readers>,
    labels: Arc<Labels>,
    listener: Arc<Listener>,
    /// By which this node is told from others.
    node: i64,
}

/// Whoever is told.
#[derive(Debug, Default)]
struct Listener(Mutex<Option<Arc<dyn Signals>>>);

impl Listener {
    fn get(&self) -> Option<Arc<dyn Signals>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Front {
    pub(crate) fn new(ground: &Ground) -> Self {
        let (labels, listener) = (Arc::new(Labels::default()), Arc::new(Listener::default()));
        let lane = |name| ground.lane(name, Writer::new(&labels, &listener));
        let lanes = LANES.into_iter().map(lane).collect();
        let node = {
            use std::hash::{BuildHasher as _, RandomState};
            RandomState::new().hash_one(1).cast_signed()
        };
        Self { lanes, readers: Arc::clone(&ground.readers), labels, listener, node }
    }

    /// The place of a tenant's lane.
    fn lane(&self, tenant: Tenant) -> usize {
        let mut hasher = DefaultHasher::new();
        tenant.hash(&mut hasher);
        let lanes = self.lanes.len() as u64;
        usize::try_from(hasher.finish() % lanes).unwrap_or_default()
    }

    /// Hands something over to a lane; it has its place when this returns.
    fn ask(&self, lane: usize, task: Task) -> Answer<Done> {
        Box::pin(self.lanes[lane].ask(|answer| Work { task, answer }))
    }

    /// Reads something.
    async fn read_by<T, F>(&self, read: impl FnOnce(Arc<Link>) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let reading = self.readers.read(|link| {
            let reading = read(link);
            async move {
                match reading.await {
                    Ok(read) => Ok(Ok(read)),
                    Err(Fault::Refused(error)) => Ok(Err(error)),
                    Err(Fault::Database(error)) => Err(error),
                }
            }
        });
        reading.await?
    }

    /// How a queue is.
    async fn state_of(&self, queue: QueueId) -> Result<QueueState> {
        let labels = Arc::clone(&self.labels);
        let state =
            self.read_by(async move |link: Arc<Link>| state::queue(&link, &labels, &queue).await);
        state.await?.ok_or_else(no_queue)
    }
}

impl bus::Log for Front {
    fn publish(&self, drafts: Vec<Draft>) -> Answer<Vec<Result<Published>>> {
        let lanes: Vec<usize> = drafts.iter().map(|draft| self.lane(draft.tenant)).collect();
        let mut parts: Vec<Vec<Draft>> = self.lanes.iter().map(|_| Vec::new()).collect();
        for (draft, lane) in drafts.into_iter().zip(&lanes) {
            parts[*lane].push(draft);
        }
        let parts = parts.into_iter().enumerate().map(|(lane, part)| {
            let count = part.len();
            let asked = (0 < count).then(|| self.ask(lane, Task::Publish(part)));
            (count, asked)
        });
        let parts: Vec<_> = parts.collect();
        Box::pin(async move {
            let mut answers = Vec::with_capacity(parts.len());
            for (count, asked) in parts {
                let published = match asked {
                    None => Vec::new(),
                    Some(asked) => match asked.await {
                        Ok(Done::Published(published)) => published,
                        Ok(_) => return Err(mistaken()),
                        Err(error) if count == lanes.len() => return Err(error),
                        // Those of other tenants are answered all the same.
                        Err(error) => (0..count)
                            .map(|_| Err(Error::new(error.code(), error.to_string())))
                            .collect(),
                    },
                };
                answers.push(published.into_iter());
            }
            let each = lanes.into_iter().map(|lane| answers[lane].next().unwrap_or_else(lost));
            Ok(each.collect())
        })
    }

    fn read(&self, read: Read) -> Answer<Page> {
        let front = self.clone();
        Box::pin(async move {
            let labels = Arc::clone(&front.labels);
            let page = front
                .read_by(async move |link: Arc<Link>| reader::page(&link, &labels, &read).await);
            page.await?
        })
    }

    fn create_queue(
        &self,
        queue: QueueId,
        settings: QueueSettings,
        since: Since,
    ) -> Answer<Created> {
        let (front, settings) = (self.clone(), Box::new(settings));
        let made = Task::CreateQueue { queue: queue.clone(), settings, since };
        let made = self.ask(self.lane(queue.tenant), made);
        Box::pin(async move {
            let Done::Created(new) = made.await? else { return Err(mistaken()) };
            let new = new?;
            Ok(Created { queue: front.state_of(queue).await?, new })
        })
    }

    fn delete_queue(&self, queue: QueueId) -> Answer<bool> {
        let deleted = self.ask(self.lane(queue.tenant), Task::DeleteQueue(queue));
        Box::pin(async move {
            let Done::Deleted(there) = deleted.await? else { return Err(mistaken()) };
            Ok(there)
        })
    }

    fn queue(&self, queue: QueueId) -> Answer<QueueState> {
        let front = self.clone();
        Box::pin(async move { front.state_of(queue).await })
    }

    fn queues(&self, tenant: Tenant) -> Answer<Vec<QueueState>> {
        let front = self.clone();
        Box::pin(async move {
            let labels = Arc::clone(&front.labels);
            let states = front
                .read_by(async move |link: Arc<Link>| state::queues(&link, &labels, tenant).await);
            states.await
        })
    }

    fn pull(&self, pull: Pull) -> Answer<Pulled> {
        let pulled = self.ask(self.lane(pull.queue.tenant), Task::Pull(pull));
        Box::pin(async move {
            let Done::Pulled(pulled) = pulled.await? else { return Err(mistaken()) };
            pulled
        })
    }

    fn settle(&self, settlement: Settlement) -> Answer<Vec<Settled>> {
        let settled = self.ask(self.lane(settlement.queue.tenant), Task::Settle(settlement));
        Box::pin(async move {
            let Done::Settled(settled) = settled.await? else { return Err(mistaken()) };
            settled
        })
    }

    fn sweep(&self, now: Millis) -> Answer<()> {
        let front = self.clone();
        Box::pin(async move { front.sweep_all(now).await })
    }

    fn attend(&self, attendances: Vec<Attendance>) -> Answer<()> {
        let mut parts: Vec<Vec<Attendance>> = self.lanes.iter().map(|_| Vec::new()).collect();
        for attendance in attendances {
            parts[self.lane(attendance.tenant)].push(attendance);
        }
        let parts = parts.into_iter().enumerate().filter(|(_, part)| !part.is_empty());
        let parts: Vec<_> = parts.map(|(lane, part)| self.ask(lane, Task::Attend(part))).collect();
        Box::pin(async move {
            let mut noted = Ok(());
            for part in parts {
                noted = noted.and(part.await.map(|_| ()));
            }
            noted
        })
    }

    fn abandon(&self, gone: Gone, now: Millis) -> Answer<u64> {
        let front = self.clone();
        Box::pin(async move { front.abandon_all(gone, now).await })
    }

    fn gateways(&self) -> Answer<Vec<GatewayId>> {
        let front = self.clone();
        Box::pin(async move {
            let there =
                front.read_by(async |link: Arc<Link>| attend::gateways(&link).await).await?;
            let mut gateways: Vec<_> = there.into_iter().map(|(_, gateway)| gateway).collect();
            gateways.sort_unstable();
            gateways.dedup();
            Ok(gateways)
        })
    }

    fn newest(&self, tenants: Vec<Tenant>) -> Answer<Vec<u64>> {
        let front = self.clone();
        Box::pin(async move {
            let newest = front
                .readers
                .read(async move |link: Arc<Link>| reader::newest(&link, &tenants).await);
            newest.await
        })
    }

    fn expire(&self, rules: Arc<[Retention]>, now: Millis) -> Answer<u64> {
        let front = self.clone();
        Box::pin(async move { front.expire_all(rules, now).await })
    }

    fn listen(&self, signals: Arc<dyn Signals>) {
        *self.listener.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(signals);
    }
}

/// As the database counts.
fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// As the core counts.
fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// The place in a list that a row is about: the database counts from 1.
fn place(row: &Row, column: usize) -> usize {
    usize::try_from(row.get::<_, i64>(column) - 1).unwrap_or(usize::MAX)
}

/// The tenant that a column names.
fn tenant(row: &Row, column: usize) -> Result<Tenant, Fault> {
    row.get::<_, &str>(column).parse().map_err(|_| unreadable("a tenant"))
}

fn no_queue() -> Error {
    Error::new(Code::NotFound, "there is no such queue")
}

fn unreadable(what: &str) -> Fault {
    let what = format!("{what} that the database keeps can't be read");
    Fault::Refused(Error::new(Code::Unavailable, what))
}

fn mistaken() -> Error {
    Error::new(Code::Internal, "something else was answered than was asked")
}

fn lost() -> Result<Published> {
    Err(mistaken())
}
