//! The ledger: which (tenant, key) has which id.
//!
//! The truth is the log; this is what is made of it to answer fast. Every (tenant, key) is one
//! number of 64 bits, a [`slot`], kept with its id in [`crate::slots`].

mod carry;
mod codec;
mod slot;
pub(crate) mod tables;

use std::sync::Arc;

use switchboard_core::{
    Tenant,
    ingest::{Entry, Receipt},
};

use self::codec::Group;
pub(crate) use self::{carry::Keys, slot::Seed};
use crate::{
    Error,
    slots::{Index, Pair, Runs},
    tenants::Tenants,
};

/// The ledger as the one thread that writes sees it.
#[derive(Debug)]
pub(crate) struct Ledger {
    tenants: Tenants,
    index: Index,
    seed: Seed,
    next_id: u64,
    /// How many ids before that nobody has: what was carried from a store with gaps has some.
    gaps: u64,
    /// What the group under way adds.
    group: Group,
    /// What was recorded since the last hand-over to the sorted files.
    fresh: Fresh,
}

/// What the sorted files and the engine do not have yet.
#[derive(Debug, Default)]
pub(crate) struct Fresh {
    pub(crate) pairs: Vec<Pair>,
    /// New tenants, and the number of the first of them; the rest follow.
    pub(crate) tenants: Vec<Tenant>,
    pub(crate) tenants_from: u32,
    /// The id that comes next.
    pub(crate) next_id: u64,
    /// How many ids before that nobody has, where that has changed.
    pub(crate) gaps: Option<u64>,
}

/// How many receipts of a batch were new.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) new: u64,
    pub(crate) repeated: u64,
}

impl Ledger {
    /// The ledger as the engine and the sorted files know it.
    pub(crate) fn new(
        seed: Seed,
        tenants: Vec<Tenant>,
        (next_id, gaps): (u64, u64),
        runs: Arc<Runs>,
        memory_bytes: usize,
    ) -> Result<Self, Error> {
        let tenants = Tenants::new(tenants);
        let fresh = Fresh { tenants_from: tenants.count(), next_id, ..Fresh::default() };
        let index = Index::load(runs, memory_bytes)?;
        Ok(Self { tenants, index, seed, next_id, gaps, group: Group::default(), fresh })
    }

    /// The most bytes that recording these entries can add to a group.
    pub(crate) fn bytes_max(entries: &[Entry]) -> usize {
        let tenants = entries.chunk_by(|a, b| a.tenant == b.tenant).count();
        codec::bytes_max(entries.len(), tenants)
    }

    /// Whether there is nothing yet to be written in the group under way.
    pub(crate) fn group_is_empty(&self) -> bool {
        self.group.is_empty()
    }

    /// How long the group under way is.
    pub(crate) fn group_len(&self) -> usize {
        self.group.len()
    }

    /// Records entries as part of the group under way. Receipts must not be given out before the
    /// group is durable.
    pub(crate) fn record(&mut self, entries: &[Entry]) -> Result<(Vec<Receipt>, Tally), Error> {
        let mut receipts = Vec::with_capacity(entries.len());
        let mut tally = Tally::default();
        for entry in entries {
            let tenant = self.tenants.number(&entry.tenant).unwrap_or_else(|| {
                self.group.define(&entry.tenant);
                self.fresh.tenants.push(entry.tenant);
                self.tenants.define(entry.tenant)
            });
            let slot = self.seed.slot(tenant, entry.key);
            if let Some(id) = self.index.find(slot)? {
                tally.repeated += 1;
                receipts.push(Receipt { id, new: false });
            } else {
                tally.new += 1;
                self.group.add(self.next_id, tenant, entry.key);
                receipts.push(Receipt { id: self.assign(slot), new: true });
            }
        }
        Ok((receipts, tally))
    }

    /// The receipts of entries that are all recorded already; none when any is not.
    pub(crate) fn known(&mut self, entries: &[Entry]) -> Result<Option<Vec<Receipt>>, Error> {
        let mut receipts = Vec::with_capacity(entries.len());
        for entry in entries {
            let Some(tenant) = self.tenants.number(&entry.tenant) else { return Ok(None) };
            let slot = self.seed.slot(tenant, entry.key);
            let Some(id) = self.index.find(slot)? else { return Ok(None) };
            receipts.push(Receipt { id, new: false });
        }
        Ok(Some(receipts))
    }

    /// The payload of the group under way, which ends with it.
    pub(crate) fn end_group(&mut self, payload: &mut Vec<u8>) {
        self.group.write(payload);
    }

    /// Applies a payload that the log holds.
    pub(crate) fn replay(&mut self, payload: &[u8]) -> Result<(), Error> {
        let mut decoder = codec::Decoder::new(payload);
        while let Some(step) = decoder.next().map_err(Error::Corrupt)? {
            match step {
                codec::Step::Tenant(tenant) => {
                    self.fresh.tenants.push(tenant);
                    self.tenants.define(tenant);
                }
                codec::Step::Entry { id, tenant, key } => {
                    if id != self.next_id || self.tenants.count() <= tenant {
                        let what = format!("the log gives id {id} where {} is next", self.next_id);
                        return Err(Error::Corrupt(what));
                    }
                    self.assign(self.seed.slot(tenant, key));
                }
            }
        }
        Ok(())
    }

    fn assign(&mut self, slot: u64) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.index.insert(slot, id);
        self.fresh.pairs.push(Pair { slot, id });
        id
    }

    /// How many keys wait to be written to the sorted files.
    pub(crate) fn fresh_len(&self) -> usize {
        self.fresh.pairs.len()
    }

    /// Hands over what the sorted files do not have yet. The group must have ended.
    pub(crate) fn take_fresh(&mut self) -> Fresh {
        let next =
            Fresh { tenants_from: self.tenants.count(), next_id: self.next_id, ..Fresh::default() };
        let mut fresh = std::mem::replace(&mut self.fresh, next);
        fresh.next_id = self.next_id;
        fresh
    }

    /// Takes back what could not be handed over.
    pub(crate) fn put_back(&mut self, fresh: Fresh) {
        self.fresh = fresh;
    }

    /// How many keys were ever recorded.
    pub(crate) fn keys(&self) -> u64 {
        self.next_id - 1 - self.gaps
    }

    /// What the index takes in memory, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.index.memory_bytes()
    }
}
