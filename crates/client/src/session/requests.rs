//! The requests of a session that wait: to be sent, or for their answers.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use prost::Message as _;
use switchboard_proto::v1::{client_frame, server_frame};
use tokio::sync::{Notify, oneshot};

use super::FRAME_BYTES_MAX;
use crate::Error;

/// The most hints that wait to be sent.
const HINTS_MAX: usize = 16;

/// What comes of a request: the frame that answers it.
pub(super) type Answer = Result<server_frame::Frame, Error>;

/// The requests of a session, shared by those who ask and the task that sends.
#[derive(Debug)]
pub(super) struct Requests {
    state: Mutex<State>,
    max: usize,
    /// Something is to be sent, or the session is to be closed.
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    /// Not sent on this connection.
    queue: VecDeque<Waiting>,
    /// To be sent, and forgotten: on the next connection they would be late.
    hints: VecDeque<client_frame::Frame>,
    /// Sent, by their number.
    sent: BTreeMap<u64, Waiting>,
    closing: bool,
    /// Why nothing is taken any more.
    ended: Option<Error>,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    /// Kept while it may have to be sent.
    frame: Option<client_frame::Frame>,
    answer: oneshot::Sender<Answer>,
}

impl State {
    /// Forgets those for whose answers nobody waits any more.
    fn forget_given_up(&mut self) {
        self.queue.retain(|waiting| !waiting.answer.is_closed());
        self.sent.retain(|_, waiting| !waiting.answer.is_closed());
    }

    fn waiting(&self) -> usize {
        self.queue.len() + self.sent.len()
    }

    /// Puts back what is to be sent once more, before what was asked for later.
    fn put_back(&mut self, waiting: Waiting) {
        let place = self.queue.partition_point(|other| other.id < waiting.id);
        self.queue.insert(place, waiting);
    }
}

impl Requests {
    pub(super) fn new(max: usize) -> Self {
        Self { state: Mutex::default(), max, wake: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues the request that `frame` makes of its number.
    ///
    /// # Errors
    ///
    /// `too_large`, `too_many_requests`; why the session has ended.
    pub(super) fn ask(
        &self,
        frame: impl FnOnce(u64) -> client_frame::Frame,
    ) -> Result<oneshot::Receiver<Answer>, Error> {
        let mut state = self.state();
        if let Some(error) = &state.ended {
            return Err(error.clone());
        }
        if self.max <= state.waiting() {
            state.forget_given_up();
        }
        if self.max <= state.waiting() {
            let what = format!("{} requests of this session wait for their answers", self.max);
            return Err(Error::new("too_many_requests", what));
        }
        let id = state.last_id + 1;
        let frame = frame(id);
        check_length(&frame)?;
        state.last_id = id;
        let (answer, answered) = oneshot::channel();
        state.queue.push_back(Waiting { id, frame: Some(frame), answer });
        drop(state);
        self.wake.notify_one();
        Ok(answered)
    }

    /// Sends a frame that has no answer, if there is a connection.
    pub(super) fn hint(&self, frame: client_frame::Frame) {
        let mut state = self.state();
        state.hints.push_back(frame);
        state.hints.truncate(HINTS_MAX);
        drop(state);
        self.wake.notify_one();
    }

    /// The next request to send.
    pub(super) fn take(&self) -> Option<client_frame::Frame> {
        let mut state = self.state();
        if let Some(hint) = state.hints.pop_front() {
            return Some(hint);
        }
        while let Some(mut waiting) = state.queue.pop_front() {
            if waiting.answer.is_closed() {
                continue;
            }
            let frame = match &waiting.frame {
                // Done once, however often it is sent.
                Some(
                    frame @ (client_frame::Frame::Ingest(_)
                    | client_frame::Frame::Send(_)
                    | client_frame::Frame::Acknowledge(_)),
                ) => Some(frame.clone()),
                Some(frame @ client_frame::Frame::Publish(publish)) if !publish.ephemeral => {
                    Some(frame.clone())
                }
                _ => waiting.frame.take(),
            };
            state.sent.insert(waiting.id, waiting);
            if frame.is_some() {
                return frame;
            }
        }
        None
    }

    /// Passes an answer on. One that nobody waits for is dropped.
    pub(super) fn answer(&self, id: u64, answer: Answer) {
        if let Some(waiting) = self.state().sent.remove(&id) {
            // Whoever gave up does not care.
            let _ = waiting.answer.send(answer);
        }
    }

    /// A node that stops has refused this one: the next may take it. False where it can't be sent
    /// again.
    pub(super) fn repeat(&self, id: u64) -> bool {
        let mut state = self.state();
        let again = state.sent.remove(&id);
        match again {
            Some(waiting) if waiting.frame.is_some() => {
                state.put_back(waiting);
                true
            }
            Some(waiting) => {
                state.sent.insert(id, waiting);
                false
            }
            None => false,
        }
    }

    /// Whether anybody waits for an answer on this connection.
    pub(super) fn any_in_flight(&self) -> bool {
        self.state().sent.values().any(|waiting| !waiting.answer.is_closed())
    }

    /// The connection is gone: what can be repeated waits for the next, the rest fails.
    pub(super) fn broken(&self) {
        let mut state = self.state();
        state.hints.clear();
        for (_, waiting) in std::mem::take(&mut state.sent) {
            if waiting.frame.is_some() {
                state.put_back(waiting);
            } else {
                let what = "the connection ended before the answer came";
                let _ = waiting.answer.send(Err(Error::new("unavailable", what)));
            }
        }
    }

    /// Asks the session to close.
    pub(super) fn close(&self) {
        self.state().closing = true;
        self.wake.notify_one();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.state().closing
    }

    /// Waits until the session is asked to close.
    pub(super) async fn closing(&self) {
        while !self.is_closing() {
            self.wake.notified().await;
        }
    }

    /// Says that there may be something to send.
    pub(super) fn nudge(&self) {
        self.wake.notify_one();
    }

    /// Why nothing is taken any more, once that is so.
    pub(super) fn ended(&self) -> Option<Error> {
        self.state().ended.clone()
    }

    /// Waits until there may be something to send, or the session is asked to close.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Fails all that wait, and all that will be asked.
    pub(super) fn end(&self, error: &Error) {
        let mut state = self.state();
        if state.ended.is_none() {
            state.ended = Some(error.clone());
        }
        let State { queue, sent, .. } = &mut *state;
        for waiting in queue.drain(..).chain(std::mem::take(sent).into_values()) {
            let _ = waiting.answer.send(Err(error.clone()));
        }
    }
}

/// The number of the request that a frame answers, if it is an answer. A refusal is none here.
pub(super) fn answered_by(frame: &server_frame::Frame) -> Option<u64> {
    use server_frame::Frame;
    match frame {
        Frame::Echo(it) => Some(it.request_id),
        Frame::Add(it) => Some(it.request_id),
        Frame::Ingest(it) => Some(it.request_id),
        Frame::Send(it) => Some(it.request_id),
        Frame::Acknowledge(it) => Some(it.request_id),
        Frame::Publish(it) => Some(it.request_id),
        Frame::Subscribe(it) => Some(it.request_id),
        Frame::Unsubscribe(it) => Some(it.request_id),
        Frame::Consume(it) => Some(it.request_id),
        Frame::Cancel(it) => Some(it.request_id),
        Frame::Settle(it) => Some(it.request_id),
        Frame::Error(_)
        | Frame::Welcome(_)
        | Frame::Ping(_)
        | Frame::Drain(_)
        | Frame::Inbox(_)
        | Frame::Typing(_)
        | Frame::Following(_)
        | Frame::Event(_)
        | Frame::Delivery(_) => None,
    }
}

/// Refuses a frame that no node takes.
pub(super) fn check_length(frame: &client_frame::Frame) -> Result<(), Error> {
    let length = payload_len(frame);
    if FRAME_BYTES_MAX < length {
        let what = format!("a frame has at most {FRAME_BYTES_MAX} bytes, and this one {length}");
        return Err(Error::new("too_large", what));
    }
    Ok(())
}

/// The length of a frame without its tag and length.
fn payload_len(frame: &client_frame::Frame) -> usize {
    match frame {
        client_frame::Frame::Echo(it) => it.encoded_len(),
        client_frame::Frame::Add(it) => it.encoded_len(),
        client_frame::Frame::Hello(it) => it.encoded_len(),
        client_frame::Frame::Pong(it) => it.encoded_len(),
        client_frame::Frame::Ingest(it) => it.encoded_len(),
        client_frame::Frame::Send(it) => it.encoded_len(),
        client_frame::Frame::Acknowledge(it) => it.encoded_len(),
        client_frame::Frame::Follow(it) => it.encoded_len(),
        client_frame::Frame::Typing(it) => it.encoded_len(),
        client_frame::Frame::Publish(it) => it.encoded_len(),
        client_frame::Frame::Subscribe(it) => it.encoded_len(),
        client_frame::Frame::Unsubscribe(it) => it.encoded_len(),
        client_frame::Frame::Consume(it) => it.encoded_len(),
        client_frame::Frame::Cancel(it) => it.encoded_len(),
        client_frame::Frame::Settle(it) => it.encoded_len(),
    }
}

#[cfg(test)]
mod tests {
    use switchboard_proto::v1::{EchoMessage, SessionIngestRequest};

    use super::*;

    fn echo(request_id: u64) -> client_frame::Frame {
        client_frame::Frame::Echo(EchoMessage { content: String::new(), request_id })
    }

    fn ingest(request_id: u64) -> client_frame::Frame {
        client_frame::Frame::Ingest(SessionIngestRequest { key: String::new(), request_id })
    }

    fn taken(requests: &Requests) -> Vec<u64> {
        let id = |frame| match frame {
            client_frame::Frame::Echo(echo) => echo.request_id,
            client_frame::Frame::Ingest(ingest) => ingest.request_id,
            other => panic!("{other:?}"),
        };
        std::iter::from_fn(|| requests.take()).map(id).collect()
    }

    #[test]
    fn what_can_be_repeated_is_and_in_order() {
        let requests = Requests::new(8);
        let mut asked: Vec<_> =
            [ingest, echo, ingest, ingest].map(|it| requests.ask(it).unwrap()).into();
        assert_eq!(taken(&requests), [1, 2, 3, 4]);
        assert!(requests.repeat(3) && !requests.repeat(2));
        let _later = requests.ask(echo).unwrap();
        requests.broken();
        assert_eq!(asked[1].try_recv().unwrap().unwrap_err().code(), "unavailable");
        assert_eq!(taken(&requests), [1, 3, 4, 5]);
        asked.clear();
        requests.broken();
        assert_eq!(taken(&requests), [] as [u64; 0], "nobody waits for them");
    }

    #[test]
    fn as_many_wait_as_may_and_who_gave_up_does_not_count() {
        let requests = Requests::new(2);
        let first = requests.ask(echo).unwrap();
        let _second = requests.ask(echo).unwrap();
        assert_eq!(requests.ask(echo).unwrap_err().code(), "too_many_requests");
        assert_eq!(taken(&requests), [1, 2]);
        assert_eq!(requests.ask(echo).unwrap_err().code(), "too_many_requests");
        drop(first);
        let _third = requests.ask(echo).unwrap();
        assert_eq!(requests.ask(echo).unwrap_err().code(), "too_many_requests");
    }

    #[test]
    fn the_end_fails_all_and_stays() {
        let requests = Requests::new(8);
        let mut sent = requests.ask(ingest).unwrap();
        assert_eq!(taken(&requests), [1]);
        let mut queued = requests.ask(echo).unwrap();
        requests.end(&Error::new("forbidden", "no"));
        for asked in [&mut sent, &mut queued] {
            assert_eq!(asked.try_recv().unwrap().unwrap_err().code(), "forbidden");
        }
        assert_eq!(requests.ask(echo).unwrap_err().code(), "forbidden");
    }
}
