//! What is said to each system, and how what it says is told apart, as cheaply as it can be.
//!
//! All systems are driven by the same loops over the same sockets; what differs is here. Messages
//! are found by their lengths and not decoded.

mod amqp;
mod mqtt;
mod nats;
mod resp;
mod session;

use switchboard_peers::Error;

pub(crate) use self::{
    amqp::{Amqp, delete_queue},
    mqtt::Mqtt,
    nats::{Nats, make_stream},
    resp::Resp,
    session::{Session, publish_to, subscribe},
};
use crate::link::Link;

/// The topic of everything that is published.
pub(crate) const TOPIC: &str = "bench.topic";

/// The queue of the systems that have one.
pub(crate) const QUEUE: &str = "bench-queue";

/// Deliveries that a consumer of a queue may have at once.
pub(crate) const PREFETCH: u16 = 256;

/// What a message from a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What somebody published.
    Event,
    /// Answers a publish, or an acknowledgement.
    Answer,
    /// To be answered, lest the connection be closed.
    Ping,
    /// What was asked for while the connection was set up is there.
    Ready,
    /// Of no interest.
    Other,
}

/// The message at the beginning of what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// All of its bytes.
    pub(crate) len: usize,
    pub(crate) kind: Kind,
}

/// How many messages were in what came, and how many bytes they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) used: usize,
    pub(crate) events: u64,
    pub(crate) answers: u64,
    pub(crate) pings: u64,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Publishes what is not kept.
    Publish,
    /// Publishes what is kept, and is answered.
    PublishKept,
    /// Gets what is published from now on.
    Subscribe,
    /// Gets all that was kept, from the first.
    Replay,
    /// Takes from the queue.
    Consume,
}

/// Acknowledgements that were not sent yet.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    pub(crate) bytes: Vec<u8>,
    /// The number of the last delivery.
    pub(crate) last: u64,
    pub(crate) count: u64,
}

/// Which publishes of a connection are answered; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    /// The first that is not.
    Next,
    One(u64),
    UpTo(u64),
}

/// How one system is spoken to.
pub(crate) trait Wire: std::fmt::Debug {
    /// The message at the beginning; none while a part of it is missing.
    ///
    /// # Errors
    ///
    /// What the server says that it refuses, and what can't be understood.
    fn scan(&self, came: &[u8]) -> Result<Option<Found>, Error>;

    /// Sets up a connection, the so-manieth of the benchmark, and waits until it is.
    fn greet(&self, link: &mut Link, number: usize, role: Role) -> Result<(), Error>;

    /// Adds an event to what a connection sends next: kept, if it was set up for that.
    fn publish(&self, from: usize, kept: bool, data: &[u8], out: &mut Vec<u8>);

    /// Answers a ping.
    fn pong(&self, _out: &mut Vec<u8>) {}

    /// Which publishes an answer answers.
    fn answers(&self, _answer: &[u8]) -> Answers {
        Answers::Next
    }

    /// Adds a message, if it is the delivery of a queue, to those that are acknowledged next.
    fn note(&self, _message: &[u8], _acks: &mut Acks) {}

    /// Acknowledges what was noted, and says for how many no answer is to be waited.
    fn settle(&self, _acks: &mut Acks, _out: &mut Vec<u8>) -> u64 {
        0
    }

    /// How many deliveries an answer to an acknowledgement says are done with.
    fn settled(&self, _answer: &[u8]) -> Result<u64, Error> {
        Ok(0)
    }

    /// Counts the whole messages.
    fn count(&self, came: &[u8]) -> Result<Counted, Error> {
        let mut counted = Counted::default();
        while let Some(Found { len, kind }) = self.scan(&came[counted.used..])? {
            counted.used += len;
            match kind {
                Kind::Event => counted.events += 1,
                Kind::Answer => counted.answers += 1,
                Kind::Ping => counted.pings += 1,
                Kind::Ready | Kind::Other => {}
            }
        }
        Ok(counted)
    }

    /// Hands over each whole message, and says how many bytes they were.
    fn each(&self, came: &[u8], see: &mut dyn FnMut(Kind, &[u8])) -> Result<usize, Error> {
        let mut used = 0;
        while let Some(Found { len, kind }) = self.scan(&came[used..])? {
            see(kind, &came[used..][..len]);
            used += len;
        }
        Ok(used)
    }
}

/// A line without its end, and its length with it.
fn line(came: &[u8]) -> Option<(&[u8], usize)> {
    let end = came.iter().position(|&byte| byte == b'\n')?;
    Some((came[..end].strip_suffix(b"\r").unwrap_or(&came[..end]), end + 1))
}

/// A number in decimal.
fn decimal(digits: &[u8]) -> Result<usize, Error> {
    let add = |number: usize, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| usize::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    let number = digits.iter().try_fold(0, add).filter(|_| !digits.is_empty());
    number.ok_or_else(|| format!("no number but {}", String::from_utf8_lossy(digits)).into())
}
