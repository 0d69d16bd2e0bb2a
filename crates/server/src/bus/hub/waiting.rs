//! Those who wait for a queue to have something.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;
use switchboard_core::bus::QueueId;

use super::Hub;

/// Those who wait for one queue, in the order in which they came.
#[derive(Default)]
pub(super) struct Waitings {
    tokens: VecDeque<Arc<Token>>,
    present: usize,
    /// Whether there was news while nobody stood in line: it is for the next who does.
    unheard: bool,
}

/// One who waits, or did.
#[derive(Default)]
pub(super) struct Token {
    /// Whether it stands in line. Changes under the lock of the line alone.
    in_line: AtomicBool,
    /// Whether there was news that it has not taken.
    news: AtomicBool,
    waker: AtomicWaker,
}

/// A place among those who wait for a queue. News goes to one of them: who has it and leaves passes
/// it on.
pub(crate) struct Waiting {
    hub: Arc<Hub>,
    queue: QueueId,
    token: Arc<Token>,
}

impl Waitings {
    pub(super) fn join(&mut self) -> Arc<Token> {
        self.present += 1;
        Arc::default()
    }

    /// Tells the first who waits, or else the first who comes.
    pub(super) fn wake_one(&mut self) {
        let Some(token) = self.tokens.pop_front() else {
            self.unheard = true;
            return;
        };
        token.in_line.store(false, Ordering::Relaxed);
        token.news.store(true, Ordering::Release);
        token.waker.wake();
    }

    /// Takes somebody out of line.
    fn step_out(&mut self, token: &Arc<Token>) {
        if token.in_line.swap(false, Ordering::Relaxed) {
            self.tokens.retain(|it| !Arc::ptr_eq(it, token));
        }
    }
}

impl Waiting {
    pub(super) fn new(hub: Arc<Hub>, queue: QueueId, token: Arc<Token>) -> Self {
        Self { hub, queue, token }
    }

    /// Gets into line: the next news is for those who stand in it, and so is what nobody heard
    /// while nobody did. To be called before the queue is looked at for the last time.
    pub(crate) fn line_up(&self) {
        // Who is told just now gets out of line before there is news.
        if self.token.in_line.load(Ordering::Relaxed) {
            return;
        }
        let mut all = self.hub.waitings();
        let Some(waitings) = all.get_mut(&self.queue) else { return };
        self.token.in_line.store(true, Ordering::Relaxed);
        waitings.tokens.push_back(Arc::clone(&self.token));
        if std::mem::take(&mut waitings.unheard) {
            waitings.wake_one();
        }
    }

    /// Gets out of line. News that it got there and has no use for goes to the next.
    pub(crate) fn step_out(&self) {
        let mut all = self.hub.waitings();
        let Some(waitings) = all.get_mut(&self.queue) else { return };
        waitings.step_out(&self.token);
        if self.token.news.swap(false, Ordering::AcqRel) {
            waitings.wake_one();
        }
    }

    /// Ready once there was news since it got into line.
    pub(crate) fn poll_news(&self, context: &mut Context<'_>) -> Poll<()> {
        self.token.waker.register(context.waker());
        if self.token.news.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// There is more for somebody else.
    pub(crate) fn pass_on(&self) {
        self.hub.ready(&self.queue);
    }

    /// Which queue.
    pub(crate) fn queue(&self) -> &QueueId {
        &self.queue
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.hub.ears.subscribe(self.queue.tenant, false);
        let mut all = self.hub.waitings();
        let Some(waitings) = all.get_mut(&self.queue) else { return };
        waitings.step_out(&self.token);
        waitings.present -= 1;
        if self.token.news.load(Ordering::Acquire) {
            waitings.wake_one();
        }
        if waitings.present == 0 {
            all.remove(&self.queue);
        }
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl fmt::Debug for Waitings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waitings").field("present", &self.present).finish_non_exhaustive()
    }
}
