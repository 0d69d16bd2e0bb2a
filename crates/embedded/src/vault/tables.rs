//! What the engine keeps of the vault.
//!
//! ```text
//! vault_records    key                     → record
//! vault_expiry     expires at u64, key     → nothing         what expires, the earliest first
//! vault_tenants    tenant                  → removed u64 | profiles
//! ```
//!
//! The bytes of keys, records and profiles are told in [`super::entry`].

use std::{ops::Bound, sync::Arc};

use redb::{ReadOnlyTable, ReadableTable as _, ReadableTableMetadata as _, Table, TableDefinition};
use switchboard_core::Tenant;

use super::{
    entry,
    recent::{Card, Generation},
};
use crate::{
    Error,
    disk::Disk,
    engine::{Engine, guarded},
    error::EngineError,
    log::Position,
};

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

const FORMAT: u64 = 1;
const STATE: TableDefinition<'_, &str, u64> = TableDefinition::new("vault_state");
const RECORDS: Definition = TableDefinition::new("vault_records");
const EXPIRY: TableDefinition<'static, &'static [u8], ()> = TableDefinition::new("vault_expiry");
const TENANTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("vault_tenants");

/// What is known of the vault when the engine is opened.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) position: Position,
    pub(super) cards: Vec<(Tenant, Card)>,
}

/// The tables as the last checkpoint left them.
pub(super) struct Tables {
    records: ReadOnlyTable<&'static [u8], &'static [u8]>,
    expiry: ReadOnlyTable<&'static [u8], ()>,
}

/// Keys, and what is kept under them.
pub(super) type Rows = redb::Range<'static, &'static [u8], &'static [u8]>;

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables").finish_non_exhaustive()
    }
}

impl Tables {
    pub(super) fn open(engine: &Engine) -> Result<Self, Error> {
        let transaction = engine.begin_read()?;
        let opened = || -> Result<Self, redb::Error> {
            let records = transaction.open_table(RECORDS)?;
            Ok(Self { records, expiry: transaction.open_table(EXPIRY)? })
        };
        guarded(|| Ok(opened().map_err(EngineError)?))
    }

    /// Looks at what is kept under a key.
    pub(super) fn get<T>(
        &self,
        key: &[u8],
        look: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, Error> {
        guarded(|| {
            let found = self.records.get(key).map_err(redb::Error::from).map_err(EngineError)?;
            Ok(found.map(|found| look(found.value())))
        })
    }

    /// How many records there are.
    pub(super) fn len(&self) -> Result<u64, Error> {
        guarded(|| {
            let len = self.records.len().map_err(redb::Error::from);
            Ok(len.map_err(EngineError)?)
        })
    }

    /// What is kept under keys within bounds, in order.
    pub(super) fn range(&self, bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> Result<Rows, Error> {
        guarded(|| {
            let rows = self.records.range::<&[u8]>(bounds).map_err(redb::Error::from);
            Ok(rows.map_err(EngineError)?)
        })
    }

    /// The keys of records that expire up to a time, those that are wanted and so many at most.
    pub(super) fn expired(
        &self,
        now: i64,
        max: usize,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<entry::Key>, Error> {
        let end = unsigned(now.saturating_add(1)).to_be_bytes();
        let read = || -> Result<Vec<entry::Key>, redb::Error> {
            let mut keys = Vec::new();
            for row in self.expiry.range::<&[u8]>(..&end[..])? {
                if keys.len() == max {
                    break;
                }
                let (row, _) = row?;
                let key = row.value().get(8..).unwrap_or_default();
                if wanted(key) {
                    keys.push(key.into());
                }
            }
            Ok(keys)
        };
        guarded(|| Ok(read().map_err(EngineError)?))
    }
}

/// Makes an engine without records, whole or not at all.
pub(super) fn create(disk: &dyn Disk, position: Position) -> Result<(), Error> {
    Engine::create(disk, |transaction| {
        transaction.open_table(RECORDS)?;
        transaction.open_table(EXPIRY)?;
        transaction.open_table(TENANTS)?;
        let mut state = transaction.open_table(STATE)?;
        state.insert("format", FORMAT)?;
        state.insert("log_sequence", position.sequence)?;
        state.insert("log_segment", position.segment)?;
        Ok(())
    })
}

/// What the last checkpoint left.
pub(super) fn known(engine: &Engine) -> Result<Known, Error> {
    engine.read(|transaction| {
        let state = transaction.open_table(STATE)?;
        let number = |name| state.get(name).map(|found| found.map_or(0, |found| found.value()));
        let format = number("format")?;
        if format != FORMAT {
            return Ok(Err(Error::Format { found: format, expected: FORMAT }));
        }
        let (sequence, segment) = (number("log_sequence")?, number("log_segment")?);
        let position = Position { sequence, segment };
        let mut cards = Vec::new();
        for row in transaction.open_table(TENANTS)?.iter()? {
            let (tenant, card) = row?;
            match (tenant.value().parse(), read_card(card.value())) {
                (Ok(tenant), Some(card)) => cards.push((tenant, card)),
                _ => return Ok(Err(Error::Corrupt("a tenant of the vault is damaged".to_owned()))),
            }
        }
        Ok(Ok(Known { position, cards }))
    })
}

/// Puts a generation away: durable when this returns.
pub(super) fn checkpoint(
    engine: &Engine,
    generation: &Generation,
    position: Position,
) -> Result<(), Error> {
    engine.write(|transaction| {
        let mut state = transaction.open_table(STATE)?;
        state.insert("log_sequence", position.sequence)?;
        state.insert("log_segment", position.segment)?;
        let mut tenants = transaction.open_table(TENANTS)?;
        for (tenant, card) in &generation.cards {
            tenants.insert(tenant.as_str(), &*write_card(card))?;
        }
        let mut records = transaction.open_table(RECORDS)?;
        let mut expiry = transaction.open_table(EXPIRY)?;
        for (key, now) in &generation.records {
            put(&mut records, &mut expiry, key, now.bytes())?;
        }
        Ok(())
    })
}

fn put(
    records: &mut Table<'_, &'static [u8], &'static [u8]>,
    expiry: &mut Table<'_, &'static [u8], ()>,
    key: &[u8],
    now: Option<&[u8]>,
) -> Result<(), redb::Error> {
    let before = match now {
        Some(now) => records.insert(key, now)?,
        None => records.remove(key)?,
    };
    let before = before.and_then(|before| entry::expires_at(before.value()));
    let now = now.and_then(entry::expires_at);
    if before != now {
        if let Some(at) = before {
            expiry.remove(&*expiry_key(at, key))?;
        }
        if let Some(at) = now {
            expiry.insert(&*expiry_key(at, key), ())?;
        }
    }
    Ok(())
}

fn expiry_key(at: i64, key: &[u8]) -> Vec<u8> {
    [&unsigned(at).to_be_bytes(), key].concat()
}

/// A time as a number that is ordered as times are.
fn unsigned(at: i64) -> u64 {
    at.cast_unsigned() ^ 1 << 63
}

fn write_card(card: &Card) -> Vec<u8> {
    let mut bytes = card.removed.to_be_bytes().to_vec();
    card.profiles.iter().for_each(|profile| entry::write_profile(profile, &mut bytes));
    bytes
}

fn read_card(bytes: &[u8]) -> Option<Card> {
    let (&removed, mut rest) = bytes.split_first_chunk()?;
    let mut profiles = Vec::new();
    while !rest.is_empty() {
        let (profile, behind) = entry::read_profile(rest)?;
        profiles.push(profile);
        rest = behind;
    }
    Some(Card { removed: u64::from_be_bytes(removed), profiles: Arc::from(profiles) })
}
