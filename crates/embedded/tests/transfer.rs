//! A directory tells everything that it holds, and takes everything that another store tells.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

use std::sync::Arc;

use switchboard_contract::transfer::{Ports, Vessel};
use switchboard_core::{
    store::Unobserved,
    transfer::{Archive, Destination},
};
use switchboard_embedded::{Embedded, Error, Options, disk::LocalDisk, transfer::AtRest};
use tempfile::TempDir;

struct Directory(TempDir);

impl Directory {
    fn disk(&self) -> Arc<LocalDisk> {
        Arc::new(LocalDisk::open(self.0.path()).unwrap())
    }
}

/// Small, so that the suite meets the ends of segments and checkpoints.
fn small() -> Options {
    Options {
        segment_bytes: 64 * 1024,
        reports_segment_bytes: 64 * 1024,
        chat_segment_bytes: 128 * 1024,
        chat_flush_entries: 30,
        flush_keys: 20,
        vault_segment_bytes: 64 * 1024,
        vault_flush_bytes: 20_000,
        bus_segment_bytes: 128 * 1024,
        bus_flush_bytes: 10_000,
        entropy: 7,
        ..Options::default()
    }
}

impl Vessel for Directory {
    async fn empty() -> Self {
        Self(TempDir::new().unwrap())
    }

    async fn destination(&self) -> Arc<dyn Destination> {
        Arc::new(AtRest::to_be_filled(self.disk(), small()))
    }

    async fn archive(&self) -> Arc<dyn Archive> {
        Arc::new(AtRest::open(self.disk(), small()).unwrap())
    }

    async fn serve(&self) -> Ports {
        let store = Embedded::open(self.disk(), &small(), Arc::new(Unobserved)).unwrap();
        Ports::of(&Arc::new(store))
    }
}

switchboard_contract::transfer!(Directory);

#[tokio::test]
async fn a_directory_that_is_not_finished_is_not_served() {
    let directory = Directory::empty().await;
    let destination = directory.destination().await;
    destination.begin("another store").await.unwrap();
    drop(destination);
    let served = Embedded::open(directory.disk(), &small(), Arc::new(Unobserved));
    assert!(matches!(served, Err(Error::Unfinished)));
    assert!(matches!(AtRest::open(directory.disk(), small()), Err(Error::Unfinished)));
}

#[test]
fn a_directory_without_a_store_is_none() {
    let directory = TempDir::new().unwrap();
    let disk = Arc::new(LocalDisk::open(directory.path()).unwrap());
    assert!(matches!(AtRest::open(disk, small()), Err(Error::Missing)));
}
