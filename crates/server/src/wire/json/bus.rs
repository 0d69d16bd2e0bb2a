//! The frames of the bus as protobuf's JSON.

use serde::{Deserialize, Deserializer, Serialize, de};
use switchboard_core::{
    bus::{Content, Cursor, DeadLetter, Delivery, Event, Published, QueueId, Settled},
    session::{BusRequest, Request},
};

use super::{Long, base64, is_default, or_default};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Publish {
    #[serde(deserialize_with = "or_default")]
    topic: String,
    #[serde(rename = "type", deserialize_with = "or_default")]
    kind: String,
    #[serde(deserialize_with = "bytes")]
    data: Vec<u8>,
    #[serde(alias = "content_type", deserialize_with = "or_default")]
    content_type: String,
    #[serde(deserialize_with = "or_default")]
    key: String,
    #[serde(deserialize_with = "or_default")]
    ephemeral: bool,
    #[serde(alias = "reply_to", deserialize_with = "or_default")]
    reply_to: String,
    #[serde(alias = "request_id")]
    request_id: Long,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Subscribe {
    #[serde(deserialize_with = "or_default")]
    subscription: u32,
    #[serde(deserialize_with = "or_default")]
    topics: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    types: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    after: String,
    #[serde(alias = "request_id")]
    request_id: Long,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Unsubscribe {
    #[serde(deserialize_with = "or_default")]
    subscription: u32,
    #[serde(alias = "request_id")]
    request_id: Long,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Consume {
    #[serde(deserialize_with = "or_default")]
    consumer: u32,
    #[serde(deserialize_with = "or_default")]
    queue: String,
    #[serde(deserialize_with = "or_default")]
    prefetch: u32,
    #[serde(alias = "request_id")]
    request_id: Long,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Cancel {
    #[serde(deserialize_with = "or_default")]
    consumer: u32,
    #[serde(alias = "request_id")]
    request_id: Long,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Settle {
    #[serde(deserialize_with = "or_default")]
    consumer: u32,
    #[serde(deserialize_with = "or_default")]
    ack: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    nack: Vec<String>,
    #[serde(alias = "delay_ms", deserialize_with = "or_default")]
    delay_ms: u32,
    #[serde(deserialize_with = "or_default")]
    reason: String,
    #[serde(alias = "request_id")]
    request_id: Long,
}

/// Bytes are written in base64, of either alphabet, with or without padding.
fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text: String = or_default(deserializer)?;
    base64::read(&text).ok_or_else(|| de::Error::custom("bytes are written in base64"))
}

fn request(request_id: Long, request: BusRequest<'_>) -> Request<'_> {
    Request::Bus { request_id: request_id.0, request }
}

fn texts(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

impl Publish {
    pub(super) fn request(&self) -> Request<'_> {
        let Self { topic, kind, data, content_type, key, ephemeral, reply_to, request_id } = self;
        let content = Content { topic, kind, content_type, data, key: None, reply_to };
        request(*request_id, BusRequest::Publish { content, key, ephemeral: *ephemeral })
    }
}

impl Subscribe {
    pub(super) fn request(&self) -> Request<'_> {
        let (topics, types) = (texts(&self.topics), texts(&self.types));
        let (subscription, after) = (self.subscription, &*self.after);
        request(self.request_id, BusRequest::Subscribe { subscription, topics, types, after })
    }
}

impl Unsubscribe {
    pub(super) fn request(&self) -> Request<'_> {
        request(self.request_id, BusRequest::Unsubscribe { subscription: self.subscription })
    }
}

impl Consume {
    pub(super) fn request(&self) -> Request<'_> {
        let Self { consumer, queue, prefetch, request_id } = self;
        let (consumer, prefetch) = (*consumer, *prefetch);
        request(*request_id, BusRequest::Consume { consumer, queue, prefetch })
    }
}

impl Cancel {
    pub(super) fn request(&self) -> Request<'_> {
        request(self.request_id, BusRequest::Cancel { consumer: self.consumer })
    }
}

impl Settle {
    pub(super) fn request(&self) -> Request<'_> {
        let settle = switchboard_core::session::Settle {
            ack: texts(&self.ack),
            nack: texts(&self.nack),
            delay_ms: self.delay_ms,
            reason: &self.reason,
        };
        request(self.request_id, BusRequest::Settle { consumer: self.consumer, settle })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PublishedFrame {
    #[serde(skip_serializing_if = "is_default")]
    sequence: Long,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    new: bool,
    #[serde(skip_serializing_if = "is_default")]
    request_id: Long,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SubscribedFrame {
    subscription: u32,
    cursor: String,
    #[serde(skip_serializing_if = "is_default")]
    request_id: Long,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UnsubscribedFrame {
    pub(super) subscription: u32,
    #[serde(skip_serializing_if = "is_default")]
    pub(super) request_id: Long,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConsumerFrame {
    pub(super) consumer: u32,
    #[serde(skip_serializing_if = "is_default")]
    pub(super) request_id: Long,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventFrame<'a> {
    subscription: u32,
    event: EventBody<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryFrame<'a> {
    consumer: u32,
    delivery: DeliveryBody<'a>,
}

#[derive(Serialize)]
struct DeliveryBody<'a> {
    delivery: String,
    attempt: u32,
    event: EventBody<'a>,
    until: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventBody<'a> {
    #[serde(skip_serializing_if = "is_default")]
    sequence: Long,
    topic: &'a str,
    r#type: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    data: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    content_type: &'a str,
    at: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    reply_to: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter: Option<DeadLetterBody>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeadLetterBody {
    queue: String,
    reason: String,
    attempts: u32,
    topic: String,
    sequence: Long,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SettledFrame<'a> {
    #[serde(skip_serializing_if = "super::is_none")]
    done: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<RefusedBody<'a>>,
    #[serde(skip_serializing_if = "is_default")]
    request_id: Long,
}

#[derive(Serialize)]
struct RefusedBody<'a> {
    delivery: &'a str,
    code: &'static str,
}

pub(super) fn published(request_id: u64, published: Published) -> PublishedFrame {
    let Published { sequence, new } = published;
    PublishedFrame { sequence: Long(sequence), new, request_id: Long(request_id) }
}

pub(super) fn subscribed(request_id: u64, subscription: u32, cursor: Cursor) -> SubscribedFrame {
    let (cursor, request_id) = (cursor.to_string(), Long(request_id));
    SubscribedFrame { subscription, cursor, request_id }
}

pub(super) fn event(subscription: u32, event: &Event) -> EventFrame<'_> {
    EventFrame { subscription, event: body(event) }
}

pub(super) fn delivery<'a>(
    consumer: u32,
    queue: &QueueId,
    delivery: &'a Delivery,
) -> DeliveryFrame<'a> {
    let Delivery { id, event, until } = delivery;
    let delivery = DeliveryBody {
        delivery: id.written(queue).to_string(),
        attempt: id.attempt,
        event: body(event),
        until: until.0.to_string(),
    };
    DeliveryFrame { consumer, delivery }
}

pub(super) fn settled(
    request_id: u64,
    done: u32,
    refused: &[(String, Settled)],
) -> SettledFrame<'_> {
    let refused = refused.iter().filter_map(|(delivery, settled)| {
        Some(RefusedBody { delivery, code: settled.refusal()?.as_str() })
    });
    SettledFrame { done, refused: refused.collect(), request_id: Long(request_id) }
}

fn body(event: &Event) -> EventBody<'_> {
    let Event { sequence, at, body } = event;
    let letter = |letter: DeadLetter| DeadLetterBody {
        queue: letter.queue.as_ref().to_owned(),
        reason: letter.reason.as_ref().to_owned(),
        attempts: letter.attempts,
        topic: letter.topic.as_ref().to_owned(),
        sequence: Long(letter.sequence),
    };
    EventBody {
        sequence: Long(*sequence),
        topic: body.topic(),
        r#type: body.kind(),
        data: base64::write(body.data()),
        content_type: body.content_type(),
        at: at.0.to_string(),
        reply_to: body.reply_to(),
        dead_letter: body.dead_letter().map(letter),
    }
}
