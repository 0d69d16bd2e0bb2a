//! What a session has asked for that goes on: subscriptions and consumers, from one connection to
//! the next.

use std::{
    collections::{BTreeMap, VecDeque},
    future,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use switchboard_proto::v1::{
    SessionCancelRequest, SessionConsumeRequest, SessionDelivery, SessionEvent,
    SessionSubscribeRequest, SessionUnsubscribeRequest, client_frame, server_frame,
};
use tokio::time::{self, Instant};

use super::{Event, requests::check_length};
use crate::{
    Error,
    bus::{self, Delivery, Interest, Place},
    retry::Pauses,
};

/// The numbers of these requests begin here: those of the inbox never come so far.
pub(super) const STANDING: u64 = 3 << 62;

/// The most that a session may ask for: more than a node gives one.
const STANDING_MAX: usize = 10_000;

/// The first pause before something is asked for again is up to this long, and none is longer than
/// the second.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What goes on, shared by the session and its task.
#[derive(Debug, Default)]
pub(super) struct Standing {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Numbers are not used again: what comes late for one that has ended is known as such.
    last_number: u32,
    last_request: u64,
    items: BTreeMap<u32, Item>,
    /// What is to be asked for on this connection.
    to_ask: VecDeque<u32>,
    /// What was asked for on this connection, by the number of the request.
    asked: BTreeMap<u64, u32>,
    /// What was refused for now, and when it is asked for again.
    again: Vec<(Instant, u32)>,
    /// What is to be ended on this connection.
    ending: VecDeque<client_frame::Frame>,
}

/// A subscription or a consumer.
#[derive(Debug)]
struct Item {
    what: What,
    /// By which request it was asked for on this connection.
    asked: Option<u64>,
    pauses: Pauses,
}

#[derive(Debug)]
enum What {
    Subscription { interest: Interest, place: Place },
    Consumer { queue: String, prefetch: u32 },
}

impl Standing {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A subscription from a place on: its number.
    ///
    /// # Errors
    ///
    /// `too_large`, `too_many_requests`.
    pub(super) fn subscribe(&self, interest: Interest, after: &str) -> Result<u32, Error> {
        self.add(What::Subscription { interest, place: Place::new(after) })
    }

    /// A consumer of a queue: its number.
    ///
    /// # Errors
    ///
    /// As [`Standing::subscribe`].
    pub(super) fn consume(&self, queue: &str, prefetch: u32) -> Result<u32, Error> {
        self.add(What::Consumer { queue: queue.to_owned(), prefetch })
    }

    fn add(&self, what: What) -> Result<u32, Error> {
        let mut state = self.state();
        let number = state.last_number.checked_add(1);
        let Some(number) = number.filter(|_| state.items.len() < STANDING_MAX) else {
            let what = format!("a session has at most {STANDING_MAX} subscriptions and consumers");
            return Err(Error::new("too_many_requests", what));
        };
        check_length(&what.frame(number, u64::MAX))?;
        state.last_number = number;
        let pauses = Pauses::new(PAUSE, PAUSE_MAX);
        state.items.insert(number, Item { what, asked: None, pauses });
        state.to_ask.push_back(number);
        Ok(number)
    }

    /// Ends a subscription or a consumer.
    pub(super) fn end(&self, number: u32) {
        let mut state = self.state();
        let Some(item) = state.items.remove(&number) else { return };
        let Some(asked) = item.asked else { return };
        state.asked.remove(&asked);
        let request_id = state.next_request();
        state.ending.push_back(match item.what {
            What::Subscription { .. } => {
                let subscription = number;
                client_frame::Frame::Unsubscribe(SessionUnsubscribeRequest {
                    subscription,
                    request_id,
                })
            }
            What::Consumer { .. } => {
                let consumer = number;
                client_frame::Frame::Cancel(SessionCancelRequest { consumer, request_id })
            }
        });
    }

    /// A new connection: all is asked for again.
    pub(super) fn connected(&self) {
        let state = &mut *self.state();
        state.ending.clear();
        state.asked.clear();
        state.again.clear();
        state.to_ask = state.items.keys().copied().collect();
        for item in state.items.values_mut() {
            item.asked = None;
        }
    }

    /// The next frame to send.
    pub(super) fn take(&self) -> Option<client_frame::Frame> {
        let state = &mut *self.state();
        if let Some(frame) = state.ending.pop_front() {
            return Some(frame);
        }
        if !state.again.is_empty() {
            let now = Instant::now();
            let due = state.again.extract_if(.., |(again, _)| *again <= now);
            state.to_ask.extend(due.map(|(_, number)| number));
        }
        while let Some(number) = state.to_ask.pop_front() {
            let request_id = state.next_request();
            // It may have been ended before it was asked for.
            if let Some(item) = state.items.get_mut(&number) {
                item.asked = Some(request_id);
                state.asked.insert(request_id, number);
                return Some(item.what.frame(number, request_id));
            }
        }
        None
    }

    /// Waits until something that was refused for now is to be asked for again.
    pub(super) async fn due(&self) {
        let again = self.state().again.iter().map(|(again, _)| *again).min();
        match again {
            Some(again) => time::sleep_until(again).await,
            None => future::pending().await,
        }
    }

    /// A request of these was answered.
    pub(super) fn answered(&self, request_id: u64, frame: server_frame::Frame) -> Option<Event> {
        let state = &mut *self.state();
        let number = *state.asked.get(&request_id)?;
        let item = state.items.get_mut(&number)?;
        item.pauses = Pauses::new(PAUSE, PAUSE_MAX);
        match (frame, &mut item.what) {
            (server_frame::Frame::Subscribe(it), What::Subscription { place, .. }) => {
                place.begun(it.cursor.clone());
                Some(Event::Subscribed { subscription: number, cursor: it.cursor })
            }
            (server_frame::Frame::Consume(_), What::Consumer { .. }) => {
                Some(Event::Consuming { consumer: number })
            }
            _ => None,
        }
    }

    /// A request of these was refused, or what it asked for has ended: for now, or for good.
    pub(super) fn refused(&self, request_id: u64, error: Error) -> Option<Event> {
        let state = &mut *self.state();
        let number = state.asked.remove(&request_id)?;
        let item = state.items.get_mut(&number)?;
        if ["unavailable", "slow_consumer"].contains(&error.code()) {
            item.asked = None;
            let again = Instant::now() + item.pauses.after_failure();
            state.again.push((again, number));
            return None;
        }
        let item = state.items.remove(&number)?;
        Some(match item.what {
            What::Subscription { .. } => Event::SubscriptionEnded { subscription: number, error },
            What::Consumer { .. } => Event::ConsumerEnded { consumer: number, error },
        })
    }

    /// An event came. None where it was handed out before, or nobody wants it any more.
    pub(super) fn event(&self, it: SessionEvent) -> Option<Event> {
        let SessionEvent { subscription, event } = it;
        let event = bus::Event::from(event?);
        let mut state = self.state();
        let item = state.items.get_mut(&subscription)?;
        let What::Subscription { place, .. } = &mut item.what else { return None };
        place.came(&event).then_some(Event::Published { subscription, event })
    }

    /// A delivery came. None where nobody wants it any more.
    pub(super) fn delivery(&self, it: SessionDelivery) -> Option<Event> {
        let SessionDelivery { consumer, delivery } = it;
        self.state().items.get(&consumer)?;
        Some(match Delivery::try_from(delivery?) {
            Ok(delivery) => Event::Delivered { consumer, delivery },
            Err(error) => Event::Refused(error),
        })
    }
}

impl State {
    fn next_request(&mut self) -> u64 {
        self.last_request += 1;
        STANDING + self.last_request
    }
}

impl What {
    /// The request for it.
    fn frame(&self, number: u32, request_id: u64) -> client_frame::Frame {
        match self {
            Self::Subscription { interest, place } => {
                let Interest { topics, types } = interest.clone();
                let (subscription, after) = (number, place.after());
                client_frame::Frame::Subscribe(SessionSubscribeRequest {
                    subscription,
                    topics,
                    types,
                    after,
                    request_id,
                })
            }
            Self::Consumer { queue, prefetch } => {
                let (consumer, queue, prefetch) = (number, queue.clone(), *prefetch);
                client_frame::Frame::Consume(SessionConsumeRequest {
                    consumer,
                    queue,
                    prefetch,
                    request_id,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use switchboard_proto::v1::{self, SessionConsumeResponse, SessionSubscribeResponse};

    use super::*;

    /// The subscriptions that are asked for now: number, place and request.
    fn asked(standing: &Standing) -> Vec<(u32, String, u64)> {
        let frames = std::iter::from_fn(|| standing.take());
        let asked = frames.map(|frame| match frame {
            client_frame::Frame::Subscribe(it) => (it.subscription, it.after, it.request_id),
            client_frame::Frame::Consume(it) => (it.consumer, it.queue, it.request_id),
            other => panic!("{other:?}"),
        });
        asked.collect()
    }

    fn begun(standing: &Standing, request_id: u64, cursor: &str) -> Option<Event> {
        let cursor = cursor.to_owned();
        let answer = SessionSubscribeResponse { subscription: 0, cursor, request_id };
        standing.answered(request_id, server_frame::Frame::Subscribe(answer))
    }

    fn came(standing: &Standing, subscription: u32, sequence: u64) -> bool {
        let event = v1::Event { sequence, ..v1::Event::default() };
        standing.event(SessionEvent { subscription, event: Some(event) }).is_some()
    }

    fn error(code: &str) -> Error {
        Error::new(code, "as the test says")
    }

    #[tokio::test(start_paused = true)]
    async fn all_go_on_where_they_were_on_the_next_connection() {
        let standing = Standing::default();
        let interest = || Interest::new(["a.>"]);
        let early = standing.subscribe(interest(), "start").unwrap();
        standing.connected();
        let late = standing.subscribe(interest(), "now").unwrap();
        let queue = standing.consume("mail", 3).unwrap();
        let first = asked(&standing);
        assert_eq!(
            first.iter().map(|(number, after, _)| (*number, after.as_str())).collect::<Vec<_>>(),
            [(early, "start"), (late, "now"), (queue, "mail")]
        );
        assert!(asked(&standing).is_empty());
        assert!(first.iter().all(|(_, _, request)| STANDING <= *request));
        assert!(begun(&standing, first[0].2, "7-tag").is_some());
        assert!(begun(&standing, 5, "7-tag").is_none(), "nobody's");
        assert!(
            came(&standing, early, 8) && came(&standing, early, 0) && came(&standing, early, 9)
        );
        assert!(!came(&standing, early, 9) && !came(&standing, early, 8), "given before");
        assert!(!came(&standing, 77, 1), "nobody's");

        standing.connected();
        assert!(begun(&standing, first[1].2, "late").is_none(), "of the connection before");
        let second = asked(&standing);
        let places: Vec<&str> = second.iter().map(|(_, place, _)| place.as_str()).collect();
        assert_eq!(places, ["7-tag/9", "now", "mail"]);
        begun(&standing, second[1].2, "8-tag");
        let consuming = SessionConsumeResponse { consumer: queue, request_id: second[2].2 };
        let told = standing.answered(second[2].2, server_frame::Frame::Consume(consuming));
        assert_eq!(told, Some(Event::Consuming { consumer: queue }));
        standing.end(early);
        assert!(!came(&standing, early, 10), "nobody wants it any more");
        let ending = standing.take();
        assert!(matches!(ending, Some(client_frame::Frame::Unsubscribe(it))
            if it.subscription == early && STANDING < it.request_id));

        standing.connected();
        assert_eq!(asked(&standing)[0].1, "8-tag");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_for_now_is_asked_for_again_and_what_is_for_good_has_ended() {
        let standing = Standing::default();
        let number = standing.subscribe(Interest::new(["a"]), "start").unwrap();
        let mut request = asked(&standing)[0].2;
        for code in ["unavailable", "slow_consumer", "unavailable"] {
            assert_eq!(standing.refused(request, error(code)), None);
            standing.due().await;
            request = asked(&standing)[0].2;
        }
        begun(&standing, request, "3-tag");
        let expected = Event::SubscriptionEnded { subscription: number, error: error("forbidden") };
        assert_eq!(standing.refused(request, error("forbidden")), Some(expected));
        standing.connected();
        assert!(asked(&standing).is_empty() && !came(&standing, number, 4));

        let number = standing.consume("none", 0).unwrap();
        let request = asked(&standing)[0].2;
        let expected = Event::ConsumerEnded { consumer: number, error: error("not_found") };
        assert_eq!(standing.refused(request, error("not_found")), Some(expected));
    }

    #[tokio::test]
    async fn what_is_ended_early_is_not_asked_for() {
        let standing = Standing::default();
        let number = standing.subscribe(Interest::new(["a"]), "start").unwrap();
        standing.end(number);
        assert_eq!(standing.take(), None);
        let number = standing.consume("mail", 0).unwrap();
        let request = asked(&standing)[0].2;
        assert_eq!(standing.refused(request, error("unavailable")), None);
        standing.end(number);
        standing.due().await;
        assert_eq!(standing.take(), None);
    }

    #[tokio::test]
    async fn there_are_bounds() {
        let standing = Standing::default();
        let long = "x".repeat(1_000);
        let many = Interest::new((0..2_000).map(|_| long.as_str()));
        assert_eq!(standing.subscribe(many, "now").unwrap_err().code(), "too_large");
        for _ in 0..STANDING_MAX {
            standing.consume("mail", 0).unwrap();
        }
        assert_eq!(standing.consume("mail", 0).unwrap_err().code(), "too_many_requests");
    }
}
