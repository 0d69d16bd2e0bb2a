//! What can happen to a session.

use crate::{Error, bus::Content, presence::Status};

/// What can happen to a session.
#[derive(Debug)]
pub enum Input<'a> {
    /// A frame came.
    Request(Request<'a>),
    /// What came is no frame; nothing after it can be understood.
    Malformed(Error),
    /// The client of the last hello was let in, with this number.
    Admitted {
        /// The number of the session.
        session_id: u64,
    },
    /// The client of the last hello was not let in.
    Refused(Error),
    /// A request that was handed on has been answered.
    Answered,
    /// It is time for the next ping.
    Tick,
    /// The node is about to stop.
    Drain {
        /// How long the client should wait before it connects again.
        delay_ms: u32,
    },
    /// The client has read nothing for too long, and too much waits for it.
    Slow,
    /// The client closed the connection, or it broke.
    Left,
}

/// A frame of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// To be answered with the same.
    Echo {
        /// The client's number of the request.
        request_id: u64,
        /// Any text.
        content: &'a str,
    },
    /// Two numbers to add.
    Add {
        /// The client's number of the request.
        request_id: u64,
        /// One.
        a: i32,
        /// The other.
        b: i32,
    },
    /// Says who the client is.
    Hello {
        /// Whose client it is.
        tenant: &'a str,
        /// Its own id.
        client: &'a str,
        /// From where on it follows its inbox, if it does.
        cursor: Option<&'a str>,
        /// Its trace, as in the W3C's `traceparent`; may be empty.
        traceparent: &'a str,
    },
    /// Answers a ping.
    Pong {
        /// What the client reports of itself.
        status: Status,
    },
    /// Records a key.
    Ingest {
        /// The client's number of the request.
        request_id: u64,
        /// The key.
        key: &'a str,
    },
    /// Something about chats.
    Chat {
        /// The client's number of the request.
        request_id: u64,
        /// What.
        request: ChatRequest<'a>,
    },
    /// Something about the bus.
    Bus {
        /// The client's number of the request.
        request_id: u64,
        /// What.
        request: BusRequest<'a>,
    },
    /// A frame that this version does not know.
    Unknown {
        /// Its field number.
        number: u32,
    },
}

/// What a client asks of its chats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatRequest<'a> {
    /// Sends a message.
    Send {
        /// To whom.
        to: &'a str,
        /// What is written.
        text: &'a str,
        /// The client's own name for it; may be empty.
        client_message_id: &'a str,
        /// The client's trace, as in the W3C's `traceparent`; may be empty.
        traceparent: &'a str,
    },
    /// States what the client has got and read.
    Acknowledge {
        /// Whose messages.
        peer: &'a str,
        /// Those up to this id have arrived.
        delivered_up_to: Option<u64>,
        /// Those up to this id were read.
        read_up_to: Option<u64>,
    },
    /// Follows the inbox from now on.
    Follow {
        /// A cursor, `now`, or nothing.
        after: &'a str,
    },
    /// Tells a peer that the client writes, or has stopped.
    Typing {
        /// Whom.
        peer: &'a str,
        /// Whether it writes.
        typing: bool,
    },
}

/// What a client asks of the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusRequest<'a> {
    /// Publishes an event.
    Publish {
        /// What it says; its key is in `key`.
        content: Content<'a>,
        /// By which a repeated publish is known; may be empty.
        key: &'a str,
        /// Whether it is for those alone who are there right now.
        ephemeral: bool,
    },
    /// Has events given from now on.
    Subscribe {
        /// The client's number for it.
        subscription: u32,
        /// Filters.
        topics: Vec<&'a str>,
        /// Types; none: any.
        types: Vec<&'a str>,
        /// From where on; empty: from now.
        after: &'a str,
    },
    /// Has no more events given.
    Unsubscribe {
        /// The client's number for it.
        subscription: u32,
    },
    /// Has deliveries of a queue given from now on.
    Consume {
        /// The client's number for it.
        consumer: u32,
        /// Which queue.
        queue: &'a str,
        /// How many may be unsettled at once; 0: as many as is usual.
        prefetch: u32,
    },
    /// Has no more deliveries given.
    Cancel {
        /// The client's number for it.
        consumer: u32,
    },
    /// Says what becomes of deliveries.
    Settle {
        /// The client's number for whom they were given to.
        consumer: u32,
        /// What is said.
        settle: Settle<'a>,
    },
}

/// What a consumer says of its deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settle<'a> {
    /// Those that are done with.
    pub ack: Vec<&'a str>,
    /// Those that are given back.
    pub nack: Vec<&'a str>,
    /// When those are delivered again, in milliseconds from now.
    pub delay_ms: u32,
    /// Why they are given back; may be empty.
    pub reason: &'a str,
}

impl BusRequest<'_> {
    /// Whether it is answered, and not refused alone.
    pub fn is_answered(&self, request_id: u64) -> bool {
        request_id != 0 || !matches!(self, Self::Publish { ephemeral: true, .. })
    }
}
