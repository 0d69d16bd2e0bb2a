//! One stream of requests and their answers.
//!
//! Driven by whoever reads the answers, without a task or a channel of its own: each time it is
//! asked for more it takes all requests that have arrived, hands them to the ledger as one batch,
//! and gives out the answers of the oldest batch that is durable. Several batches may be under way;
//! answers keep the order of the requests. A peer that does not read its answers is not read from
//! either, once [`Limits::stream_requests_max`](crate::Limits) requests wait.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
    vec,
};

use futures_core::Stream;
use switchboard_core::{
    Code, Error, Millis,
    ingest::{Entry, Receipt, Recording},
};
use switchboard_proto::v1::{IngestRequest, IngestResponse};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Status, Streaming};
use tracing::Span;

use crate::{
    caller::Caller,
    door::Entrance,
    limits::STREAM_BATCH_MAX,
    node::{Ingesting, Node},
    status, wire,
};

/// The answers of one stream.
pub(crate) struct Pipeline {
    node: Node,
    entrance: Entrance,
    caller: Caller,
    /// Lasts as long as the stream.
    _span: Span,
    /// None once there is nothing more to read.
    requests: Option<Streaming<IngestRequest>>,
    draining: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Batches that were handed to the ledger, the oldest first.
    batches: VecDeque<Batch>,
    /// Requests in `batches`.
    waiting: usize,
    /// Receipts of the batch that is being answered, and its time.
    ready: vec::IntoIter<Receipt>,
    ready_at: Millis,
    /// What the stream ends with, after all answers.
    end: Option<Status>,
}

struct Batch {
    recording: Recording,
    at: Millis,
    began: Instant,
    requests: usize,
}

impl Pipeline {
    pub(crate) fn new(
        node: &Node,
        entrance: Entrance,
        (caller, span): (Caller, Span),
        requests: Streaming<IngestRequest>,
    ) -> Self {
        Self {
            node: node.clone(),
            entrance,
            caller,
            _span: span,
            requests: Some(requests),
            draining: Box::pin(node.draining.clone().cancelled_owned()),
            batches: VecDeque::new(),
            waiting: 0,
            ready: Vec::new().into_iter(),
            ready_at: Millis::default(),
            end: None,
        }
    }

    /// Takes what has arrived, batch by batch, until nothing more is there or enough waits.
    fn read(&mut self, context: &mut Context<'_>) {
        while self.requests.is_some() {
            let room = self.node.limits.stream_requests_max.saturating_sub(self.waiting);
            let entries = self.arrived(context, room.min(STREAM_BATCH_MAX));
            let requests = entries.len();
            if requests == 0 {
                return;
            }
            self.entrance.began(requests as u64);
            let began = Instant::now();
            let started = catch_unwind(AssertUnwindSafe(|| self.node.start_ingest(entries)));
            let Ok(Ingesting { recording, at }) = started else {
                self.panicked(requests);
                return;
            };
            self.waiting += requests;
            self.batches.push_back(Batch { recording, at, began, requests });
        }
    }

    /// Up to `max` requests that have arrived. Notes the end of the stream.
    fn arrived(&mut self, context: &mut Context<'_>, max: usize) -> Vec<Entry> {
        let mut entries = Vec::new();
        while entries.len() < max {
            let Some(requests) = &mut self.requests else { break };
            match Pin::new(requests).poll_next(context) {
                Poll::Ready(Some(Ok(request))) => match wire::from::entry(self.caller, &request) {
                    Ok(entry) => entries.push(entry),
                    Err(error) => {
                        self.node.metrics.rejected(1);
                        self.refuse(&error);
                    }
                },
                Poll::Ready(Some(Err(status))) => {
                    match status::of_transport(status.code(), status.message()) {
                        Some(error) => self.refuse(&error),
                        None => self.stop(Some(status)),
                    }
                }
                Poll::Ready(None) => self.stop(None),
                Poll::Pending => break,
            }
        }
        entries
    }

    /// Ends the stream with an error of the request just read.
    fn refuse(&mut self, error: &Error) {
        self.entrance.began(1);
        self.entrance.ended(Err(error), 1, std::time::Duration::ZERO);
        self.stop(Some(status::grpc(error)));
    }

    /// Ends the stream for a defect in what took the batch.
    fn panicked(&mut self, requests: usize) {
        self.node.metrics.panicked();
        let error = defect();
        self.entrance.ended(Err(&error), requests as u64, std::time::Duration::ZERO);
        self.stop(Some(status::grpc(&error)));
    }

    /// Reads nothing more.
    fn stop(&mut self, end: Option<Status>) {
        self.requests = None;
        self.end = end;
    }

    /// The receipts of the oldest batch, once it is durable. True if there are any to give out.
    fn answer(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let Some(batch) = self.batches.front_mut() else { return Poll::Ready(false) };
        let polled = catch_unwind(AssertUnwindSafe(|| batch.recording.as_mut().poll(context)));
        let recorded = match polled {
            Ok(Poll::Ready(recorded)) => recorded,
            Ok(Poll::Pending) => return Poll::Pending,
            Err(_panic) => {
                self.node.metrics.panicked();
                Err(defect())
            }
        };
        let Batch { at, began, requests, .. } = *batch;
        self.batches.pop_front();
        self.waiting -= requests;
        let outcome = recorded.as_ref().map(|_| ());
        self.entrance.ended(outcome, requests as u64, began.elapsed());
        match recorded {
            Ok(receipts) => {
                self.node.count(&receipts);
                self.ready = receipts.into_iter();
                self.ready_at = at;
                Poll::Ready(true)
            }
            Err(error) => {
                // Later batches are under way and may be recorded, but can't be answered in order.
                self.give_up();
                self.stop(Some(status::grpc(&error)));
                Poll::Ready(false)
            }
        }
    }

    /// Forgets what is under way.
    fn give_up(&mut self) {
        let left = Error::new(Code::Unavailable, "the stream ended before the answer");
        for batch in self.batches.drain(..) {
            self.entrance.ended(Err(&left), batch.requests as u64, batch.began.elapsed());
        }
        self.waiting = 0;
    }
}

fn defect() -> Error {
    Error::new(Code::Internal, "a defect in this node: the stream was given up")
}

impl Stream for Pipeline {
    type Item = Result<IngestResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(receipt) = this.ready.next() {
                return Poll::Ready(Some(Ok(wire::to::ingest_response(receipt, this.ready_at))));
            }
            if this.requests.is_some() && this.draining.as_mut().poll(context).is_ready() {
                let draining = "this node is stopping: repeat what was not answered at another";
                this.stop(Some(status::grpc(&Error::new(Code::Unavailable, draining))));
            }
            this.read(context);
            match this.answer(context) {
                Poll::Ready(true) => {}
                Poll::Ready(false) if this.requests.is_some() => return Poll::Pending,
                Poll::Ready(false) => return Poll::Ready(this.end.take().map(Err)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.give_up();
    }
}
