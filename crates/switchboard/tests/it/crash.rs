//! `kill -9` in a loop under load: nothing acknowledged is missing, nothing is there twice.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use switchboard_client::Client;
use tokio::{task::JoinSet, time};
use tokio_stream::StreamExt as _;

use crate::node::{DEADLINE, Node};

/// How often the node is killed.
const ROUNDS: u32 = 25;

/// What clients were told, by key.
type Told = Arc<Mutex<HashMap<String, u64>>>;

/// Streams keys, some of them told before, until the node is killed.
async fn load(url: String, told: Told, caller: u32, round: u32) {
    let client = Client::new(&url).unwrap();
    let key = move |n: u32| {
        // One in three was sent in an earlier round.
        let round = if n.is_multiple_of(3) { round / 2 } else { round };
        format!(
            "K-{:01}{:01}{n:03}-{}",
            caller % 10,
            round % 10,
            char::from(b'A' + u8::try_from(round / 10).unwrap())
        )
    };
    let sent: Vec<String> = (0..1_000).map(key).collect();
    let keys = tokio_stream::iter(sent.clone());
    let Ok(mut receipts) = client.ingest_stream(keys).await else { return };
    for key in sent {
        let Some(Ok(receipt)) = receipts.next().await else { return };
        let mut told = told.lock().unwrap();
        if let Some(before) = told.insert(key.clone(), receipt.id) {
            assert_eq!((before, false), (receipt.id, receipt.new), "{key} was told twice");
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled() {
    let mut node = Node::with(&["--log-segment-mib", "1", "--checkpoint-keys", "2000"]);
    let told = Told::default();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for round in 0..ROUNDS {
        runtime.block_on(async {
            let mut callers = JoinSet::new();
            for caller in 0..8 {
                callers.spawn(load(node.url(), Arc::clone(&told), caller, round));
            }
            // Once the load gets through, at a moment that is not to be chosen.
            let before = told.lock().unwrap().len();
            let through = async {
                while told.lock().unwrap().len() < before + 100 {
                    time::sleep(Duration::from_millis(1)).await;
                }
            };
            time::timeout(DEADLINE, through).await.unwrap();
            time::sleep(Duration::from_millis(u64::from(round * 2))).await;
            node.kill();
            for ended in callers.join_all().await {
                let () = ended;
            }
        });
        node.start_again();
    }
    let told = told.lock().unwrap();
    assert!(1_000 < told.len(), "the load got through: {} keys", told.len());
    let mut ids: Vec<u64> = told.values().copied().collect();
    ids.sort_unstable();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "two keys have the same id");
    runtime.block_on(async {
        let client = Client::new(&node.url()).unwrap();
        let keys: Vec<&String> = told.keys().collect();
        for keys in keys.chunks(10_000) {
            let receipts = client.ingest_batch(keys).await.unwrap();
            for (key, receipt) in keys.iter().zip(receipts) {
                assert_eq!((receipt.id, receipt.new), (told[*key], false), "{key}");
            }
        }
        let receipt = client.ingest("K-zzzzz-Z").await.unwrap();
        assert!(receipt.new && ids.last().unwrap() < &receipt.id, "the sequence goes on behind");
    });
}
