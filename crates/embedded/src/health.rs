//! What the threads of the store let the rest of the node know.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use switchboard_core::store::Condition;
use tokio::sync::watch;

use crate::log::{Missing, Spare};

/// How the store is.
#[derive(Debug)]
pub(crate) struct Health {
    pub(crate) keys: AtomicU64,
    pub(crate) index_bytes: AtomicU64,
    /// Why the store has stopped for good.
    failure: watch::Sender<Option<String>>,
    gates: Mutex<Vec<Arc<Gate>>>,
}

/// Whether writes get into one of the logs.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Whether the last batch that needed a write was refused for want of a segment.
    refusing: AtomicBool,
    spare: Spare,
}

impl Gate {
    /// A batch was refused, or written.
    pub(crate) fn set_refusing(&self, refusing: bool) {
        if self.refusing.load(Ordering::Relaxed) != refusing {
            self.refusing.store(refusing, Ordering::Relaxed);
        }
    }
}

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            keys: AtomicU64::new(0),
            index_bytes: AtomicU64::new(0),
            failure: watch::Sender::new(None),
            gates: Mutex::default(),
        }
    }

    /// A gate for a log with this spare segment.
    pub(crate) fn gate(&self, spare: &Spare) -> Arc<Gate> {
        let gate = Arc::new(Gate { refusing: AtomicBool::new(false), spare: spare.clone() });
        self.lock().push(Arc::clone(&gate));
        gate
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Gate>>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
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
        let refusing = |gate: &Arc<Gate>| {
            gate.refusing.load(Ordering::Relaxed).then(|| gate.spare.missing()).flatten()
        };
        match self.lock().iter().find_map(refusing) {
            Some(Missing::Room(why)) => Condition::Full(why),
            Some(Missing::Error(why)) => Condition::Refusing(why),
            None => Condition::Writable,
        }
    }
}
