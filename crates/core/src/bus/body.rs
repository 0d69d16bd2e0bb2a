//! What an event says, as one run of bytes.
//!
//! ```text
//! topic length u16 | type length u8 | content type length u8 | key length u8
//! | reply topic length u16 | origin length u16 | topic | type | content type | key | reply topic
//! | origin | data
//! ```
//!
//! Numbers are little-endian. A publisher's event is put so once; logs keep it so, and those who
//! are subscribed share it: nothing is copied from one form to another on the way.

use std::{fmt, sync::Arc};

use super::{
    DeadLetter, EventType, IdempotencyKey, Topic,
    event_type::{JSON, check_content_type, check_type},
    topic,
};
use crate::{Code, Error, Result};

/// The most data of one event, in bytes.
pub const DATA_BYTES_MAX: usize = 1024 * 1024;

const HEADER: usize = 9;

/// What an event says: all but its sequence and time. Cheap to clone.
#[derive(Clone)]
pub struct Body {
    bytes: Arc<[u8]>,
    start: u32,
    len: u32,
    parts: Parts,
}

/// How long each part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts {
    topic: u16,
    kind: u8,
    content_type: u8,
    key: u8,
    reply_to: u16,
    origin: u16,
}

/// What a publisher says, before it is put into one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content<'a> {
    /// Where it goes.
    pub topic: &'a str,
    /// Of what type it is.
    pub kind: &'a str,
    /// What the data is; empty: any bytes.
    pub content_type: &'a str,
    /// Up to 1 MiB.
    pub data: &'a [u8],
    /// By which a repeated publish is known.
    pub key: Option<&'a IdempotencyKey>,
    /// Where an answer is waited for; empty: nowhere.
    pub reply_to: &'a str,
}

impl Body {
    /// What a publisher says.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidTopic`], also for a topic that is reserved; [`Code::InvalidType`] for a type
    /// or content type; [`Code::TooLarge`] for the data. That data is what its content type says is
    /// checked by those who can read it.
    pub fn new(content: &Content<'_>) -> Result<Self> {
        topic::check(content.topic)?;
        if topic::is_reserved(content.topic) {
            let what = "topics that begin with sys. are Switchboard's own: nobody else publishes \
                        to them";
            return Err(Error::new(Code::InvalidTopic, what));
        }
        if !content.reply_to.is_empty() {
            topic::check(content.reply_to).map_err(|error| error.at("reply_to"))?;
        }
        check_type(content.kind)?;
        check_content_type(content.content_type)?;
        if DATA_BYTES_MAX < content.data.len() {
            let what = format!(
                "an event has at most {DATA_BYTES_MAX} bytes of data, not {}",
                content.data.len()
            );
            return Err(Error::new(Code::TooLarge, what));
        }
        Ok(Self::put(content, &[]))
    }

    /// What Switchboard itself says, in JSON.
    pub fn own(topic: &Topic, kind: &EventType, json: &str) -> Self {
        Self::put(
            &Content {
                topic: topic.as_str(),
                kind: kind.as_str(),
                content_type: JSON,
                data: json.as_bytes(),
                key: None,
                reply_to: "",
            },
            &[],
        )
    }

    /// The same event on the topic of those that a queue gave up.
    #[must_use]
    pub fn given_up(&self, topic: &Topic, letter: &DeadLetter) -> Self {
        let content = Content {
            topic: topic.as_str(),
            kind: self.kind(),
            content_type: self.content_type(),
            data: self.data(),
            key: None,
            reply_to: "",
        };
        Self::put(&content, &letter.to_bytes())
    }

    /// All parts are as short as their types allow.
    fn put(content: &Content<'_>, origin: &[u8]) -> Self {
        let &Content { topic, kind, content_type, data, key, reply_to } = content;
        let key = key.map_or("", IdempotencyKey::as_str);
        let short = |len: usize| u8::try_from(len).unwrap_or(u8::MAX);
        let long = |len: usize| u16::try_from(len).unwrap_or(u16::MAX);
        let parts = Parts {
            topic: long(topic.len()),
            kind: short(kind.len()),
            content_type: short(content_type.len()),
            key: short(key.len()),
            reply_to: long(reply_to.len()),
            origin: long(origin.len()),
        };
        let mut bytes = Vec::with_capacity(HEADER + parts.len() + data.len());
        bytes.extend_from_slice(&parts.topic.to_le_bytes());
        bytes.extend_from_slice(&[parts.kind, parts.content_type, parts.key]);
        bytes.extend_from_slice(&parts.reply_to.to_le_bytes());
        bytes.extend_from_slice(&parts.origin.to_le_bytes());
        for part in [topic, kind, content_type, key, reply_to] {
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes.extend_from_slice(origin);
        bytes.extend_from_slice(data);
        // Data is 1 MiB at the most.
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        Self { bytes: bytes.into(), start: 0, len, parts }
    }

    /// The body that stands at a place in bytes that others may share, if it can be one. What it
    /// says was checked when it was put there.
    pub fn from_bytes(bytes: &Arc<[u8]>, start: usize, len: usize) -> Option<Self> {
        let body = bytes.get(start..start.checked_add(len)?)?;
        let parts = Parts::read(body)?;
        if body.len() < HEADER + parts.len() {
            return None;
        }
        let (start, len) = (u32::try_from(start).ok()?, u32::try_from(len).ok()?);
        Some(Self { bytes: Arc::clone(bytes), start, len, parts })
    }

    /// The whole body, to be kept.
    pub fn as_bytes(&self) -> &[u8] {
        let start = self.start as usize;
        &self.bytes[start..start + self.len as usize]
    }

    /// Where it goes.
    pub fn topic(&self) -> &str {
        self.text(0, self.parts.topic.into())
    }

    /// Of what type it is.
    pub fn kind(&self) -> &str {
        self.text(self.parts.topic.into(), self.parts.kind.into())
    }

    /// What the data is; empty: any bytes.
    pub fn content_type(&self) -> &str {
        self.text(self.parts.before_content_type(), self.parts.content_type.into())
    }

    /// Whether the data is a JSON text.
    pub fn is_json(&self) -> bool {
        self.content_type() == JSON
    }

    /// By which a repeated publish is known; empty: by nothing.
    pub fn key(&self) -> &str {
        self.text(self.parts.before_key(), self.parts.key.into())
    }

    /// Where an answer is waited for; empty: nowhere.
    pub fn reply_to(&self) -> &str {
        self.text(self.parts.before_reply_to(), self.parts.reply_to.into())
    }

    /// Whether a queue gave it up.
    pub fn is_dead_letter(&self) -> bool {
        self.parts.origin != 0
    }

    /// Where it was before a queue gave it up, if one did.
    pub fn dead_letter(&self) -> Option<DeadLetter> {
        let origin = self.part(self.parts.before_origin(), self.parts.origin.into());
        if origin.is_empty() { None } else { DeadLetter::from_bytes(origin) }
    }

    /// The data.
    pub fn data(&self) -> &[u8] {
        self.as_bytes().get(HEADER + self.parts.len()..).unwrap_or_default()
    }

    fn part(&self, at: usize, len: usize) -> &[u8] {
        self.as_bytes().get(HEADER + at..HEADER + at + len).unwrap_or_default()
    }

    fn text(&self, at: usize, len: usize) -> &str {
        str::from_utf8(self.part(at, len)).unwrap_or_default()
    }
}

impl Parts {
    fn read(body: &[u8]) -> Option<Self> {
        let &[topic0, topic1, kind, content_type, key, reply0, reply1, origin0, origin1] =
            body.first_chunk()?;
        Some(Self {
            topic: u16::from_le_bytes([topic0, topic1]),
            kind,
            content_type,
            key,
            reply_to: u16::from_le_bytes([reply0, reply1]),
            origin: u16::from_le_bytes([origin0, origin1]),
        })
    }

    fn before_content_type(self) -> usize {
        usize::from(self.topic) + usize::from(self.kind)
    }

    fn before_key(self) -> usize {
        self.before_content_type() + usize::from(self.content_type)
    }

    fn before_reply_to(self) -> usize {
        self.before_key() + usize::from(self.key)
    }

    fn before_origin(self) -> usize {
        self.before_reply_to() + usize::from(self.reply_to)
    }

    /// All but the data.
    fn len(self) -> usize {
        self.before_origin() + usize::from(self.origin)
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Body {}

impl fmt::Debug for Body {
    /// What publishers say is theirs: only the length of the data is told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("topic", &self.topic())
            .field("kind", &self.kind())
            .field("data", &self.data().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content<'a>(topic: &'a str, kind: &'a str, data: &'a [u8]) -> Content<'a> {
        Content { topic, kind, content_type: "", data, key: None, reply_to: "" }
    }

    #[test]
    fn what_is_refused() {
        let code = |content: &Content<'_>| Body::new(content).unwrap_err().code();
        assert_eq!(code(&content("a.*", "x", b"")), Code::InvalidTopic);
        assert_eq!(code(&content("sys.presence.online", "x", b"")), Code::InvalidTopic);
        assert_eq!(code(&content("sys", "x", b"")), Code::InvalidTopic);
        assert_eq!(code(&content("a", "x y", b"")), Code::InvalidType);
        let long = vec![0; DATA_BYTES_MAX + 1];
        assert_eq!(code(&content("a", "x", &long)), Code::TooLarge);
        let mut wrong = content("a", "x", b"");
        wrong.reply_to = "b.>";
        assert_eq!(code(&wrong), Code::InvalidTopic);
        wrong.reply_to = "b";
        wrong.content_type = "a b";
        assert_eq!(code(&wrong), Code::InvalidType);
        assert_eq!(Body::new(&content("a", "x", &long[1..])).unwrap().data(), &long[1..]);
    }

    #[test]
    fn an_event_that_is_given_up_says_where_it_was() {
        let body = Body::new(&content("orders.eu", "created", b"{}")).unwrap();
        assert_eq!(body.dead_letter(), None);
        let letter = DeadLetter {
            queue: "work".into(),
            reason: "no".into(),
            attempts: 3,
            topic: "orders.eu".into(),
            sequence: 7,
        };
        let given_up = body.given_up(&Topic::new("sys.dead_letters.work").unwrap(), &letter);
        assert_eq!(given_up.topic(), "sys.dead_letters.work");
        assert_eq!((given_up.kind(), given_up.data()), ("created", &b"{}"[..]));
        assert_eq!(given_up.dead_letter(), Some(letter));
    }

    proptest! {
        #[test]
        fn all_parts_come_back(
            topic in "[a-z]{1,9}(\\.[a-z0-9_-]{1,9}){0,3}",
            kind in "[A-Za-z0-9._-]{1,128}",
            content_type in "[a-z/]{0,40}",
            key in "\\PC{0,20}",
            reply_to in "([a-z]{1,9})?",
            data in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            prop_assume!(topic != "sys" && !topic.starts_with("sys."));
            let named = IdempotencyKey::new(&key).ok();
            let body = Body::new(&Content {
                topic: &topic,
                kind: &kind,
                content_type: &content_type,
                data: &data,
                key: named.as_ref(),
                reply_to: &reply_to,
            }).unwrap();
            // Somewhere among others.
            let mut bytes = vec![7; 5];
            bytes.extend_from_slice(body.as_bytes());
            bytes.push(9);
            let len = bytes.len();
            let bytes = bytes.into();
            let again = Body::from_bytes(&bytes, 5, len - 6).unwrap();
            for body in [&body, &again] {
                prop_assert_eq!(body.topic(), &topic);
                prop_assert_eq!(body.kind(), &kind);
                prop_assert_eq!(body.content_type(), &content_type);
                prop_assert_eq!(body.key(), named.as_ref().map_or("", IdempotencyKey::as_str));
                prop_assert_eq!(body.reply_to(), &reply_to);
                prop_assert_eq!(body.data(), &data[..]);
            }
        }

        #[test]
        fn any_bytes_can_be_looked_at(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let len = bytes.len();
            if let Some(body) = Body::from_bytes(&bytes.into(), 0, len) {
                let _ = (body.topic(), body.kind(), body.content_type(), body.key());
                let _ = (body.reply_to(), body.dead_letter(), body.data());
            }
        }
    }
}
