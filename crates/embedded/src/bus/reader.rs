//! Reads what is durable, from whatever thread asks.

use std::{
    collections::{BTreeSet, HashMap},
    ops::{Bound, Deref},
    sync::Arc,
};

use switchboard_core::{
    Code, Error as Refusal, Result as Answer, Tenant,
    bus::{Event, Interest, Page, Read, Since},
    presence::GatewayId,
};

use super::{
    entry::Stay,
    labels::Labels,
    marks::Marks,
    part::Part,
    plan::{Search, Wanted},
    recent::{Generation, Placed},
    work::Place,
};
use crate::{
    Error,
    handover::{HandedOver, Handover},
};

/// How many events are looked at for one page, wanted or not: so that who asks for what is rare is
/// answered in time, with less than he asked for.
const WORK: usize = 1 << 16;

/// What looking into a part costs beside its events.
const PART: usize = 256;

/// Where the next events are that somebody wants.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    pub(super) sequences: Vec<u64>,
    /// All up to here were looked at.
    pub(super) position: u64,
    pub(super) newest: u64,
}

/// What all readers share, and the one writer changes.
#[derive(Debug)]
pub(super) struct Shared {
    state: Handover<State>,
}

/// What is durable.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) tenants: HashMap<Tenant, u32>,
    /// The sequence of each tenant's newest event.
    pub(super) newest: Vec<u64>,
    pub(super) marks: HashMap<u32, Arc<Marks>>,
    pub(super) current: Generation,
    pub(super) flushing: Option<Arc<Generation>>,
}

impl HandedOver for State {
    fn is_flushing(&self) -> bool {
        self.flushing.is_some()
    }
}

impl Deref for Shared {
    type Target = Handover<State>;

    fn deref(&self) -> &Handover<State> {
        &self.state
    }
}

impl State {
    /// A tenant has got the next number.
    pub(super) fn define(&mut self, tenant: Tenant) {
        let number = u32::try_from(self.newest.len()).unwrap_or(u32::MAX);
        self.tenants.insert(tenant, number);
        self.newest.push(0);
    }

    /// Takes events of one tenant that follow its newest, and stand in the last chunk.
    pub(super) fn add(&mut self, tenant: u32, events: &[Placed], labels: &Labels) {
        let Some(newest) = self.newest.get_mut(tenant as usize) else { return };
        self.current.add(tenant, *newest + 1, events, labels);
        *newest += events.len() as u64;
    }

    /// Those in memory, the older first.
    fn generations(&self) -> impl Iterator<Item = &Generation> {
        self.flushing.as_deref().into_iter().chain([&self.current])
    }

    fn newest(&self, tenant: u32) -> u64 {
        self.newest.get(tenant as usize).copied().unwrap_or_default()
    }

    fn marks(&self, tenant: u32) -> Arc<Marks> {
        self.marks.get(&tenant).cloned().unwrap_or_default()
    }
}

/// What is taken of the events that are wanted.
enum Taken {
    /// Themselves, for as many bytes of data.
    Events(Vec<Event>, usize),
    /// Where they are.
    Sequences(Vec<u64>),
    /// Only how many there are.
    Count(u64),
}

/// A reader on his way through the log.
struct Reading<'a> {
    wanted: Wanted<'a>,
    position: u64,
    newest: u64,
    /// How many are taken at the most.
    max: usize,
    taken: Taken,
    /// How many events may still be looked at.
    work: usize,
    /// Whether another is wanted, and is not taken any more.
    is_full: bool,
}

impl Taken {
    fn len(&self) -> usize {
        match self {
            Self::Events(events, _) => events.len(),
            Self::Sequences(sequences) => sequences.len(),
            Self::Count(_) => 0,
        }
    }
}

impl<'a> Reading<'a> {
    fn new(wanted: Wanted<'a>, position: u64, max: usize, taken: Taken) -> Self {
        Self { wanted, position, newest: position, max, taken, work: WORK, is_full: false }
    }

    /// Whether nothing more is to be read now.
    fn is_done(&self) -> bool {
        self.work == 0 || self.is_full || self.max <= self.taken.len()
    }

    /// Reads on in a part that has events behind the position.
    fn part<P: Part>(&mut self, part: &mut P) -> Result<(), Error> {
        self.work = self.work.saturating_sub(PART);
        let mut search = Search::new(part, self.wanted)?;
        let (mut from, len) = (part.behind(self.position)?, part.len());
        if let Taken::Count(count) = &mut self.taken {
            *count += search.count(part, from)?;
            self.work = WORK;
            from = len;
        }
        while from < len && !self.is_done() {
            let max = self.max - self.taken.len();
            let found = search.find(part, from, max, &mut self.work)?;
            self.take(part, &found.places)?;
            if self.is_full {
                return Ok(());
            }
            from = found.to;
        }
        if let Some(last) = from.checked_sub(1) {
            self.position = part.sequence(last)?.max(self.position);
        }
        Ok(())
    }

    fn take<P: Part>(&mut self, part: &mut P, places: &[u32]) -> Result<(), Error> {
        let Self { position, taken, is_full, .. } = self;
        match taken {
            Taken::Events(events, bytes_left) => part.events(places, &mut |event| {
                *is_full = *bytes_left == 0 && !events.is_empty();
                if !*is_full {
                    *position = event.sequence;
                    *bytes_left = bytes_left.saturating_sub(event.body.data().len());
                    events.push(event);
                }
                !*is_full
            }),
            Taken::Sequences(sequences) => {
                for &place in places {
                    sequences.push(part.sequence(place)?);
                }
                Ok(())
            }
            Taken::Count(_) => Ok(()),
        }
    }
}

impl Shared {
    pub(super) fn new(state: State) -> Self {
        Self { state: Handover::new(state) }
    }

    /// A page of what somebody wants.
    pub(super) fn page(&self, read: &Read) -> Answer<Page> {
        let Read { tenant, interest, since, events_max, bytes_max } = read;
        let number = self.read().tenants.get(tenant).copied();
        let position = self.place_of(number, *since)?;
        let Some(number) = number else { return Ok(Page::default()) };
        let marks = self.read().marks(number);
        let wanted = Wanted { interest, marks: &marks };
        let events = Taken::Events(Vec::new(), *bytes_max);
        let mut reading = Reading::new(wanted, position, *events_max as usize, events);
        self.walk(number, &mut reading).map_err(unreadable)?;
        let Reading { position, newest, taken, .. } = reading;
        let Taken::Events(events, _) = taken else { return Ok(Page::default()) };
        Ok(Page { events, position, newest, expired: 0 })
    }

    /// The events that somebody wants behind a place: where some of them are.
    pub(super) fn ahead(
        &self,
        tenant: u32,
        interest: &Interest,
        after: u64,
        max: usize,
    ) -> Answer<Ahead> {
        let marks = self.read().marks(tenant);
        let wanted = Wanted { interest, marks: &marks };
        let mut reading = Reading::new(wanted, after, max, Taken::Sequences(Vec::new()));
        self.walk(tenant, &mut reading).map_err(unreadable)?;
        let Reading { position, newest, taken, .. } = reading;
        let Taken::Sequences(sequences) = taken else { return Ok(Ahead::default()) };
        Ok(Ahead { sequences, position, newest })
    }

    /// How many events somebody wants behind a place.
    pub(super) fn count(&self, tenant: u32, interest: &Interest, after: u64) -> Answer<u64> {
        let marks = self.read().marks(tenant);
        let wanted = Wanted { interest, marks: &marks };
        let mut reading = Reading::new(wanted, after, usize::MAX, Taken::Count(0));
        self.walk(tenant, &mut reading).map_err(unreadable)?;
        let Taken::Count(count) = reading.taken else { return Ok(0) };
        Ok(count)
    }

    /// The sequence behind which somebody reads.
    pub(super) fn place_of(&self, tenant: Option<u32>, since: Since) -> Answer<u64> {
        let newest = tenant.map_or(0, |tenant| self.read().newest(tenant));
        let since = match since {
            Since::Known { after, .. } => Since::After(after),
            since => since,
        };
        match (since, tenant) {
            (Since::Now, _) => Ok(newest),
            (Since::After(sequence), _) if newest < sequence => Err(not_come(sequence)),
            (Since::After(sequence), _) => Ok(sequence),
            (Since::Time(at), Some(tenant)) => self.before(tenant, at.0).map_err(unreadable),
            (Since::Time(_) | Since::Start | Since::Known { .. }, _) => Ok(0),
        }
    }

    /// The sequence before the first event that was published at a time or later.
    fn before(&self, tenant: u32, at: i64) -> Result<u64, Error> {
        let state = self.read();
        for generation in state.generations() {
            let Some(mut part) = generation.part(tenant) else { continue };
            let place = part.since(at)?;
            if place < part.len() {
                return Ok(part.sequence(place)? - 1);
            }
        }
        Ok(state.newest(tenant))
    }

    /// Reads on until enough was taken, or all was read.
    fn walk(&self, tenant: u32, reading: &mut Reading<'_>) -> Result<(), Error> {
        loop {
            let state = self.read();
            reading.newest = state.newest(tenant);
            if reading.is_done() || reading.newest <= reading.position {
                return Ok(());
            }
            let position = reading.position;
            let is_behind = |generation: &Generation| {
                generation.tenants.get(&tenant).is_some_and(|recent| position < recent.last())
            };
            if let Some(flushing) = state.flushing.as_ref().filter(|it| is_behind(it)) {
                let flushing = Arc::clone(flushing);
                drop(state);
                if let Some(mut part) = flushing.part(tenant) {
                    reading.part(&mut part)?;
                }
            } else if is_behind(&state.current) {
                if let Some(mut part) = state.current.part(tenant) {
                    reading.part(&mut part)?;
                }
            } else {
                // What stood behind the position has expired.
                reading.position = reading.newest;
            }
        }
    }

    /// The event with a sequence, if it is kept.
    pub(super) fn event(&self, tenant: u32, sequence: u64) -> Result<Option<Event>, Error> {
        let state = self.read();
        for generation in state.generations() {
            let Some(mut part) = generation.part(tenant) else { continue };
            let place = part.behind(sequence.saturating_sub(1))?;
            if place < part.len() && part.sequence(place)? == sequence {
                let event = part.event(place)?;
                return Ok(state.marks(tenant).keep(event));
            }
        }
        Ok(None)
    }

    /// The event with a number, if it is kept.
    pub(super) fn numbered(&self, tenant: u32, number: u64) -> Result<Option<Event>, Error> {
        let state = self.read();
        for generation in state.generations() {
            let Some(mut part) = generation.part(tenant) else { continue };
            if let Some(place) = part.numbered(number)? {
                let event = part.event(place)?;
                return Ok(state.marks(tenant).keep(event));
            }
        }
        Ok(None)
    }

    /// Where a client is.
    pub(super) fn stay(&self, place: &Place) -> Stay {
        let state = self.read();
        let noted = state.generations().filter_map(|it| it.stays.get(place)).last();
        noted.cloned().unwrap_or_default()
    }

    /// Clients that are at other gateways than these, in order, so many at most.
    pub(super) fn abandoned(
        &self,
        but: &BTreeSet<GatewayId>,
        behind: Option<&Place>,
        max: usize,
    ) -> Vec<Place> {
        let state = self.read();
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let is_left = |stay: &Stay| stay.gateways.iter().any(|(it, _)| !but.contains(it));
        let mut places = Vec::new();
        let now = state.current.stays.range((from, Bound::Unbounded));
        places.extend(
            now.filter(|(_, stay)| is_left(stay)).take(max).map(|(place, _)| place.clone()),
        );
        if let Some(flushing) = &state.flushing {
            let older = flushing.stays.range((from, Bound::Unbounded));
            let older = older
                .filter(|(place, stay)| is_left(stay) && !state.current.stays.contains_key(place));
            places.extend(older.take(max).map(|(place, _)| place.clone()));
        }
        places.sort_unstable();
        places.truncate(max);
        places
    }
}

fn not_come(sequence: u64) -> Refusal {
    let what = format!("no event has come yet with the sequence {sequence}");
    Refusal::new(Code::InvalidCursor, what)
}

pub(super) fn unreadable(error: Error) -> Refusal {
    tracing::error!(error = %error.chain(), "the bus can't be read");
    Refusal::new(Code::Unavailable, "the store could not be read").caused_by(error)
}
