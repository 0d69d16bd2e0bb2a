//! How the events of a part are found that somebody wants: the cheapest way.
//!
//! There are three: to look at one event after the other; to follow the postings of those topics,
//! or types, that are wanted, together in order; and to gather all of these and put them in order.
//! What is few is followed, what is much is looked through, so that the work is in proportion to
//! what is found.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, binary_heap::PeekMut},
    ops::Range,
    vec,
};

use switchboard_core::bus::Interest;

use super::{
    marks::Marks,
    part::{By, Numbers, Part, holds, joined},
};
use crate::Error;

/// The most topics of a part that are looked at to find those that a filter matches. Where there
/// are more, topics are looked at as their events are.
const LOOK_MAX: u32 = 2048;

/// The most labels whose postings are followed together.
const TOGETHER: usize = 64;

/// What somebody wants, and what has expired.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) interest: &'a Interest,
    pub(super) marks: &'a Marks,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The places of events that are wanted, ascending.
    pub(super) places: Vec<u32>,
    /// All before this place was looked at.
    pub(super) to: u32,
}

/// A search in one part.
#[derive(Debug)]
pub(super) struct Search<'a> {
    wanted: Wanted<'a>,
    topics: Choice,
    kinds: Choice,
    /// Of the events before this place some may have expired.
    marked: u32,
    /// What was found out of topics that were looked at with their events.
    looked_at: HashMap<u32, bool>,
}

/// Which labels are wanted.
#[derive(Debug)]
enum Choice {
    All,
    /// These, and how many events have them.
    These(Numbers, u32),
    /// It is not known beforehand.
    Many,
}

/// Where the places come from that are looked at, ascending.
#[derive(Debug)]
enum Source {
    /// All from here on.
    All(u32),
    Followed(BinaryHeap<Reverse<Next>>, By),
    Gathered(vec::IntoIter<u32>),
}

/// The next posting of a label: its place, the label, and the index of the posting among how many.
type Next = (u32, u32, u32, u32);

impl Choice {
    fn topics<P: Part>(part: &mut P, interest: &Interest) -> Result<Self, Error> {
        if interest.filters().iter().any(|filter| filter.as_str() == ">") {
            return Ok(Self::All);
        }
        let mut all = Vec::new();
        for filter in interest.filters() {
            let Some(numbers) = part.matching(filter, LOOK_MAX)? else { return Ok(Self::Many) };
            all.extend(numbers);
        }
        Self::these(part, By::Topic, all)
    }

    fn kinds<P: Part>(part: &mut P, interest: &Interest) -> Result<Self, Error> {
        if interest.types().is_empty() {
            return Ok(Self::All);
        }
        let mut all = Vec::new();
        for kind in interest.types() {
            let label = part.find(By::Kind, kind.as_str())?;
            all.extend(label.map(|label| label..label + 1));
        }
        Self::these(part, By::Kind, all)
    }

    fn these<P: Part>(part: &mut P, by: By, numbers: Numbers) -> Result<Self, Error> {
        let numbers = joined(numbers);
        if let [all] = &numbers[..]
            && *all == (0..part.labels(by))
        {
            return Ok(Self::All);
        }
        let mut count = 0;
        for range in &numbers {
            count += part.count(by, range.clone())?;
        }
        Ok(Self::These(numbers, count))
    }

    /// How many events have them at most.
    fn count(&self, len: u32) -> u32 {
        match self {
            Self::All | Self::Many => len,
            Self::These(_, count) => *count,
        }
    }
}

impl<'a> Search<'a> {
    pub(super) fn new<P: Part>(part: &mut P, wanted: Wanted<'a>) -> Result<Self, Error> {
        let kinds = Choice::kinds(part, wanted.interest)?;
        let topics = match kinds {
            // Nothing is wanted anyway.
            Choice::These(_, 0) => Choice::Many,
            _ => Choice::topics(part, wanted.interest)?,
        };
        let greatest = wanted.marks.greatest();
        let marked = if greatest == 0 { 0 } else { part.behind(greatest)? };
        Ok(Self { wanted, topics, kinds, marked, looked_at: HashMap::new() })
    }

    /// Finds up to `max` events that are wanted from a place on. `work` is how many more may be
    /// looked at: at least one is.
    pub(super) fn find<P: Part>(
        &mut self,
        part: &mut P,
        from: u32,
        max: usize,
        work: &mut usize,
    ) -> Result<Found, Error> {
        let len = part.len();
        if matches!(self.kinds, Choice::These(_, 0)) || matches!(self.topics, Choice::These(_, 0)) {
            return Ok(Found { places: Vec::new(), to: len });
        }
        if self.wants_all(from) {
            let room = u32::try_from(max).unwrap_or(u32::MAX);
            let to = len.min(from.saturating_add(room));
            return Ok(Found { places: (from..to).collect(), to });
        }
        let mut source = self.source(part, from, max)?;
        let mut found = Found { places: Vec::new(), to: from };
        while found.places.len() < max {
            let Some(place) = source.next(part)? else {
                found.to = len;
                break;
            };
            if *work == 0 && from < found.to {
                break;
            }
            *work = work.saturating_sub(1);
            found.to = place + 1;
            if self.wants(part, place)? {
                found.places.push(place);
            }
        }
        Ok(found)
    }

    /// How many events are wanted from a place on.
    pub(super) fn count<P: Part>(&mut self, part: &mut P, from: u32) -> Result<u64, Error> {
        let len = part.len();
        if self.wants_all(from) {
            return Ok(u64::from(len.saturating_sub(from)));
        }
        if self.marked <= from
            && let (Choice::These(numbers, all), by) = match (&self.topics, &self.kinds) {
                (topics, Choice::All) => (topics, By::Topic),
                (Choice::All, kinds) => (kinds, By::Kind),
                _ => (&Choice::Many, By::Topic),
            }
        {
            let mut before = 0;
            for label in numbers.iter().cloned().flatten() {
                before += part.before(by, label, from)?;
            }
            return Ok(u64::from(all.saturating_sub(before)));
        }
        let (mut from, mut count) = (from, 0);
        while from < len {
            let found = self.find(part, from, usize::from(u16::MAX), &mut usize::MAX.clone())?;
            count += found.places.len() as u64;
            from = found.to;
        }
        Ok(count)
    }

    /// Whether all events from a place on are wanted.
    fn wants_all(&self, from: u32) -> bool {
        self.marked <= from && matches!((&self.topics, &self.kinds), (Choice::All, Choice::All))
    }

    /// Whether the event at a place is wanted, and there.
    fn wants<P: Part>(&mut self, part: &mut P, place: u32) -> Result<bool, Error> {
        if let Choice::These(numbers, _) = &self.kinds
            && !holds(numbers, part.label(By::Kind, place)?)
        {
            return Ok(false);
        }
        let wanted = match &self.topics {
            Choice::All => true,
            Choice::These(numbers, _) => holds(numbers, part.label(By::Topic, place)?),
            Choice::Many => self.wants_topic(part, place)?,
        };
        if !wanted {
            return Ok(false);
        }
        if self.marked <= place {
            return Ok(true);
        }
        let (sequence, topic) = (part.sequence(place)?, part.label(By::Topic, place)?);
        Ok(!self.wanted.marks.gone(sequence, part.name(By::Topic, topic)?))
    }

    fn wants_topic<P: Part>(&mut self, part: &mut P, place: u32) -> Result<bool, Error> {
        let topic = part.label(By::Topic, place)?;
        if let Some(&wanted) = self.looked_at.get(&topic) {
            return Ok(wanted);
        }
        let wanted = self.wanted.interest.wants_topic(part.name(By::Topic, topic)?);
        self.looked_at.insert(topic, wanted);
        Ok(wanted)
    }

    /// The cheapest source, by a rough estimate of how many places have to be looked at.
    fn source<P: Part>(&self, part: &mut P, from: u32, max: usize) -> Result<Source, Error> {
        let len = u64::from(part.len()).max(1);
        let [topics, kinds] = [&self.topics, &self.kinds].map(|it| u64::from(it.count(part.len())));
        // As if topics and types had nothing to do with each other.
        let matching = (topics * kinds / len).max(1);
        let looked_at = |candidates: u64| candidates.min(max as u64 * candidates / matching);
        let mut least = looked_at(len);
        let mut source = None;
        for (by, choice) in [(By::Topic, &self.topics), (By::Kind, &self.kinds)] {
            let Choice::These(numbers, count) = choice else { continue };
            let count = u64::from(*count);
            let labels: usize = numbers.iter().map(Range::len).sum();
            let follow = labels <= TOGETHER;
            let cost = if follow {
                8 * labels as u64 + 2 * looked_at(count)
            } else {
                2 * count + looked_at(count)
            };
            if cost < least {
                least = cost;
                source = Some((by, numbers, follow));
            }
        }
        match source {
            None => Ok(Source::All(from)),
            Some((by, numbers, true)) => Source::followed(part, by, numbers, from),
            Some((by, numbers, false)) => Source::gathered(part, by, numbers, from),
        }
    }
}

impl Source {
    fn followed<P: Part>(
        part: &mut P,
        by: By,
        numbers: &Numbers,
        from: u32,
    ) -> Result<Self, Error> {
        let mut heads = BinaryHeap::new();
        for label in numbers.iter().cloned().flatten() {
            let count = part.count(by, label..label + 1)?;
            let index = part.before(by, label, from)?;
            if index < count {
                let place = part.posting(by, label, index)?;
                heads.push(Reverse((place, label, index, count)));
            }
        }
        Ok(Self::Followed(heads, by))
    }

    fn gathered<P: Part>(
        part: &mut P,
        by: By,
        numbers: &Numbers,
        from: u32,
    ) -> Result<Self, Error> {
        let mut places = Vec::new();
        for label in numbers.iter().cloned().flatten() {
            for index in 0..part.count(by, label..label + 1)? {
                let place = part.posting(by, label, index)?;
                places.extend((from <= place).then_some(place));
            }
        }
        places.sort_unstable();
        Ok(Self::Gathered(places.into_iter()))
    }

    fn next<P: Part>(&mut self, part: &mut P) -> Result<Option<u32>, Error> {
        match self {
            Self::All(next) => {
                let place = *next;
                *next = place.saturating_add(1);
                Ok((place < part.len()).then_some(place))
            }
            Self::Gathered(places) => Ok(places.next()),
            Self::Followed(heads, by) => {
                let Some(mut head) = heads.peek_mut() else { return Ok(None) };
                let Reverse((place, label, index, count)) = *head;
                if index + 1 < count {
                    *head =
                        Reverse((part.posting(*by, label, index + 1)?, label, index + 1, count));
                } else {
                    PeekMut::pop(head);
                }
                Ok(Some(place))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use switchboard_core::bus::{Body, Content};

    use super::*;
    use crate::bus::{
        entry::{Entry, EventEntry},
        labels::Labels,
        recent::{Generation, Placed},
    };

    /// Events of these topics and types, in chunks of some.
    pub(super) fn generation(events: &[(String, String)], first: u64) -> Generation {
        let (mut generation, mut labels) = (Generation::default(), Labels::default());
        let mut sequence = first;
        for some in events.chunks(7) {
            let (mut payload, mut placed) = (Vec::new(), Vec::new());
            let before = sequence;
            for (topic, kind) in some {
                let content =
                    Content { topic, kind, content_type: "", data: b"", key: None, reply_to: "" };
                let body = Body::new(&content).unwrap();
                let body = body.as_bytes();
                let at = i64::try_from(sequence / 3).unwrap();
                let (tenant, number) = (4, 10 * sequence);
                let event = EventEntry { tenant, sequence, at, number, body };
                Entry::Event(event).write(&mut payload);
                let len = u32::try_from(body.len()).unwrap();
                let start = u32::try_from(payload.len()).unwrap() - len;
                let pair = labels.number(topic, kind);
                placed.push(Placed { tenant, start, len, pair });
                sequence += 1;
            }
            generation.add_chunk(&Arc::from(payload));
            generation.add(4, before, &placed, &labels);
        }
        generation
    }

    fn interest(filters: &[String], kinds: &[String]) -> Interest {
        let texts = |list: &[String]| list.to_vec();
        let (filters, kinds) = (texts(filters), texts(kinds));
        Interest::new(filters.iter().map(String::as_str), kinds.iter().map(String::as_str)).unwrap()
    }

    /// What is found page by page is what is found by looking at all; whichever way.
    fn check(
        events: &[(String, String)],
        interest: &Interest,
        (from, max, work): (u32, usize, usize),
    ) {
        let generation = generation(events, 5);
        let mut part = generation.part(4).unwrap();
        let marks = Marks::default();
        let mut search = Search::new(&mut part, Wanted { interest, marks: &marks }).unwrap();
        let (mut found, mut next) = (Vec::new(), from);
        while next < part.len() {
            let part_of = search.find(&mut part, next, max, &mut work.clone()).unwrap();
            assert!(next < part_of.to && part_of.places.len() <= max);
            assert!(part_of.places.iter().all(|place| (next..part_of.to).contains(place)));
            found.extend(part_of.places);
            next = part_of.to;
        }
        let all = (0..).zip(events).skip(from as usize);
        let expected = all.filter(|(_, (topic, kind))| interest.wants(topic, kind));
        assert_eq!(found, expected.map(|(place, _)| place).collect::<Vec<u32>>());
        assert_eq!(search.count(&mut part, from).unwrap(), found.len() as u64);
    }

    fn event() -> impl Strategy<Value = (String, String)> {
        ("([ab]\\.){0,2}[abc]", "[wxyz]")
    }

    fn filters() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec("([ab*]\\.){0,2}[abc*>]", 1..4)
    }

    proptest! {
        #[test]
        fn every_way_finds_what_a_full_scan_finds(
            events in prop::collection::vec(event(), 1..200),
            filters in filters(),
            kinds in prop::collection::vec("[wxyzv]", 0..3),
            from in 0..100_u32,
            max in 1..50_usize,
            work in 0..300_usize,
        ) {
            let from = from.min(u32::try_from(events.len()).unwrap());
            check(&events, &interest(&filters, &kinds), (from, max, work));
        }

        #[test]
        fn labels_that_are_rare_or_many_are_found_too(
            rare in prop::collection::vec(0..900_usize, 0..5),
            many in prop::bool::ANY,
            filter in "(b|a\\.7|a\\.\\*|a\\.>|\\*|\\*\\.7)",
            typed in prop::bool::ANY,
            from in 0..900_u32,
        ) {
            let topic = |place: usize| match place {
                place if rare.contains(&place) => "b".to_owned(),
                place if many => format!("a.{place}"),
                place => format!("a.{}", place % 10),
            };
            let kind = |place: usize| if rare.contains(&(place + 1)) { "x" } else { "y" };
            let events: Vec<_> =
                (0..900).map(|place| (topic(place), kind(place).to_owned())).collect();
            let kinds: &[String] = if typed { &["x".to_owned()] } else { &[] };
            check(&events, &interest(&[filter], kinds), (from, 20, 1 << 16));
        }
    }

    #[test]
    fn more_topics_than_are_looked_at_beforehand() {
        let topic = |number: u32| format!("a.{number}.{}", number % 3);
        let events: Vec<_> =
            (0..2 * LOOK_MAX).map(|number| (topic(number), "x".to_owned())).collect();
        for filter in ["a.>", "a.*.1", "a.4000.1", "b"] {
            check(&events, &interest(&[filter.to_owned()], &[]), (0, 100, 1 << 16));
        }
    }

    #[test]
    fn what_is_rare_is_not_looked_for_among_the_rest() {
        let mut events = vec![("a".to_owned(), "y".to_owned()); 5_000];
        for place in [10, 2_000, 4_000] {
            events[place] = ("b".to_owned(), "x".to_owned());
        }
        let generation = generation(&events, 1);
        let mut part = generation.part(4).unwrap();
        for (filters, kinds) in [(">", &["x".to_owned()][..]), ("b", &[])] {
            let interest = interest(&[filters.to_owned()], kinds);
            let marks = Marks::default();
            let wanted = Wanted { interest: &interest, marks: &marks };
            let mut search = Search::new(&mut part, wanted).unwrap();
            let mut work = 5_000;
            let found = search.find(&mut part, 0, 100, &mut work).unwrap();
            assert_eq!(found, Found { places: vec![10, 2_000, 4_000], to: 5_000 });
            assert_eq!(work, 4_997);
        }
    }
}
