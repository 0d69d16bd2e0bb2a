//! From options to a store.

use std::sync::Arc;

use switchboard_core::store::Observer;
use switchboard_embedded::{Embedded, disk::LocalDisk};

use crate::{Failure, command::serve::Options};

const MIB: usize = 1024 * 1024;

/// The longest file of chat's log, in bytes.
const CHAT_SEGMENT_MAX: usize = 32 * MIB;

/// The shortest and the longest file of the vault's log, in bytes: more than twice the longest
/// record, and what it has by itself.
const VAULT_SEGMENT: (usize, usize) = (3 * MIB, 32 * MIB);

/// The same of the bus's, for the longest event.
const BUS_SEGMENT: (usize, usize) = (3 * MIB, 32 * MIB);

/// Opens the store that the options name.
///
/// # Errors
///
/// A sentence that says what to do: another process has the directory, it is damaged, or the store
/// is not one that this program has.
pub(crate) async fn open(
    options: &Options,
    observer: Arc<dyn Observer>,
) -> Result<Arc<Embedded>, Failure> {
    if options.store != "embedded" {
        return Err(Failure::usage(format!(
            "there is no store {:?}: this program has embedded, a directory of this machine",
            options.store
        )));
    }
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
