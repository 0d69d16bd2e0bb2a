//! Events, as they are published and as they are read.

use std::{fmt, sync::Arc};

use super::Body;
use crate::{Code, Error, Millis, Result, Tenant};

/// An event of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Counts the events of the tenant, from 1, without gaps. 0: ephemeral.
    pub sequence: u64,
    /// When it was published; never before the one of the sequence before.
    pub at: Millis,
    /// What it says.
    pub body: Body,
}

/// An event that is to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Whose it is.
    pub tenant: Tenant,
    /// What it says.
    pub body: Body,
    /// When it was accepted.
    pub at: Millis,
}

/// What became of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The sequence of the event.
    pub sequence: u64,
    /// Whether this request published it, rather than an earlier one.
    pub new: bool,
}

/// A publisher's own name for an event, by which a repeated publish is known: 1 to 128 bytes of
/// UTF-8 without control characters. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(Arc<str>);

impl IdempotencyKey {
    /// The longest, in bytes.
    pub const LEN_MAX: usize = 128;

    /// Takes a key as it is written.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] for none, one that is too long, or control characters.
    pub fn new(key: &str) -> Result<Self> {
        if key.is_empty() || Self::LEN_MAX < key.len() || key.chars().any(char::is_control) {
            let what = "an idempotency key is 1 to 128 bytes of UTF-8 without control characters";
            return Err(Error::new(Code::InvalidRequest, what));
        }
        Ok(Self(key.into()))
    }

    /// The key as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdempotencyKey({:?})", &*self.0)
    }
}
