//! What the transports share of the bus.

mod attendance;
mod consumer;
mod feed;
mod hub;
mod mailbox;
mod run;
mod subscription;

use std::{sync::Arc, time::Duration};

use serde::de::IgnoredAny;
use switchboard_core::{
    Code, Error, Result, Tenant,
    bus::{
        self, Body, Content, Created, Cursor, DELAY_MS_MAX, Delivery, DeliveryId, Draft, Event,
        IdempotencyKey, Interest, JSON, PULL_MAX, Published, Pull, QueueId, QueueName,
        QueueSettings, QueueState, Read, Retention, Settled, Settlement, Since, Verdict,
    },
    session::Settle,
};
use tokio::time;
use tokio_util::sync::CancellationToken;

pub(crate) use self::{
    attendance::Attendances,
    consumer::{Consumer, Given, prefetch},
    feed::{Fed, Feed, too_slow},
    hub::{Hub, Place, Stay},
    mailbox::Taken,
    run::Run,
    subscription::{CatchUp, Told},
};
use crate::{Limits, door::Entrance, node::Node, relay::Ears, telemetry::Metrics};

/// How much of a page is read at once, in bytes.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// The most deliveries that one request settles.
const SETTLE_MAX: usize = 1_000;

/// The longest time that a pull waits, in milliseconds.
pub(crate) const WAIT_MS_MAX: u32 = 20_000;

/// What a message has beside an event's data at the most, in bytes.
pub(crate) const BESIDE_DATA: usize = 4 * 1024;

/// How often queues are looked after.
const SWEEP: Duration = Duration::from_millis(500);

/// How often what has expired is let go of.
const EXPIRE: Duration = Duration::from_secs(10);

/// The bus of a node.
#[derive(Debug)]
pub(crate) struct Bus {
    pub(crate) hub: Arc<Hub>,
    pub(crate) attendances: Attendances,
    /// For how long events are kept.
    pub(crate) retention: Arc<[Retention]>,
}

impl Bus {
    /// A bus on which nobody is yet.
    pub(crate) fn new(metrics: &Arc<Metrics>, limits: &Limits, ears: &Arc<Ears>) -> Self {
        let bounds = (limits.events_waiting_bytes_max, limits.events_held_bytes_max);
        Self::with(Hub::new(metrics, bounds, ears), Arc::new([]))
    }

    /// The same, which keeps events so long.
    pub(crate) fn with(hub: Arc<Hub>, retention: Arc<[Retention]>) -> Self {
        Self { hub, attendances: Attendances::default(), retention }
    }
}

/// The ways in of one transport.
#[derive(Debug)]
pub(crate) struct Entrances {
    pub(crate) publish: Entrance,
    pub(crate) publish_stream: Entrance,
    pub(crate) read: Entrance,
    pub(crate) subscribe: Entrance,
    pub(crate) create_queue: Entrance,
    pub(crate) queue: Entrance,
    pub(crate) queues: Entrance,
    pub(crate) delete_queue: Entrance,
    pub(crate) pull: Entrance,
    pub(crate) settle: Entrance,
    pub(crate) consume: Entrance,
}

impl Entrances {
    pub(crate) fn new(node: &Node, transport: &'static str) -> Self {
        let entrance = |operation| Entrance::new(node, "bus", operation, transport);
        Self {
            publish: entrance("publish"),
            publish_stream: entrance("publish_stream"),
            read: entrance("read"),
            subscribe: entrance("subscribe"),
            create_queue: entrance("create_queue"),
            queue: entrance("queue"),
            queues: entrance("queues"),
            delete_queue: entrance("delete_queue"),
            pull: entrance("pull"),
            settle: entrance("settle"),
            consume: entrance("consume"),
        }
    }
}

/// What a caller publishes, as it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Publication<'a> {
    /// All but the key.
    pub(crate) content: Content<'a>,
    /// Empty: none.
    pub(crate) key: &'a str,
    pub(crate) ephemeral: bool,
}

/// A queue as a caller wants it, as it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) topics: &'a [String],
    pub(crate) types: &'a [String],
    pub(crate) ack_timeout_ms: u32,
    pub(crate) max_deliveries: u32,
    pub(crate) dead_letter_topic: &'a str,
    pub(crate) after: &'a str,
}

/// A page of events, and where it leads.
pub(crate) struct EventsRead {
    pub(crate) events: Vec<Event>,
    pub(crate) next: Cursor,
}

/// What is to be done with a publication.
#[derive(Debug)]
pub(crate) enum Publish {
    Durable(Draft),
    Ephemeral(Event),
}

/// Judges what a caller publishes.
///
/// # Errors
///
/// Why it can't be published.
pub(crate) fn judge_publish(
    node: &Node,
    tenant: Tenant,
    given: &Publication<'_>,
) -> Result<Publish> {
    let Publication { mut content, key, ephemeral } = *given;
    let at = node.ports.clock.now();
    let named = if key.is_empty() { None } else { Some(IdempotencyKey::new(key)?) };
    let refused = |what| Err(Error::new(Code::InvalidRequest, what));
    if ephemeral && named.is_some() {
        return refused("an ephemeral event has no idempotency key: nothing is kept of it");
    }
    if !ephemeral && !content.reply_to.is_empty() {
        return refused("only an ephemeral event has reply_to: who would answer later?");
    }
    content.key = named.as_ref();
    let body = Body::new(&content)?;
    if content.content_type == JSON
        && let Err(error) = serde_json::from_slice::<IgnoredAny>(content.data)
    {
        let what = format!("the data is said to be JSON, and is not: {error}");
        return Err(Error::new(Code::InvalidValue, what));
    }
    Ok(if ephemeral {
        Publish::Ephemeral(Event { sequence: 0, at, body })
    } else {
        Publish::Durable(Draft { tenant, body, at })
    })
}

impl Node {
    /// Publishes one event.
    pub(crate) async fn publish(
        &self,
        tenant: Tenant,
        given: &Publication<'_>,
    ) -> Result<Published> {
        match judge_publish(self, tenant, given)? {
            Publish::Ephemeral(event) => {
                self.relay.publish(&tenant, vec![event]);
                Ok(Published { sequence: 0, new: true })
            }
            Publish::Durable(draft) => {
                let published = one(self.ports.log.publish(vec![draft]).await?)?;
                self.count_published(&published);
                published
            }
        }
    }

    /// Counts how a publish ended. What is new is counted when it is signalled.
    pub(crate) fn count_published(&self, published: &Result<Published>) {
        match published {
            Ok(published) if !published.new => self.metrics.bus.repeated(),
            Err(error) if error.code() == Code::Conflict => self.metrics.bus.conflicted(),
            _ => {}
        }
    }

    /// A page of events, from the first where nothing is said.
    pub(crate) async fn read_events(
        &self,
        tenant: Tenant,
        interest: Interest,
        (after, limit): (&str, u32),
    ) -> Result<EventsRead> {
        let since = Since::read(&tenant, after, Since::Start)?;
        let (events_max, bytes_max) = (bus::page_limit(limit)?, PAGE_BYTES);
        // One that is to begin now has nothing.
        let events_max = if since == Since::Now { 0 } else { events_max };
        let read = Read { tenant, interest, since, events_max, bytes_max };
        let page = self.ports.log.read(read).await?;
        let next = Cursor::new(&tenant, page.position, page.expired);
        Ok(EventsRead { events: page.events, next })
    }

    /// Makes a queue, or finds it.
    pub(crate) async fn create_queue(
        &self,
        queue: QueueId,
        wanted: &Wanted<'_>,
    ) -> Result<Created> {
        let Wanted { topics, types, ack_timeout_ms, max_deliveries, .. } = *wanted;
        let interest = interest(topics, types)?;
        let numbers = (ack_timeout_ms, max_deliveries);
        let settings =
            QueueSettings::new(&queue.name, interest, numbers, wanted.dead_letter_topic)?;
        let since = Since::read(&queue.tenant, wanted.after, Since::Now)?;
        self.ports.log.create_queue(queue, settings, since).await
    }

    /// Takes deliveries of a queue, and waits for the first for so long.
    pub(crate) async fn pull(
        &self,
        queue: QueueId,
        max: u32,
        wait_ms: u32,
    ) -> Result<Vec<Delivery>> {
        let max = if max == 0 { 1 } else { max };
        if PULL_MAX < max || WAIT_MS_MAX < wait_ms {
            let what = format!("max is {PULL_MAX} at the most, and wait_ms {WAIT_MS_MAX}");
            return Err(Error::new(Code::TooLarge, what));
        }
        if wait_ms == 0 {
            let now = self.ports.clock.now();
            let pulled = self.ports.log.pull(Pull { queue, max, now }).await?;
            pulled.deliveries.iter().for_each(|it| self.metrics.bus.delivered(it.id.attempt));
            return Ok(pulled.deliveries);
        }
        let mut consumer = Consumer::new(self, queue, max);
        let first = async {
            loop {
                let given = std::future::poll_fn(|context| consumer.poll_next(context)).await?;
                if let Given::Delivery(first) = given {
                    return Ok(Some(*first));
                }
            }
        };
        let first = tokio::select! {
            first = first => first,
            () = time::sleep(Duration::from_millis(wait_ms.into())) => Ok(None),
            () = self.draining.cancelled() => Ok(None),
        };
        let mut deliveries = Vec::from_iter(first?);
        deliveries.extend(consumer.take_pulled());
        // They are the caller's now.
        consumer.settling(deliveries.iter().map(|delivery| delivery.id));
        Ok(deliveries)
    }

    /// Settles deliveries.
    pub(crate) async fn settle(&self, queue: QueueId, said: &Settle<'_>) -> Result<Outcomes> {
        let Judged { settlement, unknown } = judge_settle(self, &queue, said)?;
        let ids: Vec<_> = settlement.deliveries.iter().map(|(id, _)| *id).collect();
        let settled = self.ports.log.settle(settlement).await?;
        Ok(self.outcomes(&queue, &ids, unknown, &settled))
    }

    /// What came of settling, told and counted.
    pub(crate) fn outcomes(
        &self,
        queue: &QueueId,
        ids: &[DeliveryId],
        unknown: Vec<String>,
        settled: &[Settled],
    ) -> Outcomes {
        let mut counts = [0, 0, unknown.len() as u64];
        let mut refused: Vec<_> =
            unknown.into_iter().map(|name| (name, Settled::Unknown)).collect();
        for (id, settled) in ids.iter().zip(settled) {
            counts[*settled as usize] += 1;
            if *settled != Settled::Done {
                refused.push((id.written(queue).to_string(), *settled));
            }
        }
        self.metrics.bus.settled(counts);
        Outcomes { done: u32::try_from(counts[0]).unwrap_or(u32::MAX), refused }
    }

    /// Looks after queues until stopped.
    pub(crate) async fn sweep_queues(self, stop: CancellationToken) {
        while wait(SWEEP, &stop).await {
            let swept = self.ports.log.sweep(self.ports.clock.now()).await;
            tell(&swept, "queues could not be looked after");
        }
    }

    /// Lets go of what has expired until stopped.
    pub(crate) async fn expire_events(self, stop: CancellationToken) {
        if self.bus.retention.is_empty() {
            return stop.cancelled().await;
        }
        while wait(EXPIRE, &stop).await {
            let rules = Arc::clone(&self.bus.retention);
            let expired = self.ports.log.expire(rules, self.ports.clock.now()).await;
            tell(&expired, "events could not be let go of");
            self.metrics.bus.expired(expired.unwrap_or(0));
        }
    }
}

/// False once it is stopped.
async fn wait(pause: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = time::sleep(pause) => true,
    }
}

/// It is tried again.
fn tell<T>(done: &Result<T>, what: &'static str) {
    if let Err(error) = done {
        tracing::warn!(error = %error.chain(), what);
    }
}

/// A tenant's queue by its name.
///
/// # Errors
///
/// [`Code::InvalidQueue`].
pub(crate) fn queue(tenant: Tenant, name: &str) -> Result<QueueId> {
    Ok(QueueId { tenant, name: QueueName::new(name)? })
}

/// What somebody wants, as it is written.
///
/// # Errors
///
/// Those of [`Interest::new`].
pub(crate) fn interest<S: AsRef<str>>(topics: &[S], types: &[S]) -> Result<Interest> {
    Interest::new(topics.iter().map(AsRef::as_ref), types.iter().map(AsRef::as_ref))
}

/// What came of settling.
#[derive(Debug)]
pub(crate) struct Outcomes {
    /// How many were settled.
    pub(crate) done: u32,
    /// Those that were not, and why.
    pub(crate) refused: Vec<(String, Settled)>,
}

/// What was said of deliveries, judged.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) settlement: Settlement,
    /// What is no delivery of the queue.
    pub(crate) unknown: Vec<String>,
}

/// Judges what is said of deliveries.
///
/// # Errors
///
/// [`Code::TooLarge`] for too many, or too long a delay or reason; [`Code::InvalidRequest`].
pub(crate) fn judge_settle(node: &Node, queue: &QueueId, said: &Settle<'_>) -> Result<Judged> {
    let Settle { ack, nack, delay_ms, reason } = said;
    if SETTLE_MAX < ack.len() + nack.len() || DELAY_MS_MAX < *delay_ms {
        let what = format!(
            "at most {SETTLE_MAX} deliveries are settled at once, with a delay_ms of up to \
             {DELAY_MS_MAX}"
        );
        return Err(Error::new(Code::TooLarge, what));
    }
    let now = node.ports.clock.now();
    let back = Verdict::Return { at: now.plus((*delay_ms).into()), reason: bus::reason(reason)? };
    let mut unknown = Vec::new();
    let mut deliveries = Vec::with_capacity(ack.len() + nack.len());
    let acks = ack.iter().map(|name| (*name, Verdict::Acknowledge));
    for (name, verdict) in acks.chain(nack.iter().map(|name| (*name, back.clone()))) {
        match DeliveryId::read(queue, name) {
            Ok(id) => deliveries.push((id, verdict)),
            Err(_) => unknown.push(name.to_owned()),
        }
    }
    Ok(Judged { settlement: Settlement { queue: queue.clone(), deliveries, now }, unknown })
}

/// The one answer to one request.
fn one<T>(answers: Vec<T>) -> Result<T> {
    let [answer] = <[T; 1]>::try_from(answers).map_err(|_| {
        Error::new(Code::Internal, "the store gave another number of answers than requests")
    })?;
    Ok(answer)
}

/// A queue with its age.
pub(crate) fn age_ms(node: &Node, queue: &QueueState) -> Option<i64> {
    queue.oldest_at.map(|at| node.ports.clock.now().since(at).max(0))
}
