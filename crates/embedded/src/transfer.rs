//! A directory that is not served: it tells everything that it holds, or takes everything that
//! another store tells.
//!
//! Rows that are taken go the way of what is written while a node runs: into the logs, with the ids
//! and sequences that they have, and from there into tables and files. A `TRANSFER` file says where
//! they come from and how far that has come; a directory that is not finished is not served.

mod notes;

use std::{
    future,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use switchboard_core::{
    Code, Error as Refusal, Result as Answered,
    transfer::{
        Answer, Archive, BYTES_MAX, Begun, Destination, Page, Place, Reached, Row, Section,
    },
};

use self::notes::Notes;
use crate::{
    Error, Options, bus::Events, chat::Said, disk::Disk, health::Health, ingest::Keys, log::Spare,
    vault::Records,
};

/// A directory at rest.
#[derive(Debug)]
pub struct AtRest {
    disk: Arc<dyn Disk>,
    options: Options,
    parts: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    parts: Option<Parts>,
    notes: Notes,
}

/// Everything, open.
#[derive(Debug)]
struct Parts {
    keys: Keys,
    said: Said,
    records: Records,
    events: Events,
    preparers: Vec<(Spare, Option<JoinHandle<()>>)>,
}

/// Something else of that name is there.
pub(crate) fn conflict(what: &str) -> Refusal {
    let what = format!("{what} is not what is carried there: the directory holds something else");
    Refusal::new(Code::Conflict, what)
}

pub(crate) fn no_room(why: &str) -> Refusal {
    Refusal::new(Code::Unavailable, format!("the directory can't be written to: {why}"))
}

/// A place that is some numbers.
pub(crate) fn numbers<const N: usize>(place: &Place) -> Option<[u64; N]> {
    let mut numbers = [0; N];
    if place.0.len() != 8 * N {
        return None;
    }
    for (number, bytes) in numbers.iter_mut().zip(place.0.as_chunks().0) {
        *number = u64::from_be_bytes(*bytes);
    }
    Some(numbers)
}

/// A page of rows that are few: places count them.
pub(crate) fn listed(
    rows: impl Iterator<Item = Row>,
    from: Option<&Place>,
    max: usize,
) -> Result<Page, Error> {
    let damaged = || Error::Corrupt("a place is none".to_owned());
    let [from] = from.map_or(Some([0]), numbers).ok_or_else(damaged)?;
    let (mut page, mut bytes) = (Page::default(), 0);
    for row in rows.skip(usize::try_from(from).unwrap_or(usize::MAX)) {
        if max <= page.rows.len() || BYTES_MAX <= bytes {
            let next = from + page.rows.len() as u64;
            page.next = Some(Place(next.to_be_bytes().to_vec()));
            break;
        }
        bytes += row.size();
        page.rows.push(row);
    }
    Ok(page)
}

/// What is not there whole is not served.
pub(crate) fn check_finished(disk: &dyn Disk) -> Result<(), Error> {
    match Notes::read(disk)? {
        Some(notes) if !notes.finished => Err(Error::Unfinished),
        _ => Ok(()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what errors are mapped with")]
fn failed(error: Error) -> Refusal {
    Refusal::new(Code::Unavailable, error.chain())
}

impl Parts {
    fn open(disk: &Arc<dyn Disk>, options: &Options) -> Result<Self, Error> {
        let health = Arc::new(Health::new());
        let keys = Keys::open(disk, options)?;
        let said = Said::open(disk, options, &health)?;
        let records = Records::open(disk, options, &health)?;
        let events = Events::open(disk, options, &health)?;
        let mut preparers = Vec::new();
        for spare in [&said.spare, &records.spare, &events.spare] {
            let running = spare.clone();
            let named = thread::Builder::new().name("prepare".to_owned());
            preparers.push((spare.clone(), Some(named.spawn(move || running.run())?)));
        }
        Ok(Self { keys, said, records, events, preparers })
    }

    fn put(&mut self, section: Section, rows: Vec<Row>) -> Result<Answered<bool>, Error> {
        match section {
            Section::Keys => self.keys.put(&rows),
            Section::Users | Section::Messages => self.said.put(rows),
            Section::Profiles | Section::Versions | Section::Records => self.records.put(rows),
            _ => self.events.put(rows),
        }
    }

    fn read(&mut self, section: Section, from: Option<&Place>, max: usize) -> Result<Page, Error> {
        match section {
            Section::Keys => self.keys.read(from, max),
            Section::Users | Section::Messages => self.said.read(section, from, max),
            Section::Profiles | Section::Versions | Section::Records => {
                self.records.read(section, from, max)
            }
            _ => self.events.read(section, from, max),
        }
    }

    fn count(&mut self, section: Section) -> Result<u64, Error> {
        Ok(match section {
            Section::Keys => self.keys.count(),
            Section::Users | Section::Messages => self.said.count(section),
            Section::Profiles | Section::Versions | Section::Records => {
                self.records.count(section)?
            }
            _ => self.events.count(section),
        })
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.keys.flush()?;
        self.said.flush()?;
        self.records.flush()
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        for (spare, running) in &mut self.preparers {
            spare.stop();
            if let Some(running) = running.take() {
                let _ = running.join();
            }
        }
    }
}

impl AtRest {
    /// Opens a directory that holds a store.
    ///
    /// What its logs hold is put away first, as at every clean stop.
    ///
    /// # Errors
    ///
    /// Those of [`crate::Embedded::open`]; [`Error::Missing`] where there is no store.
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<Self, Error> {
        if !crate::engine::Engine::exists(&*disk)? {
            return Err(Error::Missing);
        }
        check_finished(&*disk)?;
        let parts = Some(Parts::open(&disk, &options)?);
        let state = State { parts, notes: Notes::default() };
        Ok(Self { disk, options, parts: Mutex::new(state) })
    }

    /// A directory that is to take what another store tells. Nothing is made before that begins.
    pub fn to_be_filled(disk: Arc<dyn Disk>, options: Options) -> Self {
        Self { disk, options, parts: Mutex::default() }
    }

    fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Parts) -> Result<T, Error>,
    ) -> Answer<'static, T> {
        let mut state = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let done = match &mut state.parts {
            Some(parts) => work(parts).map_err(failed),
            None => Err(Refusal::new(Code::Unavailable, "the directory is not open")),
        };
        Box::pin(future::ready(done))
    }

    fn begin_with(&self, origin: &str) -> Result<Answered<Begun>, Error> {
        let mut state = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let held = || {
            let what = "the directory holds something else: choose one that is empty, or that was \
                        begun to be filled from the same store";
            Refusal::new(Code::Conflict, what)
        };
        let notes = match Notes::read(&*self.disk)? {
            Some(notes) if notes.origin != origin => return Ok(Err(held())),
            Some(notes) => notes,
            None => {
                let names = self.disk.list("")?;
                if names.iter().any(|name| name != "LOCK" && !Notes::is_own(name)) {
                    return Ok(Err(held()));
                }
                let notes = Notes { origin: origin.to_owned(), ..Notes::default() };
                notes.write(&*self.disk)?;
                notes
            }
        };
        state.parts = Some(Parts::open(&self.disk, &self.options)?);
        state.notes = notes;
        if state.notes.finished {
            return Ok(Ok(Begun::Finished));
        }
        let reached = state.notes.reached.iter().map(|(it, reached)| (*it, reached.clone()));
        Ok(Ok(Begun::Open(reached.collect())))
    }

    fn take(
        &self,
        section: Section,
        rows: Vec<Row>,
        reached: Reached,
    ) -> Result<Answered<()>, Error> {
        let mut state = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let State { parts: Some(parts), notes } = &mut *state else {
            return Ok(Err(Refusal::new(Code::Unavailable, "the directory is not open")));
        };
        let mut durable = match parts.put(section, rows)? {
            Ok(durable) => durable,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if reached == Reached::End && section == Section::Keys {
            parts.keys.flush()?;
            durable = true;
        }
        if reached == Reached::End && !durable {
            let what = "something is missing that stands before what is there";
            return Ok(Err(Refusal::new(Code::Conflict, what)));
        }
        if durable {
            notes.reached.insert(section, reached);
            notes.write(&*self.disk)?;
        }
        Ok(Ok(()))
    }

    fn end(&self) -> Result<(), Error> {
        let mut state = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(parts) = &mut state.parts {
            parts.flush()?;
        }
        state.notes.finished = true;
        Ok(state.notes.write(&*self.disk)?)
    }
}

fn ready<T: Send + 'static>(done: Result<Answered<T>, Error>) -> Answer<'static, T> {
    Box::pin(future::ready(done.map_err(failed).and_then(|answered| answered)))
}

impl Archive for AtRest {
    fn identity(&self) -> Answer<'_, String> {
        self.with(|parts| Ok(parts.keys.identity()))
    }

    fn count(&self, section: Section) -> Answer<'_, u64> {
        self.with(|parts| parts.count(section))
    }

    fn read(&self, section: Section, from: Option<Place>, rows_max: usize) -> Answer<'_, Page> {
        self.with(|parts| parts.read(section, from.as_ref(), rows_max))
    }
}

impl Destination for AtRest {
    fn begin<'a>(&'a self, origin: &'a str) -> Answer<'a, Begun> {
        ready(self.begin_with(origin))
    }

    fn write(&self, section: Section, rows: Vec<Row>, reached: Reached) -> Answer<'_, ()> {
        ready(self.take(section, rows, reached))
    }

    fn finish(&self) -> Answer<'_, ()> {
        ready(self.end().map(Ok))
    }
}
