//! The contracts of the ports, on a directory of the machine's own file system.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

use std::{future, sync::Arc};

use switchboard_core::{ingest::Ledger, store::Unobserved};
use switchboard_embedded::{Embedded, Options, disk::LocalDisk};
use tempfile::TempDir;

/// A store with its directory, which goes when it does.
struct Opened(Arc<dyn Ledger>, #[expect(dead_code, reason = "held, not read")] TempDir);

impl AsRef<Arc<dyn Ledger>> for Opened {
    fn as_ref(&self) -> &Arc<dyn Ledger> {
        &self.0
    }
}

fn open() -> future::Ready<Opened> {
    let folder = TempDir::new().unwrap();
    let disk = Arc::new(LocalDisk::open(folder.path()).unwrap());
    // Small, so that the suite meets the ends of segments and checkpoints.
    let options = Options { segment_bytes: 64 * 1024, flush_keys: 20, ..Options::default() };
    let store = Embedded::open(disk, &options, Arc::new(Unobserved)).unwrap();
    future::ready(Opened(Arc::new(store), folder))
}

switchboard_contract::ledger!(open, gapless);
