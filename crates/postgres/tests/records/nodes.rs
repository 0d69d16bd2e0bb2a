//! Several nodes on one database at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use switchboard_core::vault::Place;
use tokio::task::JoinSet;

use super::*;

/// As many stores as this on one new database.
async fn nodes(count: usize) -> Vec<Opened> {
    let first = open().await;
    let mut nodes = vec![first];
    while nodes.len() < count {
        nodes.push(opened(nodes[0].url.clone()).await);
    }
    nodes
}

/// Hands the same kind of change to all nodes at once: who did it.
async fn at_once(
    nodes: &[Opened],
    change: impl Fn(i64) -> Change,
) -> (BTreeSet<i64>, BTreeMap<i64, Outcome>) {
    let mut callers = JoinSet::new();
    for (number, node) in (0..).zip(nodes.iter().cycle().take(12)) {
        let (records, change) = (Arc::clone(&node.records), change(number));
        callers.spawn(async move { (number, super::change(&records, change).await) });
    }
    let outcomes: BTreeMap<i64, Outcome> = callers.join_all().await.into_iter().collect();
    let done = outcomes.iter().filter(|&(_, outcome)| *outcome == Outcome::Done);
    (done.map(|(number, _)| *number).collect(), outcomes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_changes_at_many_nodes_that_expect_the_same_one_happens() {
    let nodes = nodes(2).await;
    for round in 0..25 {
        let at = format!("k{}", round % 3);
        let first = nodes[0].records.get(tenant("a"), &id(&at)).await.unwrap();
        assert_eq!(first.found, None);
        let mut version = first.first_version;
        let mut expected = Expected::Absent;
        for _ in 0..2 {
            let one = |number| {
                let record = Record { updated_at: Millis(number), ..record(version, 100) };
                put("a", &at, expected, record)
            };
            let (done, outcomes) = at_once(&nodes, one).await;
            assert_eq!(done.len(), 1, "round {round}: {outcomes:?}");
            for node in &nodes {
                let left = found(&node.records, "a", &at).await.unwrap();
                assert!(matches!(left, Found::Whole(_)));
                assert_eq!(done.first(), Some(&left.record().updated_at.0), "round {round}");
            }
            (expected, version) = (Expected::Version(version), version + 1);
        }
        let (done, outcomes) = at_once(&nodes, |_| delete("a", &at, version - 1)).await;
        assert_eq!(done.len(), 1, "round {round}: {outcomes:?}");
        for node in &nodes {
            let left = node.records.get(tenant("a"), &id(&at)).await.unwrap();
            assert_eq!(left.found, None);
            assert!(version <= left.first_version, "{} after {version}", left.first_version);
        }
    }
}

/// What happened to a place, as its callers were told.
#[derive(Debug, Default)]
struct Told {
    put: BTreeSet<u64>,
    /// Replaced or deleted.
    ended: BTreeSet<u64>,
}

/// Puts and deletes of a few ids, from all nodes, some of them in one call: no version of an id is
/// put twice, each ends once at most, and only what was put ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_version_is_put_twice_whatever_other_nodes_do() {
    const IDS: [&str; 3] = ["k", "l", "m"];
    let nodes = nodes(3).await;
    let told: Arc<Mutex<BTreeMap<&str, Told>>> = Arc::default();
    let mut callers = JoinSet::new();
    for caller in 0..12_usize {
        let (records, told) = (Arc::clone(&nodes[caller % 3].records), Arc::clone(&told));
        callers.spawn(async move {
            for turn in 0..60 {
                let at = IDS[(caller * 7 + turn * 5) % 3];
                let Place { found, first_version } =
                    records.get(tenant("a"), &id(at)).await.unwrap();
                let version = found.map(|found| found.record().version);
                let changes = match (version, turn % 3) {
                    (None, 0) => vec![
                        put("a", at, Expected::Absent, record(first_version, 50)),
                        delete("a", at, first_version),
                    ],
                    (None, _) => vec![put("a", at, Expected::Absent, record(first_version, 50))],
                    (Some(version), 0) => {
                        vec![put("a", at, Expected::Version(version), record(version + 1, 50))]
                    }
                    (Some(version), _) => vec![delete("a", at, version)],
                };
                let outcomes = records.change(changes.clone()).await.unwrap();
                let mut told = told.lock().unwrap();
                let told = told.entry(at).or_default();
                for (change, outcome) in changes.iter().zip(outcomes) {
                    if outcome == Outcome::Changed {
                        continue;
                    }
                    if let Then::Put(record) = &change.then {
                        assert!(told.put.insert(record.version), "{at} {}", record.version);
                    }
                    if let Expected::Version(version) = change.expected {
                        assert!(told.ended.insert(version), "{at} {version} ended twice");
                    }
                }
            }
        });
    }
    callers.join_all().await;
    let told = std::mem::take(&mut *told.lock().unwrap());
    for at in IDS {
        let Told { put, ended } = &told[at];
        assert!(30 < put.len(), "{at}: only {} were put", put.len());
        let Place { found, first_version } =
            nodes[0].records.get(tenant("a"), &id(at)).await.unwrap();
        let left: BTreeSet<u64> = put.difference(ended).copied().collect();
        assert_eq!(left, found.map(|found| found.record().version).into_iter().collect(), "{at}");
        assert!(ended.is_subset(put), "{at}: what was never put has ended");
        assert!(left.is_empty() || ended.last() < left.last());
        assert!(ended.iter().all(|ended| left.contains(&(ended + 1)) || *ended < first_version));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_is_removed_once_by_whichever_node() {
    let nodes = nodes(3).await;
    let tenants = ["a", "b", "c", "d"];
    for of in tenants {
        let there = |number: u64| {
            let at = format!("{number:04}");
            put(of, &at, Expected::Absent, expiring(1 + number % 9, (number % 500).cast_signed()))
        };
        let changes: Vec<Change> = (0..1_000).map(there).collect();
        let outcomes = nodes[0].records.change(changes).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done));
    }
    for (now, due) in [(-1, 0), (399, 3_200), (399, 0), (1_000, 800), (1_000, 0)] {
        let mut expiring = JoinSet::new();
        for node in &nodes {
            expiring.spawn(node.records.expire(Millis(now)));
        }
        let removed: u64 = expiring.join_all().await.into_iter().map(Result::unwrap).sum();
        // What one of them was removing the others left to it.
        assert_eq!(removed, due, "{now}");
    }
    for of in tenants {
        assert_eq!(all(&nodes[1].records, of).await, []);
        let place = nodes[2].records.get(tenant(of), &id("0000")).await.unwrap();
        assert_eq!(place, Place { found: None, first_version: 10 });
    }
}

/// What somebody else is just changing stays, and holds up nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_locked_is_left_for_the_next_time() {
    let node = open().await;
    for at in ["k", "l", "m"] {
        let there = put("a", at, Expected::Absent, expiring(1, 5));
        assert_eq!(change(&node.records, there).await, Outcome::Done);
    }
    let url = node.url.clone();
    let holding = thread::spawn(move || {
        let hold = "BEGIN; SELECT 1 FROM switchboard.vault_record WHERE id = 'l' FOR UPDATE; \
                    SELECT pg_sleep(2); COMMIT";
        server().sql(&url, hold).unwrap();
    });
    let begun = Instant::now();
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' \
                    AND datname = current_database()";
    while server().sql(&node.url, sleeping).unwrap().trim() != "1" {
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody holds it");
    }
    assert_eq!(node.records.expire(Millis(5)).await.unwrap(), 2);
    assert!(!holding.is_finished(), "it was waited for");
    let left: Vec<String> =
        all(&node.records, "a").await.iter().map(|it| it.id.to_string()).collect();
    assert_eq!(left, ["l"]);
    holding.join().unwrap();
    assert_eq!(node.records.expire(Millis(5)).await.unwrap(), 1);
}

/// A new version is known at every node at once, and so are profiles.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_is_the_same_at_every_node() {
    use switchboard_core::vault::{Profile, SALT_BYTES, Work};
    let nodes = nodes(2).await;
    let profile = |salt| {
        let work = Work { memory_kib: 8, passes: 1, lanes: 1 };
        Profile { number: 1, salt: [salt; SALT_BYTES], work }
    };
    for name in ["a", "b", "c", "d", "e"].map(tenant) {
        let adding = nodes.iter().enumerate().map(|(salt, node)| {
            node.records.add_profile(name, profile(u8::try_from(salt).unwrap()))
        });
        let mut told = Vec::new();
        for adding in adding.collect::<Vec<_>>() {
            told.push(adding.await.unwrap());
        }
        for node in &nodes {
            told.push(node.records.profiles(name).await.unwrap());
        }
        assert_eq!(told[0].len(), 1);
        assert!(told.iter().all(|it| *it == told[0]), "{told:?}");
    }
}
