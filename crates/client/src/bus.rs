//! The bus: typed events to topics, for whoever subscribes, and queues whose events are shared.
//!
//! A topic is up to 8 words of `A-Za-z0-9_-` with dots between them, up to 256 bytes:
//! `orders.eu.created`. In a filter a word may be `*`, which stands for any one word, and the last
//! may be `>`, which stands for one or more. A type is 1 to 128 of `A-Za-z0-9._-`. Times are
//! milliseconds since the Unix epoch.
//!
//! Where `after` says from where on events are read, it is one of: `now`; `start`, which is the
//! oldest event that is kept; a cursor; the sequence of an event, behind which it begins; a time as
//! `@1763719200000`; or a cursor and a sequence behind it, with `/` between them, for whoever began
//! at the cursor and has got all events up to the sequence. A place behind which events have
//! expired that were not known to be gone is refused with `cursor_expired`.
//!
//! - [`Client::publish`] and [`Client::publish_stream`] publish, [`Client::read_events`] reads a
//!   page.
//! - [`Client::subscribe`] gives events from a place on, then live. A [`Subscription`] comes back
//!   by itself when its connection breaks, and misses nothing that is durable.
//! - [`Client::create_queue`] makes a queue, [`Client::pull`] and [`Client::settle`] take from it;
//!   a [`Consumer`] of [`Client::consume`] gets what comes, and comes back by itself.
//! - [`Client::request`] asks whoever answers with [`Client::respond`].
//!
//! ```no_run
//! # async fn example() -> Result<(), switchboard_client::Error> {
//! use switchboard_client::{
//!     Client,
//!     bus::{Draft, Interest},
//! };
//! use tokio_stream::StreamExt as _;
//!
//! let client = Client::new("http://127.0.0.1:7400")?;
//! let order = Draft::json("orders.eu", "order.created", r#"{"id": 7}"#);
//! let published = client.publish(order).await?;
//! println!("it is number {}", published.sequence);
//!
//! let mut orders = client.subscribe(Interest::new(["orders.>"]), "start").await?;
//! while let Some(event) = orders.next().await {
//!     let event = event?;
//!     println!("{} {} {}", event.sequence, event.topic, event.kind);
//! }
//! # Ok(())
//! # }
//! ```

mod consumer;
mod place;
mod queue;
mod request;
mod resume;
mod subscription;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
};

use futures_util::stream;
use switchboard_proto::v1::{
    self, PublishRequest, PublishResponse, ReadEventsRequest, bus_service_client::BusServiceClient,
};
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::Channel;

pub(crate) use self::place::Place;
pub use self::{
    consumer::{Consumer, Lease},
    queue::{Delivery, Queue, QueueSettings, RefusedDelivery, Settled, Settlement},
    request::{RESPONDING_MAX, Reply},
    resume::Break,
    subscription::Subscription,
};
use crate::{Client, Error, name::made_up, retry};

/// The most bytes of an event's data.
pub const DATA_BYTES_MAX: usize = 1024 * 1024;

/// What data is of which nothing is said.
pub const CONTENT_TYPE: &str = "application/octet-stream";

/// The longest answer that is taken: a node ends a page long before.
const ANSWER_BYTES_MAX: usize = 64 * DATA_BYTES_MAX;

/// An event of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Counts the events of the tenant, from 1, without gaps. 0: ephemeral, seen by those who are
    /// subscribed, and kept nowhere.
    pub sequence: u64,
    /// Its topic.
    pub topic: String,
    /// Its type.
    pub kind: String,
    /// Up to 1 MiB.
    pub data: Vec<u8>,
    /// What the data is: [`CONTENT_TYPE`] where the publisher did not say.
    pub content_type: String,
    /// When it was published, in milliseconds since the Unix epoch.
    pub at: i64,
    /// The topic on which its publisher waits for an answer, if he does.
    pub reply_to: Option<String>,
    /// Why it is here, for an event that a queue gave up.
    pub dead_letter: Option<DeadLetter>,
}

/// Where an event was that a queue gave up, and why it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The name of the queue.
    pub queue: String,
    /// What the last consumer said, or `ack_timeout`.
    pub reason: String,
    /// How often it was delivered.
    pub attempts: u32,
    /// The topic that it was published to.
    pub topic: String,
    /// The sequence that it had there.
    pub sequence: u64,
}

impl From<v1::Event> for Event {
    fn from(it: v1::Event) -> Self {
        let v1::Event { sequence, topic, r#type, data, content_type, at, reply_to, dead_letter } =
            it;
        let told = |text: String| Some(text).filter(|text| !text.is_empty());
        let content_type = told(content_type).unwrap_or_else(|| CONTENT_TYPE.to_owned());
        let dead_letter = dead_letter.map(|it| {
            let v1::DeadLetter { queue, reason, attempts, topic, sequence } = it;
            DeadLetter { queue, reason, attempts, topic, sequence }
        });
        let (kind, reply_to) = (r#type, told(reply_to));
        Self { sequence, topic, kind, data, content_type, at, reply_to, dead_letter }
    }
}

/// An event that is to be published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// To which topic: no filter, and none of Switchboard's own, which begin with `sys.`.
    pub topic: String,
    /// Its type.
    pub kind: String,
    /// Up to 1 MiB.
    pub data: Vec<u8>,
    /// What the data is: up to 127 characters of visible ASCII, or nothing for [`CONTENT_TYPE`].
    /// What is said to be `application/json` must be that.
    pub content_type: String,
    /// The idempotency key, 1 to 128 bytes: published once for each key and tenant.
    pub key: Option<String>,
    /// To those who are subscribed right now, at most once; nothing is kept.
    pub ephemeral: bool,
    /// Where an answer is waited for. Only with `ephemeral`.
    pub reply_to: Option<String>,
}

impl Draft {
    /// A durable event of which nothing more is said.
    pub fn new(
        topic: impl Into<String>,
        kind: impl Into<String>,
        data: impl Into<Vec<u8>>,
    ) -> Self {
        Self { topic: topic.into(), kind: kind.into(), data: data.into(), ..Self::default() }
    }

    /// A durable event whose data is a JSON text (RFC 8259).
    pub fn json(
        topic: impl Into<String>,
        kind: impl Into<String>,
        text: impl Into<String>,
    ) -> Self {
        Self::new(topic, kind, text.into()).with_content_type("application/json")
    }

    /// The same, whose data is said to be this.
    #[must_use]
    pub fn with_content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = content_type.into();
        self
    }

    /// The same, published once for this key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same, for those who are subscribed right now.
    #[must_use]
    pub fn ephemeral(mut self) -> Self {
        self.ephemeral = true;
        self
    }

    /// As a request; a durable one without a key gets one.
    fn keyed(mut self, tenant: &str) -> PublishRequest {
        if !self.ephemeral {
            self.key.get_or_insert_with(made_up);
        }
        self.written(tenant)
    }

    fn written(self, tenant: &str) -> PublishRequest {
        let Self { topic, kind, data, content_type, key, ephemeral, reply_to } = self;
        PublishRequest {
            tenant: tenant.to_owned(),
            topic,
            r#type: kind,
            data,
            content_type,
            key: key.unwrap_or_default(),
            ephemeral,
            reply_to: reply_to.unwrap_or_default(),
        }
    }
}

/// What became of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The sequence of the event; 0 for an ephemeral one.
    pub sequence: u64,
    /// Whether this request published it, rather than an earlier one. After a retry that is the
    /// first try's doing, and the answer is `false`.
    pub new: bool,
}

impl From<PublishResponse> for Published {
    fn from(PublishResponse { sequence, new }: PublishResponse) -> Self {
        Self { sequence, new }
    }
}

/// Which events somebody wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Filters of topics, of which one must match: 1 to 32.
    pub topics: Vec<String>,
    /// Types, of which one must be that of the event: up to 32; none: any type.
    pub types: Vec<String>,
}

impl Interest {
    /// Events of any type to topics that one of these filters matches.
    pub fn new(topics: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let topics = topics.into_iter().map(Into::into).collect();
        Self { topics, types: Vec::new() }
    }

    /// The same, of these types only.
    #[must_use]
    pub fn with_types(mut self, types: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.types = types.into_iter().map(Into::into).collect();
        self
    }
}

/// What of a stream of publishes has no answer.
#[derive(Debug, Default)]
struct Unanswered {
    /// Events that were sent.
    events: AtomicU64,
    /// Whether no more will be sent.
    all_sent: AtomicBool,
}

impl Unanswered {
    fn none(&self) -> bool {
        self.all_sent.load(Ordering::Acquire) && self.events.load(Ordering::Relaxed) == 0
    }
}

/// Some events, and where it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In the order of their sequences.
    pub events: Vec<Event>,
    /// Where to read on, now or later: also there where nothing has come yet.
    pub next_cursor: String,
}

impl Client {
    /// The service, over the connection that all calls share.
    fn bus(&self) -> Result<BusServiceClient<Channel>, Error> {
        let service = BusServiceClient::new(self.channel()?);
        Ok(service.max_decoding_message_size(ANSWER_BYTES_MAX))
    }

    /// Publishes an event. A durable one is on disk when this returns.
    ///
    /// Tried again until the client's timeout. So that a retry publishes nothing twice, a durable
    /// event without a key gets one of 128 random bits. An ephemeral one is tried again only where
    /// the try before has surely reached nobody.
    ///
    /// # Errors
    ///
    /// `invalid_topic`, `invalid_type`, `invalid_value` for JSON that is none, `invalid_request`,
    /// `invalid_tenant`; `too_large` for more than 1 MiB; `conflict` where the key came with
    /// something else before; `unavailable`: it is not known then whether it was published, and
    /// only one with a key of the caller's can be repeated by him.
    pub async fn publish(&self, draft: Draft) -> Result<Published, Error> {
        let request = draft.keyed(&self.tenant);
        let service = self.bus()?;
        let call = || {
            let (mut service, request) = (service.clone(), request.clone());
            async move { service.publish(request).await }
        };
        let answer = if request.ephemeral {
            retry::once(self.timeout, call).await?
        } else {
            retry::until(self.timeout, call).await?
        };
        Ok(answer.into_inner().into())
    }

    /// Publishes events as they come, and gives what became of each in their order. Events are sent
    /// ahead of their answers; the node bounds how many. The fastest way to publish many.
    ///
    /// The first that is refused ends the stream with its error, after the answers before it. A
    /// stream that broke, or that a node ended because it stops, is not taken up again by itself,
    /// and no keys are made up: repeat the events that have no answer, which publishes nothing
    /// twice where they have keys.
    ///
    /// # Errors
    ///
    /// `unavailable` when the node can't be reached; those of [`Client::publish`] from the stream.
    pub async fn publish_stream<S: Stream<Item = Draft> + Send + 'static>(
        &self,
        drafts: S,
    ) -> Result<impl Stream<Item = Result<Published, Error>> + Send + Unpin + use<S>, Error> {
        let tenant = self.tenant.to_string();
        let unanswered = Arc::new(Unanswered::default());
        let sent = Arc::clone(&unanswered);
        let requests = drafts.map(move |draft| {
            sent.events.fetch_add(1, Ordering::Relaxed);
            draft.written(&tenant)
        });
        let ended = Arc::clone(&unanswered);
        let requests = requests.chain(stream::poll_fn(move |_| {
            ended.all_sent.store(true, Ordering::Release);
            Poll::Ready(None)
        }));
        let answers = self.bus()?.publish_stream(requests).await?.into_inner();
        let answered = stream::unfold(Some(answers), move |answers| {
            let unanswered = Arc::clone(&unanswered);
            async move {
                let mut answers = answers?;
                match answers.message().await {
                    Ok(Some(answer)) => {
                        unanswered.events.fetch_sub(1, Ordering::Relaxed);
                        Some((Ok(answer.into()), Some(answers)))
                    }
                    Ok(None) if unanswered.none() => None,
                    Ok(None) => {
                        let what = "the node ended the stream: repeat the events without an answer";
                        Some((Err(Error::new("unavailable", what)), None))
                    }
                    Err(status) => Some((Err(status.into()), None)),
                }
            }
        });
        Ok(Box::pin(answered.fuse()))
    }

    /// A page of events from a place on, up to the newest. `after` is as the module says, and empty
    /// for `start`; `limit` is 1 to 1,000, 0 for 100. A page may have less, for its length.
    ///
    /// # Errors
    ///
    /// `invalid_topic`, `invalid_type`, `invalid_cursor`, `invalid_request` for no filter,
    /// `too_large` for too many or too large a page, `invalid_tenant`; `cursor_expired`;
    /// `unavailable`.
    pub async fn read_events(
        &self,
        interest: &Interest,
        after: &str,
        limit: u32,
    ) -> Result<Page, Error> {
        let Interest { topics, types } = interest.clone();
        let (tenant, after) = (self.tenant.to_string(), after.to_owned());
        let request = ReadEventsRequest { tenant, topics, types, after, limit };
        let service = self.bus()?;
        let answer = retry::until(self.timeout, || {
            let (mut service, request) = (service.clone(), request.clone());
            async move { service.read_events(request).await }
        });
        let page = answer.await?.into_inner();
        let events = page.events.into_iter().map(Into::into).collect();
        Ok(Page { events, next_cursor: page.next_cursor })
    }
}
