//! What a session wants done.

use super::{BusRequest, ChatRequest};
use crate::{
    Error, Millis,
    bus::{Cursor, Delivery, Event, Published, QueueId, Settled},
    chat::{Entry, Marks, PhoneNumber, Sent, Written},
    ingest::{Key, Receipt},
};

/// What a session wants done.
#[derive(Debug)]
pub enum Output<'a> {
    /// Send a frame.
    Send(Reply<'a>),
    /// Decide whether this client is let in, and say so with [`super::Input::Admitted`] or
    /// [`super::Input::Refused`].
    Admit {
        /// Whose client it says it is.
        tenant: &'a str,
        /// Which client it says it is.
        client: &'a str,
        /// From where on it follows its inbox, if it does.
        cursor: Option<&'a str>,
        /// Its trace, as in the W3C's `traceparent`; may be empty.
        traceparent: &'a str,
    },
    /// Record a key, send the answer, and say so with [`super::Input::Answered`].
    Record {
        /// The client's number of the request.
        request_id: u64,
        /// What to record.
        key: Key,
    },
    /// Do what is asked of the client's chats, send the answer, and, but for typing, say so with
    /// [`super::Input::Answered`].
    Chat {
        /// The client's number of the request.
        request_id: u64,
        /// What.
        request: ChatRequest<'a>,
    },
    /// Do what is asked of the bus, send the answer, and, for what is answered
    /// ([`BusRequest::is_answered`]), say so with [`super::Input::Answered`].
    Bus {
        /// The client's number of the request.
        request_id: u64,
        /// What.
        request: BusRequest<'a>,
    },
    /// Report [`super::Session::sighting`] to the status service.
    Report,
    /// Close the connection once everything is sent.
    Close(Reason),
}

/// A frame for the client.
#[derive(Debug)]
pub enum Reply<'a> {
    /// What the client sent.
    Echo {
        /// The client's number of the request.
        request_id: u64,
        /// Any text.
        content: &'a str,
    },
    /// The sum of two numbers.
    Sum {
        /// The client's number of the request.
        request_id: u64,
        /// The sum.
        result: i32,
    },
    /// Something was refused.
    Error {
        /// The client's number of the request, or 0.
        request_id: u64,
        /// What, and why.
        error: Error,
    },
    /// The client was let in.
    Welcome {
        /// The number of the session.
        session_id: u64,
        /// How often pings come.
        ping_interval_ms: u32,
    },
    /// To be answered with a pong.
    Ping {
        /// Counts the pings of the session, from 1.
        sequence: u64,
    },
    /// A key was recorded.
    Recorded {
        /// The client's number of the request.
        request_id: u64,
        /// What the ledger says of it.
        receipt: Receipt,
        /// When the request was processed.
        at: Millis,
    },
    /// A message was sent.
    Sent {
        /// The client's number of the request.
        request_id: u64,
        /// The message.
        sent: &'a Sent,
    },
    /// Marks are where they are.
    Marked {
        /// The client's number of the request.
        request_id: u64,
        /// The marks.
        marks: Marks,
    },
    /// The inbox is followed.
    Following {
        /// The client's number of the request; 0 for that of the hello.
        request_id: u64,
        /// From where on.
        cursor: Written,
    },
    /// Something happened to the user.
    Happened {
        /// Who he is.
        user: PhoneNumber,
        /// What happened.
        entry: &'a Entry,
        /// Where he reads on.
        cursor: Written,
    },
    /// Somebody writes to the user, or has stopped.
    Typing {
        /// Who.
        peer: PhoneNumber,
        /// Whether he writes.
        typing: bool,
    },
    /// An event was published.
    Published {
        /// The client's number of the request.
        request_id: u64,
        /// What became of it; an ephemeral event has the sequence 0.
        published: Published,
    },
    /// A subscription has begun.
    Subscribed {
        /// The client's number of the request.
        request_id: u64,
        /// The client's number for it.
        subscription: u32,
        /// From where on.
        cursor: Cursor,
    },
    /// A subscription has ended.
    Unsubscribed {
        /// The client's number of the request.
        request_id: u64,
        /// The client's number for it.
        subscription: u32,
    },
    /// An event of a subscription.
    Event {
        /// The client's number for it.
        subscription: u32,
        /// The event.
        event: &'a Event,
    },
    /// A queue is consumed.
    Consuming {
        /// The client's number of the request.
        request_id: u64,
        /// The client's number for it.
        consumer: u32,
    },
    /// A queue is not consumed any more.
    Cancelled {
        /// The client's number of the request.
        request_id: u64,
        /// The client's number for it.
        consumer: u32,
    },
    /// A delivery for a consumer.
    Delivery {
        /// The client's number for it.
        consumer: u32,
        /// Of which queue.
        queue: &'a QueueId,
        /// The delivery.
        delivery: &'a Delivery,
    },
    /// Deliveries were settled, or not.
    Settled {
        /// The client's number of the request.
        request_id: u64,
        /// How many were.
        done: u32,
        /// Those that were not, and why.
        refused: &'a [(String, Settled)],
    },
    /// Connect again, elsewhere.
    Drain {
        /// After so many milliseconds.
        delay_ms: u32,
    },
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The client left.
    Client,
    /// The client sent what is no frame.
    Malformed,
    /// The client did not say who it is in time.
    NoHello,
    /// The client was not let in.
    Refused,
    /// The client answered no pings.
    Silent,
    /// The client did not read.
    Slow,
    /// The node stops.
    Drain,
}

impl Reason {
    /// The name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Malformed => "malformed",
            Self::NoHello => "no_hello",
            Self::Refused => "refused",
            Self::Silent => "timeout",
            Self::Slow => "slow_consumer",
            Self::Drain => "drain",
        }
    }

    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Client,
        Self::Malformed,
        Self::NoHello,
        Self::Refused,
        Self::Silent,
        Self::Slow,
        Self::Drain,
    ];
}
