//! The start: from what is on disk to a bus that can be served.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use switchboard_core::{Tenant, bus::TIMED_OUT, store::Observer};

use super::{
    FOLDER, Front, Keeper, Writer,
    queues::Queues,
    reader::{Shared, State},
    replay::Replay,
    tables,
    writer::{Fresh, Group, Head},
};
use crate::{
    Error, Options,
    disk::{Disk, Folder},
    engine::Engine,
    health::Health,
    log::{self, Layout, Log, Position, Spare},
    queue::Queue,
    slots::{self, Names, Runs},
    tenants::Tenants,
};

/// The folder of the sorted files of keys, within the bus's own.
const KEYS: &str = "keys";

/// The parts of the bus, each to be driven by a thread of its own, and the way to them.
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
    let segment_bytes = options.bus_segment_bytes / 8 * 8;
    let layout = Layout { segment_bytes, entropy: options.entropy };
    let disk: Arc<dyn Disk> = Arc::new(Folder::open(Arc::clone(whole), FOLDER)?);
    if !Engine::exists(&*disk)? {
        create(&disk, layout)?;
    }
    let engine = Engine::open(Arc::clone(&disk))?;
    let known = tables::known(&engine)?;
    let filter_bytes = options.bus_memory_bytes / 4;
    let runs = Arc::new(Runs::open(
        keys_of(&disk),
        &known.runs,
        (known.keyed, known.numbers),
        filter_bytes as u64,
    )?);
    let memory_bytes = options.bus_memory_bytes - filter_bytes;
    let names = Names::load(Arc::clone(&runs), memory_bytes, known.seed)?;
    let mut replay = begin(known.tenants, &known.heads, names);
    (replay.fresh.numbers, replay.fresh.keyed) = (known.numbers, known.keyed);
    let (log, torn_bytes) =
        Log::open(Arc::clone(&disk), layout, known.position, |position, _, payload| {
            replay.payload(position, payload)
        })?;
    // Only now: a directory that can't be opened stays as it is.
    runs.remove_unknown()?;
    for tenant in replay.queues.tenants() {
        replay.queues.forget_expired(tenant, &replay.shared);
    }
    let Replay { tenants, heads, names, queues, shared, fresh, .. } = replay;
    let (took, events) = (began.elapsed(), fresh.numbers);
    let replayed = shared.read().current.events;
    tracing::info!(events, replayed, torn_bytes, ?took, "the bus is open");

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
        heads,
        names,
        queues,
        timed_out: TIMED_OUT.into(),
        shared,
        listener,
        gate: health.gate(&spare),
        health: Arc::clone(health),
        observer,
        payload_max: layout.payload_max(),
        flush_bytes: options.bus_flush_bytes,
        group: Group::default(),
        fresh,
        loading: Vec::new(),
    };
    Ok(Parts { writer, keeper, spare, front })
}

/// What the last checkpoint left, for the log to be replayed upon.
fn begin(tenants: Vec<Tenant>, known: &[(u32, u64, i64)], names: Names) -> Replay {
    let mut state = State::default();
    let mut heads: Vec<Head> = Vec::with_capacity(tenants.len());
    for tenant in &tenants {
        state.define(*tenant);
        heads.push(Head::new(*tenant));
    }
    for &(tenant, newest, at) in known {
        if let Some(head) = heads.get_mut(tenant as usize) {
            (head.newest, head.durable, head.at) = (newest, newest, at);
            state.newest[tenant as usize] = newest;
        }
    }
    let tenants = Tenants::new(tenants);
    let fresh = Fresh { tenants_from: tenants.count(), ..Fresh::default() };
    Replay {
        tenants,
        heads,
        names,
        queues: Queues::default(),
        shared: Arc::new(Shared::new(state)),
        fresh,
        run: Vec::new(),
    }
}

/// Where the sorted files are.
fn keys_of(disk: &Arc<dyn Disk>) -> Arc<dyn Disk> {
    Arc::new(Folder::of(Arc::clone(disk), KEYS))
}

/// Makes the bus's part of a store. The engine's file comes last and whole: where there is none,
/// nothing was ever acknowledged.
fn create(disk: &Arc<dyn Disk>, layout: Layout) -> Result<(), Error> {
    if Runs::any(&*keys_of(disk)) || log::exists(&**disk) && log::holds_records(&**disk)? {
        let what = "bus/engine.redb is missing, but there is what belongs to it";
        return Err(Error::Corrupt(what.to_owned()));
    }
    Folder::open(Arc::clone(disk), KEYS)?;
    log::create(&**disk, layout)?;
    tables::create(&**disk, layout.seed(), Position { sequence: 0, segment: 1 })
}

/// What the bus takes on disk, in bytes.
pub(crate) fn size(whole: &Arc<dyn Disk>, segment_bytes: usize) -> u64 {
    let disk: Arc<dyn Disk> = Arc::new(Folder::of(Arc::clone(whole), FOLDER));
    let layout = Layout { segment_bytes, entropy: 0 };
    log::size(&*disk, layout) + slots::size(&*keys_of(&disk)) + Engine::size(&*disk)
}
