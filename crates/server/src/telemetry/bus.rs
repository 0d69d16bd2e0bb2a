//! The metrics of the bus.

use std::time::Duration;

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

use super::{
    histogram::{Histogram, REQUEST_NANOS},
    metrics::{Labels, Registrar, nanos},
};

/// The metrics of the bus.
#[derive(Debug)]
pub(crate) struct Bus {
    published: [Counter; 4],
    handed_out: Counter,
    caught_up: Counter,
    subscriptions: Gauge,
    slow: Counter,
    expired: Counter,
    dead_letters: Counter,
    deliveries: [Counter; 2],
    settled: [Counter; 3],
    delivery: Histogram,
}

impl Bus {
    pub(super) fn new(r: &mut Registrar) -> Self {
        let published: Family<Labels, Counter> = r.add(
            "switchboard_events_published",
            "Events by how their publishing ended: durable, ephemeral, duplicate (published \
             before), conflict (published before, with other contents)",
            Family::default(),
        );
        let delivered: Family<Labels, Counter> = r.add(
            "switchboard_events_delivered",
            "Events for subscriptions, by source: live, log",
            Family::default(),
        );
        let deliveries: Family<Labels, Counter> = r.add(
            "switchboard_queue_deliveries",
            "Deliveries of queues, by whether they were the first of their events: first, again",
            Family::default(),
        );
        let settled: Family<Labels, Counter> = r.add(
            "switchboard_queue_settled",
            "Deliveries that consumers settled, or tried to: done, late (their time was up), \
             unknown",
            Family::default(),
        );
        let one = |family: &Family<Labels, Counter>, name, value| {
            family.get_or_create(&vec![(name, value)]).clone()
        };
        Self {
            published: ["durable", "ephemeral", "duplicate", "conflict"]
                .map(|result| one(&published, "result", result)),
            handed_out: one(&delivered, "source", "live"),
            caught_up: one(&delivered, "source", "log"),
            subscriptions: r.gauge("switchboard_subscriptions", "Subscriptions that are live now"),
            slow: r.counter(
                "switchboard_slow_consumers",
                "Sessions and streams for which more waited than is kept for one",
            ),
            expired: r.counter("switchboard_events_expired", "Events that were let go of"),
            dead_letters: r
                .counter("switchboard_dead_letters", "Events that queues of this node gave up"),
            deliveries: ["first", "again"].map(|which| one(&deliveries, "attempt", which)),
            settled: ["done", "late", "unknown"].map(|which| one(&settled, "result", which)),
            delivery: r.add(
                "switchboard_event_delivery_duration_seconds",
                "From the moment when an event is told to this node to its being written for a \
                 subscription",
                Histogram::of_durations(REQUEST_NANOS),
            ),
        }
    }

    /// Events were added to the log, some of which a queue had given up.
    pub(crate) fn appended(&self, events: u64, dead_letters: u64) {
        self.published[0].inc_by(events);
        self.dead_letters.inc_by(dead_letters);
    }

    /// Ephemeral events were published.
    pub(crate) fn ephemeral(&self, events: u64) {
        self.published[1].inc_by(events);
    }

    /// An event was published that was published before.
    pub(crate) fn repeated(&self) {
        self.published[2].inc();
    }

    /// An event was refused because another was published with its key.
    pub(crate) fn conflicted(&self) {
        self.published[3].inc();
    }

    /// Events were put into mailboxes, some of which spilt.
    pub(crate) fn handed_out(&self, events: u64, spilt: u64) {
        self.handed_out.inc_by(events);
        self.slow.inc_by(spilt);
    }

    /// Events were read from the log for a subscription.
    pub(crate) fn read_on(&self, events: u64) {
        self.caught_up.inc_by(events);
    }

    /// So many subscriptions more are live, or fewer.
    pub(crate) fn subscribed(&self, more: i64) {
        self.subscriptions.inc_by(more);
    }

    /// Events were written for a subscription so long after they were told.
    pub(crate) fn written(&self, events: u64, after: Duration) {
        self.delivery.observe(nanos(after), events);
    }

    /// Events were let go of.
    pub(crate) fn expired(&self, events: u64) {
        self.expired.inc_by(events);
    }

    /// A delivery was given to a consumer.
    pub(crate) fn delivered(&self, attempt: u32) {
        self.deliveries[usize::from(1 < attempt)].inc();
    }

    /// So many deliveries were settled, came late, or were unknown.
    pub(crate) fn settled(&self, [done, late, unknown]: [u64; 3]) {
        for (counter, count) in self.settled.iter().zip([done, late, unknown]) {
            counter.inc_by(count);
        }
    }
}
