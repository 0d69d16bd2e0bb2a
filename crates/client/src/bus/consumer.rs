//! Consumers: deliveries of a queue as they come, over any number of connections.

mod keep;
mod shared;

use std::{
    fmt,
    ops::Deref,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use switchboard_proto::v1::bus_service_client::BusServiceClient;
use tokio::{task::JoinSet, time};
use tokio_stream::Stream;

use self::{
    keep::Keeper,
    shared::{Shared, Verdict},
};
use super::{Break, Delivery, Event, Settlement};
use crate::{Client, Error, retry};

/// How many deliveries a consumer may have unsettled where it doesn't say.
const PREFETCH_DEFAULT: u32 = 100;

/// Deliveries of a queue as they come: a stream of [`Lease`]s, each to be settled.
///
/// It has a connection and a task of its own, which end with it. When the connection breaks or the
/// node stops, it connects again by itself, after growing random pauses up to 2 s. Whatever was not
/// settled until then is delivered again, here or elsewhere, and counts as another attempt: a
/// consumer sees an event once or more often, never less.
///
/// What trying again does not mend comes as an error, which is the last item: `not_found` when the
/// queue was deleted, `forbidden`, and so on.
///
/// ```no_run
/// # async fn send(_: &switchboard_client::bus::Event) -> std::io::Result<()> { Ok(()) }
/// # async fn example() -> Result<(), switchboard_client::Error> {
/// use std::time::Duration;
///
/// use switchboard_client::Client;
/// use tokio_stream::StreamExt as _;
///
/// let client = Client::new("http://127.0.0.1:7400")?;
/// let mut mails = client.consume("mail", 100).await?;
/// while let Some(lease) = mails.next().await {
///     let lease = lease?;
///     let settled = match send(&lease.event).await {
///         Ok(()) => lease.ack().await,
///         Err(error) => lease.nack(Duration::from_secs(5), &error.to_string()).await,
///     };
///     if let Err(error) = settled {
///         // It comes again.
///         eprintln!("{}: {error}", error.code());
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "what is delivered to a consumer goes to no other until its time is up"]
pub struct Consumer {
    shared: Arc<Shared>,
    timeout: Duration,
    /// One task. Dropping the set ends it.
    task: JoinSet<()>,
}

/// A delivery that a consumer holds until it is settled, its time is up, or the consumer's
/// connection ends. Dropped without a word, it is delivered again when its time is up.
#[must_use = "a delivery is settled, or comes again"]
pub struct Lease {
    delivery: Delivery,
    connection: u64,
    shared: Arc<Shared>,
}

impl Client {
    /// Consumes a queue. Up to `prefetch` deliveries are unsettled at once, those included that
    /// wait here: 1 to 10,000, 0 for 100.
    ///
    /// # Errors
    ///
    /// `not_found` for no such queue; `invalid_queue`, `invalid_request`, `too_large`,
    /// `invalid_tenant`; `unavailable` until the client's timeout.
    pub async fn consume(&self, queue: &str, prefetch: u32) -> Result<Consumer, Error> {
        let service = BusServiceClient::new(self.channel_of_its_own()?);
        let tenant = self.tenant.to_string();
        let room = if prefetch == 0 { PREFETCH_DEFAULT } else { prefetch };
        let shared = Arc::new(Shared::new(usize::try_from(room).unwrap_or(usize::MAX)));
        let keeper = Keeper {
            shared: Arc::clone(&shared),
            service,
            tenant,
            queue: queue.to_owned(),
            prefetch,
            timeout: self.timeout,
        };
        let opened = retry::until(self.timeout, || keeper.open()).await?;
        let mut task = JoinSet::new();
        task.spawn(keeper.keep(opened));
        Ok(Consumer { shared, timeout: self.timeout, task })
    }
}

impl Consumer {
    /// Told whenever the connection is gone, while it comes back by itself; must not block.
    pub fn with_breaks(self, told: impl Fn(Break) + Send + Sync + 'static) -> Self {
        self.shared.tell(Arc::new(told));
        self
    }

    /// Ends the consumer in good order: what was settled is sent and answered, for up to the
    /// client's timeout; what was not is given back. Dropping it instead loses what was settled and
    /// not sent: that is delivered again.
    pub async fn close(mut self) {
        self.shared.close();
        // Whatever is not answered by then comes again.
        let _ = time::timeout(self.timeout, self.task.join_next()).await;
    }
}

impl Stream for Consumer {
    type Item = Result<Lease, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Lease, Error>>> {
        let next = self.shared.next(cx.waker());
        next.map_ok(|(delivery, connection)| {
            let shared = Arc::clone(&self.shared);
            Lease { delivery, connection, shared }
        })
    }
}

impl Lease {
    /// Acknowledges it: the event is done with. Queued when this returns, before the future is
    /// awaited; durable when the future is done.
    ///
    /// # Errors
    ///
    /// `conflict` when its time was up, or the connection that it came over is gone: it is
    /// delivered again. `not_found` when the queue is gone. `unavailable` when the connection broke
    /// before the answer: it may come again. `too_many_requests` when 10,000 wait to be sent.
    pub fn ack(self) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        self.settle(Verdict::Ack)
    }

    /// Gives it back, to be delivered again after up to 12 hours, at once with zero; or given up,
    /// where it was delivered often enough. The reason, of up to 256 bytes, is for people. Queued
    /// when this returns, before the future is awaited; durable when the future is done.
    ///
    /// # Errors
    ///
    /// As [`Lease::ack`].
    pub fn nack(
        self,
        delay: Duration,
        reason: &str,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let settlement = Settlement::default().with_delay(delay).with_reason(reason);
        self.settle(Verdict::Nack { delay_ms: settlement.delay_ms(), reason: settlement.reason })
    }

    /// The event, given away: the delivery is not settled by this.
    pub fn into_event(self) -> Event {
        self.delivery.event
    }

    fn settle(self, verdict: Verdict) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let asked = self.shared.settle(self.connection, self.delivery.id, verdict);
        async move {
            let gone =
                |_| Error::new("unavailable", "the consumer has ended: the event comes again");
            asked?.await.map_err(gone)?
        }
    }
}

impl Deref for Lease {
    type Target = Delivery;

    fn deref(&self) -> &Delivery {
        &self.delivery
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.delivery).finish()
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
