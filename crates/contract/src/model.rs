//! The simplest implementation of every port, in memory.

use std::{
    collections::BTreeMap,
    future,
    sync::{Mutex, PoisonError},
};

use switchboard_core::ingest::{Entry, Ledger, Receipt, Recording};

/// A store that keeps nothing beyond its own life.
#[derive(Debug, Default)]
pub struct Model {
    ids: Mutex<BTreeMap<Entry, u64>>,
}

impl Ledger for Model {
    fn record(&self, entries: Vec<Entry>) -> Recording {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let receipt = |entry| {
            let next = ids.len() as u64 + 1;
            let id = *ids.entry(entry).or_insert(next);
            Receipt { id, new: id == next }
        };
        Box::pin(future::ready(Ok(entries.into_iter().map(receipt).collect())))
    }
}
