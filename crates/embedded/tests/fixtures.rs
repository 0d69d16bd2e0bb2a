//! Data directories that earlier versions wrote: this one must read them.
#![expect(clippy::unwrap_used, reason = "a test; clippy only knows the bodies of #[test]")]

use std::{fs, future::Future, path::Path, pin::pin, sync::Arc, task};

use switchboard_core::{
    ingest::{self, Ledger as _},
    store::Unobserved,
};
use switchboard_embedded::{Embedded, Options, disk::LocalDisk};

const OPTIONS: Options = Options {
    chat_segment_bytes: 128 * 1024,
    chat_memory_bytes: 1 << 20,
    chat_cache_bytes: 1 << 20,
    chat_flush_entries: 3,
    vault_segment_bytes: 64 * 1024,
    vault_flush_bytes: 16 * 1024,
    bus_segment_bytes: 16 * 1024,
    bus_flush_bytes: 16 * 1024,
    bus_memory_bytes: 1 << 20,
    bus_cache_bytes: 1 << 20,
    reports_segment_bytes: 64 * 1024,
    segment_bytes: 4096,
    ingest_memory_bytes: 1 << 20,
    flush_keys: 3,
    waiting_entries_max: 1000,
    entropy: 1,
};

/// What was recorded, in this order, one batch a line: tenant, keys, and the first one's id.
const RECORDED: &[(&str, &[&str], u64)] = &[
    ("acme", &["K-4bbf1-P", "K-00000-A", "K-zzzzz-Z"], 1),
    ("globex", &["K-4bbf1-P"], 4),
    ("acme", &["K-12345-Q", "K-12345-R"], 5),
    ("3bd1c697", &["K-4bbf1-P", "K-00000-B"], 7),
];

fn open(folder: &Path) -> Embedded {
    let disk = Arc::new(LocalDisk::open(folder).unwrap());
    Embedded::open(disk, &OPTIONS, Arc::new(Unobserved)).unwrap()
}

fn record(store: &Embedded, tenant: &str, keys: &[&str]) -> Vec<ingest::Receipt> {
    let entries = ingest::entries(tenant.parse().unwrap(), keys).unwrap();
    let mut answer = pin!(store.record(entries));
    loop {
        let mut context = task::Context::from_waker(task::Waker::noop());
        if let task::Poll::Ready(answer) = answer.as_mut().poll(&mut context) {
            return answer.unwrap();
        }
        std::thread::yield_now();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[track_caller]
fn check(version: &str) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(version);
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture, folder.path());
    // Once with what the log holds, once with what was then put away.
    for new in 9..11 {
        let store = open(folder.path());
        for (tenant, keys, first) in RECORDED {
            let receipts = record(&store, tenant, keys);
            for (receipt, id) in receipts.iter().zip(*first..) {
                assert_eq!((receipt.id, receipt.new), (id, false), "{tenant} {keys:?}");
            }
        }
        let key = format!("K-0000{}-N", new - 8);
        let receipt = record(&store, "acme", &[&key])[0];
        assert_eq!((receipt.id, receipt.new), (new, true));
    }
}

#[test]
fn version_1_is_read() {
    check("v1");
}

/// Writes the directory of the present version: a sorted file, and records that are in the log
/// alone. Run it when the format changes, under another name than those that are there.
#[test]
#[ignore = "writes a fixture: FIXTURE=v2 cargo test --test fixtures -- --ignored"]
fn write() {
    let version = std::env::var("FIXTURE").unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(version);
    assert!(!fixture.exists(), "{} is there", fixture.display());
    let folder = tempfile::tempdir().unwrap();
    // A clean end puts everything away; the copy is taken while the store is open.
    let [(tenant, keys, _), rest @ ..] = RECORDED else { panic!("nothing to record") };
    let store = open(folder.path());
    record(&store, tenant, keys);
    drop(store);
    let store = Embedded::open(
        Arc::new(LocalDisk::open(folder.path()).unwrap()),
        &Options { flush_keys: 1000, ..OPTIONS },
        Arc::new(Unobserved),
    );
    let store = store.unwrap();
    for (tenant, keys, _) in rest {
        record(&store, tenant, keys);
    }
    copy(folder.path(), &fixture);
    let _ = fs::remove_file(fixture.join("LOCK"));
    drop(store);
}
