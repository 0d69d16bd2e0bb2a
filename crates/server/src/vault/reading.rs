//! Getting values out of the vault, and changing what a key opens.

use std::{mem, sync::Arc};

use switchboard_core::{
    Millis, Result,
    vault::{
        Change, Context, Cursor, EncryptionKey, Expected, Found, Listed, Opening, Outcome, Page,
        Pattern, Place, Range, Record, RecordId, Then, Value, open, opens,
    },
};
use tokio::task;

use super::{Asker, Derived, LeftOut, Vault, storing::sealed};

/// How many records are read at once, and how many bytes: others get their turn in between.
const RECORDS_AT_ONCE: usize = 128;
const BYTES_AT_ONCE: usize = 256 * 1024;

/// The same for the first, so that the first record is there soon.
const FIRST_AT_ONCE: usize = 16;

/// The most values that are answered in one piece, in bytes; at least one.
pub(crate) const WINDOW_BYTES: usize = 8 * 1024 * 1024;

/// How many records are deleted or sealed anew in one call.
const CHANGED_MAX: u64 = 10_000;

/// How often a record is tried again that somebody else changes meanwhile.
const TRIES: usize = 8;

/// A record that was opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) id: RecordId,
    pub(crate) value: Value,
    pub(crate) version: u64,
    pub(crate) updated_at: Millis,
    pub(crate) expires_at: Option<Millis>,
}

/// What was changed, and where to go on, if there is more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) records: u64,
    pub(crate) next: Option<String>,
}

/// Records under a pattern that a key opens, read bit by bit. What was left out is told when it is
/// dropped.
#[derive(Debug)]
pub(crate) struct Reading {
    vault: Arc<Vault>,
    asker: Asker,
    pattern: Pattern,
    /// None where the tenant has no records.
    derived: Option<Derived>,
    /// Behind which record to go on.
    after: Option<RecordId>,
    at_once: usize,
    ended: bool,
    left_out: LeftOut,
}

impl Vault {
    /// Begins to read.
    ///
    /// # Errors
    ///
    /// [`switchboard_core::Code::InvalidCursor`], [`switchboard_core::Code::TooManyRequests`],
    /// [`switchboard_core::Code::Unavailable`].
    pub(crate) async fn read(
        self: &Arc<Self>,
        asker: Asker,
        pattern: Pattern,
        key: Arc<EncryptionKey>,
        cursor: &str,
    ) -> Result<Reading> {
        let after = match cursor {
            "" => None,
            given => Some(Cursor::new(&asker.tenant, &pattern).read(given)?),
        };
        let derived = self.derived(&asker, &key).await?;
        let (vault, ended) = (Arc::clone(self), derived.is_none());
        let (at_once, left_out) = (FIRST_AT_ONCE, LeftOut::default());
        Ok(Reading { vault, asker, pattern, derived, after, at_once, ended, left_out })
    }

    /// Removes what a key opens.
    pub(crate) async fn delete(
        self: &Arc<Self>,
        asker: Asker,
        pattern: Pattern,
        key: Arc<EncryptionKey>,
        cursor: &str,
    ) -> Result<Changed> {
        let reading = self.read(asker, pattern, key, cursor).await?;
        let delete = |id: &RecordId, record: &Record| {
            let expected = Expected::Version(record.version);
            let change =
                Change { tenant: asker.tenant, id: id.clone(), expected, then: Then::Delete };
            Ok(Some(change))
        };
        let changed = reading.change(delete).await?;
        self.metrics.vault.deleted(changed.records);
        Ok(changed)
    }

    /// Seals what an old key opens under a new one, each record at once.
    pub(crate) async fn rekey(
        self: &Arc<Self>,
        asker: Asker,
        pattern: Pattern,
        [old, new]: [Arc<EncryptionKey>; 2],
        cursor: &str,
    ) -> Result<Changed> {
        let reading = self.read(asker, pattern, old, cursor).await?;
        if reading.ended {
            return Ok(Changed { records: 0, next: None });
        }
        let (derived, profile) = self.derived_to_store(&asker, &new).await?;
        drop(new);
        let opener = reading.opener();
        let seal = |id: &RecordId, record: &Record| {
            let Opening::Opened(value) = opener.open(id, record.clone()) else {
                return Ok(None);
            };
            let place = Place { found: Some(Found::Whole(record.clone())), first_version: 0 };
            let going = self.going(&place, record.expires_at);
            sealed(&asker, id, (&derived, profile), &value, going).map(Some)
        };
        let changed = reading.change(seal).await?;
        self.metrics.vault.rekeyed(changed.records);
        Ok(changed)
    }
}

/// What opens records.
#[derive(Clone, Debug)]
struct Opener {
    asker: Asker,
    derived: Option<Derived>,
}

impl Opener {
    fn open(&self, id: &RecordId, record: Record) -> Opening {
        let Record { version, updated_at, expires_at, .. } = record;
        let tenant = &self.asker.tenant;
        let context = Context { tenant, id, version, updated_at, expires_at };
        match self.derived.as_ref().and_then(|derived| derived.of(&record)) {
            Some(key) => open(key, &context, record.sealed),
            // Of a version that this program does not know, or a profile that is not there.
            None => Opening::Damaged,
        }
    }
}

impl Reading {
    /// The next records that the key opens, as they come: perhaps none of this bit. None at the
    /// end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Opened>>> {
        let Some(listed) = self.page().await? else { return Ok(None) };
        let opener = self.opener();
        let mut values = Vec::with_capacity(listed.len());
        for Listed { id, found } in listed {
            let record = match found {
                Found::Whole(record) => record,
                Found::Damaged(_) => {
                    self.left_out.damaged += 1;
                    continue;
                }
            };
            let Record { version, updated_at, expires_at, .. } = record;
            match opener.open(&id, record) {
                Opening::Opened(value) => {
                    values.push(Opened { id, value, version, updated_at, expires_at });
                }
                Opening::WrongKey => self.left_out.wrong_key += 1,
                Opening::Damaged => self.left_out.damaged += 1,
            }
        }
        self.vault.metrics.vault.retrieved(values.len() as u64);
        Ok(Some(values))
    }

    /// What a place behind a record is called.
    pub(crate) fn cursor(&self, id: &RecordId) -> String {
        Cursor::new(&self.asker.tenant, &self.pattern).write(id)
    }

    fn opener(&self) -> Opener {
        Opener { asker: self.asker, derived: self.derived.clone() }
    }

    /// The next records that match, whoever's key they have, and whose time is not up.
    async fn page(&mut self) -> Result<Option<Vec<Listed>>> {
        if mem::replace(&mut self.ended, true) {
            return Ok(None);
        }
        let tenant = self.asker.tenant;
        let Page { mut listed, next } = match self.pattern.exact() {
            Some(id) if self.after.as_ref().is_some_and(|after| id <= *after) => Page::default(),
            Some(id) => {
                let found = self.vault.records.get(tenant, &id).await?.found;
                let listed = found.map(|found| Listed { id, found }).into_iter().collect();
                Page { listed, next: None }
            }
            None => {
                let range = Range {
                    prefix: self.pattern.prefix().into(),
                    after: self.after.take(),
                    records_max: self.at_once,
                    bytes_max: BYTES_AT_ONCE,
                };
                self.at_once = RECORDS_AT_ONCE;
                // Reading and opening are work without a pause. Twice: whoever encodes a stream
                // takes the first for the end of what can be sent together, and asks again at once.
                task::yield_now().await;
                task::yield_now().await;
                self.vault.records.list(tenant, range).await?
            }
        };
        self.ended = next.is_none();
        self.after = next;
        let now = self.vault.clock.now();
        listed.retain(|it| self.pattern.matches(&it.id) && !it.found.has_expired(now));
        Ok(Some(listed))
    }

    /// Changes what the key opens, up to a bound. Where there is no change, the record is damaged.
    async fn change(
        mut self,
        change: impl Fn(&RecordId, &Record) -> Result<Option<Change>>,
    ) -> Result<Changed> {
        let mut records = 0;
        while let Some(listed) = self.page().await? {
            let mut changes = Vec::new();
            for Listed { id, found } in &listed {
                let Some(record) = self.own(found) else { continue };
                match change(id, record)? {
                    Some(change) => changes.push(change),
                    None => self.left_out.damaged += 1,
                }
            }
            let ids: Vec<_> = changes.iter().map(|change| change.id.clone()).collect();
            if ids.is_empty() {
                continue;
            }
            let outcomes = self.vault.records.change(changes).await?;
            for (id, outcome) in ids.iter().zip(outcomes) {
                let done = outcome == Outcome::Done || self.again(id, &change).await?;
                records += u64::from(done);
            }
            if CHANGED_MAX <= records && !self.ended {
                let next = self.after.as_ref().map(|after| self.cursor(after));
                return Ok(Changed { records, next });
            }
        }
        Ok(Changed { records, next: None })
    }

    /// Changes a record that somebody else has changed meanwhile, if the key still opens it.
    async fn again(
        &mut self,
        id: &RecordId,
        change: &impl Fn(&RecordId, &Record) -> Result<Option<Change>>,
    ) -> Result<bool> {
        for _ in 0..TRIES {
            let place = self.vault.records.get(self.asker.tenant, id).await?;
            let Some(found) = place.found else { return Ok(false) };
            if found.has_expired(self.vault.clock.now()) {
                return Ok(false);
            }
            let Some(record) = self.own(&found) else { return Ok(false) };
            let Some(change) = change(id, record)? else {
                self.left_out.damaged += 1;
                return Ok(false);
            };
            if self.vault.records.change(vec![change]).await? == [Outcome::Done] {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A record that is whole and that the key opens.
    fn own<'a>(&mut self, found: &'a Found) -> Option<&'a Record> {
        let Found::Whole(record) = found else {
            self.left_out.damaged += 1;
            return None;
        };
        match self.derived.as_ref().and_then(|derived| derived.of(record)) {
            Some(key) if opens(key, &record.sealed) => return Some(record),
            Some(_) => self.left_out.wrong_key += 1,
            // As where it is opened.
            None => self.left_out.damaged += 1,
        }
        None
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.vault.tell(&self.asker, &self.pattern, self.left_out);
    }
}
