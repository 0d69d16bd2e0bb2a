//! All records at rest: told, or taken from another store.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use switchboard_core::{
    Error as Refusal, Tenant,
    store::Unobserved,
    transfer::{BYTES_MAX, Page, Place, Row, Section},
    vault::Found,
};

use super::{
    Keeper, Writer, entry,
    open::{Parts, open},
    reader::Shared,
    recent::Card,
};
use crate::{
    Error, Options, disk::Disk, engine::guarded, error::EngineError, health::Health,
    keeper::Keeps as _, log::Spare, transfer::listed,
};

/// All records.
#[derive(Debug)]
pub(crate) struct Records {
    writer: Writer,
    keeper: Keeper,
    pub(crate) spare: Spare,
    flush_bytes: usize,
}

impl Records {
    /// Opens what is there, or makes it, and puts away what the log holds.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        options: &Options,
        health: &Arc<Health>,
    ) -> Result<Self, Error> {
        let Parts { writer, keeper, spare, .. } =
            open(disk, options, health, Arc::new(Unobserved))?;
        let mut records = Self { writer, keeper, spare, flush_bytes: options.vault_flush_bytes };
        records.flush()?;
        Ok(records)
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.keeper.shared
    }

    /// Puts into tables what is not there yet.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        match self.writer.flush() {
            Some(mut flush) => self.keeper.checkpoint(&mut flush),
            None => Ok(()),
        }
    }

    /// About how many rows there are.
    pub(crate) fn count(&self, section: Section) -> Result<u64, Error> {
        if section != Section::Records {
            return Ok(self.shared().read().cards.len() as u64);
        }
        let tables = Arc::clone(&self.shared().read().tables);
        tables.len()
    }

    /// Takes rows, durably.
    pub(crate) fn put(&mut self, rows: Vec<Row>) -> Result<Result<bool, Refusal>, Error> {
        let loaded = self.writer.load(rows)?;
        if self.flush_bytes <= self.shared().read().current.bytes {
            self.flush()?;
        }
        Ok(loaded.map(|()| true))
    }

    /// Tells rows.
    pub(crate) fn read(
        &mut self,
        section: Section,
        from: Option<&Place>,
        max: usize,
    ) -> Result<Page, Error> {
        if section == Section::Records {
            self.flush()?;
            return self.records(from, max);
        }
        let cards: BTreeMap<Tenant, Card> =
            self.shared().read().cards.iter().map(|(it, card)| (*it, card.clone())).collect();
        let rows = cards.into_iter().flat_map(|(tenant, card)| {
            let profiles = card.profiles.iter().map(|&profile| Row::Profile { tenant, profile });
            let version = Row::Version { tenant, first: card.removed + 1 };
            let version = Some(version).filter(|_| 0 < card.removed);
            let (profiles, version) = match section {
                Section::Profiles => (profiles.collect(), None),
                _ => (Vec::new(), version),
            };
            profiles.into_iter().chain(version)
        });
        listed(rows, from, max)
    }

    fn records(&self, from: Option<&Place>, max: usize) -> Result<Page, Error> {
        let tables = Arc::clone(&self.shared().read().tables);
        let from = from.map_or(Bound::Unbounded, |Place(key)| Bound::Excluded(&key[..]));
        let mut rows = tables.range((from, Bound::Unbounded))?;
        let (mut page, mut bytes, mut last) = (Page::default(), 0, Vec::new());
        loop {
            let mut next = || rows.next().transpose().map_err(redb::Error::from);
            let Some((key, kept)) = guarded(|| Ok(next().map_err(EngineError)?))? else {
                return Ok(page);
            };
            if max <= page.rows.len() || BYTES_MAX <= bytes {
                page.next = Some(Place(last));
                return Ok(page);
            }
            let damaged = || Error::Corrupt("a key of the vault is not what it was".to_owned());
            let (tenant, id) = entry::read_key(key.value()).ok_or_else(damaged)?;
            let Found::Whole(record) = entry::read(key.value(), kept.value()) else {
                let what = format!("the record {id} of {tenant} in the vault is not what it was");
                return Err(Error::Corrupt(what));
            };
            bytes += record.sealed.as_bytes().len();
            last = key.value().to_vec();
            page.rows.push(Row::Record { tenant, id, record });
        }
    }
}
