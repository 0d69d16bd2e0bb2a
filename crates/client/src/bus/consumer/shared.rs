//! What a consumer, its leases and its task share.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use tokio::sync::{Notify, oneshot};

use super::super::{Break, Delivery, resume::Told};
use crate::Error;

/// The most deliveries of one settlement.
const BATCH_MAX: usize = 1_000;

/// The most that wait to be settled.
const SETTLING_MAX: usize = 10_000;

pub(super) struct Shared {
    state: Mutex<State>,
    /// How many deliveries may wait to be taken.
    room: usize,
    /// Something is to be settled, or the consumer is to end.
    wake: Notify,
}

#[derive(Default)]
struct State {
    /// Counts the connections.
    connection: u64,
    /// What came over this connection and was not taken yet, in order.
    arrived: VecDeque<Delivery>,
    /// Who waits for it.
    waker: Option<Waker>,
    /// What is to be sent over this connection.
    settling: VecDeque<Waiting>,
    closing: bool,
    ended: End,
    breaks: Option<Told>,
}

#[derive(Default)]
enum End {
    #[default]
    NotYet,
    /// Why, which was not told yet.
    Failed(Error),
    Told,
}

/// What becomes of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Ack,
    Nack { delay_ms: u32, reason: String },
}

/// A delivery that is to be settled, and who waits for that.
pub(super) struct Waiting {
    pub(super) id: String,
    pub(super) answer: oneshot::Sender<Result<(), Error>>,
    verdict: Verdict,
}

impl Shared {
    pub(super) fn new(room: usize) -> Self {
        Self { state: Mutex::default(), room, wake: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next delivery, and over which connection it came; why there is none any more; nothing.
    /// Whoever comes too early is woken.
    pub(super) fn next(&self, waker: &Waker) -> Poll<Option<Result<(Delivery, u64), Error>>> {
        let mut state = self.state();
        if let Some(delivery) = state.arrived.pop_front() {
            return Poll::Ready(Some(Ok((delivery, state.connection))));
        }
        match std::mem::replace(&mut state.ended, End::Told) {
            End::NotYet => {
                state.ended = End::NotYet;
                state.waker = Some(waker.clone());
                Poll::Pending
            }
            End::Failed(error) => Poll::Ready(Some(Err(error))),
            End::Told => Poll::Ready(None),
        }
    }

    /// A delivery came. Where there is no room the oldest is let go of: the node has no more than
    /// this out at once, so the time of that one is up.
    pub(super) fn arrived(&self, delivery: Delivery) {
        let mut state = self.state();
        if self.room <= state.arrived.len() {
            state.arrived.pop_front();
        }
        state.arrived.push_back(delivery);
        wake(state);
    }

    /// Queues what becomes of a delivery that came over a connection.
    ///
    /// # Errors
    ///
    /// `conflict` where that is not this connection; `too_many_requests`; `unavailable`.
    pub(super) fn settle(
        &self,
        connection: u64,
        id: String,
        verdict: Verdict,
    ) -> Result<oneshot::Receiver<Result<(), Error>>, Error> {
        let mut state = self.state();
        if !matches!(state.ended, End::NotYet) {
            return Err(Error::new("unavailable", "the consumer has ended: the event comes again"));
        }
        if connection != state.connection {
            return Err(given_back());
        }
        if SETTLING_MAX <= state.settling.len() {
            let what = format!("{SETTLING_MAX} deliveries wait to be settled");
            return Err(Error::new("too_many_requests", what));
        }
        let (answer, answered) = oneshot::channel();
        state.settling.push_back(Waiting { id, answer, verdict });
        drop(state);
        self.wake.notify_one();
        Ok(answered)
    }

    /// Whether anything is to be sent.
    pub(super) fn any_to_settle(&self) -> bool {
        !self.state().settling.is_empty()
    }

    /// What can be sent together next: those of one verdict, in order.
    pub(super) fn batch(&self) -> Option<(Verdict, Vec<Waiting>)> {
        let mut state = self.state();
        let verdict = state.settling.front()?.verdict.clone();
        let same = state.settling.iter().take_while(|it| it.verdict == verdict).take(BATCH_MAX);
        let count = same.count();
        Some((verdict, state.settling.drain(..count).collect()))
    }

    /// The connection is gone: what was not taken or settled is given back.
    pub(super) fn broken(&self, sent: impl IntoIterator<Item = Waiting>) {
        let mut state = self.state();
        state.connection += 1;
        state.arrived.clear();
        let settling = std::mem::take(&mut state.settling);
        drop(state);
        let what = "the connection broke before the node answered: the event may come again";
        for waiting in sent.into_iter().chain(settling) {
            // Whoever gave up does not care.
            let _ = waiting.answer.send(Err(Error::new("unavailable", what)));
        }
    }

    /// Nothing comes any more.
    pub(super) fn end(&self, error: Option<Error>) {
        let mut state = self.state();
        if matches!(state.ended, End::NotYet) {
            state.ended = error.map_or(End::Told, End::Failed);
        }
        wake(state);
    }

    /// Asks the task to end once all is settled.
    pub(super) fn close(&self) {
        self.state().closing = true;
        self.wake.notify_one();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.state().closing
    }

    /// Waits until there may be something to do.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Whom to tell of breaks.
    pub(super) fn tell(&self, told: Told) {
        self.state().breaks = Some(told);
    }

    /// Tells of a break.
    pub(super) fn broke(&self, it: Break) {
        let told = self.state().breaks.clone();
        if let Some(told) = told {
            told(it);
        }
    }
}

/// Wakes whoever waits, once nobody is locked out.
fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Why a delivery of an earlier connection is not settled.
fn given_back() -> Error {
    let what = "the connection that it came over is gone: the event comes again";
    Error::new("conflict", what)
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("room", &self.room).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Event;

    fn delivery(sequence: u64) -> Delivery {
        let event = Event::from(switchboard_proto::v1::Event { sequence, ..Default::default() });
        Delivery { id: format!("d{sequence}"), attempt: 1, until: 0, event }
    }

    /// The ids of all that can be taken now.
    fn taken(shared: &Shared) -> Vec<String> {
        let mut ids = Vec::new();
        while let Poll::Ready(Some(Ok((delivery, _)))) = shared.next(Waker::noop()) {
            ids.push(delivery.id);
        }
        ids
    }

    fn ids(shared: &Shared) -> Option<(Verdict, Vec<String>)> {
        let (verdict, batch) = shared.batch()?;
        Some((verdict, batch.into_iter().map(|waiting| waiting.id).collect()))
    }

    #[test]
    fn what_its_time_must_be_up_for_makes_room() {
        let shared = Shared::new(2);
        for sequence in 1..=3 {
            shared.arrived(delivery(sequence));
        }
        assert_eq!(taken(&shared), ["d2", "d3"]);
    }

    #[test]
    fn what_is_settled_alike_goes_together_in_order() {
        let shared = Shared::new(2);
        let nack = |delay_ms| Verdict::Nack { delay_ms, reason: "no".to_owned() };
        let verdicts = [Verdict::Ack, Verdict::Ack, nack(1), nack(2), nack(2), Verdict::Ack];
        for (number, verdict) in verdicts.into_iter().enumerate() {
            shared.settle(0, number.to_string(), verdict).unwrap();
        }
        let expected = [
            (Verdict::Ack, vec!["0", "1"]),
            (nack(1), vec!["2"]),
            (nack(2), vec!["3", "4"]),
            (Verdict::Ack, vec!["5"]),
        ];
        for (verdict, expected) in expected {
            let (found, together) = ids(&shared).unwrap();
            assert_eq!(
                (found, together),
                (verdict, expected.iter().map(ToString::to_string).collect())
            );
        }
        assert!(ids(&shared).is_none() && !shared.any_to_settle());
    }

    #[test]
    fn what_waits_has_a_bound_and_an_end() {
        let shared = Shared::new(2);
        let mut asked: Vec<_> = (0..SETTLING_MAX)
            .map(|number| shared.settle(0, number.to_string(), Verdict::Ack).unwrap())
            .collect();
        let full = shared.settle(0, "x".to_owned(), Verdict::Ack).unwrap_err();
        assert_eq!(full.code(), "too_many_requests");
        let (_, batch) = shared.batch().unwrap();
        assert_eq!(batch.len(), BATCH_MAX);
        shared.arrived(delivery(1));
        shared.broken(batch);
        for asked in &mut asked {
            assert_eq!(asked.try_recv().unwrap().unwrap_err().code(), "unavailable");
        }
        assert!(taken(&shared).is_empty(), "it was given back");
        let stale = shared.settle(0, "0".to_owned(), Verdict::Ack).unwrap_err();
        assert_eq!(stale.code(), "conflict");
        assert!(shared.settle(1, "0".to_owned(), Verdict::Ack).is_ok());

        shared.end(Some(Error::new("not_found", "gone")));
        shared.end(Some(Error::new("internal", "too late")));
        let Poll::Ready(Some(Err(error))) = shared.next(Waker::noop()) else { panic!("no error") };
        assert_eq!(error.code(), "not_found");
        assert!(matches!(shared.next(Waker::noop()), Poll::Ready(None)));
        let over = shared.settle(1, "0".to_owned(), Verdict::Ack).unwrap_err();
        assert_eq!(over.code(), "unavailable");
    }
}
