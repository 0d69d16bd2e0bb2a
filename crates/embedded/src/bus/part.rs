//! Events of a tenant that stand together, in memory or in a volume.

use std::ops::Range;

use switchboard_core::bus::{Event, TopicFilter};

use crate::Error;

/// What events are found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Topic,
    Kind,
}

/// Some labels, by number.
pub(super) type Numbers = Vec<Range<u32>>;

/// Events of a tenant that stand together. They are counted from 0 in the order of their sequences:
/// that is their *place*. Their topics and types are numbers here (*labels*), and for each of these
/// the places of its events are known (*postings*), ascending.
pub(super) trait Part {
    /// How many events there are.
    fn len(&self) -> u32;

    fn sequence(&mut self, place: u32) -> Result<u64, Error>;

    /// Which of all events it is.
    fn number(&mut self, place: u32) -> Result<u64, Error>;

    /// When an event was published.
    fn at(&mut self, place: u32) -> Result<i64, Error>;

    /// The topic and the type of an event.
    fn label(&mut self, by: By, place: u32) -> Result<u32, Error>;

    /// How many labels there are.
    fn labels(&self, by: By) -> u32;

    /// What a label is called.
    fn name(&mut self, by: By, label: u32) -> Result<&str, Error>;

    /// The label that is called so.
    fn find(&mut self, by: By, name: &str) -> Result<Option<u32>, Error>;

    /// The topics that a filter matches, ascending; none if more than so many would have to be
    /// looked at.
    fn matching(&mut self, filter: &TopicFilter, max: u32) -> Result<Option<Numbers>, Error>;

    /// How many events have one of these labels.
    fn count(&mut self, by: By, labels: Range<u32>) -> Result<u32, Error>;

    /// The place of one of the events of a label, of which there are as many as [`Part::count`]
    /// says.
    fn posting(&mut self, by: By, label: u32, index: u32) -> Result<u32, Error>;

    /// Hands over events at some places, which ascend, until `more` says that it is enough.
    fn events(&mut self, places: &[u32], more: &mut dyn FnMut(Event) -> bool) -> Result<(), Error>;

    /// The first place whose event is behind a sequence.
    fn behind(&mut self, sequence: u64) -> Result<u32, Error> {
        let len = self.len();
        first(len, |place| Ok(sequence < self.sequence(place)?))
    }

    /// The first place whose event was published at a time or later.
    fn since(&mut self, at: i64) -> Result<u32, Error> {
        let len = self.len();
        first(len, |place| Ok(at <= self.at(place)?))
    }

    /// The place of the event with a number, if it is here.
    fn numbered(&mut self, number: u64) -> Result<Option<u32>, Error> {
        let len = self.len();
        let place = first(len, |place| Ok(number <= self.number(place)?))?;
        Ok((place < len && self.number(place)? == number).then_some(place))
    }

    /// How many postings of a label stand before a place.
    fn before(&mut self, by: By, label: u32, place: u32) -> Result<u32, Error> {
        if place == 0 {
            return Ok(0);
        }
        let count = self.count(by, label..label + 1)?;
        first(count, |index| Ok(place <= self.posting(by, label, index)?))
    }
}

/// The first number below `len` of which something holds, as it does of all that are greater;
/// `len` if it holds of none.
pub(super) fn first(
    len: u32,
    mut holds: impl FnMut(u32) -> Result<bool, Error>,
) -> Result<u32, Error> {
    let (mut from, mut to) = (0, len);
    while from < to {
        let middle = from + (to - from) / 2;
        if holds(middle)? {
            to = middle;
        } else {
            from = middle + 1;
        }
    }
    Ok(from)
}

/// Where the topics stand among all, in order, that a filter may match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape<'a> {
    /// At this one.
    One(&'a str),
    /// At all that begin so, and it matches all of these.
    All(&'a str),
    /// At those that begin so, and it matches some of these.
    Some(&'a str),
}

impl<'a> Shape<'a> {
    pub(super) fn of(filter: &'a TopicFilter) -> Self {
        let text = filter.as_str();
        match text.find(['*', '>']) {
            None => Self::One(text),
            Some(at) if &text[at..] == ">" => Self::All(&text[..at]),
            Some(at) => Self::Some(&text[..at]),
        }
    }
}

/// Whether one of some ascending ranges holds a number.
pub(super) fn holds(numbers: &[Range<u32>], number: u32) -> bool {
    let behind = numbers.partition_point(|range| range.start <= number);
    behind.checked_sub(1).is_some_and(|index| number < numbers[index].end)
}

/// Puts ranges in order, and those together that touch.
pub(super) fn joined(mut numbers: Numbers) -> Numbers {
    numbers.sort_unstable_by_key(|range| range.start);
    let mut joined: Numbers = Vec::with_capacity(numbers.len());
    for range in numbers.into_iter().filter(|range| !range.is_empty()) {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_filter_may_match() {
        for (filter, expected) in [
            ("a.b", Shape::One("a.b")),
            ("a.>", Shape::All("a.")),
            (">", Shape::All("")),
            ("*", Shape::Some("")),
            ("a.*", Shape::Some("a.")),
            ("a.*.>", Shape::Some("a.")),
        ] {
            assert_eq!(Shape::of(&TopicFilter::new(filter).unwrap()), expected, "{filter}");
        }
    }

    #[test]
    fn ranges() {
        let numbers = joined(vec![7..9, 1..2, 2..4, 8..12, 5..5]);
        assert_eq!(numbers, [1..4, 7..12]);
        let held = (0..14).filter(|&number| holds(&numbers, number));
        assert_eq!(held.collect::<Vec<_>>(), [1, 2, 3, 7, 8, 9, 10, 11]);
    }

    #[test]
    fn the_first_of_which_something_holds() {
        for (len, from) in [(0, 0), (1, 0), (1, 1), (10, 3), (10, 10)] {
            assert_eq!(first(len, |it| Ok(from <= it)).unwrap(), from, "{len}");
        }
    }
}
