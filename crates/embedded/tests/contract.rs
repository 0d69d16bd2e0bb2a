//! The contracts of the ports, on a directory of the machine's own file system.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

use std::{future, sync::Arc};

use switchboard_contract::{chats, log, records};
use switchboard_core::{
    bus::Log, chat::Chats, ingest::Ledger, presence::Journal, store::Unobserved, vault::Records,
};
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
        vault_flush_bytes: 20_000,
        bus_flush_bytes: 10_000,
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

fn vault() -> future::Ready<Opened<dyn Records>> {
    let (store, folder) = store();
    future::ready(Opened(store as Arc<dyn Records>, folder))
}

/// Apart, since some of its promises have the names of others.
mod of_records {
    use super::vault;

    switchboard_contract::records!(vault);
}

fn events() -> future::Ready<Opened<dyn Log>> {
    let (store, folder) = store();
    future::ready(Opened(store as Arc<dyn Log>, folder))
}

/// Apart too.
mod of_events {
    use super::events;

    switchboard_contract::log!(events);
}

/// What was opened before is closed, its directory stays.
fn reopened<P: ?Sized>(before: Option<Opened<P>>) -> (Arc<Embedded>, TempDir) {
    let folder = match before {
        Some(Opened(store, folder)) => {
            drop(store);
            folder
        }
        None => TempDir::new().unwrap(),
    };
    let disk = Arc::new(LocalDisk::open(folder.path()).unwrap());
    (Arc::new(Embedded::open(disk, &small(), Arc::new(Unobserved)).unwrap()), folder)
}

async fn reopened_chats(before: Option<Opened<dyn Chats>>) -> Opened<dyn Chats> {
    let (store, folder) = reopened(before);
    Opened(store as Arc<dyn Chats>, folder)
}

async fn reopened_records(before: Option<Opened<dyn Records>>) -> Opened<dyn Records> {
    let (store, folder) = reopened(before);
    Opened(store as Arc<dyn Records>, folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_interleaving_of_chats_survives_restarts() {
    for seed in [1, 2, 3] {
        chats::interleavings_over_restarts(seed, reopened_chats).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_interleaving_of_records_survives_restarts() {
    for seed in [1, 2, 3] {
        records::interleavings_over_restarts(seed, reopened_records).await;
    }
}

async fn reopened_events(before: Option<Opened<dyn Log>>) -> Opened<dyn Log> {
    let (store, folder) = reopened(before);
    Opened(store as Arc<dyn Log>, folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_interleaving_of_events_survives_restarts() {
    for seed in [1, 2, 3] {
        log::interleavings_over_restarts(seed, reopened_events).await;
    }
}
