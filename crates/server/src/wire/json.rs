//! The frames of a session as protobuf's JSON.
//!
//! Names in lower camel case (those of the file are taken as well), 64-bit numbers as strings
//! (numbers are taken as well), enums by name (or number), what is absent or `null` is the default.
//! An unknown field is refused, as protobuf's JSON says.

mod bus;
mod chat;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use switchboard_core::{
    Code, Error, Result,
    presence::Status,
    session::{Reply, Request},
};

use super::base64;

/// A frame of a client.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ClientFrame {
    Echo(Echo),
    Add(Add),
    Hello(Hello),
    Pong(Pong),
    Ingest(Ingest),
    Send(chat::Send),
    Acknowledge(chat::Acknowledge),
    Follow(chat::Follow),
    Typing(chat::Typing),
    Publish(bus::Publish),
    Subscribe(bus::Subscribe),
    Unsubscribe(bus::Unsubscribe),
    Consume(bus::Consume),
    Cancel(bus::Cancel),
    Settle(bus::Settle),
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Echo {
    #[serde(deserialize_with = "or_default")]
    content: String,
    #[serde(alias = "request_id")]
    request_id: Long,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Add {
    #[serde(deserialize_with = "or_default")]
    a: i32,
    #[serde(deserialize_with = "or_default")]
    b: i32,
    #[serde(alias = "request_id")]
    request_id: Long,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Hello {
    #[serde(deserialize_with = "or_default")]
    tenant: String,
    #[serde(deserialize_with = "or_default")]
    client: String,
    cursor: Option<String>,
    #[serde(deserialize_with = "or_default")]
    traceparent: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Pong {
    status: StatusName,
    #[serde(rename = "sequence")]
    _sequence: Long,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Ingest {
    #[serde(deserialize_with = "or_default")]
    key: String,
    #[serde(alias = "request_id")]
    request_id: Long,
}

impl ClientFrame {
    /// Reads a frame.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] for what is no frame.
    pub(crate) fn read(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| {
            let what = format!("this is no frame as protobuf's JSON: {error}");
            Error::new(Code::InvalidRequest, what)
        })
    }

    /// The frame in the rules' words.
    pub(crate) fn request(&self) -> Request<'_> {
        match self {
            Self::Echo(Echo { content, request_id }) => {
                Request::Echo { request_id: request_id.0, content }
            }
            &Self::Add(Add { a, b, request_id: Long(request_id) }) => {
                Request::Add { request_id, a, b }
            }
            Self::Hello(Hello { tenant, client, cursor, traceparent }) => {
                Request::Hello { tenant, client, cursor: cursor.as_deref(), traceparent }
            }
            Self::Pong(Pong { status, .. }) => Request::Pong { status: status.0 },
            Self::Send(send) => send.request(),
            Self::Acknowledge(acknowledge) => acknowledge.request(),
            Self::Follow(follow) => follow.request(),
            Self::Typing(typing) => typing.request(),
            Self::Publish(publish) => publish.request(),
            Self::Subscribe(subscribe) => subscribe.request(),
            Self::Unsubscribe(unsubscribe) => unsubscribe.request(),
            Self::Consume(consume) => consume.request(),
            Self::Cancel(cancel) => cancel.request(),
            Self::Settle(settle) => settle.request(),
            Self::Ingest(Ingest { key, request_id }) => {
                Request::Ingest { request_id: request_id.0, key }
            }
        }
    }
}

/// `null` is the default.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A 64-bit number: a string, because JSON's readers round numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Long(u64);

impl Serialize for Long {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Long {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Option::deserialize(deserializer)? {
            None => Ok(Self(0)),
            Some(Written::Number(number)) => Ok(Self(number)),
            Some(Written::Text(text)) => text.parse().map(Self).map_err(de::Error::custom),
        }
    }
}

/// A status by name or number; one of a later version is unknown here.
#[derive(Clone, Copy, Debug, Default)]
struct StatusName(Status);

impl<'de> Deserialize<'de> for StatusName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(i32),
            Name(String),
        }
        let number = match Option::deserialize(deserializer)? {
            None => 0,
            Some(Written::Number(number)) => number,
            Some(Written::Name(name)) => match name.as_str() {
                "STATUS_UNKNOWN" => 0,
                "STATUS_EVEN" => 1,
                "STATUS_ODD" => 2,
                _ => {
                    return Err(de::Error::custom(format_args!("no status is named {name:?}")));
                }
            },
        };
        Ok(Self(match number {
            1 => Status::Even,
            2 => Status::Odd,
            _ => Status::Unknown,
        }))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum ServerFrame<'a> {
    Echo {
        #[serde(skip_serializing_if = "str::is_empty")]
        content: &'a str,
        #[serde(skip_serializing_if = "is_default")]
        request_id: Long,
    },
    Add {
        #[serde(skip_serializing_if = "is_zero")]
        result: i32,
        #[serde(skip_serializing_if = "is_default")]
        request_id: Long,
    },
    Error {
        content: String,
        code: &'static str,
        #[serde(skip_serializing_if = "is_default")]
        request_id: Long,
    },
    Welcome {
        session_id: Long,
        ping_interval_ms: u32,
    },
    Ping {
        sequence: Long,
    },
    Ingest {
        timestamp: String,
        id: Long,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        new: bool,
        #[serde(skip_serializing_if = "is_default")]
        request_id: Long,
    },
    Drain {
        delay_ms: u32,
    },
    Send(chat::SentFrame),
    Acknowledge(chat::MarkedFrame),
    Following(chat::FollowingFrame),
    Inbox(chat::EntryFrame<'a>),
    Typing(chat::TypingFrame),
    Publish(bus::PublishedFrame),
    Subscribe(bus::SubscribedFrame),
    Unsubscribe(bus::UnsubscribedFrame),
    Event(bus::EventFrame<'a>),
    Consume(bus::ConsumerFrame),
    Cancel(bus::ConsumerFrame),
    Delivery(bus::DeliveryFrame<'a>),
    Settle(bus::SettledFrame<'a>),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_default(number: &Long) -> bool {
    number.0 == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_none(count: &u32) -> bool {
    *count == 0
}

/// A frame as JSON.
pub(crate) fn write(reply: &Reply<'_>) -> String {
    let frame = match *reply {
        Reply::Echo { request_id, content } => {
            ServerFrame::Echo { content, request_id: Long(request_id) }
        }
        Reply::Sum { request_id, result } => {
            ServerFrame::Add { result, request_id: Long(request_id) }
        }
        Reply::Error { request_id, ref error } => ServerFrame::Error {
            content: error.to_string(),
            code: error.code().as_str(),
            request_id: Long(request_id),
        },
        Reply::Welcome { session_id, ping_interval_ms } => {
            ServerFrame::Welcome { session_id: Long(session_id), ping_interval_ms }
        }
        Reply::Ping { sequence } => ServerFrame::Ping { sequence: Long(sequence) },
        Reply::Recorded { request_id, receipt, at } => ServerFrame::Ingest {
            timestamp: at.0.to_string(),
            id: Long(receipt.id),
            new: receipt.new,
            request_id: Long(request_id),
        },
        Reply::Sent { request_id, sent } => ServerFrame::Send(chat::sent(request_id, sent)),
        Reply::Marked { request_id, marks } => {
            ServerFrame::Acknowledge(chat::marked(request_id, marks))
        }
        Reply::Following { request_id, ref cursor } => {
            ServerFrame::Following(chat::following(request_id, cursor))
        }
        Reply::Happened { user, entry, ref cursor } => {
            ServerFrame::Inbox(chat::entry(user, entry, cursor))
        }
        Reply::Typing { peer, typing } => ServerFrame::Typing(chat::typing(peer, typing)),
        Reply::Published { request_id, published } => {
            ServerFrame::Publish(bus::published(request_id, published))
        }
        Reply::Subscribed { request_id, subscription, cursor } => {
            ServerFrame::Subscribe(bus::subscribed(request_id, subscription, cursor))
        }
        Reply::Unsubscribed { request_id, subscription } => {
            let request_id = Long(request_id);
            ServerFrame::Unsubscribe(bus::UnsubscribedFrame { subscription, request_id })
        }
        Reply::Event { subscription, event } => ServerFrame::Event(bus::event(subscription, event)),
        Reply::Consuming { request_id, consumer } => {
            let request_id = Long(request_id);
            ServerFrame::Consume(bus::ConsumerFrame { consumer, request_id })
        }
        Reply::Cancelled { request_id, consumer } => {
            let request_id = Long(request_id);
            ServerFrame::Cancel(bus::ConsumerFrame { consumer, request_id })
        }
        Reply::Delivery { consumer, queue, delivery } => {
            ServerFrame::Delivery(bus::delivery(consumer, queue, delivery))
        }
        Reply::Settled { request_id, done, refused } => {
            ServerFrame::Settle(bus::settled(request_id, done, refused))
        }
        Reply::Drain { delay_ms } => ServerFrame::Drain { delay_ms },
    };
    // Our own types always can be written.
    serde_json::to_string(&frame).unwrap_or_default()
}

#[cfg(test)]
mod tests;
