//! The bus: typed events to topics, for whoever subscribes, and queues whose events are shared.
//!
//! An *event* of a *topic* stands in its tenant's log, where [`Log`] keeps it, or is *ephemeral*
//! and reaches those who are there right now. Who they are, a [`Matcher`] tells.

mod body;
mod event;
mod event_type;
mod interest;
mod log;
mod matcher;
mod place;
mod presence;
mod queue;
mod retention;
mod signals;
mod topic;

pub use self::{
    body::{Body, Content, DATA_BYTES_MAX},
    event::{Draft, Event, IdempotencyKey, Published},
    event_type::{CONTENT_TYPE_BYTES_MAX, EventType, JSON, TYPE_BYTES_MAX},
    interest::{FILTERS_MAX, Interest},
    log::{Answer, Created, Log, PAGE_DEFAULT, PAGE_MAX, Page, Read, page_limit},
    matcher::{Handle, Matcher, Subscription},
    place::{Cursor, Since},
    presence::{Attendance, Gone, Turn},
    queue::{
        ACK_TIMEOUT_MS_DEFAULT, CONSUMER_LEFT, DELAY_MS_MAX, DELIVERIES_DEFAULT, DeadLetter,
        Delivery, DeliveryId, IN_FLIGHT_MAX, PREFETCH_DEFAULT, PREFETCH_MAX, PULL_MAX, Pull,
        Pulled, QueueId, QueueName, QueueSettings, QueueState, REASON_BYTES_MAX, Settled,
        Settlement, TIMED_OUT, Verdict, WrittenDelivery, reason,
    },
    retention::{Retention, rule_of},
    signals::{Signal, Signals},
    topic::{FilterWord, TOPIC_BYTES_MAX, Topic, TopicFilter, WORDS_MAX},
};
