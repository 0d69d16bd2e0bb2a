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
}

/// One who waits, or did.
#[derive(Default)]
pub(super) struct Token {
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

    /// Tells the first who waits.
    pub(super) fn wake_one(&mut self) {
        if let Some(token) = self.tokens.pop_front() {
            token.news.store(true, Ordering::Release);
            token.waker.wake();
        }
    }
}

impl Waiting {
    pub(super) fn new(hub: Arc<Hub>, queue: QueueId, token: Arc<Token>) -> Self {
        Self { hub, queue, token }
    }

    /// Gets into line: the next news is for those who stand in it. To be called before the queue is
    /// looked at for the last time.
    pub(crate) fn line_up(&self) {
        if let Some(waitings) = self.hub.waitings().get_mut(&self.queue)
            && !waitings.tokens.iter().any(|token| Arc::ptr_eq(token, &self.token))
        {
            waitings.tokens.push_back(Arc::clone(&self.token));
        }
    }

    /// Gets out of line. News that it got there and has no use for goes to the next.
    pub(crate) fn step_out(&self) {
        let mut all = self.hub.waitings();
        let Some(waitings) = all.get_mut(&self.queue) else { return };
        waitings.tokens.retain(|token| !Arc::ptr_eq(token, &self.token));
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
        waitings.tokens.retain(|token| !Arc::ptr_eq(token, &self.token));
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
