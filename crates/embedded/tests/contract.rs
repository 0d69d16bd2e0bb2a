//! The contracts of the ports, on a directory of the machine's own file system.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

use std::{future, sync::Arc};

use switchboard_core::{ingest::Ledger, presence::Journal, store::Unobserved};
use switchboard_embedded::{Embedded, Options, disk::LocalDisk};
use tempfile::TempDir;

/// A port of a store with its directory, which goes when it does.
struct Opened<P: ?Sized>(Arc<P>, #[expect(dead_code, reason = "held, not read")] TempDir);

impl<P: ?Sized> AsRef<Arc<P>> for Opened<P> {
    fn as_ref(&self) -> &Arc<P> {
        &self.0
    }
}

fn store() -> (Arc<Embedded>, TempDir) {
    let folder = TempDir::new().unwrap();
    let disk = Arc::new(LocalDisk::open(folder.path()).unwrap());
    // Small, so that the suite meets the ends of segments and checkpoints.
    let options = Options {
        segment_bytes: 64 * 1024,
        reports_segment_bytes: 64 * 1024,
        flush_keys: 20,
        ..Options::default()
    };
    (Arc::new(Embedded::open(disk, &options, Arc::new(Unobserved)).unwrap()), folder)
}

fn ledger() -> future::Ready<Opened<dyn Ledger>> {
    let (store, folder) = store();
    future::ready(Opened(store as Arc<dyn Ledger>, folder))
}

fn journal() -> future::Ready<Opened<dyn Journal>> {
    let (store, folder) = store();
    future::ready(Opened(store as Arc<dyn Journal>, folder))
}

switchboard_contract::ledger!(ledger, gapless);
switchboard_contract::journal!(journal);
