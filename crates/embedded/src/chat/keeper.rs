//! Checkpoints: what the log holds, put where it is found.
//!
//! The order is what makes a crash harmless at any point: first the sorted file is durable, then
//! the tables say that it counts and up to which record, then readers go over to them. The log
//! stays.

use std::{sync::Arc, time::Instant};

use switchboard_core::store::Observer;

use super::{
    reader::Shared,
    recent::Generation,
    tables::{self, State, Tables},
    writer::Fresh,
};
use crate::{
    Error,
    disk::Disk,
    engine::Engine,
    keeper::{self, Keeps},
    log::Position,
    slots::Runs,
};

/// What an entry takes at most in the tables and files, pages that are written anew included, in
/// bytes. An estimate: each list of a chat that was touched once is a page.
const ENTRY_BYTES: u64 = 1024;

/// What is to be put away: everything up to a position of the log.
#[derive(Debug)]
pub(crate) struct Flush {
    pub(super) generation: Arc<Generation>,
    pub(super) fresh: Fresh,
    pub(super) position: Position,
    /// Where the last message stands.
    pub(super) last: u64,
}

/// Puts away what the writer hands over.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) engine: Engine,
    pub(super) runs: Arc<Runs>,
    pub(super) shared: Arc<Shared>,
    pub(super) observer: Arc<dyn Observer>,
}

impl Keeps for Keeper {
    type Flush = Flush;
    const WHAT: &'static str = "chats";

    /// Puts everything up to a position where it belongs, and merges what is due.
    fn checkpoint(&self, flush: &mut Flush) -> Result<(), Error> {
        let began = Instant::now();
        let Flush { generation, fresh, position, last } = flush;
        keeper::room(&*self.disk, generation.entries as u64 * ENTRY_BYTES)?;
        let set = self.runs.with(&mut fresh.pairs, *last)?;
        let numbers = set.numbers();
        let state = State {
            position: *position,
            sent: fresh.sent,
            last: *last,
            runs: &numbers,
            tenants_from: fresh.tenants_from,
            tenants: &fresh.tenants,
        };
        tables::checkpoint(&self.engine, (generation, &self.shared.archive), &state)?;
        self.runs.publish(set);
        // They are put away: should the rest fail and be tried again, they must not be once more.
        fresh.pairs = Vec::new();
        let tables = Arc::new(Tables::open(&self.engine)?);
        self.shared.flushed(|state| {
            state.tables = tables;
            state.recent.flushing = None;
        });
        self.observer.checkpointed(began.elapsed());
        keeper::merge(&*self.disk, &self.runs, "chats", |runs| tables::set_runs(&self.engine, runs))
    }
}
