//! The simplest implementation of every port, in memory.

mod chats;
mod log;
mod records;
mod transfer;
mod wire;

use std::{
    collections::BTreeMap,
    future,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use switchboard_core::{
    Millis,
    ingest::{Entry, Ledger, Receipt, Recording},
    presence::{Answer, Appended, Journal, Page, Place, Report},
};

pub use self::wire::{End, Fate, Wire};

/// A store that keeps nothing beyond its own life.
#[derive(Debug, Default)]
pub struct Model {
    ids: Mutex<BTreeMap<Entry, u64>>,
    /// The greatest id; what was carried from a store with gaps has some too.
    greatest_id: AtomicU64,
    reports: Mutex<Vec<Report>>,
    chats: chats::Chats,
    log: log::Log,
    records: records::Records,
    carried: transfer::Carried,
}

impl Ledger for Model {
    fn record(&self, entries: Vec<Entry>) -> Recording {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let receipt = |entry| {
            let next = self.greatest_id.load(Ordering::Relaxed) + 1;
            let id = *ids.entry(entry).or_insert(next);
            self.greatest_id.fetch_max(id, Ordering::Relaxed);
            Receipt { id, new: id == next }
        };
        Box::pin(future::ready(Ok(entries.into_iter().map(receipt).collect())))
    }
}

impl Journal for Model {
    fn append(&self, report: &Report) -> Answer<Appended> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).push(report.clone());
        Box::pin(future::ready(Ok(None)))
    }

    fn others(&self, _behind: Vec<Place>) -> Answer<Vec<(Place, Report)>> {
        Box::pin(future::ready(Ok(Vec::new())))
    }

    fn read(&self, from: u64) -> Answer<Page> {
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        // The places are not those of before, once something was pruned: one page is all.
        let reports = if from == 0 { reports.clone() } else { Vec::new() };
        Box::pin(future::ready(Ok(Page { reports, ..Page::default() })))
    }

    fn prune(&self, before: Millis) -> Answer<()> {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.retain(|report| before <= report.at);
        Box::pin(future::ready(Ok(())))
    }
}
