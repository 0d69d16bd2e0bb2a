//! The ledger on PostgreSQL: its contract, and many nodes on one database.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

#[path = "it/opened.rs"]
mod opened;
#[path = "it/server.rs"]
mod server;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use switchboard_core::{
    ingest::{Entry, Key, Ledger, Receipt},
    store::{Commit, Observer},
};
use switchboard_postgres::{Options, Postgres};
use tokio::{task::JoinSet, time::timeout};

use self::{
    opened::{Opened, store},
    server::{server, store_at},
};

async fn open() -> Opened<dyn Ledger> {
    let store = store().await;
    let ledger = Arc::clone(&store.ledger) as Arc<dyn Ledger>;
    Opened::new(ledger, store)
}

switchboard_contract::ledger!(open);

fn entry(tenant: &str, number: u32) -> Entry {
    Entry { tenant: tenant.parse().unwrap(), key: Key::from_number(number).unwrap() }
}

/// The numbers below `count`, in an order that is another for each seed.
fn shuffled(count: u32, seed: u32) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..count).collect();
    let mut random = u64::from(seed) + 1;
    for place in (1..numbers.len()).rev() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        let other = usize::try_from(random >> 33).unwrap() % (place + 1);
        numbers.swap(place, other);
    }
    numbers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_nodes_that_record_the_same_keys_at_once_one_is_told_new_and_all_the_same_id() {
    const KEYS: u32 = 4_000;
    let url = server().database().unwrap();
    let mut asking = JoinSet::new();
    let mut stores = Vec::new();
    for node in 0..3 {
        let store = store_at(&url).await;
        let ledger = Arc::clone(&store.ledger);
        stores.push(store);
        asking.spawn(async move {
            // In orders of their own, so that each has what the others want.
            let numbers = shuffled(KEYS, node);
            let batches = numbers.chunks(50).map(|batch| {
                let entries: Vec<_> = batch.iter().map(|&number| entry("a", number)).collect();
                let recording = ledger.record(entries.clone());
                async move { (entries, recording.await.unwrap()) }
            });
            let mut told = Vec::new();
            for batch in batches.collect::<Vec<_>>() {
                let (entries, receipts) = batch.await;
                told.extend(entries.into_iter().zip(receipts));
            }
            told
        });
    }
    // Those that wait for each other in a circle wait for ever, or one of them is thrown out.
    let told = timeout(Duration::from_mins(2), asking.join_all()).await.unwrap();
    let mut of_key: BTreeMap<Entry, Vec<Receipt>> = BTreeMap::new();
    for (entry, receipt) in told.into_iter().flatten() {
        of_key.entry(entry).or_default().push(receipt);
    }
    assert_eq!(of_key.len(), KEYS as usize);
    let mut ids = BTreeSet::new();
    for (entry, receipts) in of_key {
        assert_eq!(receipts.len(), 3);
        let new = receipts.iter().filter(|receipt| receipt.new).count();
        assert_eq!(new, 1, "{entry:?}: {receipts:?}");
        assert!(receipts.iter().all(|receipt| receipt.id == receipts[0].id), "{entry:?}");
        assert!(ids.insert(receipts[0].id), "{entry:?} has the id of another");
    }
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(server().sql(&url, deadlocks).unwrap().trim(), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_recorded_is_a_repeat_at_another() {
    let url = server().database().unwrap();
    let (here, there) = (store_at(&url).await, store_at(&url).await);
    for number in 0..20 {
        let first = here.ledger.record(vec![entry("a", number)]).await.unwrap();
        let again = there.ledger.record(vec![entry("a", number)]).await.unwrap();
        assert!(first[0].new);
        assert_eq!(again, [Receipt { id: first[0].id, new: false }]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_have_no_gap_where_one_node_records_at_a_time() {
    let url = server().database().unwrap();
    let nodes = [store_at(&url).await, store_at(&url).await];
    let mut expected = 0;
    for round in 0..20_usize {
        // Half of them are repeats.
        let numbers = 10 * u32::try_from(round).unwrap();
        let entries: Vec<_> = (numbers..numbers + 20).map(|number| entry("a", number)).collect();
        let receipts = nodes[round % 2].ledger.record(entries).await.unwrap();
        for receipt in receipts.iter().filter(|receipt| receipt.new) {
            expected += 1;
            assert_eq!(receipt.id, expected);
        }
    }
    assert_eq!(expected, 210);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_grow_in_the_order_of_the_entries_whatever_that_is() {
    let store = store().await;
    // More than a group usually holds, of two tenants, all out of order.
    let mut entries = Vec::new();
    for number in shuffled(5_000, 7) {
        entries.extend([entry("b", number), entry("a", number)]);
    }
    let receipts = store.ledger.record(entries).await.unwrap();
    assert!(receipts.iter().all(|receipt| receipt.new));
    assert!(receipts.is_sorted_by_key(|receipt| receipt.id));
    assert_eq!((receipts[0].id, receipts.last().unwrap().id), (1, 10_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_equal_entries_that_are_written_together_the_first_is_new() {
    let store = store().await;
    let batch = || store.ledger.record(vec![entry("a", 1), entry("a", 2), entry("a", 1)]);
    let answers = [batch(), batch(), batch()];
    let mut told = Vec::new();
    for answer in answers {
        told.extend(answer.await.unwrap().into_iter().map(|receipt| (receipt.id, receipt.new)));
    }
    let repeat = [(1, false), (2, false), (1, false)];
    assert_eq!(told, [&[(1, true), (2, true), (1, false)], &repeat[..], &repeat[..]].concat());
}

#[derive(Debug, Default)]
struct Sum(Mutex<Commit>);

impl Observer for Sum {
    fn committed(&self, commit: &Commit) {
        let mut sum = self.0.lock().unwrap();
        sum.batches += commit.batches;
        sum.keys_new += commit.keys_new;
        sum.keys_repeated += commit.keys_repeated;
        assert!(!commit.synced.is_zero());
    }

    fn recovered(&self, _phase: &'static str, _took: Duration) {}

    fn checkpointed(&self, _took: Duration) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_recorded_is_measured() {
    let url = server().database().unwrap();
    let sum = Arc::new(Sum::default());
    let observer = Arc::clone(&sum) as Arc<dyn Observer>;
    let store = Postgres::open(&url, Options::default(), observer).await.unwrap();
    store.ledger.record((0..10).map(|number| entry("a", number)).collect()).await.unwrap();
    store.ledger.record((5..12).map(|number| entry("a", number)).collect()).await.unwrap();
    assert_eq!(store.store.vitals().ingest_keys, 12);
    store.close().await;
    {
        let sum = sum.0.lock().unwrap();
        assert_eq!((sum.batches, sum.keys_new, sum.keys_repeated), (2, 12, 5));
    }
    // Who opens it later knows it too.
    assert_eq!(store_at(&url).await.store.vitals().ingest_keys, 12);
}
