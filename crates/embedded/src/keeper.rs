//! Checkpoints: what the log holds, put where it is read from, so that the log can be cut.
//!
//! The order is what makes a crash harmless at any point: first the sorted file is durable, then
//! the engine says that it counts and up to which record, then the log is cut. A file that the
//! engine does not know is removed at the next start.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Receiver,
    },
    thread,
    time::{Duration, Instant},
};

use switchboard_core::store::Observer;

use crate::{
    Error,
    disk::Disk,
    engine::Engine,
    health::Health,
    ingest::{Fresh, tables},
    log::{self, Position},
    slots::Runs,
};

/// How long after a full disk a checkpoint is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How much room must be free beyond what a checkpoint writes, in bytes: the engine should never be
/// the one to meet the end of the disk.
const SLACK: u64 = 16 * 1024 * 1024;

/// What is to be put away: everything up to a position of the log.
#[derive(Debug)]
pub(crate) struct Flush {
    pub(crate) fresh: Fresh,
    pub(crate) position: Position,
}

/// Puts away what the writer hands over.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) engine: Engine,
    pub(crate) runs: Arc<Runs>,
    pub(crate) observer: Arc<dyn Observer>,
}

/// Puts away what a writer hands over.
pub(crate) trait Keeps {
    /// What it is handed.
    type Flush;
    /// What it puts away, for the log of the node.
    const WHAT: &'static str;

    /// Puts everything up to a position where it belongs.
    fn checkpoint(&self, flush: &mut Self::Flush) -> Result<(), Error>;
}

/// Serves a writer until it is gone, for as long as the disk is full again and again.
pub(crate) fn keep<K: Keeps>(
    keeper: &K,
    flushes: &Receiver<K::Flush>,
    health: &Health,
    closing: &AtomicBool,
) {
    let what = K::WHAT;
    for mut flush in flushes {
        let mut told = false;
        while let Err(error) = keeper.checkpoint(&mut flush) {
            if !error.is_full() {
                // Nothing is known of what a failed sync left behind, so nothing is tried again.
                health.fail(&format!("a checkpoint of {what} failed: {}", error.chain()));
                return;
            }
            if !told {
                tracing::warn!(error = %error.chain(), what, "no room for a checkpoint");
                told = true;
            }
            if closing.load(Ordering::Acquire) {
                return;
            }
            thread::sleep(RETRY);
        }
    }
}

/// A full disk is met here, before so many bytes are written.
pub(crate) fn room(disk: &dyn Disk, bytes: u64) -> Result<(), Error> {
    let needed = bytes + SLACK;
    let free = disk.free_bytes()?;
    if free < needed {
        let why = format!("{needed} bytes are needed for a checkpoint, {free} are free");
        return Err(std::io::Error::new(std::io::ErrorKind::StorageFull, why).into());
    }
    Ok(())
}

/// Merges the sorted files that are due; `set` records which there are then.
pub(crate) fn merge(
    disk: &dyn Disk,
    runs: &Runs,
    what: &'static str,
    set: impl Fn(&[u64]) -> Result<(), Error>,
) -> Result<(), Error> {
    let all = || -> Result<(), Error> {
        while let Some(pairs) = runs.due() {
            room(disk, 2 * 16 * pairs)?;
            let Some((merged, replaced)) = runs.merged()? else { break };
            set(&merged.numbers())?;
            runs.publish(merged);
            runs.remove(&replaced)?;
        }
        Ok(())
    };
    match all() {
        // Everything is where it belongs; the next checkpoint merges.
        Err(error) if error.is_full() => {
            tracing::warn!(error = %error.chain(), what, "no room to merge files");
            Ok(())
        }
        merged => merged,
    }
}

impl Keeps for Keeper {
    type Flush = Flush;
    const WHAT: &'static str = "ingest";

    /// Puts everything up to a position where it belongs, cuts the log, and merges what is due.
    fn checkpoint(&self, flush: &mut Flush) -> Result<(), Error> {
        let began = Instant::now();
        let Flush { fresh, position } = flush;
        room(&*self.disk, 2 * 16 * fresh.pairs.len() as u64)?;
        let set = self.runs.with(&mut fresh.pairs, fresh.next_id - 1)?;
        tables::checkpoint(&self.engine, *position, fresh, &set.numbers())?;
        self.runs.publish(set);
        // They are put away: should the rest fail and be tried again, they must not be once more.
        fresh.pairs = Vec::new();
        log::cut(&*self.disk, *position)?;
        self.observer.checkpointed(began.elapsed());
        merge(&*self.disk, &self.runs, "ingest", |runs| tables::set_runs(&self.engine, runs))
    }
}
