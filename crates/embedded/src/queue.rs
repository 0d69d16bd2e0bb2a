//! What waits for the next group commit.

use std::{
    mem,
    pin::Pin,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use switchboard_core::{
    Code, Error, Result,
    ingest::{Entry, Receipt},
};
use tokio::sync::oneshot;

/// Where an answer goes, or why there is none.
pub(crate) type Answer<T> = oneshot::Sender<Result<T>>;

/// What waits, and who waits for it.
pub(crate) trait Waiting: Sized {
    /// How many entries it holds.
    fn entries(&self) -> usize;

    /// Answers that it is not done.
    fn refuse(self, error: Error);
}

/// A batch that waits to be recorded, and who waits for it.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) entries: Vec<Entry>,
    pub(crate) answer: Answer<Vec<Receipt>>,
    pub(crate) arrived: Instant,
}

impl Waiting for Batch {
    fn entries(&self) -> usize {
        self.entries.len()
    }

    fn refuse(self, error: Error) {
        // Nobody may be waiting any more.
        let _ = self.answer.send(Err(error));
    }
}

/// Batches in the order in which they came.
#[derive(Debug)]
pub(crate) struct Queue<W = Batch> {
    state: Mutex<State<W>>,
    arrived: Condvar,
    entries_max: usize,
}

#[derive(Debug)]
struct State<W> {
    batches: Vec<W>,
    entries: usize,
    /// Why nothing is taken any more.
    closed: Option<&'static str>,
    /// Whether the writer sleeps: only then is it worth waking.
    asleep: bool,
}

impl<W: Waiting> Queue<W> {
    /// An empty queue that holds at most so many entries.
    pub(crate) fn new(entries_max: usize) -> Self {
        let state = State { batches: Vec::new(), entries: 0, closed: None, asleep: false };
        Self { state: Mutex::new(state), arrived: Condvar::new(), entries_max }
    }

    /// Appends a batch, or answers it at once with why not.
    pub(crate) fn push(&self, batch: W) {
        let mut state = self.lock();
        let refused = match state.closed {
            Some(why) => Some(Error::new(Code::Unavailable, why)),
            None if self.entries_max < state.entries + batch.entries() => Some(Error::new(
                Code::TooManyRequests,
                "too many entries wait to be recorded: try again later",
            )),
            None => None,
        };
        if let Some(refused) = refused {
            drop(state);
            batch.refuse(refused);
            return;
        }
        state.entries += batch.entries();
        state.batches.push(batch);
        let wake = mem::take(&mut state.asleep);
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
    }

    /// Pushes what needs an answer, and waits for that.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(Answer<T>) -> W,
    ) -> Pin<Box<dyn Future<Output = Result<T>> + Send>> {
        let (answer, answered) = oneshot::channel();
        self.push(work(answer));
        Box::pin(async {
            answered.await.unwrap_or_else(|_| {
                let what = "the store ended before the answer: it is not known what was done";
                Err(Error::new(Code::Unavailable, what))
            })
        })
    }

    /// Takes all that waits, in order; sleeps until there is something. None once the queue is
    /// closed and empty. `spare` is an empty vector to go on with.
    pub(crate) fn take(&self, spare: Vec<W>) -> Option<Vec<W>> {
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

    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
