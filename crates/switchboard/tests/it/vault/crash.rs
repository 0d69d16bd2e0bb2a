//! `kill -9` in a loop under stores, deletes and new keys: what was acknowledged is there, under
//! its key, and nothing is damaged.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use switchboard_client::{
    Client,
    vault::{EncryptionKey, StoreOptions, VaultContent, VaultValue},
};
use tokio::{task::JoinSet, time};

use super::{DAMAGED, key};
use crate::node::{DEADLINE, Node};

/// How often the node is killed.
const ROUNDS: u64 = 8;

const CALLERS: u8 = 6;
const RECORDS: u64 = 8;

/// What a record may be: its number and its key, or nothing.
type State = Option<(u64, u8)>;

/// What each record of a caller was last known to be, and what it may have become since.
#[derive(Debug, Default)]
struct Known {
    records: BTreeMap<String, State>,
    /// What is under way, and not acknowledged.
    under_way: BTreeMap<String, State>,
    acknowledged: u64,
}

impl Known {
    fn begin(&mut self, changes: BTreeMap<String, State>) {
        self.under_way = changes;
    }

    fn end(&mut self) {
        let changes = std::mem::take(&mut self.under_way);
        self.records.extend(changes);
        self.acknowledged += 1;
    }
}

type Shared = Arc<Mutex<Known>>;

fn of(number: u8) -> EncryptionKey {
    EncryptionKey::new(key(number))
}

fn text(number: u64, id: &str) -> String {
    // From a few bytes to some pages.
    let long = if number.is_multiple_of(5) { 9_000 } else { 10 };
    format!("{{\"id\":\"{id}\",\"number\":{number}.0,\"more\":\"{}\"}}", "x".repeat(long))
}

/// Changes the records of one caller until the node is killed, one change after another.
async fn load(url: String, known: Shared, caller: u8, round: u64) {
    let client = Client::new(&url).unwrap();
    for turn in 0..100_000_u64 {
        let number = round << 32 | turn;
        let id = format!("c{caller}-{}", turn % RECORDS);
        let key = caller * 2 + u8::from(turn.is_multiple_of(3));
        let before = known.lock().unwrap().records.get(&id).copied().flatten();
        let done = match (turn % 7, before) {
            (5, Some((_, key))) => {
                known.lock().unwrap().begin([(id.clone(), None)].into());
                client.delete(&id, &of(key)).await.map(|deleted| deleted == 1)
            }
            // All of the caller's records of one key.
            (6, _) => {
                let (old, new) = (caller * 2, caller * 2 + 1);
                let records = known.lock().unwrap().records.clone();
                let of_old = |(id, state): (String, State)| match state {
                    Some((number, key)) if key == old => Some((id, Some((number, new)))),
                    _ => None,
                };
                let changes: BTreeMap<_, _> = records.into_iter().filter_map(of_old).collect();
                let expected = changes.len() as u64;
                known.lock().unwrap().begin(changes);
                let rekeyed = client.rekey(&format!("c{caller}-*"), &of(old), &of(new)).await;
                rekeyed.map(|rekeyed| rekeyed == expected)
            }
            _ => {
                known.lock().unwrap().begin([(id.clone(), Some((number, key)))].into());
                let value = VaultValue::json(text(number, &id));
                let stored = client.store(&id, &value, &of(key), StoreOptions::default()).await;
                stored.map(|stored| stored.new == before.is_none())
            }
        };
        match done {
            // A call that was tried again may count otherwise; here none has to be.
            Ok(as_expected) => assert!(as_expected, "turn {turn} of {caller}"),
            Err(_) => return,
        }
        known.lock().unwrap().end();
    }
}

/// What the records of a caller are: each opens under one of the keys at the most.
async fn found(client: &Client, caller: u8) -> BTreeMap<String, (u64, u8)> {
    let mut found = BTreeMap::new();
    for key in [caller * 2, caller * 2 + 1] {
        for record in client.retrieve_all(&format!("c{caller}-*"), &of(key)).await.unwrap() {
            let VaultContent::Json(json) = record.value.content() else { panic!("no JSON") };
            let number = json.split("\"number\":").nth(1).unwrap();
            let number = number.split_once('.').unwrap().0.parse().unwrap();
            assert_eq!(json, text(number, &record.id), "whole");
            let twice = found.insert(record.id.clone(), (number, key));
            assert_eq!(twice, None, "{} opens under two keys", record.id);
        }
    }
    found
}

async fn check(node: &Node, known: &[Shared]) {
    let client = Client::new(&node.url()).unwrap();
    for (caller, known) in (0..).zip(known) {
        let found = found(&client, caller).await;
        let mut known = known.lock().unwrap();
        let under_way = std::mem::take(&mut known.under_way);
        for number in 0..RECORDS {
            let id = format!("c{caller}-{number}");
            let now = found.get(&id).copied();
            let acknowledged = known.records.get(&id).copied().flatten();
            let fits = now == acknowledged || under_way.get(&id) == Some(&now);
            assert!(fits, "{id} is {now:?}, not {acknowledged:?} or {:?}", under_way.get(&id));
            known.records.insert(id, now);
        }
    }
    assert_eq!(node.counted(DAMAGED), 0);
}

#[test]
fn what_was_acknowledged_is_there_under_its_key() {
    let mut node = Node::with(&["--log-segment-mib", "1", "--checkpoint-vault-mib", "1"]);
    let known: Vec<Shared> = (0..CALLERS).map(|_| Shared::default()).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let acknowledged =
        |known: &[Shared]| known.iter().map(|it| it.lock().unwrap().acknowledged).sum::<u64>();
    for round in 0..ROUNDS {
        runtime.block_on(async {
            let before = acknowledged(&known);
            let mut callers = JoinSet::new();
            for (caller, known) in (0..).zip(&known) {
                callers.spawn(load(node.url(), Arc::clone(known), caller, round));
            }
            // Once the load gets through, at a moment that is not to be chosen.
            let through = async {
                while acknowledged(&known) < before + 150 {
                    time::sleep(Duration::from_millis(1)).await;
                    if let Some(ended) = callers.try_join_next() {
                        ended.unwrap();
                    }
                }
            };
            time::timeout(DEADLINE, through).await.unwrap();
            time::sleep(Duration::from_millis(round * 7)).await;
            node.kill();
            // Who still waits will not be answered: the node comes back elsewhere.
            callers.abort_all();
            while let Some(ended) = callers.join_next().await {
                assert!(!ended.is_err_and(|error| error.is_panic()), "a caller found otherwise");
            }
        });
        node.start_again();
        runtime.block_on(check(&node, &known));
    }
    assert!(ROUNDS * 150 <= acknowledged(&known));
    assert_eq!(node.stop(), 0);
    node.start_again();
    runtime.block_on(check(&node, &known));
}
