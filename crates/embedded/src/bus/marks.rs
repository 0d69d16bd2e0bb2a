//! What of a tenant's events has expired.

use std::{collections::BTreeMap, sync::OnceLock};

use switchboard_core::bus::{Event, Interest, TopicFilter};

use super::bytes::{Bytes, put_list, put_text};

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
    /// Which time it was that events of the tenant expired.
    pub(super) expiry: u64,
}

/// What has expired of one tenant.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    all: Vec<Mark>,
    /// The greatest sequence of all marks.
    greatest: u64,
    /// How often events have expired.
    expiries: u64,
    /// All before this sequence have expired.
    from: u64,
    /// The oldest that is kept, or is to come, once somebody has asked.
    pub(super) oldest: OnceLock<u64>,
}

impl Mark {
    /// What readers are told of a filter's events, while those that are gone are not here anyway.
    pub(super) fn told(filter: TopicFilter, sequence: u64, expiry: u64) -> Self {
        Self { but: vec![filter.clone()], filter, sequence, expiry }
    }

    /// Whether a topic is one of those that it speaks of.
    pub(super) fn takes(&self, topic: &str) -> bool {
        self.filter.matches(topic) && !self.but.iter().any(|other| other.matches(topic))
    }
}

impl Marks {
    /// The greatest sequence that has expired; 0 for none.
    pub(super) fn greatest(&self) -> u64 {
        self.greatest
    }

    /// How often events have expired.
    pub(super) fn expiries(&self) -> u64 {
        self.expiries
    }

    /// All before this sequence have expired.
    pub(super) fn from(&self) -> u64 {
        self.from
    }

    /// Whether an event has expired.
    pub(super) fn gone(&self, sequence: u64, topic: &str) -> bool {
        sequence <= self.greatest
            && self.all.iter().any(|mark| sequence <= mark.sequence && mark.takes(topic))
    }

    /// An event, unless it has expired.
    pub(super) fn keep(&self, event: Event) -> Option<Event> {
        Some(event).filter(|event| !self.gone(event.sequence, event.body.topic()))
    }

    /// Whether an event behind a place has expired that may have been wanted, and that is news to
    /// whoever knows of so many times.
    pub(super) fn missed(&self, interest: &Interest, after: u64, known: u64) -> bool {
        let overlaps = |it: &Mark| interest.filters().iter().any(|one| one.overlaps(&it.filter));
        // Marks of one filter are one to those who read: rules before it are none of their affair.
        let is_news = |it: &Mark| {
            let of_it = || self.all.iter().filter(|other| other.filter == it.filter);
            of_it().any(|it| after < it.sequence) && of_it().any(|it| known < it.expiry)
        };
        after < self.greatest && self.all.iter().any(|it| overlaps(it) && is_news(it))
    }

    /// The greatest sequence of the marks that may speak of topics of a filter.
    pub(super) fn greatest_of(&self, filter: &TopicFilter) -> u64 {
        let these = self.all.iter().filter(|mark| mark.filter.overlaps(filter));
        these.map(|mark| mark.sequence).max().unwrap_or_default()
    }

    /// Up to which sequence the events of a rule have expired.
    pub(super) fn of(&self, filter: &TopicFilter, but: &[TopicFilter]) -> u64 {
        let this = self.all.iter().find(|mark| mark.filter == *filter && mark.but == but);
        this.map_or(0, |mark| mark.sequence)
    }

    /// What it is once more has expired.
    #[must_use]
    pub(super) fn with(&self, marks: &[Mark]) -> Self {
        let mut all = self.all.clone();
        for mark in marks {
            let this = all.iter_mut().find(|it| it.filter == mark.filter && it.but == mark.but);
            match this {
                Some(this) => {
                    this.sequence = this.sequence.max(mark.sequence);
                    this.expiry = this.expiry.max(mark.expiry);
                }
                None => all.push(mark.clone()),
            }
        }
        let from = self.oldest.get().copied().unwrap_or(self.from);
        Self { from, ..Self::of_marks(all) }
    }

    fn of_marks(all: Vec<Mark>) -> Self {
        let greatest = all.iter().map(|mark| mark.sequence).max().unwrap_or_default();
        let expiries = all.iter().map(|mark| mark.expiry).max().unwrap_or_default();
        Self { all, greatest, expiries, from: 0, oldest: OnceLock::new() }
    }

    /// What readers are told: by filter, the greatest sequence, and which time it was.
    pub(super) fn told(&self) -> BTreeMap<TopicFilter, (u64, u64)> {
        let mut told = BTreeMap::<_, (u64, u64)>::new();
        for mark in &self.all {
            let (sequence, expiry) = told.entry(mark.filter.clone()).or_default();
            *sequence = mark.sequence.max(*sequence);
            *expiry = mark.expiry.max(*expiry);
        }
        told
    }

    /// All marks, to be kept.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_marks(&self.all, &mut bytes);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(bytes);
        let all = marks(&mut bytes)?;
        bytes.0.is_empty().then(|| Self::of_marks(all))
    }
}

/// `(sequence u64 | expiry u64 | filter | filters before it) each`
pub(super) fn put_marks(marks: &[Mark], to: &mut Vec<u8>) {
    put_list(marks, to, |mark, to| {
        to.extend_from_slice(&mark.sequence.to_le_bytes());
        to.extend_from_slice(&mark.expiry.to_le_bytes());
        put_text(mark.filter.as_str(), to);
        put_list(&mark.but, to, |filter, to| put_text(filter.as_str(), to));
    });
}

pub(super) fn marks(bytes: &mut Bytes<'_>) -> Option<Vec<Mark>> {
    bytes.list(|bytes| {
        let (sequence, expiry) = (bytes.u64()?, bytes.u64()?);
        let filter = TopicFilter::new(bytes.text()?).ok()?;
        let but = bytes.list(|bytes| TopicFilter::new(bytes.text()?).ok())?;
        Some(Mark { filter, but, sequence, expiry })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::new(text).unwrap()
    }

    fn mark(text: &str, but: &[&str], (sequence, expiry): (u64, u64)) -> Mark {
        let but = but.iter().map(|text| filter(text)).collect();
        Mark { filter: filter(text), but, sequence, expiry }
    }

    #[test]
    fn what_has_expired() {
        let none = Marks::default();
        assert!(!none.gone(1, "a") && none.greatest() == 0);
        let marks = none.with(&[mark("a.>", &["a.b"], (9, 1)), mark("c", &[], (4, 1))]);
        for (sequence, topic, gone) in [
            (9, "a.c", true),
            (10, "a.c", false),
            (9, "a.b", false),
            (4, "c", true),
            (5, "c", false),
            (1, "a", false),
        ] {
            assert_eq!(marks.gone(sequence, topic), gone, "{sequence} {topic}");
        }
        assert_eq!((marks.greatest(), marks.expiries()), (9, 1));
        assert_eq!(marks.greatest_of(&filter("c")), 4);
        assert_eq!(marks.of(&filter("a.>"), &[filter("a.b")]), 9);
        assert_eq!(marks.of(&filter("a.>"), &[]), 0);
        // Of other rules now, and what was kept of it.
        let marks = marks.with(&[mark("a.>", &[], (7, 2)), mark("c", &[], (3, 2))]);
        let marks = Marks::from_bytes(&marks.to_bytes()).unwrap();
        assert!(marks.gone(7, "a.b") && !marks.gone(8, "a.b") && marks.gone(9, "a.c"));
        assert_eq!((marks.of(&filter("c"), &[]), marks.expiries()), (4, 2));
    }

    #[test]
    fn who_may_have_missed_something() {
        let marks = [mark("a.>", &["a.b"], (9, 1)), mark("c", &[], (4, 2))];
        let marks = Marks::default().with(&marks);
        for (wanted, after, known, missed) in [
            ("a.c", 8, 0, true),
            ("a.c", 9, 0, false),
            ("a.b", 8, 0, true),
            ("a.c", 8, 1, false),
            (">", 3, 1, true),
            (">", 4, 1, false),
            ("d", 0, 0, false),
        ] {
            let interest = Interest::new([wanted], []).unwrap();
            assert_eq!(marks.missed(&interest, after, known), missed, "{wanted} {after} {known}");
        }
    }
}
