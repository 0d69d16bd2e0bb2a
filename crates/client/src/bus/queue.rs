//! Queues: durable subscriptions whose events are shared among consumers.

use std::time::Duration;

use switchboard_proto::v1::{
    self, CreateQueueRequest, DeleteQueueRequest, GetQueueRequest, ListQueuesRequest, PullRequest,
    SettleRequest, SettleResponse,
};

use super::{Event, Interest};
use crate::{Client, Error, retry};

/// What a queue takes, and how it deals with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueSettings {
    /// Which events it takes.
    pub interest: Interest,
    /// How long a consumer may take to settle a delivery, in milliseconds: 1,000 to 43,200,000; 0
    /// for 30,000.
    pub ack_timeout_ms: u32,
    /// How often an event is delivered before it is given up: 1 to 1,000; 0 for 10.
    pub max_deliveries: u32,
    /// Where events go that are given up; empty for `sys.dead_letters.` and the queue's name. The
    /// queue's own filters must not match it.
    pub dead_letter_topic: String,
}

impl QueueSettings {
    /// A queue of these events, with the defaults.
    pub fn new(interest: Interest) -> Self {
        Self { interest, ..Self::default() }
    }
}

impl From<v1::QueueSettings> for QueueSettings {
    fn from(it: v1::QueueSettings) -> Self {
        let v1::QueueSettings { topics, types, ack_timeout_ms, max_deliveries, .. } = it;
        let (interest, dead_letter_topic) = (Interest { topics, types }, it.dead_letter_topic);
        Self { interest, ack_timeout_ms, max_deliveries, dead_letter_topic }
    }
}

impl From<QueueSettings> for v1::QueueSettings {
    fn from(it: QueueSettings) -> Self {
        let QueueSettings { interest, ack_timeout_ms, max_deliveries, dead_letter_topic } = it;
        let Interest { topics, types } = interest;
        Self { topics, types, ack_timeout_ms, max_deliveries, dead_letter_topic }
    }
}

/// A queue and how it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// As it was made, defaults filled in.
    pub settings: QueueSettings,
    /// Events that wait to be delivered, those that wait for their time included.
    pub depth: u64,
    /// Events that were delivered and not settled.
    pub in_flight: u64,
    /// When the oldest event that is not settled was published, in milliseconds since the Unix
    /// epoch; none where all are.
    pub oldest_at: Option<i64>,
    /// How old that is, in milliseconds.
    pub oldest_age_ms: Option<i64>,
    /// Events that were ever given up.
    pub dead_lettered: u64,
    /// Events that were ever acknowledged.
    pub acknowledged: u64,
    /// Deliveries beyond the first of their events, ever.
    pub redelivered: u64,
}

impl From<v1::Queue> for Queue {
    fn from(it: v1::Queue) -> Self {
        Self {
            name: it.queue,
            settings: it.settings.unwrap_or_default().into(),
            depth: it.depth,
            in_flight: it.in_flight,
            oldest_at: it.oldest_at,
            oldest_age_ms: it.oldest_age_ms,
            dead_lettered: it.dead_lettered,
            acknowledged: it.acknowledged,
            redelivered: it.redelivered,
        }
    }
}

/// An event for one consumer, until it is settled or its time is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What it is settled by.
    pub id: String,
    /// How often the event was delivered, this time included: 1 for the first.
    pub attempt: u32,
    /// Until when it is to be settled, in milliseconds since the Unix epoch.
    pub until: i64,
    /// The event.
    pub event: Event,
}

impl TryFrom<v1::Delivery> for Delivery {
    type Error = Error;

    fn try_from(it: v1::Delivery) -> Result<Self, Error> {
        let v1::Delivery { delivery: id, attempt, event, until } = it;
        let event = event.ok_or_else(|| Error::new("internal", "a delivery came without event"))?;
        Ok(Self { id, attempt, until, event: event.into() })
    }
}

/// What becomes of deliveries, by their ids: up to 1,000 together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// Those that are done with.
    pub ack: Vec<String>,
    /// Those that are given back.
    pub nack: Vec<String>,
    /// When these are delivered again: after up to 12 hours, whole milliseconds; zero: at once.
    pub delay: Duration,
    /// Why they are given back, for people: up to 256 bytes.
    pub reason: String,
}

impl Settlement {
    /// These are done with.
    pub fn ack(deliveries: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { ack: deliveries.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// These are given back, to be delivered again at once.
    pub fn nack(deliveries: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { nack: deliveries.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// The same, delivered again after this long.
    #[must_use]
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The same, for this reason.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// The delay on the wire. One that is too long for it is too long for the node as well, which
    /// says so.
    pub(crate) fn delay_ms(&self) -> u32 {
        u32::try_from(self.delay.as_millis()).unwrap_or(u32::MAX)
    }

    pub(super) fn written(self, tenant: &str, queue: &str) -> SettleRequest {
        let delay_ms = self.delay_ms();
        let (tenant, queue) = (tenant.to_owned(), queue.to_owned());
        let Self { ack, nack, reason, .. } = self;
        SettleRequest { tenant, queue, ack, nack, delay_ms, reason }
    }
}

/// What became of a settlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// How many were settled.
    pub done: u32,
    /// Those that were not.
    pub refused: Vec<RefusedDelivery>,
}

/// A delivery that was not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedDelivery {
    /// Its id.
    pub id: String,
    /// `not_found`: it was settled before, or never was. `conflict`: its time was up.
    pub code: String,
}

impl From<v1::RefusedDelivery> for RefusedDelivery {
    fn from(it: v1::RefusedDelivery) -> Self {
        Self { id: it.delivery, code: it.code }
    }
}

impl From<SettleResponse> for Settled {
    fn from(it: SettleResponse) -> Self {
        Self { done: it.done, refused: it.refused.into_iter().map(Into::into).collect() }
    }
}

impl Client {
    /// Makes a queue, or finds it as it is: the queue, and whether this call made it. A new one
    /// begins at `after`, as the module says; empty is `now`. The name is 1 to 64 of `A-Za-z0-9_-`.
    ///
    /// # Errors
    ///
    /// `conflict` for one that has other settings; `invalid_queue`, `invalid_topic`,
    /// `invalid_type`, `invalid_cursor`, `invalid_request` for settings out of range,
    /// `invalid_tenant`; `cursor_expired`; `unavailable`.
    pub async fn create_queue(
        &self,
        name: &str,
        settings: QueueSettings,
        after: &str,
    ) -> Result<(Queue, bool), Error> {
        let request = CreateQueueRequest {
            tenant: self.tenant.to_string(),
            queue: name.to_owned(),
            settings: Some(settings.into()),
            after: after.to_owned(),
        };
        let service = self.bus()?;
        let answer = retry::until(self.timeout, || {
            let (mut service, request) = (service.clone(), request.clone());
            async move { service.create_queue(request).await }
        });
        let created = answer.await?.into_inner();
        let queue = created.queue.ok_or_else(|| Error::new("internal", "no queue came back"))?;
        Ok((queue.into(), created.new))
    }

    /// A queue and how it is now.
    ///
    /// # Errors
    ///
    /// `not_found`; `invalid_queue`, `invalid_tenant`; `unavailable`.
    pub async fn queue(&self, name: &str) -> Result<Queue, Error> {
        let request = GetQueueRequest { tenant: self.tenant.to_string(), queue: name.to_owned() };
        let service = self.bus()?;
        let answer = retry::until(self.timeout, || {
            let (mut service, request) = (service.clone(), request.clone());
            async move { service.get_queue(request).await }
        });
        Ok(answer.await?.into_inner().into())
    }

    /// All queues of the tenant, by name.
    ///
    /// # Errors
    ///
    /// `invalid_tenant`; `unavailable`.
    pub async fn queues(&self) -> Result<Vec<Queue>, Error> {
        let request = ListQueuesRequest { tenant: self.tenant.to_string() };
        let service = self.bus()?;
        let answer = retry::until(self.timeout, || {
            let (mut service, request) = (service.clone(), request.clone());
            async move { service.list_queues(request).await }
        });
        Ok(answer.await?.into_inner().queues.into_iter().map(Into::into).collect())
    }

    /// Removes a queue, and tells whether there was one; after a retry that may be the first try's
    /// doing, and this is `false`. The events stay; what was delivered can't be settled any more.
    ///
    /// # Errors
    ///
    /// `invalid_queue`, `invalid_tenant`; `unavailable`.
    pub async fn delete_queue(&self, name: &str) -> Result<bool, Error> {
        let tenant = self.tenant.to_string();
        let request = DeleteQueueRequest { tenant, queue: name.to_owned() };
        let service = self.bus()?;
        let answer = retry::until(self.timeout, || {
            let (mut service, request) = (service.clone(), request.clone());
            async move { service.delete_queue(request).await }
        });
        Ok(answer.await?.into_inner().deleted)
    }

    /// Takes up to `max` events of a queue (1 to 1,000, 0 for one) for as long as its
    /// `ack_timeout_ms`. Waits for the first for up to `wait`, which is at most 20 s and counts
    /// beside the client's timeout; none is no error.
    ///
    /// What a lost answer had is delivered again after its time; a retry takes others.
    ///
    /// # Errors
    ///
    /// `not_found` for no such queue; `invalid_queue`, `too_large`, `invalid_request`,
    /// `invalid_tenant`; `unavailable`.
    pub async fn pull(
        &self,
        queue: &str,
        max: u32,
        wait: Duration,
    ) -> Result<Vec<Delivery>, Error> {
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        let (tenant, queue) = (self.tenant.to_string(), queue.to_owned());
        let request = PullRequest { tenant, queue, max, wait_ms };
        let service = self.bus()?;
        let timeout = self.timeout.saturating_add(wait);
        let answer = retry::until(timeout, || {
            let (mut service, request) = (service.clone(), request.clone());
            async move { service.pull(request).await }
        });
        answer.await?.into_inner().deliveries.into_iter().map(Delivery::try_from).collect()
    }

    /// Acknowledges deliveries of a queue, or gives them back. Durable when this returns. One that
    /// is refused is no reason to refuse the others; after a retry, those that the try before
    /// settled are refused with `not_found`.
    ///
    /// # Errors
    ///
    /// `not_found` for no such queue; `too_large` for more than 1,000; `invalid_queue`,
    /// `invalid_request` for a delay or reason that is too long, `invalid_tenant`; `unavailable`.
    pub async fn settle(&self, queue: &str, settlement: Settlement) -> Result<Settled, Error> {
        let request = settlement.written(&self.tenant, queue);
        let service = self.bus()?;
        let answer = retry::until(self.timeout, || {
            let (mut service, request) = (service.clone(), request.clone());
            async move { service.settle(request).await }
        });
        Ok(answer.await?.into_inner().into())
    }
}
