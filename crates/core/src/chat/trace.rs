//! Where a message is, and which trace it belongs to.

use std::sync::Arc;

use super::{Message, MessageStatus};
use crate::Millis;

/// The trace that a message belongs to, as in the W3C's `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: u128,
    /// The span in which it was sent.
    pub span_id: u64,
    /// Whether it is sampled is in the lowest bit.
    pub flags: u8,
}

/// The steps of a message, each with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steps {
    /// The message; it was accepted at its `sent_at`.
    pub message: Arc<Message>,
    /// When it was durable.
    pub stored: Millis,
    /// When the recipient's sessions were told of it; the same moment or later.
    pub signalled: Millis,
    /// When a session of the recipient had it, if one has.
    pub delivered: Option<Millis>,
    /// When the recipient had read it, if he has.
    pub read: Option<Millis>,
}

impl Steps {
    /// How far the message has come.
    pub fn status(&self) -> MessageStatus {
        match (self.delivered, self.read) {
            (_, Some(_)) => MessageStatus::Read,
            (Some(_), None) => MessageStatus::Delivered,
            (None, None) => MessageStatus::Sent,
        }
    }
}
