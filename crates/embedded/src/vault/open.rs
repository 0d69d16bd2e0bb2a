//! The start: from what is on disk to a vault that can be served.

use std::{sync::Arc, time::Instant};

use switchboard_core::store::Observer;

use super::{
    FOLDER, Front, Keeper, Writer,
    entry::{self, Entry},
    reader::{Shared, State},
    recent::{Generation, Happened, Kept},
    tables::{self, Tables},
    writer::Group,
};
use crate::{
    Error, Options,
    disk::{Disk, Folder},
    engine::Engine,
    health::Health,
    log::{self, Layout, Log, Position, Spare},
    queue::Queue,
};

/// The parts of the vault, each to be driven by a thread of its own, and the way to them.
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
    let segment_bytes = options.vault_segment_bytes / 8 * 8;
    let layout = Layout { segment_bytes, entropy: options.entropy };
    let disk: Arc<dyn Disk> = Arc::new(Folder::open(Arc::clone(whole), FOLDER)?);
    if !Engine::exists(&*disk)? {
        create(&disk, layout)?;
    }
    let engine = Engine::open(Arc::clone(&disk))?;
    let known = tables::known(&engine)?;
    let state = State {
        current: Generation::default(),
        flushing: None,
        tables: Arc::new(Tables::open(&engine)?),
        cards: known.cards.into_iter().collect(),
    };
    let shared = Arc::new(Shared::new(state));
    let (log, torn_bytes) =
        Log::open(Arc::clone(&disk), layout, known.position, |position, _, payload| {
            replay(&shared, position, payload)
        })?;
    let (replayed, took) = (shared.read().current.records.len(), began.elapsed());
    tracing::info!(replayed, torn_bytes, ?took, "the vault is open");

    let spare = log.spare();
    let queue = Arc::new(Queue::new(options.waiting_entries_max));
    let front = Front { queue, shared: Arc::clone(&shared) };
    let keeper =
        Keeper { disk, engine, shared: Arc::clone(&shared), observer: Arc::clone(&observer) };
    let writer = Writer {
        log,
        shared,
        gate: health.gate(&spare),
        health: Arc::clone(health),
        observer,
        payload_max: layout.payload_max(),
        flush_bytes: options.vault_flush_bytes,
        group: Group::default(),
        tidy: false,
    };
    Ok(Parts { writer, keeper, spare, front })
}

/// Does one record of the log again.
fn replay(shared: &Shared, position: Position, payload: &[u8]) -> Result<(), Error> {
    let damaged = || {
        let what = format!("record {} of the vault's log can't be read", position.sequence);
        Error::Corrupt(what)
    };
    let mut state = shared.change();
    let mut rest = payload;
    while !rest.is_empty() {
        let (entry, behind) = entry::read_entry(rest).ok_or_else(damaged)?;
        rest = behind;
        match entry {
            Entry::Put { key, record } => {
                state.apply(Happened::Place(key.into(), Kept::Record(record.into())));
            }
            Entry::Delete { key, version } => {
                let (tenant, _) = entry::read_key(key).ok_or_else(damaged)?;
                let mut card = state.cards.get(&tenant).cloned().unwrap_or_default();
                card.removed = card.removed.max(version);
                state.apply(Happened::Card(tenant, card));
                state.apply(Happened::Place(key.into(), Kept::Nothing));
            }
            Entry::Removed { tenant, version } => {
                let mut card = state.cards.get(&tenant).cloned().unwrap_or_default();
                card.removed = card.removed.max(version);
                state.apply(Happened::Card(tenant, card));
            }
            Entry::Profile { tenant, profile } => {
                let mut card = state.cards.get(&tenant).cloned().unwrap_or_default();
                card.add(profile);
                state.apply(Happened::Card(tenant, card));
            }
        }
    }
    Ok(())
}

/// Makes the vault's part of a store. The engine's file comes last and whole: where there is none,
/// nothing was ever acknowledged.
fn create(disk: &Arc<dyn Disk>, layout: Layout) -> Result<(), Error> {
    if log::exists(&**disk) && log::holds_records(&**disk)? {
        let what = "vault/engine.redb is missing, but there is what belongs to it";
        return Err(Error::Corrupt(what.to_owned()));
    }
    log::create(&**disk, layout)?;
    tables::create(&**disk, Position { sequence: 0, segment: 1 })
}

/// What the vault takes on disk, in bytes.
pub(crate) fn size(whole: &Arc<dyn Disk>, segment_bytes: usize) -> u64 {
    let disk: Arc<dyn Disk> = Arc::new(Folder::of(Arc::clone(whole), FOLDER));
    let layout = Layout { segment_bytes, entropy: 0 };
    log::size(&*disk, layout) + Engine::size(&*disk)
}
