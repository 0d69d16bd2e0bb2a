//! One who takes the events of a queue as they come.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use switchboard_core::{
    Code, Error, Millis, Result,
    bus::{
        Answer, CONSUMER_LEFT, Delivery, DeliveryId, PREFETCH_DEFAULT, PREFETCH_MAX, PULL_MAX,
        Pull, Pulled, QueueId, Settlement, Verdict,
    },
};
use tokio::{
    runtime::Handle,
    time::{Sleep, sleep},
};

use super::hub::Waiting;
use crate::node::Node;

/// One who takes the events of a queue as they come, so many at once as it can settle.
///
/// What it has not settled when it goes is given back.
pub(crate) struct Consumer {
    node: Node,
    waiting: Waiting,
    prefetch: usize,
    /// What was handed out and not settled, and until when it is to be.
    unsettled: BTreeMap<DeliveryId, Millis>,
    pulling: Option<Answer<Pulled>>,
    pulled: VecDeque<Delivery>,
    /// Whether the queue may have something.
    hopeful: bool,
    /// Whether it was told that the queue is there.
    began: Began,
    /// Until something comes back to the queue by itself.
    next: Option<Pin<Box<Sleep>>>,
}

/// What a consumer hands out.
#[derive(Debug)]
pub(crate) enum Given {
    /// The queue is there. Comes first, once.
    Began,
    Delivery(Box<Delivery>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Began {
    No,
    /// It is to be told.
    Now,
    Told,
}

/// How many deliveries a consumer may have unsettled: 0 stands for the usual.
///
/// # Errors
///
/// [`Code::TooLarge`].
pub(crate) fn prefetch(asked: u32) -> Result<u32> {
    match asked {
        0 => Ok(PREFETCH_DEFAULT),
        1..=PREFETCH_MAX => Ok(asked),
        _ => {
            let what = format!("prefetch is {PREFETCH_MAX} at the most, not {asked}");
            Err(Error::new(Code::TooLarge, what))
        }
    }
}

impl Consumer {
    /// Takes from a queue, of which so many deliveries may be unsettled.
    pub(crate) fn new(node: &Node, queue: QueueId, prefetch: u32) -> Self {
        Self {
            node: node.clone(),
            waiting: node.bus.hub.wait(queue),
            prefetch: prefetch as usize,
            unsettled: BTreeMap::new(),
            pulling: None,
            pulled: VecDeque::new(),
            hopeful: true,
            began: Began::No,
            next: None,
        }
    }

    /// Of which queue.
    pub(crate) fn queue(&self) -> &QueueId {
        self.waiting.queue()
    }

    /// From now on so many may be unsettled.
    pub(crate) fn set_prefetch(&mut self, prefetch: u32) {
        self.prefetch = prefetch as usize;
        self.hopeful = true;
    }

    /// What comes next.
    ///
    /// # Errors
    ///
    /// That of the log, of which [`Code::NotFound`] says that the queue is no more.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Given>> {
        loop {
            if self.began == Began::Now {
                self.began = Began::Told;
                return Poll::Ready(Ok(Given::Began));
            }
            if let Some(delivery) = self.pulled.pop_front() {
                self.node.metrics.bus.delivered(delivery.id.attempt);
                return Poll::Ready(Ok(Given::Delivery(Box::new(delivery))));
            }
            if self.pulling.is_some() {
                ready!(self.poll_pulled(context))?;
                continue;
            }
            let room = self.room();
            if room == 0 {
                // What was meant for it is for others.
                self.waiting.step_out();
                self.hopeful = true;
                return Poll::Pending;
            }
            if !self.hopeful {
                let due = self.next.as_mut().map(|next| next.as_mut().poll(context));
                let due = due.is_some_and(|due| due.is_ready());
                if due {
                    self.next = None;
                } else {
                    // Who had something to hand out was not in line meanwhile.
                    self.waiting.line_up();
                    ready!(self.waiting.poll_news(context));
                }
            }
            self.pull(room);
        }
    }

    /// What was pulled beside the last that was handed out.
    pub(crate) fn take_pulled(&mut self) -> Vec<Delivery> {
        let pulled = std::mem::take(&mut self.pulled);
        for delivery in &pulled {
            self.node.metrics.bus.delivered(delivery.id.attempt);
        }
        pulled.into()
    }

    /// Notes that these are settled, or are about to be.
    pub(crate) fn settling(&mut self, deliveries: impl Iterator<Item = DeliveryId>) {
        for id in deliveries {
            self.unsettled.remove(&id);
        }
    }

    /// How many more it may have.
    fn room(&mut self) -> usize {
        if self.unsettled.len() < self.prefetch {
            return self.prefetch - self.unsettled.len();
        }
        // Those whose time is up are another's, or will be.
        let now = self.node.ports.clock.now();
        self.unsettled.retain(|_, until| now < *until);
        self.prefetch.saturating_sub(self.unsettled.len())
    }

    fn pull(&mut self, room: usize) {
        // In line before it looks: what comes after the look is told.
        self.waiting.line_up();
        self.hopeful = false;
        let max = u32::try_from(room).unwrap_or(u32::MAX).min(PULL_MAX);
        let (queue, now) = (self.waiting.queue().clone(), self.node.ports.clock.now());
        self.pulling = Some(self.node.ports.log.pull(Pull { queue, max, now }));
    }

    fn poll_pulled(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(pulling) = &mut self.pulling else { return Poll::Ready(Ok(())) };
        let pulled = ready!(pulling.as_mut().poll(context));
        self.pulling = None;
        let Pulled { deliveries, more, next_at } = pulled?;
        if self.began == Began::No {
            self.began = Began::Now;
        }
        for delivery in &deliveries {
            self.unsettled.insert(delivery.id, delivery.until);
        }
        if !deliveries.is_empty() {
            self.waiting.step_out();
        }
        self.pulled = deliveries.into();
        if more {
            // It goes on by itself as long as it can; the rest is for others.
            self.hopeful = true;
            self.waiting.pass_on();
        }
        let now = self.node.ports.clock.now();
        let wait = next_at.map(|at| at.since(now).max(1).unsigned_abs());
        self.next = wait.map(|ms| Box::pin(sleep(Duration::from_millis(ms))));
        Poll::Ready(Ok(()))
    }
}

/// Gives deliveries back whose consumer is gone. It takes its place when this returns; nobody needs
/// the answer.
fn give_back(node: &Node, queue: QueueId, deliveries: impl IntoIterator<Item = DeliveryId>) {
    let now = node.ports.clock.now();
    let back = Verdict::Return { at: now, reason: CONSUMER_LEFT.into() };
    let deliveries: Vec<_> = deliveries.into_iter().map(|id| (id, back.clone())).collect();
    if !deliveries.is_empty() {
        drop(node.ports.log.settle(Settlement { queue, deliveries, now }));
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let queue = self.waiting.queue().clone();
        give_back(&self.node, queue.clone(), std::mem::take(&mut self.unsettled).into_keys());
        // What is being pulled is given back once it is known what that is.
        if let Some(pulling) = self.pulling.take()
            && let Ok(runtime) = Handle::try_current()
        {
            let node = self.node.clone();
            runtime.spawn(async move {
                if let Ok(pulled) = pulling.await {
                    let ids = pulled.deliveries.iter().map(|delivery| delivery.id);
                    give_back(&node, queue, ids);
                }
            });
        }
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("queue", self.waiting.queue()).finish_non_exhaustive()
    }
}
