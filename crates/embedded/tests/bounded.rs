//! More keys than the memory for them holds.
#![expect(clippy::unwrap_used, reason = "a test; clippy only knows the bodies of #[test]")]

use std::{
    future::Future,
    path::Path,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use switchboard_core::{
    ingest::{Entry, Key, Ledger as _, Receipt},
    store::{Store as _, Unobserved},
};
use switchboard_embedded::{Embedded, Options, disk::LocalDisk};

const KEYS: u32 = 200_000;
const BATCH: u32 = 1_000;
const MEMORY: usize = 64 * 1024;
const FLUSH: usize = 5_000;

fn open(folder: &Path) -> Embedded {
    let options = Options {
        segment_bytes: 256 * 1024,
        ingest_memory_bytes: MEMORY,
        flush_keys: FLUSH,
        ..Options::default()
    };
    Embedded::open(Arc::new(LocalDisk::open(folder).unwrap()), &options, Arc::new(Unobserved))
        .unwrap()
}

fn record(store: &Embedded, keys: impl Iterator<Item = u32>) -> Vec<Receipt> {
    let tenant = "bounded".parse().unwrap();
    let entry = |key| Entry { tenant, key: Key::from_number(key).unwrap() };
    let mut answer = pin!(store.record(keys.map(entry).collect()));
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        if let Poll::Ready(answer) = answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return answer.unwrap();
        }
        assert!(Instant::now() < deadline, "no answer");
        std::thread::yield_now();
    }
}

/// What memory may hold: all keys would take 3.4 MB at the least. What is not on disk yet stays in
/// memory: 17 bytes for each key of some flushes, in tables of which a part is empty.
const MOST: u64 = 700_000;

/// Asks for every key again, in an order of no relation to the first, and watches the memory, once
/// what was recorded has been put away in the background.
#[track_caller]
fn check_repeats(store: &Embedded) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while MOST <= store.vitals().ingest_index_bytes {
        // It is told anew with each commit.
        record(store, 0..1);
        assert!(Instant::now() < deadline, "nothing is put away");
        std::thread::yield_now();
    }
    let mut most = 0;
    for from in (0..KEYS).step_by(BATCH as usize) {
        // 77,773 shares no factor with the number of keys: every key comes once.
        let key = |n: u32| u32::try_from(u64::from(n) * 77_773 % u64::from(KEYS)).unwrap();
        let receipts = record(store, (from..from + BATCH).map(key));
        for (receipt, n) in receipts.iter().zip(from..) {
            assert_eq!((receipt.id, receipt.new), (u64::from(key(n)) + 1, false));
        }
        most = most.max(store.vitals().ingest_index_bytes);
    }
    assert_eq!(store.vitals().ingest_keys, u64::from(KEYS));
    assert!(most < MOST, "{most} bytes of memory, {MEMORY} were allowed");
}

#[test]
fn keys_beyond_the_memory_keep_their_ids() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for from in (0..KEYS).step_by(BATCH as usize) {
        let receipts = record(&store, from..from + BATCH);
        for (receipt, n) in receipts.iter().zip(from..) {
            assert_eq!((receipt.id, receipt.new), (u64::from(n) + 1, true));
        }
    }
    check_repeats(&store);
    drop(store);
    check_repeats(&open(folder.path()));
}
