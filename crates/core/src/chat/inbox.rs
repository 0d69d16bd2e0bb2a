//! A user's own feed.

use std::sync::Arc;

use super::{Message, PhoneNumber};
use crate::Millis;

/// One thing that happened to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counts what happened to this user, from 1, without gaps.
    pub sequence: u64,
    /// What happened.
    pub what: Happening,
}

/// What can happen to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// He got a message, or sent one.
    Message(Arc<Message>),
    /// The messages that he sent to somebody have arrived there.
    Delivered {
        /// Whom he sent them to.
        peer: PhoneNumber,
        /// Those up to this id.
        up_to: u64,
        /// When this was stated.
        at: Millis,
    },
    /// The messages that he sent to somebody were read, and so have arrived.
    Read {
        /// Whom he sent them to.
        peer: PhoneNumber,
        /// Those up to this id.
        up_to: u64,
        /// When this was stated.
        at: Millis,
    },
}

impl Happening {
    /// The name on the wire.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Message(_) => "message",
            Self::Delivered { .. } => "delivered",
            Self::Read { .. } => "read",
        }
    }
}

/// A page of an inbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InboxPage {
    /// The entries, in order.
    pub entries: Vec<Entry>,
    /// The sequence of the newest entry of the inbox; 0 where there is none.
    pub newest: u64,
}
