//! The start: from what is on disk to a store that can serve.

use std::{sync::Arc, time::Instant};

use switchboard_core::store::Observer;

use crate::{
    Error, Options,
    commit::{Group, Writer},
    disk::{Disk, Folder},
    engine::Engine,
    health::Health,
    ingest::{Ledger, Seed, tables},
    keeper::Keeper,
    log::{self, Layout, Log, Position, Spare},
    slots::Runs,
};

/// The folder of the ledger's sorted files.
const INGEST: &str = "ingest";

/// The parts of a store, each to be driven by a thread of its own.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) writer: Writer,
    pub(crate) keeper: Keeper,
    pub(crate) spare: Spare,
    pub(crate) health: Arc<Health>,
}

/// Opens what is there, or makes it.
pub(crate) fn open(
    disk: Arc<dyn Disk>,
    options: &Options,
    observer: Arc<dyn Observer>,
) -> Result<Parts, Error> {
    let began = Instant::now();
    let layout = Layout { segment_bytes: options.segment_bytes / 8 * 8, entropy: options.entropy };
    if !Engine::exists(&*disk)? {
        create(&disk, layout)?;
    }
    let engine = Engine::open(Arc::clone(&disk))?;
    let known = tables::known(&engine)?;
    // Of the bound, a quarter is for the filters of the sorted files, once they are needed.
    let filter_bytes = options.ingest_memory_bytes / 4;
    let flushed_id = known.next_id - 1;
    let kept = (flushed_id.saturating_sub(known.gaps), flushed_id);
    let runs = Runs::open(runs_of(&disk), &known.runs, kept, filter_bytes as u64).map(Arc::new)?;
    let mut ledger = Ledger::new(
        Seed(known.seed),
        known.tenants,
        (known.next_id, known.gaps),
        Arc::clone(&runs),
        options.ingest_memory_bytes - filter_bytes,
    )?;
    observer.recovered("snapshot", began.elapsed());

    let began = Instant::now();
    let (log, torn_bytes) =
        Log::open(Arc::clone(&disk), layout, known.position, |_, _, payload| {
            ledger.replay(payload)
        })?;
    // Only now: a directory that can't be opened stays as it is.
    runs.remove_unknown()?;
    observer.recovered("replay", began.elapsed());
    tracing::info!(
        keys = ledger.keys(),
        replayed = ledger.fresh_len(),
        torn_bytes,
        "the store is open"
    );

    let spare = log.spare();
    let health = Arc::new(Health::new());
    let writer = Writer {
        log,
        ledger,
        gate: health.gate(&spare),
        health: Arc::clone(&health),
        observer: Arc::clone(&observer),
        payload_max: layout.payload_max(),
        flush_keys: options.flush_keys,
        group: Group::default(),
    };
    writer.publish();
    Ok(Parts { writer, keeper: Keeper { disk, engine, runs, observer }, spare, health })
}

/// Where the ledger's sorted files are.
pub(crate) fn runs_of(disk: &Arc<dyn Disk>) -> Arc<dyn Disk> {
    Arc::new(Folder::of(Arc::clone(disk), INGEST))
}

/// Makes an empty store. The engine's file comes last and whole: where there is none, nothing was
/// ever acknowledged.
fn create(disk: &Arc<dyn Disk>, layout: Layout) -> Result<(), Error> {
    if Runs::any(&*runs_of(disk)) || log::exists(&**disk) && log::holds_records(&**disk)? {
        let what = "engine.redb is missing, but there is what belongs to it";
        return Err(Error::Corrupt(what.to_owned()));
    }
    Folder::open(Arc::clone(disk), INGEST)?;
    log::create(&**disk, layout)?;
    tables::create(&**disk, layout.seed(), Position { sequence: 0, segment: 1 })
}
