//! Reads what is durable, from whatever thread asks.

use std::{collections::HashMap, ops::Deref, sync::Arc};

use switchboard_core::{
    Code, Error as Refusal, Result as Answer, Tenant,
    bus::{Event, Page, Read, Since},
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

    fn newest(&self, tenant: u32) -> u64 {
        self.newest.get(tenant as usize).copied().unwrap_or_default()
    }

    fn marks(&self, tenant: u32) -> Arc<Marks> {
        self.marks.get(&tenant).cloned().unwrap_or_default()
    }
}

/// A reader on his way through the log.
struct Reading<'a> {
    wanted: Wanted<'a>,
    page: Page,
    events_max: usize,
    bytes_left: usize,
    /// How many events may still be looked at.
    work: usize,
}

impl Reading<'_> {
    /// Whether nothing more is to be read now.
    fn is_done(&self) -> bool {
        self.work == 0 || self.is_full()
    }

    fn is_full(&self) -> bool {
        self.events_max <= self.page.events.len()
            || self.bytes_left == 0 && !self.page.events.is_empty()
    }

    fn take(&mut self, event: Event) -> bool {
        self.page.position = event.sequence;
        self.bytes_left = self.bytes_left.saturating_sub(event.body.data().len());
        self.page.events.push(event);
        !self.is_full()
    }

    /// Reads on in a part that has events behind the position.
    fn part<P: Part>(&mut self, part: &mut P) -> Result<(), Error> {
        self.work = self.work.saturating_sub(PART);
        let mut search = Search::new(part, self.wanted)?;
        let (mut from, len) = (part.behind(self.page.position)?, part.len());
        loop {
            let max = self.events_max - self.page.events.len();
            let found = search.find(part, from, max, &mut self.work)?;
            part.events(&found.places, &mut |event| self.take(event))?;
            if self.is_full() {
                return Ok(());
            }
            if let Some(last) = found.to.checked_sub(1) {
                self.page.position = part.sequence(last)?.max(self.page.position);
            }
            from = found.to;
            if self.is_done() || len <= from {
                return Ok(());
            }
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
        let Some(number) = number else {
            return place_of_none(*since).map(|()| Page::default());
        };
        let position = self.place(number, *since)?;
        let marks = self.read().marks(number);
        let mut reading = Reading {
            wanted: Wanted { interest, marks: &marks },
            page: Page { position, newest: position, ..Page::default() },
            events_max: *events_max as usize,
            bytes_left: *bytes_max,
            work: WORK,
        };
        self.walk(number, &mut reading).map_err(unreadable)?;
        Ok(reading.page)
    }

    /// The sequence behind which somebody reads.
    pub(super) fn place(&self, tenant: u32, since: Since) -> Answer<u64> {
        let newest = self.read().newest(tenant);
        let since = match since {
            Since::Known { after, .. } => Since::After(after),
            since => since,
        };
        match since {
            Since::Now => Ok(newest),
            Since::Start => Ok(0),
            Since::After(sequence) if newest < sequence => Err(not_come(sequence)),
            Since::After(sequence) | Since::Known { after: sequence, .. } => Ok(sequence),
            Since::Time(at) => self.before(tenant, at.0).map_err(unreadable),
        }
    }

    /// The sequence before the first event that was published at a time or later.
    fn before(&self, tenant: u32, at: i64) -> Result<u64, Error> {
        let state = self.read();
        let generations = [state.flushing.as_deref(), Some(&state.current)];
        for generation in generations.into_iter().flatten() {
            let Some(mut part) = generation.part(tenant) else { continue };
            let place = part.since(at)?;
            if place < part.len() {
                return Ok(part.sequence(place)? - 1);
            }
        }
        Ok(state.newest(tenant))
    }

    /// Reads on until the page is full, or all was read.
    fn walk(&self, tenant: u32, reading: &mut Reading<'_>) -> Result<(), Error> {
        loop {
            let state = self.read();
            reading.page.newest = state.newest(tenant);
            if reading.is_done() || reading.page.newest <= reading.page.position {
                return Ok(());
            }
            let position = reading.page.position;
            let is_behind = |generation: &Generation| {
                generation.tenants.get(&tenant).is_some_and(|recent| position < recent.last())
            };
            if let Some(flushing) = state.flushing.as_ref().filter(|it| is_behind(it)) {
                let flushing = Arc::clone(flushing);
                drop(state);
                if let Some(mut part) = flushing.part(tenant) {
                    reading.part(&mut part)?;
                }
            } else if let Some(mut part) =
                state.current.part(tenant).filter(|_| is_behind(&state.current))
            {
                reading.part(&mut part)?;
            } else {
                // What stood behind the position has expired.
                reading.page.position = reading.page.newest;
            }
        }
    }

    /// Looks at the event with a number, if it is still there.
    pub(super) fn numbered(&self, tenant: u32, number: u64) -> Result<Option<Event>, Error> {
        let state = self.read();
        let generations = [state.flushing.as_deref(), Some(&state.current)];
        for generation in generations.into_iter().flatten() {
            if let Some(mut part) = generation.part(tenant)
                && let Some(place) = part.numbered(number)?
            {
                return Ok(Some(part.event(place)?));
            }
        }
        Ok(None)
    }
}

/// A place in the log of a tenant that has none.
fn place_of_none(since: Since) -> Answer<()> {
    match since {
        Since::After(sequence) if 0 < sequence => Err(not_come(sequence)),
        _ => Ok(()),
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
