//! What a session said of deliveries, until it is done.

use std::{
    collections::VecDeque,
    fmt,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use switchboard_core::{
    Code, Error, Result,
    bus::{Answer, DeliveryId, QueueId, Settled},
    session::{Reply, Settle},
};

use super::{Outgoing, guarded};
use crate::{
    bus::{Consumer, Judged, Outcomes, judge_settle},
    door::Entrance,
    node::Node,
};

/// Settlements on their way, in the order in which they came.
pub(super) struct Settlings {
    entrance: Entrance,
    waiting: VecDeque<Settling>,
}

struct Settling {
    request_id: u64,
    answer: Answer<Vec<Settled>>,
    queue: QueueId,
    ids: Vec<DeliveryId>,
    unknown: Vec<String>,
    began: Instant,
}

impl Settlings {
    pub(super) fn new(entrance: Entrance) -> Self {
        Self { entrance, waiting: VecDeque::new() }
    }

    /// Takes what is said of a consumer's deliveries.
    ///
    /// # Errors
    ///
    /// Those of [`judge_settle`].
    pub(super) fn take(
        &mut self,
        node: &Node,
        request_id: u64,
        consumer: &mut Consumer,
        said: &Settle<'_>,
    ) -> Result<()> {
        let queue = consumer.queue().clone();
        let Judged { settlement, unknown } = judge_settle(node, &queue, said)?;
        let ids: Vec<_> = settlement.deliveries.iter().map(|(id, _)| *id).collect();
        consumer.settling(ids.iter().copied());
        self.entrance.began(1);
        let (answer, began) = (node.ports.log.settle(settlement), Instant::now());
        self.waiting.push_back(Settling { request_id, answer, queue, ids, unknown, began });
        Ok(())
    }

    /// Whether any wait for their answers.
    pub(super) fn waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Gives out the answers that are there, and says how many.
    pub(super) fn poll(
        &mut self,
        node: &Node,
        context: &mut Context<'_>,
        out: &mut impl Outgoing,
    ) -> usize {
        let mut count = 0;
        while let Some(first) = self.waiting.front_mut() {
            let Poll::Ready(settled) = guarded(node, || first.answer.as_mut().poll(context)) else {
                break;
            };
            let Some(first) = self.waiting.pop_front() else { break };
            let Settling { request_id, queue, ids, unknown, began, .. } = first;
            let outcome = settled.as_ref().map(|_| ());
            self.entrance.ended(outcome, 1, began.elapsed());
            match settled {
                Ok(settled) => {
                    let Outcomes { done, refused } = node.outcomes(&queue, &ids, unknown, &settled);
                    out.push(&Reply::Settled { request_id, done, refused: &refused });
                }
                Err(error) => out.push(&Reply::Error { request_id, error }),
            }
            count += 1;
        }
        count
    }
}

impl Drop for Settlings {
    fn drop(&mut self) {
        if !self.waiting.is_empty() {
            let left = Error::new(Code::Unavailable, "the client left before the answer");
            self.entrance.ended(Err(&left), self.waiting.len() as u64, Duration::ZERO);
        }
    }
}

impl fmt::Debug for Settlings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settlings").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}
