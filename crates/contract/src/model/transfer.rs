//! Everything as rows, in plain lists.

use std::{
    collections::BTreeMap,
    future,
    sync::{Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use switchboard_core::{
    Code, Error, Result,
    transfer::{
        Answer, Archive, BYTES_MAX, Begun, Destination, Page, Place, Reached, Row, Section, Waiting,
    },
};

use super::Model;

/// What was carried here.
#[derive(Debug, Default)]
pub(super) struct Carried(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    origin: Option<String>,
    reached: BTreeMap<Section, Reached>,
    waiting: Waiting,
    finished: bool,
}

impl Carried {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Another row of the same name is there.
pub(super) fn conflict() -> Error {
    Error::new(Code::Conflict, "something else of the same name is there")
}

fn ready<T: Send + 'static>(answer: Result<T>) -> Answer<'static, T> {
    Box::pin(future::ready(answer))
}

impl Model {
    fn rows(&self, section: Section) -> Vec<Row> {
        match section {
            Section::Keys => {
                let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
                ids.iter().map(|(&entry, &id)| Row::Key { entry, id }).collect()
            }
            Section::Users | Section::Messages => self.chats.rows(section),
            Section::Profiles | Section::Versions | Section::Records => self.records.rows(section),
            _ => self.log.rows(section),
        }
    }

    fn put(&self, row: Row, waiting: &mut Waiting) -> Result<()> {
        match row.section() {
            Section::Keys => self.put_key(&row),
            Section::Users | Section::Messages => self.chats.put(row, waiting),
            Section::Profiles | Section::Versions | Section::Records => self.records.put(row),
            _ => self.log.put(row),
        }
    }

    fn put_key(&self, row: &Row) -> Result<()> {
        let &Row::Key { entry, id } = row else { return Ok(()) };
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = ids.iter().any(|(of, there)| *there == id && *of != entry);
        if taken || *ids.entry(entry).or_insert(id) != id {
            return Err(conflict());
        }
        self.greatest_id.fetch_max(id, Ordering::Relaxed);
        Ok(())
    }
}

impl Archive for Model {
    fn identity(&self) -> Answer<'_, String> {
        ready(Ok(format!("model {:p}", &raw const *self)))
    }

    fn count(&self, section: Section) -> Answer<'_, u64> {
        ready(Ok(self.rows(section).len() as u64))
    }

    fn read(&self, section: Section, from: Option<Place>, rows_max: usize) -> Answer<'_, Page> {
        let from = from.map_or([0; 8], |Place(bytes)| bytes.try_into().unwrap_or_default());
        let from = usize::try_from(u64::from_le_bytes(from)).unwrap_or(usize::MAX);
        let (mut page, mut bytes) = (Page::default(), 0);
        for row in self.rows(section).into_iter().skip(from) {
            if rows_max <= page.rows.len() || BYTES_MAX <= bytes {
                let next = (from + page.rows.len()) as u64;
                page.next = Some(Place(next.to_le_bytes().to_vec()));
                break;
            }
            bytes += row.size();
            page.rows.push(row);
        }
        ready(Ok(page))
    }
}

impl Destination for Model {
    fn begin<'a>(&'a self, origin: &'a str) -> Answer<'a, Begun> {
        let mut state = self.carried.lock();
        let is_other = match &state.origin {
            Some(known) => known != origin,
            None => Section::ALL.into_iter().any(|section| !self.rows(section).is_empty()),
        };
        if is_other {
            return ready(Err(Error::new(Code::Conflict, "the store holds something else")));
        }
        if state.finished {
            return ready(Ok(Begun::Finished));
        }
        state.origin = Some(origin.to_owned());
        let reached = state.reached.iter().map(|(section, reached)| (*section, reached.clone()));
        ready(Ok(Begun::Open(reached.collect())))
    }

    fn write(&self, section: Section, rows: Vec<Row>, reached: Reached) -> Answer<'_, ()> {
        let mut state = self.carried.lock();
        for row in rows {
            if let Err(error) = self.put(row, &mut state.waiting) {
                return ready(Err(error));
            }
        }
        state.reached.insert(section, reached);
        ready(Ok(()))
    }

    fn finish(&self) -> Answer<'_, ()> {
        let mut state = self.carried.lock();
        if !state.waiting.is_empty() {
            let what = "something is missing that stands before what is there";
            return ready(Err(Error::new(Code::Conflict, what)));
        }
        state.finished = true;
        ready(Ok(()))
    }
}
