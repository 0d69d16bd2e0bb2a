//! What a session tells the application.

use std::time::Duration;

#[cfg(doc)]
use super::Session;
use crate::{
    Error,
    bus::{self, Delivery},
    chat::Entry,
};

/// What happens to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A node has let the client in.
    #[non_exhaustive]
    Connected {
        /// The number of the session. Later sessions of a client have greater ones.
        session_id: u64,
    },
    /// The node is about to stop. What is in flight is still answered; the session connects again
    /// by itself.
    #[non_exhaustive]
    Draining {
        /// How long the node asks to wait before: the session waits for any time up to that.
        delay: Duration,
    },
    /// There is no connection: it ended, or could not be opened.
    #[non_exhaustive]
    Disconnected {
        /// Why.
        error: Error,
        /// How long until the next try. None: the client was refused, and the session is over.
        retry_in: Option<Duration>,
    },
    /// The inbox is followed from here on.
    #[non_exhaustive]
    Following {
        /// Reading on from here misses nothing.
        cursor: String,
    },
    /// Something happened to the user: each once, in order, however often the connection breaks.
    Happened(Entry),
    /// Somebody is writing to the user, or has stopped.
    #[non_exhaustive]
    Typing {
        /// His number.
        peer: String,
        /// Whether he is writing.
        typing: bool,
    },
    /// The node has refused something that was no request.
    Refused(Error),
    /// A subscription has begun, or goes on over another connection.
    #[non_exhaustive]
    Subscribed {
        /// Its number.
        subscription: u32,
        /// The place behind which it goes on.
        cursor: String,
    },
    /// An event for a subscription: each durable one once, in order, however often the connection
    /// breaks. Of the time between two connections those that are ephemeral are missed.
    #[non_exhaustive]
    Published {
        /// The number of the subscription.
        subscription: u32,
        /// The event.
        event: bus::Event,
    },
    /// A subscription was refused, or can't go on: `cursor_expired` when what it missed is not kept
    /// any more, and so on. The session goes on.
    #[non_exhaustive]
    SubscriptionEnded {
        /// Its number.
        subscription: u32,
        /// Why.
        error: Error,
    },
    /// A queue is consumed, or consumed again over another connection.
    #[non_exhaustive]
    Consuming {
        /// The number of the consumer.
        consumer: u32,
    },
    /// A delivery for a consumer, to be settled with [`Session::settle`]. Whatever is not settled
    /// when the connection breaks comes again, as another attempt.
    #[non_exhaustive]
    Delivered {
        /// The number of the consumer.
        consumer: u32,
        /// The delivery.
        delivery: Delivery,
    },
    /// A consumer was refused, or can't go on: `not_found` where there is no such queue, or none
    /// any more. The session goes on.
    #[non_exhaustive]
    ConsumerEnded {
        /// Its number.
        consumer: u32,
        /// Why.
        error: Error,
    },
}
