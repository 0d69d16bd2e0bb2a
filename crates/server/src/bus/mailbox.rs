//! What was told to somebody who is subscribed, and who has not taken it.

use std::{
    collections::VecDeque,
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use futures_util::task::AtomicWaker;

use super::run::Run;

/// What was told to one session or stream, for all its subscriptions, in order.
#[derive(Default)]
pub(crate) struct Mailbox {
    content: Mutex<Content>,
    waker: AtomicWaker,
}

#[derive(Default)]
struct Content {
    runs: VecDeque<(u32, Arc<Run>)>,
    bytes: usize,
    /// Whether something was let go of: nothing more is taken in then.
    spilt: bool,
}

/// What a mailbox had.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Events for the subscription of this number.
    Run(u32, Arc<Run>),
    /// More came than it holds, and it was let go of.
    Spilt,
    Nothing,
}

impl Mailbox {
    /// Puts events in for a subscription, unless that would be more than `bytes_max`. Says whether
    /// it spilt just now.
    pub(super) fn put(&self, subscription: u32, run: &Arc<Run>, bytes_max: usize) -> bool {
        let mut content = self.lock();
        if content.spilt {
            return false;
        }
        let first = content.runs.is_empty();
        content.bytes += run.bytes();
        // One run alone has room, however long it is.
        let spilt = !first && bytes_max < content.bytes;
        if spilt {
            content.spill();
        } else {
            content.runs.push_back((subscription, Arc::clone(run)));
        }
        drop(content);
        if first || spilt {
            self.waker.wake();
        }
        spilt
    }

    /// Lets go of everything: something that belongs here was lost.
    pub(super) fn spill(&self) {
        self.lock().spill();
        self.waker.wake();
    }

    /// Takes what came first. The task is woken when something comes after nothing was there.
    pub(crate) fn take(&self, waker: &Waker) -> Taken {
        let mut content = self.lock();
        if let Some((subscription, run)) = content.runs.pop_front() {
            content.bytes = content.bytes.saturating_sub(run.bytes());
            return Taken::Run(subscription, run);
        }
        if content.spilt {
            return Taken::Spilt;
        }
        if 0 < content.runs.capacity() {
            content.runs = VecDeque::new();
        }
        // Before the lock is let go of: nothing can come in between.
        self.waker.register(waker);
        Taken::Nothing
    }

    /// Lets go of what was meant for a subscription.
    pub(crate) fn forget(&self, subscription: u32) {
        let mut content = self.lock();
        let runs = mem::take(&mut content.runs);
        content.runs = runs.into_iter().filter(|(number, _)| *number != subscription).collect();
        content.bytes = content.runs.iter().map(|(_, run)| run.bytes()).sum();
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn spill(&mut self) {
        *self = Self { spilt: true, ..Self::default() };
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}
