//! Events that are durable and in no volume yet.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::{Bound, Range},
    sync::Arc,
};

use switchboard_core::{
    Millis,
    bus::{Body, Event, TopicFilter},
};

use super::{
    entry::{self, EVENT_HEADER, Stay},
    labels::{Labels, Names, Pair},
    part::{By, Numbers, Part, Shape, first, joined},
    work::Place,
};
use crate::Error;

/// What happened since the last generation.
#[derive(Debug, Default)]
pub(super) struct Generation {
    /// What was written together stands in one piece, which all share who read of it.
    chunks: Vec<Arc<[u8]>>,
    pub(super) tenants: HashMap<u32, Recent>,
    /// Where clients are now that came or went.
    pub(super) stays: BTreeMap<Place, Stay>,
    /// The tenants of which anything has expired.
    pub(super) expired: BTreeSet<u32>,
    /// How many events there are.
    pub(super) events: usize,
    /// How many bytes of the log were written, for events and all else.
    pub(super) bytes: usize,
}

/// The events of a tenant.
#[derive(Debug)]
pub(super) struct Recent {
    /// The sequence of the first.
    first: u64,
    rows: Vec<Row>,
    /// Where sequences are missing, which had expired in the store that the events were carried
    /// from: from a place on, by how much the sequences are greater than they were without.
    gaps: Vec<(u32, u64)>,
    topics: Sorted,
    kinds: Sorted,
}

/// An event.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// Where its body stands.
    chunk: u32,
    start: u32,
    len: u32,
    pair: Pair,
}

/// Labels, and the places of the events of each.
#[derive(Debug, Default)]
struct Sorted {
    labels: Vec<Label>,
    sorted: BTreeMap<Arc<str>, u32>,
}

#[derive(Debug)]
struct Label {
    name: Arc<str>,
    /// Those of all bodies together.
    bytes: u64,
    places: Vec<u32>,
}

/// Where the body of an event stands in what was written together, and whose it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) tenant: u32,
    pub(super) start: u32,
    pub(super) len: u32,
    /// Its topic and type, by the number that both have among this tenant's labels.
    pub(super) pair: u32,
}

impl Placed {
    /// The whole entry, in what was written together.
    pub(super) fn entry<'a>(&self, chunk: &'a [u8]) -> &'a [u8] {
        entry_at(chunk, self.start, self.len)
    }
}

/// Events that stand in bytes that were found to be whole.
fn entry_at(chunk: &[u8], start: u32, len: u32) -> &[u8] {
    let (start, len) = (start as usize, len as usize);
    chunk.get(start.saturating_sub(EVENT_HEADER)..start + len).unwrap_or_default()
}

fn event_at(chunk: &Arc<[u8]>, (start, len): (u32, u32), sequence: u64) -> Result<Event, Error> {
    let at = entry::time_of(entry_at(chunk, start, len));
    let body = Body::from_bytes(chunk, start as usize, len as usize);
    match (at, body) {
        (Some(at), Some(body)) => Ok(Event { sequence, at: Millis(at), body }),
        _ => Err(Error::Corrupt(format!("event {sequence} of the bus is not what it was"))),
    }
}

/// An event as it is told, from where it was written.
pub(super) fn told(chunk: &Arc<[u8]>, placed: &Placed) -> Result<Event, Error> {
    let sequence = entry::sequence_of(placed.entry(chunk)).unwrap_or_default();
    event_at(chunk, (placed.start, placed.len), sequence)
}

impl Generation {
    /// Takes what was written together.
    pub(super) fn add_chunk(&mut self, chunk: &Arc<[u8]>) {
        self.chunks.push(Arc::clone(chunk));
        self.bytes += chunk.len();
    }

    /// Takes events of one tenant that stand in the last chunk, from a sequence on.
    pub(super) fn add(&mut self, tenant: u32, first: u64, events: &[Placed], labels: &Labels) {
        let recent = self.tenants.entry(tenant).or_insert_with(|| Recent::new(first));
        recent.skip_to(first);
        // Each is some bytes of memory: there are far fewer than 2^32.
        let chunk = u32::try_from(self.chunks.len()).unwrap_or(u32::MAX) - 1;
        for &Placed { start, len, pair, .. } in events {
            let (place, pair) = (recent.len(), labels.pair(pair));
            recent.rows.push(Row { chunk, start, len, pair });
            recent.topics.add(pair.topic, (place, len), &labels.topics);
            recent.kinds.add(pair.kind, (place, len), &labels.kinds);
        }
        self.events += events.len();
    }

    /// The sequence of a tenant's last event, if there is any; 0 for none.
    pub(super) fn last(&self, tenant: u32) -> u64 {
        self.tenants.get(&tenant).map_or(0, Recent::last)
    }

    /// The events of a tenant, if there are any.
    pub(super) fn part(&self, tenant: u32) -> Option<RecentPart<'_>> {
        let recent = self.tenants.get(&tenant)?;
        Some(RecentPart { recent, chunks: &self.chunks })
    }
}

impl Recent {
    fn new(first: u64) -> Self {
        let (topics, kinds) = Default::default();
        Self { first, rows: Vec::new(), gaps: Vec::new(), topics, kinds }
    }

    /// The next event has this sequence.
    fn skip_to(&mut self, sequence: u64) {
        let missing = sequence.saturating_sub(self.last() + 1);
        if 0 < missing {
            let before = self.gaps.last().map_or(0, |(_, missing)| *missing);
            self.gaps.push((self.len(), before + missing));
        }
    }

    fn sequence(&self, place: u32) -> u64 {
        let behind = self.gaps.partition_point(|(from, _)| *from <= place);
        let missing = behind.checked_sub(1).map_or(0, |gap| self.gaps[gap].1);
        self.first + u64::from(place) + missing
    }

    fn len(&self) -> u32 {
        u32::try_from(self.rows.len()).unwrap_or(u32::MAX)
    }

    /// The sequence of the last.
    fn last(&self) -> u64 {
        let missing = self.gaps.last().map_or(0, |(_, missing)| *missing);
        self.first + self.rows.len() as u64 + missing - 1
    }

    fn by(&self, by: By) -> &Sorted {
        match by {
            By::Topic => &self.topics,
            By::Kind => &self.kinds,
        }
    }
}

impl Sorted {
    fn add(&mut self, number: u32, (place, len): (u32, u32), names: &Names) {
        let number = number as usize;
        // Labels come in the order of their numbers.
        while self.labels.len() <= number {
            let Some(name) = names.all().get(self.labels.len()) else { return };
            let next = u32::try_from(self.labels.len()).unwrap_or(u32::MAX);
            self.sorted.insert(Arc::clone(name), next);
            self.labels.push(Label { name: Arc::clone(name), bytes: 0, places: Vec::new() });
        }
        let label = &mut self.labels[number];
        label.places.push(place);
        label.bytes += u64::from(len);
    }
}

/// The events of a tenant with where they stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecentPart<'a> {
    recent: &'a Recent,
    chunks: &'a [Arc<[u8]>],
}

impl RecentPart<'_> {
    fn row(&self, place: u32) -> Result<(&Arc<[u8]>, Row), Error> {
        let row = self.recent.rows.get(place as usize);
        let found = row.and_then(|row| Some((self.chunks.get(row.chunk as usize)?, *row)));
        found.ok_or_else(|| Error::Corrupt("an event of the bus is nowhere".to_owned()))
    }

    fn label_of(&self, by: By, label: u32) -> Result<&Label, Error> {
        let label = self.recent.by(by).labels.get(label as usize);
        label.ok_or_else(|| Error::Corrupt("a topic of the bus is nowhere".to_owned()))
    }

    /// The event at a place.
    pub(super) fn event(&self, place: u32) -> Result<Event, Error> {
        let (chunk, row) = self.row(place)?;
        event_at(chunk, (row.start, row.len), self.recent.sequence(place))
    }

    /// The entry at a place, as it stands in the log.
    pub(super) fn entry(&self, place: u32) -> Result<&[u8], Error> {
        let (chunk, row) = self.row(place)?;
        Ok(entry_at(chunk, row.start, row.len))
    }
}

impl Part for RecentPart<'_> {
    fn len(&self) -> u32 {
        self.recent.len()
    }

    fn sequence(&mut self, place: u32) -> Result<u64, Error> {
        Ok(self.recent.sequence(place))
    }

    fn at(&mut self, place: u32) -> Result<i64, Error> {
        let at = entry::time_of(self.entry(place)?);
        at.ok_or_else(|| Error::Corrupt("an event of the bus has no time".to_owned()))
    }

    fn number(&mut self, place: u32) -> Result<u64, Error> {
        let number = entry::number_of(self.entry(place)?);
        number.ok_or_else(|| Error::Corrupt("an event of the bus has no number".to_owned()))
    }

    fn size(&mut self, place: u32) -> Result<u32, Error> {
        Ok(self.row(place)?.1.len)
    }

    fn bytes(&mut self, topics: Range<u32>) -> Result<u64, Error> {
        let mut bytes = 0;
        for label in topics {
            bytes += self.label_of(By::Topic, label)?.bytes;
        }
        Ok(bytes)
    }

    fn label(&mut self, by: By, place: u32) -> Result<u32, Error> {
        let pair = self.row(place)?.1.pair;
        Ok(match by {
            By::Topic => pair.topic,
            By::Kind => pair.kind,
        })
    }

    fn labels(&self, by: By) -> u32 {
        u32::try_from(self.recent.by(by).labels.len()).unwrap_or(u32::MAX)
    }

    fn name(&mut self, by: By, label: u32) -> Result<&str, Error> {
        Ok(&self.label_of(by, label)?.name)
    }

    fn find(&mut self, by: By, name: &str) -> Result<Option<u32>, Error> {
        Ok(self.recent.by(by).sorted.get(name).copied())
    }

    fn matching(&mut self, filter: &TopicFilter, max: u32) -> Result<Option<Numbers>, Error> {
        let (prefix, all) = match Shape::of(filter) {
            Shape::One(name) => {
                let found = self.find(By::Topic, name)?;
                return Ok(Some(found.into_iter().map(|label| label..label + 1).collect()));
            }
            Shape::All(prefix) => (prefix, true),
            Shape::Some(prefix) => (prefix, false),
        };
        let mut numbers = Vec::new();
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let names = self.recent.topics.sorted.range::<str, _>(from);
        for (index, (name, &label)) in (0..).zip(names) {
            if !name.starts_with(prefix) {
                break;
            }
            if max <= index {
                return Ok(None);
            }
            if all || filter.matches(name) {
                numbers.push(label..label + 1);
            }
        }
        Ok(Some(joined(numbers)))
    }

    fn count(&mut self, by: By, labels: Range<u32>) -> Result<u32, Error> {
        let mut count = 0;
        for label in labels {
            count += self.label_of(by, label)?.places.len();
        }
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    fn posting(&mut self, by: By, label: u32, index: u32) -> Result<u32, Error> {
        let place = self.label_of(by, label)?.places.get(index as usize);
        place.copied().ok_or_else(|| Error::Corrupt("an event of the bus is missing".to_owned()))
    }

    fn events(&mut self, places: &[u32], more: &mut dyn FnMut(Event) -> bool) -> Result<(), Error> {
        for &place in places {
            if !more(self.event(place)?) {
                break;
            }
        }
        Ok(())
    }

    fn behind(&mut self, sequence: u64) -> Result<u32, Error> {
        if !self.recent.gaps.is_empty() {
            return first(self.len(), |place| Ok(sequence < self.recent.sequence(place)));
        }
        let behind = (sequence + 1).saturating_sub(self.recent.first);
        Ok(u32::try_from(behind).unwrap_or(u32::MAX).min(self.len()))
    }
}
