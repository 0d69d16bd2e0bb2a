//! The metrics of chat.

use std::time::Duration;

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

use super::{
    histogram::{Histogram, REQUEST_NANOS},
    metrics::{Labels, Registrar, nanos},
};

/// The metrics of chat.
#[derive(Debug)]
pub(crate) struct Chat {
    sent: Counter,
    repeated: Counter,
    conflicts: Counter,
    delivered: Counter,
    read: Counter,
    typing: Counter,
    followers: Gauge,
    live: Counter,
    caught_up: Counter,
    lag: Histogram,
    delivery: Histogram,
}

impl Chat {
    pub(super) fn new(r: &mut Registrar) -> Self {
        let receipts: Family<Labels, Counter> = r.add(
            "switchboard_receipts",
            "Marks that moved, by type: delivered, read",
            Family::default(),
        );
        let messages: Family<Labels, Counter> = r.add(
            "switchboard_messages",
            "Sends by how they ended: new, duplicate (sent before), conflict (sent before, with \
             another recipient or text)",
            Family::default(),
        );
        let entries: Family<Labels, Counter> = r.add(
            "switchboard_inbox_entries",
            "Entries of inboxes handed to followers, by source: live (of a signal), store",
            Family::default(),
        );
        let one = |family: &Family<Labels, Counter>, name, value| {
            family.get_or_create(&vec![(name, value)]).clone()
        };
        let durations: fn() -> Histogram = || Histogram::of_durations(REQUEST_NANOS);
        let deliveries: Family<Labels, Histogram, fn() -> Histogram> = r.add(
            "switchboard_delivery_duration_seconds",
            "From the moment when something is durable, and its sender told, to its frame being \
             written to a session or stream that follows",
            Family::new_with_constructor(durations),
        );
        Self {
            sent: one(&messages, "result", "new"),
            repeated: one(&messages, "result", "duplicate"),
            conflicts: one(&messages, "result", "conflict"),
            delivered: one(&receipts, "type", "delivered"),
            read: one(&receipts, "type", "read"),
            typing: r.counter("switchboard_typing_hints", "Hints that somebody writes"),
            followers: r.gauge("switchboard_inbox_followers", "Inboxes that are followed now"),
            live: one(&entries, "source", "live"),
            caught_up: one(&entries, "source", "store"),
            lag: r.add(
                "switchboard_inbox_lag_entries",
                "How many entries a follower was behind, each time it read the store",
                Histogram::of_counts(),
            ),
            delivery: deliveries.get_or_create(&vec![("capability", "chat")]).clone(),
        }
    }

    /// A message was sent that was sent before.
    pub(crate) fn repeated(&self) {
        self.repeated.inc();
    }

    /// A message was refused because another was sent by this name.
    pub(crate) fn conflicted(&self) {
        self.conflicts.inc();
    }

    /// So many messages were sent, and marks moved.
    pub(crate) fn happened(&self, sent: u64, delivered: u64, read: u64) {
        self.sent.inc_by(sent);
        self.delivered.inc_by(delivered);
        self.read.inc_by(read);
    }

    /// Somebody writes.
    pub(crate) fn typed(&self) {
        self.typing.inc();
    }

    /// An inbox is followed, or no longer.
    pub(crate) fn followed(&self, more: bool) {
        self.followers.inc_by(if more { 1 } else { -1 });
    }

    /// An entry was handed on so long after it was durable.
    pub(crate) fn delivered_live(&self, after: Duration) {
        self.live.inc();
        self.delivery.observe(nanos(after), 1);
    }

    /// Entries were read for a follower that was so far behind.
    pub(crate) fn read_on(&self, entries: u64, behind: u64) {
        self.caught_up.inc_by(entries);
        if 0 < behind {
            self.lag.observe(behind, 1);
        }
    }
}
