//! The contracts of the ports, on a directory of the machine's own file system.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

use std::{future, sync::Arc};

use switchboard_contract::chats::interleavings_over_restarts;
use switchboard_core::{chat::Chats, ingest::Ledger, presence::Journal, store::Unobserved};
use switchboard_embedded::{Embedded, Options, disk::LocalDisk};
use tempfile::TempDir;

/// A port of a store with its directory, which goes when it does.
struct Opened<P: ?Sized>(Arc<P>, TempDir);

impl<P: ?Sized> AsRef<Arc<P>> for Opened<P> {
    fn as_ref(&self) -> &Arc<P> {
        &self.0
    }
}

fn store() -> (Arc<Embedded>, TempDir) {
    let folder = TempDir::new().unwrap();
    let disk = Arc::new(LocalDisk::open(folder.path()).unwrap());
    (Arc::new(Embedded::open(disk, &small(), Arc::new(Unobserved)).unwrap()), folder)
}

/// Small, so that the suite meets the ends of segments and checkpoints.
fn small() -> Options {
    Options {
        segment_bytes: 64 * 1024,
        reports_segment_bytes: 64 * 1024,
        chat_segment_bytes: 128 * 1024,
        chat_flush_entries: 30,
        flush_keys: 20,
        ..Options::default()
    }
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

fn chats() -> future::Ready<Opened<dyn Chats>> {
    let (store, folder) = store();
    future::ready(Opened(store as Arc<dyn Chats>, folder))
}

switchboard_contract::chats!(chats);

/// What was opened before is closed, its directory stays.
async fn reopened(before: Option<Opened<dyn Chats>>) -> Opened<dyn Chats> {
    let folder = match before {
        Some(Opened(store, folder)) => {
            drop(store);
            folder
        }
        None => TempDir::new().unwrap(),
    };
    let disk = Arc::new(LocalDisk::open(folder.path()).unwrap());
    let store = Embedded::open(disk, &small(), Arc::new(Unobserved)).unwrap();
    Opened(Arc::new(store) as Arc<dyn Chats>, folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_interleaving_survives_restarts() {
    for seed in [1, 2, 3] {
        interleavings_over_restarts(seed, reopened).await;
    }
}
