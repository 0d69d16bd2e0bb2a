//! The one that writes: takes all that waits, decides it, makes it durable with one sync, lets it
//! be read, and answers it.
//!
//! Everything is decided here, between one sync and the next, in the order in which it came: of two
//! changes that expect the same the first happens, and the second sees it.

mod load;

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    sync::{Arc, mpsc::SyncSender},
    time::Instant,
};

use switchboard_core::{
    Code, Millis, Tenant,
    store::{Commit, Observer},
    vault::{Change, Expected, Found, Outcome, Profile, Record, Then},
};

use super::{
    entry::{self, Entry, Key},
    keeper::Flush,
    reader::Shared,
    recent::{Card, Happened, Kept},
    work::{Answered, Task, Work},
};
use crate::{
    Error,
    health::{Gate, Health},
    log::Log,
    queue::Answer,
    serve::{Writes, failed},
};

/// How many records are removed at once because their time is up: others wait so long.
const EXPIRE_MAX: usize = 1_000;

#[derive(Debug)]
pub(crate) struct Writer {
    pub(super) log: Log,
    pub(super) shared: Arc<Shared>,
    pub(super) gate: Arc<Gate>,
    pub(super) health: Arc<Health>,
    pub(super) observer: Arc<dyn Observer>,
    /// The longest payload of one record of the log, in bytes.
    pub(super) payload_max: usize,
    /// After how many bytes of records they are handed to the keeper.
    pub(super) flush_bytes: usize,
    pub(super) group: Group,
    /// Whether what is in memory is to be put away, however little it is.
    pub(super) tidy: bool,
}

/// What gets durable with the next sync.
#[derive(Debug, Default)]
pub(super) struct Group {
    payload: Vec<u8>,
    happened: Vec<Happened>,
    /// The versions that places have with it; none: nothing.
    versions: HashMap<Key, Option<u64>>,
    cards: BTreeMap<Tenant, Card>,
    answers: Vec<Answered>,
    commit: Commit,
}

/// Why something is not written, told to whoever waits.
struct Refused(String);

impl Writer {
    /// Answers what was decided once it is durable, and what was refused at once.
    fn answer<T>(
        &mut self,
        answer: Answer<T>,
        decided: Result<T, Refused>,
        answered: impl FnOnce(Answer<T>, T) -> Answered,
    ) {
        match decided {
            Ok(decided) => self.group.answers.push(answered(answer, decided)),
            // Nobody may be waiting any more.
            Err(refused) => drop(answer.send(Err(refused.told()))),
        }
    }

    fn change(&mut self, changes: Vec<Change>) -> Result<Result<Vec<Outcome>, Refused>, Error> {
        let mut outcomes = Vec::with_capacity(changes.len());
        for change in changes {
            let Change { tenant, id, expected, then } = change;
            let key = entry::key(&tenant, &id);
            let there = self.version(&key)?;
            let fits = match (expected, there) {
                (Expected::Absent, None) => true,
                (Expected::Version(expected), Some(there)) => expected == there,
                _ => false,
            };
            let done = match then {
                _ if !fits => Ok(false),
                Then::Put(record) => {
                    let least = match there {
                        Some(there) if there < record.version || !self.is_damaged(&key)? => there,
                        // What damage has made of a version does not count.
                        _ => self.card(&tenant).removed,
                    };
                    if record.version <= least {
                        Ok(false)
                    } else {
                        self.put(key, &record)?.map(|()| true)
                    }
                }
                Then::Delete => self.delete(tenant, key, there.unwrap_or(0))?.map(|()| true),
            };
            match done {
                Ok(done) => outcomes.push(if done { Outcome::Done } else { Outcome::Changed }),
                Err(refused) => return Ok(Err(refused)),
            }
        }
        Ok(Ok(outcomes))
    }

    fn add_profile(
        &mut self,
        tenant: Tenant,
        profile: Profile,
    ) -> Result<Result<Arc<[Profile]>, Refused>, Error> {
        let mut card = self.card(&tenant);
        if card.add(profile) {
            if let Err(refused) = self.write(&Entry::Profile { tenant, profile })? {
                return Ok(Err(refused));
            }
            self.set_card(tenant, card.clone());
        }
        Ok(Ok(card.profiles))
    }

    fn expire(&mut self, now: Millis) -> Result<Result<u64, Refused>, Error> {
        self.tidy = true;
        let mut removed = 0;
        for key in self.shared.expired(now.0, EXPIRE_MAX)? {
            // What the group under way says of it counts, and it had its turn in it.
            if self.group.versions.contains_key(&key) {
                continue;
            }
            let Some(version) = self.shared.look(&key, entry::version)? else { continue };
            let Some((tenant, _)) = entry::read_key(&key) else { continue };
            if let Err(refused) = self.delete(tenant, key, version)? {
                return Ok(Err(refused));
            }
            removed += 1;
        }
        Ok(Ok(removed))
    }

    fn put(&mut self, key: Key, record: &Record) -> Result<Result<(), Refused>, Error> {
        let version = record.version;
        let record = entry::write(&key, record);
        if let Err(refused) = self.write(&Entry::Put { key: &key, record: &record })? {
            return Ok(Err(refused));
        }
        self.group.versions.insert(key.clone(), Some(version));
        self.group.happened.push(Happened::Place(key, Kept::Record(record.into())));
        Ok(Ok(()))
    }

    fn delete(
        &mut self,
        tenant: Tenant,
        key: Key,
        version: u64,
    ) -> Result<Result<(), Refused>, Error> {
        if let Err(refused) = self.write(&Entry::Delete { key: &key, version })? {
            return Ok(Err(refused));
        }
        self.group.versions.insert(key.clone(), None);
        let mut card = self.card(&tenant);
        card.removed = card.removed.max(version);
        // First the version: a record is not seen to be gone before it is known not to come again.
        self.set_card(tenant, card);
        self.group.happened.push(Happened::Place(key, Kept::Nothing));
        Ok(Ok(()))
    }

    /// The version at a place, if there is a record.
    fn version(&self, key: &[u8]) -> Result<Option<u64>, Error> {
        match self.group.versions.get(key) {
            Some(version) => Ok(*version),
            None => self.shared.look(key, entry::version),
        }
    }

    fn is_damaged(&self, key: &[u8]) -> Result<bool, Error> {
        if self.group.versions.contains_key(key) {
            return Ok(false);
        }
        let look = |bytes: &[u8]| matches!(entry::read(key, bytes), Found::Damaged(_));
        Ok(self.shared.look(key, look)?.unwrap_or(false))
    }

    fn card(&self, tenant: &Tenant) -> Card {
        let decided = self.group.cards.get(tenant).cloned();
        decided.or_else(|| self.shared.read().cards.get(tenant).cloned()).unwrap_or_default()
    }

    fn set_card(&mut self, tenant: Tenant, card: Card) {
        self.group.cards.insert(tenant, card.clone());
        self.group.happened.push(Happened::Card(tenant, card));
    }

    /// Adds an entry to the group under way, or to the next.
    fn write(&mut self, entry: &Entry<'_>) -> Result<Result<(), Refused>, Error> {
        let needed = entry.len();
        if !self.group.payload.is_empty() && self.payload_max < self.group.payload.len() + needed {
            self.end_group()?;
        }
        let room = if self.payload_max < needed {
            Err("the record is longer than a segment of the log".to_owned())
        } else {
            self.log.reserve(self.group.payload.len() + needed)
        };
        Ok(match room {
            Ok(()) => {
                entry.write(&mut self.group.payload);
                Ok(())
            }
            Err(why) => {
                self.gate.set_refusing(true);
                Err(Refused(why))
            }
        })
    }

    /// Makes the group durable, lets it be read, and answers it.
    fn end_group(&mut self) -> Result<(), Error> {
        if !self.group.payload.is_empty() {
            let began = Instant::now();
            self.group.commit.bytes = self.log.append(&self.group.payload)?;
            self.group.commit.synced = began.elapsed();
            self.group.payload.clear();
            self.gate.set_refusing(false);
            let mut state = self.shared.change();
            self.group.happened.drain(..).for_each(|happened| state.apply(happened));
        }
        self.group.versions.clear();
        self.group.cards.clear();
        for answered in self.group.answers.drain(..) {
            answered.tell(Ok(()));
        }
        let commit = mem::take(&mut self.group.commit);
        if 0 < commit.batches {
            self.observer.committed(&commit);
        }
        Ok(())
    }

    /// Everything that the tables do not have yet, if there is anything. Waits for the keeper to be
    /// done with the last; none when it has failed.
    pub(crate) fn flush(&mut self) -> Option<Flush> {
        let position = self.log.position();
        let mut state = self.shared.change_when_flushed(|| self.health.has_failed())?;
        if state.current.is_empty() {
            return None;
        }
        self.tidy = false;
        let generation = Arc::new(mem::take(&mut state.current));
        state.flushing = Some(Arc::clone(&generation));
        Some(Flush { generation, position })
    }
}

impl Writes for Writer {
    type Work = Work;
    type Flush = Flush;
    const WHAT: &'static str = "vault";

    fn commit(&mut self, works: &mut Vec<Work>) -> Result<(), Error> {
        for work in works.drain(..) {
            let waited = work.arrived.elapsed();
            self.group.commit.waited = self.group.commit.waited.max(waited);
            self.group.commit.batches += 1;
            match work.task {
                Task::Change { changes, answer } => {
                    let decided = self.change(changes)?;
                    self.answer(answer, decided, Answered::Changed);
                }
                Task::AddProfile { tenant, profile, answer } => {
                    let decided = self.add_profile(tenant, profile)?;
                    self.answer(answer, decided, Answered::Profiles);
                }
                Task::Expire { now, answer } => {
                    let decided = self.expire(now)?;
                    self.answer(answer, decided, Answered::Expired);
                }
            }
        }
        self.end_group()
    }

    fn hand_over(&mut self, flushes: &SyncSender<Flush>, at_the_end: bool) {
        let (bytes, flushing) = {
            let state = self.shared.read();
            (state.current.bytes, state.flushing.is_some())
        };
        // Nothing is to be put away when there is nothing.
        self.tidy &= 0 < bytes;
        // A keeper that is behind is waited for, so that memory stays bounded.
        if (at_the_end || self.flush_bytes <= bytes || self.tidy && !flushing)
            && let Some(flush) = self.flush()
        {
            // A keeper that is gone has told why.
            let _ = flushes.send(flush);
        }
    }

    fn refuse_group(&mut self) {
        for answered in self.group.answers.drain(..) {
            answered.tell(Err(failed()));
        }
    }

    fn health(&self) -> &Arc<Health> {
        &self.health
    }
}

impl Refused {
    fn told(self) -> switchboard_core::Error {
        let Self(why) = self;
        let what = format!("the store takes no writes now: {why}; try again later");
        switchboard_core::Error::new(Code::Unavailable, what)
    }
}
