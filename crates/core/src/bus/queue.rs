//! Queues: events that are shared among consumers, each given to one of them.

use std::{fmt, hash::Hasher as _, sync::Arc};

use siphasher::sip::SipHasher13;

use super::{Event, Interest, Topic};
use crate::{Code, Error, Millis, Result, Tenant};

/// How long a consumer may take where nobody says, and the limits of that, in milliseconds.
pub const ACK_TIMEOUT_MS_DEFAULT: u32 = 30_000;
const ACK_TIMEOUT_MS: std::ops::RangeInclusive<u32> = 1_000..=43_200_000;

/// The longest time after which an event that was given back is delivered again, in milliseconds.
pub const DELAY_MS_MAX: u32 = 43_200_000;

/// How often an event is delivered where nobody says, and the most that can be said.
pub const DELIVERIES_DEFAULT: u32 = 10;
const DELIVERIES_MAX: u32 = 1_000;

/// The most deliveries of one pull, and the most that are settled by one request.
pub const PULL_MAX: u32 = 1_000;

/// The most that a consumer may have unsettled, and what it has where it doesn't say.
pub const PREFETCH_MAX: u32 = 10_000;
/// See [`PREFETCH_MAX`].
pub const PREFETCH_DEFAULT: u32 = 100;

/// The most deliveries of a queue that are unsettled at once: no more are given out then.
pub const IN_FLIGHT_MAX: usize = 100_000;

/// The longest reason for giving an event back, in bytes.
pub const REASON_BYTES_MAX: usize = 256;

/// The reason of an event that nobody settled in time.
pub const TIMED_OUT: &str = "ack_timeout";

/// The reason of an event whose consumer went without settling it.
pub const CONSUMER_LEFT: &str = "consumer_left";

/// A queue by its name: 1 to 64 of `[A-Za-z0-9_-]`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueName(Arc<str>);

impl QueueName {
    /// The longest, in bytes.
    pub const LEN_MAX: usize = 64;

    /// Takes a name as it is written.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidQueue`].
    pub fn new(name: &str) -> Result<Self> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if (1..=Self::LEN_MAX).contains(&name.len()) && name.bytes().all(is_part) {
            return Ok(Self(name.into()));
        }
        let what = "a queue is 1 to 64 of A-Z, a-z, 0-9, '_' and '-'";
        Err(Error::new(Code::InvalidQueue, what))
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The topic of what it gives up, where no other is named.
    pub fn dead_letters(&self) -> Topic {
        Topic::own(&format!("sys.dead_letters.{}", self.0))
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueueName({:?})", &*self.0)
    }
}

/// One tenant's queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId {
    /// Whose.
    pub tenant: Tenant,
    /// Which.
    pub name: QueueName,
}

/// What a queue takes, and how it deals with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// Which events it takes.
    pub interest: Interest,
    /// How long a consumer may take to settle a delivery, in milliseconds.
    pub ack_timeout_ms: u32,
    /// How often an event is delivered before it is given up.
    pub max_deliveries: u32,
    /// Where events go that are given up.
    pub dead_letter_topic: Topic,
}

impl QueueSettings {
    /// Settings as they are written: 0 and nothing stand for the defaults.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] for what is out of range, or a queue that would take what it gives
    /// up; [`Code::InvalidTopic`].
    pub fn new(
        queue: &QueueName,
        interest: Interest,
        (ack_timeout_ms, max_deliveries): (u32, u32),
        dead_letter_topic: &str,
    ) -> Result<Self> {
        let given = |given, default| if given == 0 { default } else { given };
        let ack_timeout_ms = given(ack_timeout_ms, ACK_TIMEOUT_MS_DEFAULT);
        let max_deliveries = given(max_deliveries, DELIVERIES_DEFAULT);
        let refused = |what: String| Err(Error::new(Code::InvalidRequest, what));
        if !ACK_TIMEOUT_MS.contains(&ack_timeout_ms) {
            let (least, most) = (ACK_TIMEOUT_MS.start(), ACK_TIMEOUT_MS.end());
            return refused(format!("ack_timeout_ms is {least} to {most}, not {ack_timeout_ms}"));
        }
        if DELIVERIES_MAX < max_deliveries {
            return refused(format!("max_deliveries is up to {DELIVERIES_MAX}"));
        }
        let dead_letter_topic = match dead_letter_topic {
            "" => queue.dead_letters(),
            given if given == queue.dead_letters().as_str() => queue.dead_letters(),
            given => Topic::new(given)?,
        };
        if dead_letter_topic.is_reserved() && dead_letter_topic != queue.dead_letters() {
            let what = "topics that begin with sys. are Switchboard's own";
            return Err(Error::new(Code::InvalidTopic, what));
        }
        if interest.wants_topic(dead_letter_topic.as_str()) {
            let what = "the queue would take what it gives up: name another dead_letter_topic";
            return refused(what.to_owned());
        }
        Ok(Self { interest, ack_timeout_ms, max_deliveries, dead_letter_topic })
    }
}

/// How a queue is at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueState {
    /// Which queue.
    pub name: QueueName,
    /// As it was made.
    pub settings: QueueSettings,
    /// Events that wait to be delivered, those that wait for their time included.
    pub depth: u64,
    /// Events that were delivered and not settled.
    pub in_flight: u64,
    /// When the oldest event that is not settled was published.
    pub oldest_at: Option<Millis>,
    /// Events that were ever given up.
    pub dead_lettered: u64,
    /// Events that were ever acknowledged.
    pub acknowledged: u64,
    /// Deliveries beyond the first of their events, ever.
    pub redelivered: u64,
}

/// A delivery by what it is of: the one of this attempt of this event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId {
    /// The sequence of the event.
    pub sequence: u64,
    /// Counts its deliveries, from 1.
    pub attempt: u32,
}

impl DeliveryId {
    /// Reads what was given to a consumer of this queue.
    ///
    /// # Errors
    ///
    /// [`Code::NotFound`] for what is no delivery of this queue.
    pub fn read(queue: &QueueId, text: &str) -> Result<Self> {
        let digits = |text: &str| {
            let number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            number.then(|| text.parse::<u64>().ok()).flatten()
        };
        let read = || {
            let mut parts = text.split('-');
            let (sequence, attempt) = (digits(parts.next()?)?, digits(parts.next()?)?);
            let attempt = u32::try_from(attempt).ok()?;
            let known = parts.next()? == format!("{:08x}", tag_of(queue)) && parts.next().is_none();
            known.then_some(Self { sequence, attempt })
        };
        read().ok_or_else(|| Error::new(Code::NotFound, "this is no delivery of this queue"))
    }

    /// As it is given to a consumer: opaque to him.
    pub fn written(self, queue: &QueueId) -> WrittenDelivery {
        WrittenDelivery { id: self, tag: tag_of(queue) }
    }
}

/// A delivery as consumers carry it about.
#[derive(Clone, Copy, Debug)]
pub struct WrittenDelivery {
    id: DeliveryId,
    tag: u32,
}

impl fmt::Display for WrittenDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:08x}", self.id.sequence, self.id.attempt, self.tag)
    }
}

/// Tells a delivery of another queue; no secret.
fn tag_of(queue: &QueueId) -> u32 {
    // The same in every node and for ever.
    let mut hasher = SipHasher13::new_with_keys(5, 0);
    hasher.write(queue.tenant.as_bytes());
    hasher.write_u8(0);
    hasher.write(queue.name.as_str().as_bytes());
    u32::try_from(hasher.finish() >> 32).unwrap_or_default()
}

/// An event for one consumer, until it is settled or its time is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What it is settled by.
    pub id: DeliveryId,
    /// The event.
    pub event: Event,
    /// Until when it is to be settled.
    pub until: Millis,
}

/// Asks for deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// Of which queue.
    pub queue: QueueId,
    /// So many at most.
    pub max: u32,
    /// The time now.
    pub now: Millis,
}

/// What a pull got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    /// First those that are delivered again, then the others in the order of the log.
    pub deliveries: Vec<Delivery>,
    /// Whether more could be pulled at once.
    pub more: bool,
    /// When an event comes back to the queue if nothing else happens before.
    pub next_at: Option<Millis>,
}

/// What becomes of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done with.
    Acknowledge,
    /// It is given back, to be delivered again at a time, or given up if that was often enough.
    Return {
        /// Not before.
        at: Millis,
        /// Why.
        reason: Arc<str>,
    },
}

/// Says what becomes of some deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Of which queue.
    pub queue: QueueId,
    /// Each, in order.
    pub deliveries: Vec<(DeliveryId, Verdict)>,
    /// The time now.
    pub now: Millis,
}

/// What came of settling one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It was settled.
    Done,
    /// Its time was up, or it was given back: the event is delivered again, or was.
    Late,
    /// It was settled before, or never was.
    Unknown,
}

impl Settled {
    /// Why a delivery was not settled; none if it was.
    pub fn refusal(self) -> Option<Code> {
        match self {
            Self::Done => None,
            Self::Late => Some(Code::Conflict),
            Self::Unknown => Some(Code::NotFound),
        }
    }
}

/// Where an event was that a queue gave up, and why it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Which queue gave it up.
    pub queue: Arc<str>,
    /// What the last consumer said, or [`TIMED_OUT`].
    pub reason: Arc<str>,
    /// How often it was delivered.
    pub attempts: u32,
    /// The topic that it was published to.
    pub topic: Arc<str>,
    /// Its sequence there.
    pub sequence: u64,
}

impl DeadLetter {
    /// `attempts u32 | sequence u64 | queue length u8 | topic length u16 | queue | topic | reason`
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let Self { queue, reason, attempts, topic, sequence } = self;
        let mut bytes = Vec::with_capacity(15 + queue.len() + topic.len() + reason.len());
        bytes.extend_from_slice(&attempts.to_le_bytes());
        bytes.extend_from_slice(&sequence.to_le_bytes());
        bytes.push(u8::try_from(queue.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(&u16::try_from(topic.len()).unwrap_or(u16::MAX).to_le_bytes());
        for text in [queue, topic, reason] {
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (attempts, rest) = bytes.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (&queue, rest) = rest.split_first()?;
        let (topic, rest) = rest.split_first_chunk()?;
        let (queue, rest) = rest.split_at_checked(queue.into())?;
        let (topic, reason) = rest.split_at_checked(u16::from_le_bytes(*topic).into())?;
        let text = |bytes| str::from_utf8(bytes).ok().map(Arc::from);
        Some(Self {
            queue: text(queue)?,
            reason: text(reason)?,
            attempts: u32::from_le_bytes(*attempts),
            topic: text(topic)?,
            sequence: u64::from_le_bytes(*sequence),
        })
    }
}

/// The reason of an event that is given back, as a consumer wrote it.
///
/// # Errors
///
/// [`Code::TooLarge`], and [`Code::InvalidRequest`] for control characters.
pub fn reason(text: &str) -> Result<Arc<str>> {
    if REASON_BYTES_MAX < text.len() {
        let what = format!("a reason has at most {REASON_BYTES_MAX} bytes");
        return Err(Error::new(Code::TooLarge, what));
    }
    if text.chars().any(char::is_control) {
        let what = "a reason has no control characters";
        return Err(Error::new(Code::InvalidRequest, what));
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(queue: &str) -> QueueId {
        QueueId { tenant: "a".parse().unwrap(), name: QueueName::new(queue).unwrap() }
    }

    #[test]
    fn names() {
        for bad in ["", "a.b", "a b", "é", "*", &"x".repeat(65)] {
            assert_eq!(QueueName::new(bad).unwrap_err().code(), Code::InvalidQueue, "{bad}");
        }
        let name = QueueName::new("a-B_1").unwrap();
        assert_eq!(name.dead_letters().as_str(), "sys.dead_letters.a-B_1");
    }

    #[test]
    fn settings() {
        let name = QueueName::new("work").unwrap();
        let new = |filter, numbers, topic| {
            QueueSettings::new(&name, Interest::new([filter], []).unwrap(), numbers, topic)
        };
        let usual = new("a.*", (0, 0), "").unwrap();
        assert_eq!((usual.ack_timeout_ms, usual.max_deliveries), (30_000, 10));
        assert_eq!(usual.dead_letter_topic.as_str(), "sys.dead_letters.work");
        assert_eq!(new("a.*", (30_000, 10), "sys.dead_letters.work").unwrap(), usual);
        let code = |filter, numbers, topic| new(filter, numbers, topic).unwrap_err().code();
        assert_eq!(code("a", (999, 0), ""), Code::InvalidRequest);
        assert_eq!(code("a", (0, 1_001), ""), Code::InvalidRequest);
        assert_eq!(code("a.*", (0, 0), "a.b"), Code::InvalidRequest);
        assert_eq!(code(">", (0, 0), ""), Code::InvalidRequest);
        assert_eq!(code("a", (0, 0), "sys.dead_letters.other"), Code::InvalidTopic);
        assert_eq!(code("a", (0, 0), "b.*"), Code::InvalidTopic);
    }

    #[test]
    fn a_delivery_is_read_by_its_own_queue_alone() {
        let delivery = DeliveryId { sequence: 70, attempt: 2 };
        let written = delivery.written(&id("a")).to_string();
        assert_eq!(DeliveryId::read(&id("a"), &written).unwrap(), delivery);
        let other = delivery.written(&id("b")).to_string();
        let (longer, cut) = (format!("{written}-1"), &written[..written.len() - 1]);
        for bad in ["", "70", "70-2", "-70-2-", "a-b-c", &other, &longer, cut] {
            assert_eq!(
                DeliveryId::read(&id("a"), bad).unwrap_err().code(),
                Code::NotFound,
                "{bad}"
            );
        }
    }
}
