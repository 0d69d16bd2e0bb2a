//! What can happen to a session.

use crate::{Error, presence::Status};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
