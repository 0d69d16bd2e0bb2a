//! Requests of a session that are handed on in batches.

use std::{
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use switchboard_core::{Code, Error, Result};

use super::defect;
use crate::{door::Entrance, node::Node};

/// The answers to a batch, on their way.
type Answer<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// Requests of one kind, in the order in which they came.
pub(super) struct Batches<Q, A> {
    entrance: Entrance,
    /// Those that are handed on next, with their numbers.
    next: Vec<Q>,
    ids: Vec<u64>,
    under_way: VecDeque<Batch<A>>,
}

struct Batch<A> {
    answer: Answer<Vec<Result<A>>>,
    ids: Vec<u64>,
    began: Instant,
}

impl<Q, A> Batches<Q, A> {
    pub(super) fn new(entrance: Entrance) -> Self {
        Self { entrance, next: Vec::new(), ids: Vec::new(), under_way: VecDeque::new() }
    }

    /// Takes one more, to be handed on with the next batch.
    pub(super) fn push(&mut self, request_id: u64, request: Q) {
        self.next.push(request);
        self.ids.push(request_id);
    }

    /// Whether any wait for their answers.
    pub(super) fn waiting(&self) -> bool {
        !self.ids.is_empty() || !self.under_way.is_empty()
    }

    /// Hands on those that came, as one batch.
    pub(super) fn submit(&mut self, node: &Node, ask: impl FnOnce(Vec<Q>) -> Answer<Vec<Result<A>>>)
    where
        A: Send + 'static,
    {
        if self.next.is_empty() {
            return;
        }
        let next = std::mem::take(&mut self.next);
        let ids = std::mem::take(&mut self.ids);
        self.entrance.began(ids.len() as u64);
        let began = Instant::now();
        let asked = catch_unwind(AssertUnwindSafe(|| ask(next)));
        let answer = asked.unwrap_or_else(|_panic| {
            node.metrics.panicked();
            Box::pin(async { Err(defect()) })
        });
        self.under_way.push_back(Batch { answer, ids, began });
    }

    /// Hands over the answers that are there, and says how many.
    pub(super) fn poll(
        &mut self,
        node: &Node,
        context: &mut Context<'_>,
        mut each: impl FnMut(u64, Result<A>),
    ) -> usize {
        let mut count = 0;
        while let Some(batch) = self.under_way.front_mut() {
            let polled = catch_unwind(AssertUnwindSafe(|| batch.answer.as_mut().poll(context)));
            let answers = match polled {
                Ok(Poll::Pending) => break,
                Ok(Poll::Ready(answers)) => answers,
                Err(_panic) => {
                    node.metrics.panicked();
                    Err(defect())
                }
            };
            let Some(Batch { ids, began, .. }) = self.under_way.pop_front() else { break };
            count += ids.len();
            match answers {
                Ok(answers) => self.tell(&ids, answers, began.elapsed(), &mut each),
                Err(error) => {
                    self.entrance.ended(Err(&error), ids.len() as u64, began.elapsed());
                    for id in ids {
                        each(id, Err(Error::new(error.code(), error.to_string())));
                    }
                }
            }
        }
        count
    }

    fn tell(
        &self,
        ids: &[u64],
        answers: Vec<Result<A>>,
        took: Duration,
        each: &mut impl FnMut(u64, Result<A>),
    ) {
        let mut ok = 0;
        for (&id, answer) in ids.iter().zip(answers) {
            match &answer {
                Ok(_) => ok += 1,
                Err(error) => self.entrance.ended(Err(error), 1, took),
            }
            each(id, answer);
        }
        if 0 < ok {
            self.entrance.ended(Ok(()), ok, took);
        }
    }
}

impl<Q, A> Drop for Batches<Q, A> {
    fn drop(&mut self) {
        let left = Error::new(Code::Unavailable, "the client left before the answer");
        for Batch { ids, began, .. } in self.under_way.drain(..) {
            self.entrance.ended(Err(&left), ids.len() as u64, began.elapsed());
        }
        if !self.ids.is_empty() {
            self.entrance.began(self.ids.len() as u64);
            self.entrance.ended(Err(&left), self.ids.len() as u64, Duration::ZERO);
        }
    }
}

impl<Q, A> fmt::Debug for Batches<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches").field("under_way", &self.under_way.len()).finish_non_exhaustive()
    }
}
