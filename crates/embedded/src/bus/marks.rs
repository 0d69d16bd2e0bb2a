//! What of a tenant's events has expired.

use switchboard_core::bus::{Event, TopicFilter};

/// Up to which sequence the events of a rule have expired: of those that the rule's filter matches
/// and none of the rules before it.
///
/// An event is gone once any mark says so, also after other rules were given: so each has to say
/// which topics were not its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) filter: TopicFilter,
    pub(super) but: Vec<TopicFilter>,
    /// The greatest that has really expired.
    pub(super) sequence: u64,
}

/// What has expired of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    all: Vec<Mark>,
    greatest: u64,
}

impl Mark {
    /// Whether a topic is one of those that it speaks of.
    fn takes(&self, topic: &str) -> bool {
        self.filter.matches(topic) && !self.but.iter().any(|other| other.matches(topic))
    }
}

impl Marks {
    /// The greatest sequence that has expired; 0 for none.
    pub(super) fn greatest(&self) -> u64 {
        self.greatest
    }

    /// An event, unless it has expired.
    pub(super) fn keep(&self, event: Event) -> Option<Event> {
        Some(event).filter(|event| !self.gone(event.sequence, event.body.topic()))
    }

    /// Whether an event has expired.
    pub(super) fn gone(&self, sequence: u64, topic: &str) -> bool {
        sequence <= self.greatest
            && self.all.iter().any(|mark| sequence <= mark.sequence && mark.takes(topic))
    }
}
