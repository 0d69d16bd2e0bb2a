//! What the threads of the store let the rest of the node know.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use switchboard_core::store::Condition;
use tokio::sync::watch;

use crate::log::{Missing, Spare};

/// How the store is.
#[derive(Debug)]
pub(crate) struct Health {
    pub(crate) keys: AtomicU64,
    pub(crate) index_bytes: AtomicU64,
    /// Whether the last batch that needed a write was refused for want of a segment.
    refusing: AtomicBool,
    /// Why the store has stopped for good.
    failure: watch::Sender<Option<String>>,
    spare: Spare,
}

impl Health {
    pub(crate) fn new(spare: Spare) -> Self {
        Self {
            keys: AtomicU64::new(0),
            index_bytes: AtomicU64::new(0),
            refusing: AtomicBool::new(false),
            failure: watch::Sender::new(None),
            spare,
        }
    }

    /// A batch was refused, or written.
    pub(crate) fn set_refusing(&self, refusing: bool) {
        if self.refusing.load(Ordering::Relaxed) != refusing {
            self.refusing.store(refusing, Ordering::Relaxed);
        }
    }

    /// The store has stopped. Only the first reason counts.
    pub(crate) fn fail(&self, why: &str) {
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            if first {
                tracing::error!(reason = why, "the store has failed: nothing more is acknowledged");
                *failure = Some(why.to_owned());
            }
            first
        });
    }

    pub(crate) fn failure(&self) -> watch::Receiver<Option<String>> {
        self.failure.subscribe()
    }

    /// Whether the store has stopped.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.borrow().is_some()
    }

    pub(crate) fn condition(&self) -> Condition {
        if let Some(why) = &*self.failure.borrow() {
            return Condition::Failed(why.clone());
        }
        // Room may have come back while nobody wrote.
        match self.spare.missing() {
            Some(missing) if self.refusing.load(Ordering::Relaxed) => match missing {
                Missing::Room(why) => Condition::Full(why),
                Missing::Error(why) => Condition::Refusing(why),
            },
            _ => Condition::Writable,
        }
    }
}
