//! What the bus is called in JSON.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use switchboard_core::bus::{self, Published, QueueId, Settled};
use utoipa::ToSchema;

use crate::{bus::Outcomes, wire::base64};

/// An event to publish.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishRequest {
    /// 1 to 128 of `A-Za-z0-9._-`.
    #[schema(example = "order.created")]
    pub(super) r#type: String,
    /// Any JSON of up to 1 MiB.
    #[schema(value_type = Object)]
    pub(super) data: Box<RawValue>,
    /// The idempotency key, 1 to 128 bytes; also taken from the header `Idempotency-Key`. Absent:
    /// every request is another event.
    #[schema(example = "7f1c2")]
    pub(super) key: Option<String>,
    /// To those who are subscribed right now, at most once; nothing is kept.
    #[serde(default)]
    pub(super) ephemeral: bool,
    /// The topic on which an answer is waited for. Only with `ephemeral`.
    pub(super) reply_to: Option<String>,
}

/// An event was published.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PublishedBody {
    /// Counts the events of the tenant, from 1, without gaps. 0 for an ephemeral event.
    #[schema(example = 17)]
    sequence: u64,
    /// Whether this request published it, rather than an earlier one.
    new: bool,
}

impl PublishedBody {
    pub(super) fn of(published: Published) -> Self {
        Self { sequence: published.sequence, new: published.new }
    }
}

/// An event of a topic.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Event<'a> {
    /// Counts the events of the tenant, from 1, without gaps. 0: ephemeral.
    #[schema(example = 17)]
    sequence: u64,
    #[schema(example = "orders.eu.created")]
    topic: &'a str,
    #[schema(example = "order.created")]
    r#type: &'a str,
    /// The data, where it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    data: Option<&'a RawValue>,
    /// The data in base64, where it is not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
    /// What that is; absent: any bytes.
    #[serde(skip_serializing_if = "str::is_empty")]
    content_type: &'a str,
    /// When it was published, in milliseconds since the Unix epoch.
    #[schema(example = 1_790_000_000_000_i64)]
    at: i64,
    /// The topic on which its publisher waits for an answer.
    #[serde(skip_serializing_if = "str::is_empty")]
    reply_to: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter: Option<DeadLetter>,
}

/// Where an event was that a queue gave up, and why it did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeadLetter {
    /// Which queue gave it up.
    queue: String,
    /// What the last consumer said, or `ack_timeout`.
    #[schema(example = "ack_timeout")]
    reason: String,
    /// How often it was delivered.
    attempts: u32,
    /// The topic that it was published to.
    topic: String,
    /// Its sequence there.
    sequence: u64,
}

impl<'a> Event<'a> {
    pub(super) fn of(event: &'a bus::Event) -> Self {
        let bus::Event { sequence, at, body } = event;
        let json = if body.is_json() { serde_json::from_slice(body.data()).ok() } else { None };
        let letter = |letter: bus::DeadLetter| DeadLetter {
            queue: letter.queue.as_ref().to_owned(),
            reason: letter.reason.as_ref().to_owned(),
            attempts: letter.attempts,
            topic: letter.topic.as_ref().to_owned(),
            sequence: letter.sequence,
        };
        Self {
            sequence: *sequence,
            topic: body.topic(),
            r#type: body.kind(),
            data: json,
            data_base64: json.is_none().then(|| base64::write(body.data())),
            content_type: if json.is_none() { body.content_type() } else { "" },
            at: at.0,
            reply_to: body.reply_to(),
            dead_letter: body.dead_letter().map(letter),
        }
    }

    /// The event as JSON on one line.
    pub(super) fn line(event: &'a bus::Event) -> String {
        // Our own types always can be written.
        let json = serde_json::to_string(&Self::of(event)).unwrap_or_default();
        // The data is as its publisher wrote it. A line break of JSON is a space between its parts:
        // within a text it is written otherwise.
        if json.contains(['\n', '\r']) { json.replace(['\n', '\r'], " ") } else { json }
    }
}

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Events<'a> {
    /// In the order of their sequences.
    pub(super) events: Vec<Event<'a>>,
    /// Where to read on, now or later.
    #[serde(serialize_with = "in_words")]
    #[schema(value_type = String)]
    pub(super) next_cursor: bus::Cursor,
}

fn in_words<S: Serializer>(cursor: &bus::Cursor, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(cursor)
}

/// What a queue takes, and how it deals with it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QueueRequest {
    /// Filters, of which one must match: 1 to 32.
    #[schema(example = json!(["orders.>"]))]
    pub(super) topics: Vec<String>,
    /// Types, of which one must be that of the event: up to 32; none: any type.
    #[serde(default)]
    pub(super) types: Vec<String>,
    /// How long a consumer may take to settle a delivery: 1,000 to 43,200,000. Absent: 30,000.
    #[serde(default)]
    pub(super) ack_timeout_ms: u32,
    /// How often an event is delivered before it is given up: 1 to 1,000. Absent: 10.
    #[serde(default)]
    pub(super) max_deliveries: u32,
    /// Where events go that are given up. Absent: `sys.dead_letters.` and the queue's name.
    #[serde(default)]
    pub(super) dead_letter_topic: String,
    /// The place behind which a new queue begins: as in `GET …/events`. Absent: `now`.
    #[serde(default)]
    pub(super) after: String,
}

/// A queue and how it is now.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names are those of the surface")]
pub(super) struct Queue<'a> {
    #[schema(example = "invoices")]
    queue: &'a str,
    /// The filters, of which one must match.
    topics: Vec<&'a str>,
    /// The types, of which one must be that of the event; none: any.
    types: Vec<&'a str>,
    ack_timeout_ms: u32,
    max_deliveries: u32,
    dead_letter_topic: &'a str,
    /// Events that wait to be delivered, those that wait for their time included.
    depth: u64,
    /// Events that were delivered and not settled.
    in_flight: u64,
    /// When the oldest event that is not settled was published; `null` where all are.
    oldest_at: Option<i64>,
    /// How old that is, in milliseconds.
    oldest_age_ms: Option<i64>,
    /// Events that were ever given up.
    dead_lettered: u64,
    /// Events that were ever acknowledged.
    acknowledged: u64,
    /// Deliveries beyond the first of their events, ever.
    redelivered: u64,
}

impl<'a> Queue<'a> {
    pub(super) fn of(state: &'a bus::QueueState, oldest_age_ms: Option<i64>) -> Self {
        let bus::QueueState { name, settings, .. } = state;
        let (filters, types) = (settings.interest.filters(), settings.interest.types());
        Self {
            queue: name.as_str(),
            topics: filters.iter().map(bus::TopicFilter::as_str).collect(),
            types: types.iter().map(bus::EventType::as_str).collect(),
            ack_timeout_ms: settings.ack_timeout_ms,
            max_deliveries: settings.max_deliveries,
            dead_letter_topic: settings.dead_letter_topic.as_str(),
            depth: state.depth,
            in_flight: state.in_flight,
            oldest_at: state.oldest_at.map(|at| at.0),
            oldest_age_ms,
            dead_lettered: state.dead_lettered,
            acknowledged: state.acknowledged,
            redelivered: state.redelivered,
        }
    }
}

/// All queues.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Queues<'a> {
    /// By name.
    pub(super) queues: Vec<Queue<'a>>,
}

/// Whether there was a queue to remove.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Deleted {
    pub(super) deleted: bool,
}

/// Asks for deliveries.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PullRequest {
    /// 1 to 1,000. Absent: 1.
    #[serde(default)]
    pub(super) max: u32,
    /// How long to wait for the first, in milliseconds, up to 20,000. Absent: not at all.
    #[serde(default)]
    pub(super) wait_ms: u32,
}

/// Deliveries.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Deliveries<'a> {
    pub(super) deliveries: Vec<Delivery<'a>>,
}

/// An event for one consumer, until it is settled or its time is up.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names are those of the surface")]
pub(super) struct Delivery<'a> {
    /// What it is settled by.
    delivery: String,
    /// 1 for the first.
    #[schema(example = 1)]
    attempt: u32,
    event: Event<'a>,
    /// Until when it is to be settled, in milliseconds since the Unix epoch.
    until: i64,
}

impl<'a> Delivery<'a> {
    pub(super) fn of(queue: &QueueId, delivery: &'a bus::Delivery) -> Self {
        Self {
            delivery: delivery.id.written(queue).to_string(),
            attempt: delivery.id.attempt,
            event: Event::of(&delivery.event),
            until: delivery.until.0,
        }
    }
}

/// Deliveries that are done with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AckRequest {
    /// 1 to 1,000.
    pub(super) deliveries: Vec<String>,
}

/// Deliveries that are given back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NackRequest {
    /// 1 to 1,000.
    pub(super) deliveries: Vec<String>,
    /// When they are delivered again, in milliseconds from now, up to 43,200,000. Absent: at once.
    #[serde(default)]
    pub(super) delay_ms: u32,
    /// Why, for people: up to 256 bytes.
    #[serde(default)]
    pub(super) reason: String,
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SettledBody {
    /// How many were settled.
    done: u32,
    /// Those that were not.
    refused: Vec<Refused>,
}

/// A delivery that was not settled.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Refused {
    delivery: String,
    /// `not_found`: it was settled before, or never was. `conflict`: its time was up.
    #[schema(example = "conflict")]
    code: &'static str,
}

impl SettledBody {
    pub(super) fn of(outcomes: Outcomes) -> Self {
        let refused = |(delivery, settled): (String, Settled)| {
            settled.refusal().map(|code| Refused { delivery, code: code.as_str() })
        };
        let Outcomes { done, refused: all } = outcomes;
        Self { done, refused: all.into_iter().filter_map(refused).collect() }
    }
}
