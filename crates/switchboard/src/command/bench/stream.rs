//! The pipelined stream: one task a connection, no channel, no clock read for each request.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Instant,
};

use switchboard_proto::v1::{IngestRequest, ingest_service_client::IngestServiceClient};
use tokio_stream::Stream;
use tonic::transport::Channel;

use super::{
    Run,
    keys::{Choice, Keys},
    report::Measured,
};
use crate::Failure;

/// What the two directions of one connection share.
struct Shared {
    keys: Keys,
    /// What was sent and not answered, in order, and since when each could have been sent.
    sent: VecDeque<(Choice, Instant)>,
    /// How many more may be sent, and since when.
    credit: usize,
    credit_since: Instant,
    /// Who sends, if he waits for credit.
    sender: Option<Waker>,
    ended: bool,
}

/// The requests of one connection.
struct Requests {
    tenant: String,
    shared: Arc<Mutex<Shared>>,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stream for Requests {
    type Item = IngestRequest;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<IngestRequest>> {
        let mut shared = lock(&self.shared);
        if shared.ended {
            return Poll::Ready(None);
        }
        if shared.credit == 0 {
            shared.sender = Some(context.waker().clone());
            return Poll::Pending;
        }
        shared.credit -= 1;
        let choice = shared.keys.choose();
        let since = shared.credit_since;
        shared.sent.push_back((choice, since));
        drop(shared);
        let key = choice.key.to_string();
        Poll::Ready(Some(IngestRequest { tenant: self.tenant.clone(), key }))
    }
}

/// Drives one connection until the run ends and everything is answered.
pub(super) async fn drive(
    run: Arc<Run>,
    channel: Channel,
    place: u32,
) -> Result<Measured, Failure> {
    let options = &run.options;
    let (place, places) = (u64::from(place), u64::from(options.connections));
    let shared = Arc::new(Mutex::new(Shared {
        keys: Keys::new(place, places, options.duplicates, options.seed),
        sent: VecDeque::new(),
        credit: options.in_flight as usize,
        credit_since: Instant::now(),
        sender: None,
        ended: false,
    }));
    let requests = Requests { tenant: run.tenant.clone(), shared: Arc::clone(&shared) };
    let failed = |status: tonic::Status| Failure::failed(format!("the node said: {status}"));
    let answers =
        IngestServiceClient::new(channel).ingest_stream(requests).await.map_err(failed)?;
    let mut answers = answers.into_inner();
    let mut measured = Measured::new();
    let mut arrived = Vec::new();
    loop {
        // All that has come, then one reading of the clock for all.
        let more = poll_fn(|context| {
            loop {
                match Pin::new(&mut answers).poll_next(context) {
                    Poll::Ready(Some(Ok(answer))) => arrived.push(answer),
                    Poll::Ready(Some(Err(status))) => return Poll::Ready(Err(status)),
                    Poll::Ready(None) => return Poll::Ready(Ok(false)),
                    Poll::Pending if arrived.is_empty() => return Poll::Pending,
                    Poll::Pending => return Poll::Ready(Ok(true)),
                }
            }
        })
        .await;
        let now = Instant::now();
        let counts = run.counts(arrived.len() as u64, now);
        let mut guard = lock(&shared);
        let both = &mut *guard;
        for answer in arrived.drain(..) {
            let Some((choice, since)) = both.sent.pop_front() else {
                measured.error("an answer came to no request".to_owned());
                continue;
            };
            measured.check(&run, choice, answer.id, answer.new);
            if choice.first_id.is_none() {
                both.keys.answered(choice.key, answer.id);
            }
            if counts {
                let micros = now.duration_since(since).as_micros();
                measured.answer(answer.new, u64::try_from(micros).unwrap_or(u64::MAX));
            }
            both.credit += 1;
        }
        both.credit_since = now;
        both.ended |= run.end <= now;
        let (sender, unanswered) = (both.sender.take(), both.sent.len());
        drop(guard);
        if let Some(sender) = sender {
            sender.wake();
        }
        match more {
            Ok(true) => {}
            Ok(false) => {
                if 0 < unanswered {
                    measured.error(format!("{unanswered} requests were not answered"));
                }
                return Ok(measured);
            }
            Err(status) => return Err(failed(status)),
        }
    }
}
