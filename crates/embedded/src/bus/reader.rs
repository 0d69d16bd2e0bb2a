//! Reads what is durable, from whatever thread asks.

use std::{collections::HashMap, ops::Deref, sync::Arc};

use switchboard_core::{
    Code, Error as Refusal, Result as Answer, Tenant,
    bus::{Event, Interest, Page, Read, Since},
};

use super::{
    labels::Labels,
    marks::Marks,
    part::Part,
    plan::{Search, Wanted},
    recent::{Generation, Placed},
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

    /// The events of a tenant up to a sequence are not here.
    pub(super) fn move_to(&mut self, tenant: u32, sequence: u64) {
        if let Some(newest) = self.newest.get_mut(tenant as usize) {
            *newest = sequence;
        }
    }

    /// More of a tenant has expired.
    pub(super) fn expire(&mut self, tenant: u32, marks: Arc<Marks>) {
        self.marks.insert(tenant, marks);
        self.current.expired.insert(tenant);
    }

    /// Those in memory, the older first.
    pub(super) fn generations(&self) -> impl Iterator<Item = &Generation> {
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
    fn part(&mut self, part: &mut dyn Part) -> Result<(), Error> {
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

    fn take(&mut self, part: &mut dyn Part, places: &[u32]) -> Result<(), Error> {
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
        loop {
            let marks = self.marks_of(number);
            let position = self.place_among(number, interest, *since, &marks)?;
            let Some(number) = number else { return Ok(Page::default()) };
            let wanted = Wanted { interest, marks: &marks };
            let events = Taken::Events(Vec::new(), *bytes_max);
            let mut reading = Reading::new(wanted, position, *events_max as usize, events);
            self.walk(number, &mut reading).map_err(unreadable)?;
            let Reading { position, newest, taken, .. } = reading;
            let Taken::Events(events, _) = taken else { return Ok(Page::default()) };
            // What has expired meanwhile may have been passed over, and must be told.
            let expired = marks.expiries();
            if self.marks(number).expiries() == expired {
                return Ok(Page { events, position, newest, expired });
            }
        }
    }

    /// The events that somebody wants behind a place: where some of them are.
    pub(super) fn ahead(
        &self,
        tenant: u32,
        interest: &Interest,
        after: u64,
        max: usize,
    ) -> Answer<Ahead> {
        let marks = self.marks(tenant);
        let wanted = Wanted { interest, marks: &marks };
        let mut reading = Reading::new(wanted, after, max, Taken::Sequences(Vec::new()));
        self.walk(tenant, &mut reading).map_err(unreadable)?;
        let Reading { position, newest, taken, .. } = reading;
        let Taken::Sequences(sequences) = taken else { return Ok(Ahead::default()) };
        Ok(Ahead { sequences, position, newest })
    }

    /// How many events somebody wants behind a place.
    pub(super) fn count(&self, tenant: u32, interest: &Interest, after: u64) -> Answer<u64> {
        let marks = self.marks(tenant);
        let wanted = Wanted { interest, marks: &marks };
        let mut reading = Reading::new(wanted, after, usize::MAX, Taken::Count(0));
        self.walk(tenant, &mut reading).map_err(unreadable)?;
        let Taken::Count(count) = reading.taken else { return Ok(0) };
        Ok(count)
    }

    /// The sequence behind which somebody reads.
    pub(super) fn place(
        &self,
        tenant: Option<u32>,
        interest: &Interest,
        since: Since,
    ) -> Answer<u64> {
        self.place_among(tenant, interest, since, &self.marks_of(tenant))
    }

    fn place_among(
        &self,
        tenant: Option<u32>,
        interest: &Interest,
        since: Since,
        marks: &Marks,
    ) -> Answer<u64> {
        let newest = tenant.map_or(0, |tenant| self.read().newest(tenant));
        let (since, known) = match since {
            Since::Known { after, expired } => (Since::After(after), expired),
            since => (since, 0),
        };
        match (since, tenant) {
            (Since::After(sequence), _) if newest < sequence => {
                let what = format!("no event has come yet with the sequence {sequence}");
                Err(Refusal::new(Code::InvalidCursor, what))
            }
            (Since::After(sequence) | Since::Known { after: sequence, .. }, tenant) => {
                if let Some(tenant) = tenant.filter(|_| marks.missed(interest, sequence, known)) {
                    let oldest = self.oldest(tenant, marks).map_err(unreadable)?;
                    let what =
                        format!("events behind it have expired: {oldest} is the oldest left");
                    return Err(Refusal::new(Code::CursorExpired, what));
                }
                Ok(sequence)
            }
            (Since::Now, _) => Ok(newest),
            (Since::Start, Some(tenant)) => Ok(self.oldest(tenant, marks).map_err(unreadable)? - 1),
            (Since::Time(at), Some(tenant)) => self.before(tenant, at.0, marks).map_err(unreadable),
            (Since::Start | Since::Time(_), None) => Ok(0),
        }
    }

    /// The sequence before the first event that was published at a time or later.
    fn before(&self, tenant: u32, at: i64, marks: &Marks) -> Result<u64, Error> {
        let (mut found, mut position) = (None, 0);
        while found.is_none() {
            let (newest, visited) = self.step(tenant, position, |part| {
                let place = part.since(at)?;
                found = if place < part.len() { Some(part.sequence(place)?) } else { None };
                position = part.sequence(part.len() - 1)?;
                Ok(())
            })?;
            if visited.is_none() {
                return Ok(newest);
            }
        }
        let before = found.map_or(0, |found| found - 1);
        if before < marks.greatest() {
            Ok(self.kept(tenant, before, marks)? - 1)
        } else {
            Ok(before)
        }
    }

    /// The oldest event that is kept, or the one that is to come.
    fn oldest(&self, tenant: u32, marks: &Marks) -> Result<u64, Error> {
        if marks.greatest() == 0 {
            return Ok(1);
        }
        if let Some(oldest) = marks.oldest.get() {
            return Ok(*oldest);
        }
        let oldest = self.kept(tenant, marks.from().saturating_sub(1), marks)?;
        Ok(*marks.oldest.get_or_init(|| oldest))
    }

    /// The first event behind a place that is kept, or the one that is to come.
    fn kept(&self, tenant: u32, after: u64, marks: &Marks) -> Result<u64, Error> {
        let interest = &everything();
        let wanted = Wanted { interest, marks };
        let mut position = after;
        loop {
            let mut reading = Reading::new(wanted, position, 1, Taken::Sequences(Vec::new()));
            self.walk(tenant, &mut reading)?;
            position = reading.position;
            match reading.taken {
                Taken::Sequences(found) if !found.is_empty() => return Ok(found[0]),
                _ if reading.newest <= position => return Ok(reading.newest + 1),
                _ => {}
            }
        }
    }

    /// Reads on until enough was taken, or all was read.
    fn walk(&self, tenant: u32, reading: &mut Reading<'_>) -> Result<(), Error> {
        reading.newest = self.read().newest(tenant);
        while !reading.is_done() {
            let (newest, visited) =
                self.step(tenant, reading.position, |part| reading.part(part))?;
            reading.newest = newest;
            if visited.is_none() {
                // What stood behind the position has expired.
                reading.position = newest;
                break;
            }
        }
        Ok(())
    }

    /// Hands over one part after the other that has events behind a place, until it is enough.
    pub(super) fn each_part(
        &self,
        tenant: u32,
        after: u64,
        each: &mut dyn FnMut(&mut dyn Part) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let mut position = after;
        loop {
            let (_, more) = self.step(tenant, position, |part| {
                position = part.sequence(part.len() - 1)?;
                each(part)
            })?;
            if more != Some(true) {
                return Ok(());
            }
        }
    }

    /// Hands over the first part that has events behind a place, if there is one. Tells the
    /// sequence of the newest event that there was then.
    fn step<T>(
        &self,
        tenant: u32,
        position: u64,
        visit: impl FnOnce(&mut dyn Part) -> Result<T, Error>,
    ) -> Result<(u64, Option<T>), Error> {
        let state = self.read();
        let newest = state.newest(tenant);
        let is_behind = |generation: &&Arc<Generation>| generation.last(tenant) > position;
        if let Some(flushing) = state.flushing.as_ref().filter(is_behind).map(Arc::clone) {
            drop(state);
            let part = flushing.part(tenant);
            return Ok((newest, part.map(|mut part| visit(&mut part)).transpose()?));
        }
        if position < state.current.last(tenant) {
            let part = state.current.part(tenant);
            return Ok((newest, part.map(|mut part| visit(&mut part)).transpose()?));
        }
        Ok((newest, None))
    }

    fn marks_of(&self, tenant: Option<u32>) -> Arc<Marks> {
        tenant.map(|tenant| self.marks(tenant)).unwrap_or_default()
    }

    /// What of a tenant has expired.
    pub(super) fn marks(&self, tenant: u32) -> Arc<Marks> {
        self.read().marks(tenant)
    }

    /// How many tenants there are.
    pub(super) fn tenants(&self) -> u32 {
        u32::try_from(self.read().newest.len()).unwrap_or(u32::MAX)
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

    /// Whether an event has not expired. One that can't be read may be there again.
    pub(super) fn is_kept(&self, tenant: u32, sequence: u64) -> bool {
        self.marks(tenant).greatest() < sequence
            || self.event(tenant, sequence).map_or(true, |event| event.is_some())
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
}

fn everything() -> Interest {
    #[expect(clippy::expect_used, reason = "it is a filter")]
    Interest::new([">"], []).expect("all topics can be wanted")
}

pub(super) fn unreadable(error: Error) -> Refusal {
    tracing::error!(error = %error.chain(), "the bus can't be read");
    Refusal::new(Code::Unavailable, "the store could not be read").caused_by(error)
}
