//! All keys at rest: told, or taken from another store.
//!
//! Nobody records meanwhile. What is taken goes straight into sorted files, in whatever order it
//! comes, and stands in no log.

use std::{collections::HashMap, hash::Hasher as _, sync::Arc};

use siphasher::sip::SipHasher13;
use switchboard_core::{
    Error as Refusal, Tenant,
    ingest::Entry,
    store::Unobserved,
    transfer::{Page, Place, Row},
};

use super::{Fresh, Seed, tables};
use crate::{
    Error, Options,
    disk::Disk,
    keeper::{self, Keeper, Keeps as _},
    log::Position,
    open,
    slots::Pair,
    tenants::Tenants,
    transfer::{conflict, numbers},
};

/// All keys.
#[derive(Debug)]
pub(crate) struct Keys {
    keeper: Keeper,
    seed: Seed,
    position: Position,
    names: Vec<Tenant>,
    tenants: Tenants,
    next_id: u64,
    /// What no file has yet.
    fresh: HashMap<u64, u64>,
    tenants_from: u32,
    flush_max: usize,
}

impl Keys {
    /// Opens what is there, or makes it, and puts away what the log holds.
    pub(crate) fn open(disk: &Arc<dyn Disk>, options: &Options) -> Result<Self, Error> {
        let open::Parts { mut writer, keeper, .. } =
            open::open(Arc::clone(disk), options, Arc::new(Unobserved))?;
        if 0 < writer.ledger.fresh_len() {
            keeper.checkpoint(&mut writer.flush())?;
        }
        let known = tables::known(&keeper.engine)?;
        Ok(Self {
            keeper,
            seed: Seed(known.seed),
            position: known.position,
            tenants_from: u32::try_from(known.tenants.len()).unwrap_or(u32::MAX),
            tenants: Tenants::new(known.tenants.clone()),
            names: known.tenants,
            next_id: known.next_id,
            fresh: HashMap::new(),
            flush_max: options.flush_keys,
        })
    }

    /// What this store is known by: no other one has its seed.
    pub(crate) fn identity(&self) -> String {
        // The seed itself is a secret.
        format!("embedded {:016x}", SipHasher13::new_with_keys(self.seed.0, 7).finish())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.keeper.runs.get().entries() + self.fresh.len() as u64
    }

    /// Keys in the order of their slots.
    pub(crate) fn read(&mut self, from: Option<&Place>, max: usize) -> Result<Page, Error> {
        self.flush()?;
        let from = from.map_or(Some([0]), numbers).ok_or_else(|| damaged("a place"))?[0];
        let pairs = self.keeper.runs.get().behind(from, max + 1)?;
        let next = pairs.get(max).map(|pair| Place(pair.slot.to_be_bytes().to_vec()));
        let row = |pair: &Pair| {
            let (tenant, key) = self.seed.pair(pair.slot)?;
            let tenant = *self.names.get(tenant as usize)?;
            Some(Row::Key { entry: Entry { tenant, key }, id: pair.id })
        };
        let rows: Option<Vec<Row>> = pairs.iter().take(max).map(row).collect();
        Ok(Page { rows: rows.ok_or_else(|| damaged("a key"))?, next })
    }

    /// Takes keys. Says whether all that was taken is durable.
    pub(crate) fn put(&mut self, rows: &[Row]) -> Result<Result<bool, Refusal>, Error> {
        let runs = self.keeper.runs.get();
        for row in rows {
            let &Row::Key { entry, id } = row else { continue };
            let tenant = self.tenants.number(&entry.tenant).unwrap_or_else(|| {
                self.names.push(entry.tenant);
                self.tenants.define(entry.tenant)
            });
            let slot = self.seed.slot(tenant, entry.key);
            let known = match self.fresh.get(&slot) {
                Some(&known) => Some(known),
                None => runs.find(slot)?,
            };
            match known {
                Some(known) if known != id => {
                    let what = format!("the key {} of {}", entry.key, entry.tenant);
                    return Ok(Err(conflict(&what)));
                }
                Some(_) => {}
                None => {
                    self.fresh.insert(slot, id);
                    self.next_id = self.next_id.max(id + 1);
                }
            }
        }
        if self.flush_max <= self.fresh.len() {
            self.flush()?;
        }
        Ok(Ok(self.fresh.is_empty()))
    }

    /// Makes durable what was taken.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        let Keeper { disk, engine, runs, .. } = &self.keeper;
        let mut pairs: Vec<Pair> = self.fresh.drain().map(|(slot, id)| Pair { slot, id }).collect();
        keeper::room(&**disk, 2 * 16 * pairs.len() as u64)?;
        let set = runs.with(&mut pairs, self.next_id - 1)?;
        let fresh = Fresh {
            tenants: self.names[self.tenants_from as usize..].to_vec(),
            tenants_from: self.tenants_from,
            next_id: self.next_id,
            gaps: Some(self.next_id - 1 - set.entries()),
            ..Fresh::default()
        };
        tables::checkpoint(engine, self.position, &fresh, &set.numbers())?;
        runs.publish(set);
        self.tenants_from = self.tenants.count();
        keeper::merge(&**disk, runs, "ingest", |runs| tables::set_runs(engine, runs))
    }
}

fn damaged(what: &str) -> Error {
    Error::Corrupt(format!("{what} of ingest is not what it was"))
}
