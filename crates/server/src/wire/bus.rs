//! The messages of the bus.

use switchboard_core::{
    Code, Error, Result,
    bus::{Content, Created, DeadLetter, Delivery, Event, Published, QueueId, QueueState, Settled},
    session::Settle,
};
use switchboard_proto::v1;

use crate::bus::{EventsRead, Outcomes, Publication, Wanted};

/// What is to be published.
pub(crate) fn publication(request: &v1::PublishRequest) -> Publication<'_> {
    let v1::PublishRequest { topic, r#type, data, content_type, key, ephemeral, reply_to, .. } =
        request;
    let content = Content { topic, kind: r#type, content_type, data, key: None, reply_to };
    Publication { content, key, ephemeral: *ephemeral }
}

/// What became of a publish.
pub(crate) fn published(published: Published) -> v1::PublishResponse {
    v1::PublishResponse { sequence: published.sequence, new: published.new }
}

/// An event.
pub(crate) fn event(event: &Event) -> v1::Event {
    let Event { sequence, at, body } = event;
    let letter = |letter: DeadLetter| v1::DeadLetter {
        queue: letter.queue.as_ref().to_owned(),
        reason: letter.reason.as_ref().to_owned(),
        attempts: letter.attempts,
        topic: letter.topic.as_ref().to_owned(),
        sequence: letter.sequence,
    };
    v1::Event {
        sequence: *sequence,
        topic: body.topic().to_owned(),
        r#type: body.kind().to_owned(),
        data: body.data().to_vec(),
        content_type: body.content_type().to_owned(),
        at: at.0,
        reply_to: body.reply_to().to_owned(),
        dead_letter: body.dead_letter().map(letter),
    }
}

/// A page of events.
pub(crate) fn page(read: &EventsRead) -> v1::ReadEventsResponse {
    v1::ReadEventsResponse {
        events: read.events.iter().map(event).collect(),
        next_cursor: read.next.to_string(),
    }
}

/// A queue as it is wanted.
///
/// # Errors
///
/// [`Code::InvalidRequest`] where there are no settings.
pub(crate) fn wanted(request: &v1::CreateQueueRequest) -> Result<Wanted<'_>> {
    let settings = request.settings.as_ref().ok_or_else(|| {
        Error::new(Code::InvalidRequest, "say in settings which topics the queue takes")
    })?;
    Ok(Wanted {
        topics: &settings.topics,
        types: &settings.types,
        ack_timeout_ms: settings.ack_timeout_ms,
        max_deliveries: settings.max_deliveries,
        dead_letter_topic: &settings.dead_letter_topic,
        after: &request.after,
    })
}

/// A queue that was made or found.
pub(crate) fn created(created: &Created, age_ms: Option<i64>) -> v1::CreateQueueResponse {
    v1::CreateQueueResponse { queue: Some(queue(&created.queue, age_ms)), new: created.new }
}

/// How a queue is.
pub(crate) fn queue(state: &QueueState, oldest_age_ms: Option<i64>) -> v1::Queue {
    let QueueState { name, settings, .. } = state;
    let texts = |all: &[switchboard_core::bus::TopicFilter]| {
        all.iter().map(|one| one.as_str().to_owned()).collect()
    };
    let types = settings.interest.types().iter().map(|kind| kind.as_str().to_owned());
    v1::Queue {
        queue: name.as_str().to_owned(),
        settings: Some(v1::QueueSettings {
            topics: texts(settings.interest.filters()),
            types: types.collect(),
            ack_timeout_ms: settings.ack_timeout_ms,
            max_deliveries: settings.max_deliveries,
            dead_letter_topic: settings.dead_letter_topic.as_str().to_owned(),
        }),
        depth: state.depth,
        in_flight: state.in_flight,
        oldest_at: state.oldest_at.map(|at| at.0),
        dead_lettered: state.dead_lettered,
        acknowledged: state.acknowledged,
        redelivered: state.redelivered,
        oldest_age_ms,
    }
}

/// A delivery.
pub(crate) fn delivery(queue: &QueueId, delivery: &Delivery) -> v1::Delivery {
    v1::Delivery {
        delivery: delivery.id.written(queue).to_string(),
        attempt: delivery.id.attempt,
        event: Some(event(&delivery.event)),
        until: delivery.until.0,
    }
}

/// What is said of deliveries.
pub(crate) fn settle(request: &v1::SettleRequest) -> Settle<'_> {
    Settle {
        ack: request.ack.iter().map(String::as_str).collect(),
        nack: request.nack.iter().map(String::as_str).collect(),
        delay_ms: request.delay_ms,
        reason: &request.reason,
    }
}

/// What came of it.
pub(crate) fn settled(outcomes: Outcomes) -> v1::SettleResponse {
    let refused = outcomes.refused.into_iter().map(|(delivery, settled)| v1::RefusedDelivery {
        delivery,
        code: Settled::refusal(settled).map_or("", Code::as_str).to_owned(),
    });
    v1::SettleResponse { done: outcomes.done, refused: refused.collect() }
}
