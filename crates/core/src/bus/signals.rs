//! What reaches those who are there right now.

use std::fmt;

use super::{Event, QueueId};
use crate::Tenant;

/// News of the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// These were just added to a tenant's log, without a gap between them.
    Appended {
        /// Whose log.
        tenant: Tenant,
        /// All of them, from the sequence behind which they stand on.
        events: Vec<Event>,
    },
    /// A queue has something to deliver.
    Ready {
        /// Which.
        queue: QueueId,
    },
}

/// Carries signals to whoever listens, at most once.
///
/// A hint: whoever needs to know everything reads the log, and takes a signal for the news that
/// there is more. The sequences of a signal's events tell whether one before it was lost.
pub trait Signals: fmt::Debug + Send + Sync {
    /// Tells whoever listens. Called on the store's own threads: it must not wait.
    fn tell(&self, signals: Vec<Signal>);
}
