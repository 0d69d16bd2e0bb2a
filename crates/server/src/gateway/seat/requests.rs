//! The requests of a session that wait for the ledger.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use switchboard_core::{
    Code, Error, Millis, Tenant,
    ingest::{Entry, Key, Recording},
    session::Reply,
};

use super::{Outgoing, defect};
use crate::{
    door::Entrance,
    node::{Ingesting, Node},
};

/// Requests on their way, in the order in which they came.
pub(super) struct Requests {
    entrance: Entrance,
    /// Those that are handed on next.
    entries: Vec<Entry>,
    ids: Vec<u64>,
    batches: VecDeque<Batch>,
}

struct Batch {
    recording: Recording,
    ids: Vec<u64>,
    at: Millis,
    began: Instant,
}

impl Requests {
    pub(super) fn new(entrance: Entrance) -> Self {
        Self { entrance, entries: Vec::new(), ids: Vec::new(), batches: VecDeque::new() }
    }

    pub(super) fn push(&mut self, request_id: u64, tenant: Tenant, key: Key) {
        self.entries.push(Entry { tenant, key });
        self.ids.push(request_id);
    }

    /// Whether any wait for their answers.
    pub(super) fn waiting(&self) -> bool {
        !self.ids.is_empty() || !self.batches.is_empty()
    }

    /// Hands on those that came, as one batch.
    pub(super) fn submit(&mut self, node: &Node) {
        if self.entries.is_empty() {
            return;
        }
        let entries = std::mem::take(&mut self.entries);
        let ids = std::mem::take(&mut self.ids);
        self.entrance.began(ids.len() as u64);
        let began = Instant::now();
        let started = catch_unwind(AssertUnwindSafe(|| node.start_ingest(entries)));
        let Ingesting { recording, at } = started.unwrap_or_else(|_panic| {
            node.metrics.panicked();
            Ingesting { recording: Box::pin(async { Err(defect()) }), at: Millis::default() }
        });
        self.batches.push_back(Batch { recording, ids, at, began });
    }

    /// Gives out the answers of the oldest batch, once they are there, and says how many.
    pub(super) fn poll(
        &mut self,
        node: &Node,
        context: &mut Context<'_>,
        out: &mut impl Outgoing,
    ) -> Option<usize> {
        let batch = self.batches.front_mut()?;
        let polled = catch_unwind(AssertUnwindSafe(|| batch.recording.as_mut().poll(context)));
        let recorded = match polled {
            Ok(Poll::Ready(recorded)) => recorded,
            Ok(Poll::Pending) => return None,
            Err(_panic) => {
                node.metrics.panicked();
                Err(defect())
            }
        };
        let Batch { ids, at, began, .. } = self.batches.pop_front()?;
        let outcome = recorded.as_ref().map(|_| ());
        self.entrance.ended(outcome, ids.len() as u64, began.elapsed());
        match recorded {
            Ok(receipts) => {
                node.count(&receipts);
                for (&request_id, receipt) in ids.iter().zip(receipts) {
                    out.push(&Reply::Recorded { request_id, receipt, at });
                }
            }
            Err(error) => {
                for &request_id in &ids {
                    let error = Error::new(error.code(), error.to_string());
                    out.push(&Reply::Error { request_id, error });
                }
            }
        }
        Some(ids.len())
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        let left = Error::new(Code::Unavailable, "the client left before the answer");
        for Batch { ids, began, .. } in self.batches.drain(..) {
            self.entrance.ended(Err(&left), ids.len() as u64, began.elapsed());
        }
        if !self.ids.is_empty() {
            self.entrance.began(self.ids.len() as u64);
            self.entrance.ended(Err(&left), self.ids.len() as u64, Duration::ZERO);
        }
    }
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Requests").field("batches", &self.batches.len()).finish_non_exhaustive()
    }
}
