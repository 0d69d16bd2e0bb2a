//! The start: from what is on disk to chats that can be served.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use switchboard_core::store::Observer;

use super::{
    FOLDER, Front, Keeper, Writer,
    heads::Heads,
    reader::{Shared, State},
    recent::Recent,
    replay::Replay,
    tables::{self, Tables},
    writer::Fresh,
};
use crate::{
    Error, Options,
    disk::{Disk, Folder},
    engine::Engine,
    health::Health,
    log::{self, Archive, Layout, Log, Position, Spare},
    queue::Queue,
    slots::{self, Names, Runs},
    tenants::Tenants,
};

/// The folder of the sorted files, within chat's own.
const NAMES: &str = "names";

/// The parts of chat, each to be driven by a thread of its own, and the way to them.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) writer: Writer,
    pub(crate) keeper: Keeper,
    pub(crate) spare: Spare,
    pub(crate) front: Front,
}

/// Opens what is there, or makes it.
pub(crate) fn open(
    whole: &Arc<dyn Disk>,
    options: &Options,
    health: &Arc<Health>,
    observer: Arc<dyn Observer>,
) -> Result<Parts, Error> {
    let began = Instant::now();
    let segment_bytes = options.chat_segment_bytes / 8 * 8;
    let layout = Layout { segment_bytes, entropy: options.entropy };
    let disk: Arc<dyn Disk> = Arc::new(Folder::open(Arc::clone(whole), FOLDER)?);
    if !Engine::exists(&*disk)? {
        create(&disk, layout)?;
    }
    let engine = Engine::open(Arc::clone(&disk))?;
    let known = tables::known(&engine)?;
    let filter_bytes = options.chat_memory_bytes / 4;
    let runs = Arc::new(Runs::open(
        names_of(&disk),
        &known.runs,
        (known.sent, known.last),
        filter_bytes as u64,
    )?);
    let memory_bytes = options.chat_memory_bytes - filter_bytes;
    let names = Names::load(Arc::clone(&runs), memory_bytes, known.seed)?;
    let state = State {
        recent: Recent::default(),
        tables: Arc::new(Tables::open(&engine)?),
        last: known.last,
        newest: None,
    };
    let archive = Archive::new(Arc::clone(&disk), options.chat_cache_bytes);
    let shared = Arc::new(Shared::new(state, &known.tenants, archive));
    let tenants = Tenants::new(known.tenants);
    let fresh = Fresh { tenants_from: tenants.count(), sent: known.sent, ..Fresh::default() };
    let heads = Heads::new(Arc::clone(&shared));
    let mut replay = Replay { tenants, names, heads, shared, fresh };
    let (log, torn_bytes) =
        Log::open(Arc::clone(&disk), layout, known.position, |_, at, payload| {
            replay.payload(at, payload)
        })?;
    // Only now: a directory that can't be opened stays as it is.
    runs.remove_unknown()?;
    let Replay { tenants, names, heads, shared, fresh } = replay;
    let took = began.elapsed();
    let (messages, replayed) = (fresh.sent, shared.read().recent.current.entries);
    tracing::info!(messages, replayed, torn_bytes, ?took, "chats are open");

    shared.archive.settle(log.next_payload());
    let spare = log.spare();
    let listener = Arc::new(Mutex::new(None));
    let front = Front {
        queue: Arc::new(Queue::new(options.waiting_entries_max)),
        shared: Arc::clone(&shared),
        listener: Arc::clone(&listener),
    };
    let keeper =
        Keeper { disk, engine, runs, shared: Arc::clone(&shared), observer: Arc::clone(&observer) };
    let writer = Writer {
        log,
        tenants,
        names,
        heads,
        shared,
        listener,
        gate: health.gate(&spare),
        health: Arc::clone(health),
        observer,
        payload_max: layout.payload_max(),
        flush_entries: options.chat_flush_entries,
        group: super::writer::Group::default(),
        fresh,
    };
    Ok(Parts { writer, keeper, spare, front })
}

/// Where the sorted files are.
fn names_of(disk: &Arc<dyn Disk>) -> Arc<dyn Disk> {
    Arc::new(Folder::of(Arc::clone(disk), NAMES))
}

/// Makes chat's part of a store. The engine's file comes last and whole: where there is none,
/// nothing was ever acknowledged.
fn create(disk: &Arc<dyn Disk>, layout: Layout) -> Result<(), Error> {
    if Runs::any(&*names_of(disk)) || log::exists(&**disk) && log::holds_records(&**disk)? {
        let what = "chat/engine.redb is missing, but there is what belongs to it";
        return Err(Error::Corrupt(what.to_owned()));
    }
    Folder::open(Arc::clone(disk), NAMES)?;
    log::create(&**disk, layout)?;
    tables::create(&**disk, layout.seed(), Position { sequence: 0, segment: 1 })
}

/// What chat takes on disk, in bytes.
pub(crate) fn size(whole: &Arc<dyn Disk>, segment_bytes: usize) -> u64 {
    let disk: Arc<dyn Disk> = Arc::new(Folder::of(Arc::clone(whole), FOLDER));
    let layout = Layout { segment_bytes, entropy: 0 };
    log::size(&*disk, layout) + slots::size(&*names_of(&disk)) + Engine::size(&*disk)
}
