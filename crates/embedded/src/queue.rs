//! What waits for the next group commit.

use std::{
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use switchboard_core::{
    Code, Error, Result,
    ingest::{Entry, Receipt},
};
use tokio::sync::oneshot;

/// Where the receipts of a batch go, or why there are none.
pub(crate) type Answer = oneshot::Sender<Result<Vec<Receipt>>>;

/// A batch that waits to be recorded, and who waits for it.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) entries: Vec<Entry>,
    pub(crate) answer: Answer,
    pub(crate) arrived: Instant,
}

/// Batches in the order in which they came.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    entries_max: usize,
}

#[derive(Debug, Default)]
struct State {
    batches: Vec<Batch>,
    entries: usize,
    /// Why nothing is taken any more.
    closed: Option<&'static str>,
    /// Whether the writer sleeps: only then is it worth waking.
    asleep: bool,
}

impl Queue {
    /// An empty queue that holds at most so many entries.
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { state: Mutex::default(), arrived: Condvar::new(), entries_max }
    }

    /// Appends a batch, or answers it at once with why not.
    pub(crate) fn push(&self, batch: Batch) {
        let mut state = self.lock();
        let refused = match state.closed {
            Some(why) => Some(Error::new(Code::Unavailable, why)),
            None if self.entries_max < state.entries + batch.entries.len() => Some(Error::new(
                Code::TooManyRequests,
                "too many entries wait to be recorded: try again later",
            )),
            None => None,
        };
        if let Some(refused) = refused {
            drop(state);
            // Nobody may be waiting any more.
            let _ = batch.answer.send(Err(refused));
            return;
        }
        state.entries += batch.entries.len();
        state.batches.push(batch);
        let wake = mem::take(&mut state.asleep);
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
    }

    /// Takes all that waits, in order; sleeps until there is something. None once the queue is
    /// closed and empty. `spare` is an empty vector to go on with.
    pub(crate) fn take(&self, spare: Vec<Batch>) -> Option<Vec<Batch>> {
        let mut state = self.lock();
        while state.batches.is_empty() {
            if state.closed.is_some() {
                return None;
            }
            state.asleep = true;
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.entries = 0;
        Some(mem::replace(&mut state.batches, spare))
    }

    /// Takes nothing more. What waits is still taken by the writer.
    pub(crate) fn close(&self, why: &'static str) {
        let mut state = self.lock();
        state.closed.get_or_insert(why);
        state.asleep = false;
        drop(state);
        self.arrived.notify_all();
    }

    /// How many batches wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().batches.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
