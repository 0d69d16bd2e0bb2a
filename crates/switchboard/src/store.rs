//! From options to a store.

use std::{sync::Arc, time::Duration};

use switchboard_core::{
    bus::Log,
    chat::Chats,
    ingest::Ledger,
    presence::Journal,
    store::{Observer, Store},
    time::{Clock, Forward},
    vault::Records,
};
use switchboard_embedded::{Embedded, disk::LocalDisk};
use switchboard_postgres::{DatabaseClock, Postgres};
use tokio::time;

use crate::{Failure, clock::SystemClock, command::serve::Options};

/// How long a database may take to answer what it was asked before the node stopped.
const CLOSE: Duration = Duration::from_secs(5);

const MIB: usize = 1024 * 1024;

/// The longest file of chat's log, in bytes.
const CHAT_SEGMENT_MAX: usize = 32 * MIB;

/// The shortest and the longest file of the vault's log, in bytes: more than twice the longest
/// record, and what it has by itself.
const VAULT_SEGMENT: (usize, usize) = (3 * MIB, 32 * MIB);

/// The same of the bus's, for the longest event.
const BUS_SEGMENT: (usize, usize) = (3 * MIB, 32 * MIB);

/// A store that was opened: its ports, and what is to be closed in the end.
pub(crate) struct Opened {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) chats: Arc<dyn Chats>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) records: Arc<dyn Records>,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) store: Arc<dyn Store>,
    /// The time by which all nodes that share the store act.
    pub(crate) clock: Arc<dyn Clock>,
    kept: Kept,
}

enum Kept {
    Here(Arc<Embedded>),
    There(Postgres),
}

impl Opened {
    /// The cluster that this node is one of, if the store is one that nodes share.
    pub(crate) fn cluster(&self) -> Option<&str> {
        match &self.kept {
            Kept::Here(_) => None,
            Kept::There(store) => Some(&store.cluster),
        }
    }

    /// Ends in good order: what was acknowledged is put away.
    pub(crate) async fn close(self) {
        match self.kept {
            Kept::Here(store) => {
                let _ = tokio::task::spawn_blocking(move || store.close()).await;
            }
            Kept::There(store) => {
                // A database that is away keeps nobody.
                let _ = time::timeout(CLOSE, store.close()).await;
            }
        }
    }
}

/// Whether an address names a store that nodes share.
pub(crate) fn is_shared(address: &str) -> bool {
    ["postgres://", "postgresql://"].iter().any(|scheme| address.starts_with(scheme))
}

/// Opens the store that the options name.
///
/// # Errors
///
/// A sentence that says what to do: another process has the directory, it is damaged, or the
/// database is not one that can be used.
pub(crate) async fn open(
    options: &Options,
    observer: Arc<dyn Observer>,
) -> Result<Opened, Failure> {
    if is_shared(&options.nodes.store) {
        return open_shared(&options.nodes.store, observer).await;
    }
    let store = open_embedded(options, observer).await?;
    Ok(Opened {
        ledger: Arc::clone(&store) as _,
        chats: Arc::clone(&store) as _,
        journal: Arc::clone(&store) as _,
        records: Arc::clone(&store) as _,
        log: Arc::clone(&store) as _,
        store: Arc::clone(&store) as _,
        clock: Arc::new(Forward::new(SystemClock)),
        kept: Kept::Here(store),
    })
}

async fn open_shared(address: &str, observer: Arc<dyn Observer>) -> Result<Opened, Failure> {
    let options = switchboard_postgres::Options {
        clock: Some(Arc::new(SystemClock)),
        ..switchboard_postgres::Options::default()
    };
    let store = Postgres::open(address, options, observer)
        .await
        .map_err(|error| Failure::failed(error.to_string()))?;
    // Nodes that share a store agree on the time, however their own clocks are set.
    let clock = DatabaseClock::new(SystemClock, Arc::clone(&store.offset));
    Ok(Opened {
        ledger: Arc::clone(&store.ledger) as _,
        chats: Arc::clone(&store.chats) as _,
        journal: Arc::clone(&store.journal) as _,
        records: Arc::clone(&store.records) as _,
        log: Arc::clone(&store.log) as _,
        store: Arc::clone(&store.store),
        clock: Arc::new(Forward::new(clock)),
        kept: Kept::There(store),
    })
}

async fn open_embedded(
    options: &Options,
    observer: Arc<dyn Observer>,
) -> Result<Arc<Embedded>, Failure> {
    let folder = options.data_dir.clone();
    let mut entropy = [0; 8];
    getrandom::fill(&mut entropy)
        .map_err(|error| Failure::failed(format!("the machine gives no random number: {error}")))?;
    let segment_bytes = options.log_segment_mib as usize * MIB;
    let options = switchboard_embedded::Options {
        segment_bytes,
        ingest_memory_bytes: options.ingest_memory_mib as usize * MIB,
        flush_keys: options.checkpoint_keys.max(1) as usize,
        // As large as the log's, up to what it has by itself.
        chat_segment_bytes: segment_bytes.min(CHAT_SEGMENT_MAX),
        chat_memory_bytes: options.chat_memory_mib as usize * MIB / 2,
        chat_cache_bytes: options.chat_memory_mib as usize * MIB / 2,
        chat_flush_entries: options.checkpoint_messages.max(1) as usize,
        vault_segment_bytes: segment_bytes.clamp(VAULT_SEGMENT.0, VAULT_SEGMENT.1),
        vault_flush_bytes: options.vault.checkpoint_vault_mib as usize * MIB,
        bus_segment_bytes: segment_bytes.clamp(BUS_SEGMENT.0, BUS_SEGMENT.1),
        bus_flush_bytes: options.bus.checkpoint_bus_mib as usize * MIB,
        bus_memory_bytes: options.bus.bus_memory_mib as usize * MIB / 2,
        bus_cache_bytes: options.bus.bus_memory_mib as usize * MIB / 2,
        entropy: u64::from_le_bytes(entropy),
        ..switchboard_embedded::Options::default()
    };
    let opened = tokio::task::spawn_blocking(move || {
        let disk = LocalDisk::open(&folder).map_err(|error| error.to_string())?;
        Embedded::open(Arc::new(disk), &options, observer).map_err(|error| error.chain())
    });
    match opened.await {
        Ok(opened) => opened.map(Arc::new).map_err(Failure::failed),
        Err(_) => Err(Failure::failed("a defect: the store panicked while it was opened")),
    }
}
