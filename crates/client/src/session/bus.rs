//! The bus over a session.

use switchboard_proto::v1::{
    SessionPublishRequest, SessionSettleRequest, client_frame, server_frame,
};

use super::{Session, answered};
use crate::{
    Error,
    bus::{Draft, Interest, Published, Settled, Settlement},
    name::made_up,
};

impl Session {
    /// Publishes an event, as [`crate::Client::publish`] does: a durable one is on disk when the
    /// future is done. Queued when this returns, before the future is awaited.
    ///
    /// On a broken connection a durable event is sent again on the next, which publishes nothing
    /// twice: without a key one is made up. An ephemeral one is not.
    ///
    /// # Errors
    ///
    /// `invalid_topic`, `invalid_type`, `invalid_value`, `invalid_request`, `conflict`;
    /// `unavailable` when no answer came until the client's timeout; otherwise those of
    /// [`Session::echo`].
    pub fn publish(
        &self,
        draft: Draft,
    ) -> impl Future<Output = Result<Published, Error>> + Send + use<> {
        let Draft { topic, kind, data, content_type, mut key, ephemeral, reply_to } = draft;
        if !ephemeral {
            key.get_or_insert_with(made_up);
        }
        let frame = |request_id| {
            client_frame::Frame::Publish(SessionPublishRequest {
                topic,
                r#type: kind,
                data,
                content_type,
                key: key.unwrap_or_default(),
                ephemeral,
                reply_to: reply_to.unwrap_or_default(),
                request_id,
            })
        };
        answered(self.timeout, self.requests.ask(frame), |answer| match answer {
            server_frame::Frame::Publish(it) => {
                Some(Published { sequence: it.sequence, new: it.new })
            }
            _ => None,
        })
    }

    /// Subscribes to events from a place on, as [`crate::bus`] says, and gives the subscription's
    /// number at once. When it has begun the event callback hears [`super::Event::Subscribed`],
    /// then [`super::Event::Published`] for each event; when it is refused, or can't go on,
    /// [`super::Event::SubscriptionEnded`]. A session may have many.
    ///
    /// After the connection broke it goes on behind the last event that was handed out, and is
    /// told as subscribed again.
    ///
    /// # Errors
    ///
    /// `too_large` for filters that no frame holds; `too_many_requests` beyond 10,000 subscriptions
    /// and consumers; why the session has ended.
    pub fn subscribe(&self, interest: Interest, after: &str) -> Result<u32, Error> {
        self.stand(self.standing.subscribe(interest, after))
    }

    /// Ends a subscription. Nothing is told of it any more once what is being told is over.
    pub fn unsubscribe(&self, subscription: u32) {
        self.standing.end(subscription);
        self.requests.nudge();
    }

    /// Consumes a queue, and gives the consumer's number at once. When the queue is there the event
    /// callback hears [`super::Event::Consuming`], then [`super::Event::Delivered`] for each
    /// delivery; when there is none, or none any more, [`super::Event::ConsumerEnded`]. Up to
    /// `prefetch` deliveries are unsettled at once: 1 to 10,000, 0 for 100.
    ///
    /// After the connection broke it is consumed again. What was not settled then is delivered
    /// again, here or elsewhere, as another attempt.
    ///
    /// # Errors
    ///
    /// As [`Session::subscribe`].
    pub fn consume(&self, queue: &str, prefetch: u32) -> Result<u32, Error> {
        self.stand(self.standing.consume(queue, prefetch))
    }

    /// Ends a consumer. What it has not settled is given back.
    pub fn cancel(&self, consumer: u32) {
        self.standing.end(consumer);
        self.requests.nudge();
    }

    /// Settles deliveries of a consumer, up to 1,000 together: durable when the future is done.
    /// Queued when this returns, before the future is awaited. Those that came over an earlier
    /// connection are refused: they come again.
    ///
    /// # Errors
    ///
    /// `not_found` for no such consumer; `invalid_request`, `too_large`; those of
    /// [`Session::echo`].
    pub fn settle(
        &self,
        consumer: u32,
        settlement: Settlement,
    ) -> impl Future<Output = Result<Settled, Error>> + Send + use<> {
        let delay_ms = settlement.delay_ms();
        let Settlement { ack, nack, reason, .. } = settlement;
        let frame = |request_id| {
            client_frame::Frame::Settle(SessionSettleRequest {
                consumer,
                ack,
                nack,
                delay_ms,
                reason,
                request_id,
            })
        };
        answered(self.timeout, self.requests.ask(frame), |answer| match answer {
            server_frame::Frame::Settle(it) => {
                let refused = it.refused.into_iter().map(Into::into).collect();
                Some(Settled { done: it.done, refused })
            }
            _ => None,
        })
    }

    /// Has the task ask for what goes on.
    fn stand(&self, number: Result<u32, Error>) -> Result<u32, Error> {
        if let Some(error) = self.requests.ended() {
            return Err(error);
        }
        self.requests.nudge();
        number
    }
}
