//! `kill -9` in a loop while events are published and a queue is worked through.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use switchboard_client::{
    Client,
    bus::{Delivery, Draft, Interest, QueueSettings, Settlement},
};
use tokio::{task::JoinSet, time};

use super::read;
use crate::node::{DEADLINE, Node};

/// How often the node is killed.
const ROUNDS: u32 = 10;

const PUBLISHERS: u32 = 4;
const CONSUMERS: u32 = 3;

/// What clients were told.
#[derive(Debug, Default)]
struct Told {
    /// The sequence of each key.
    published: BTreeMap<String, u64>,
    /// How often each event was seen by a consumer.
    seen: BTreeMap<u64, u32>,
    /// What is done with.
    acknowledged: BTreeSet<u64>,
    /// Events that came again after they were done with.
    again: Vec<u64>,
}

impl Told {
    /// These were delivered, and were acknowledged now.
    fn see(&mut self, deliveries: &[Delivery]) {
        for delivery in deliveries {
            let sequence = delivery.event.sequence;
            *self.seen.entry(sequence).or_default() += 1;
            if self.acknowledged.contains(&sequence) {
                self.again.push(sequence);
            }
        }
    }
}

type Shared = Arc<Mutex<Told>>;

fn client(url: &str) -> Client {
    Client::new(url).unwrap().with_timeout(Duration::from_millis(400))
}

async fn publish(url: String, told: Shared, publisher: u32, round: u32) {
    let client = client(&url);
    for number in 0..10_000_u32 {
        // One in four was published in an earlier round.
        let of = if number.is_multiple_of(4) { round / 2 } else { round };
        let key = format!("{publisher}-{of}-{number}");
        let draft = Draft::new(format!("jobs.{publisher}"), "t", key.clone()).with_key(&key);
        let Ok(answer) = client.publish(draft).await else { return };
        let before = told.lock().unwrap().published.insert(key.clone(), answer.sequence);
        if let Some(before) = before {
            assert_eq!((before, false), (answer.sequence, answer.new), "{key}");
        }
    }
}

async fn consume(url: String, told: Shared) {
    let client = client(&url);
    loop {
        let pulled = client.pull("work", 20, Duration::from_millis(200)).await;
        let Ok(deliveries) = pulled else { return };
        let mut ids = Vec::new();
        for delivery in &deliveries {
            let mut told = told.lock().unwrap();
            let sequence = delivery.event.sequence;
            *told.seen.entry(sequence).or_default() += 1;
            if told.acknowledged.contains(&sequence) {
                told.again.push(sequence);
            }
            ids.push(delivery.id.clone());
        }
        let Ok(settled) = client.settle("work", Settlement::ack(ids)).await else { return };
        // What is refused was settled by a try whose answer was lost, or was late.
        let refused: BTreeSet<_> = settled.refused.into_iter().map(|it| it.id).collect();
        let done = deliveries.iter().filter(|it| !refused.contains(&it.id));
        let mut told = told.lock().unwrap();
        told.acknowledged.extend(done.map(|delivery| delivery.event.sequence));
    }
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled() {
    let mut node = Node::with(&["--log-segment-mib", "1"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let settings = QueueSettings {
        ack_timeout_ms: 3_000,
        max_deliveries: 1_000,
        ..QueueSettings::new(Interest::new(["jobs.>"]))
    };
    runtime.block_on(async {
        let client = Client::new(&node.url()).unwrap();
        assert!(client.create_queue("work", settings, "").await.unwrap().1);
    });
    let told = Shared::default();
    for round in 0..ROUNDS {
        runtime.block_on(async {
            let mut callers = JoinSet::new();
            for publisher in 0..PUBLISHERS {
                callers.spawn(publish(node.url(), Arc::clone(&told), publisher, round));
            }
            for _ in 0..CONSUMERS {
                callers.spawn(consume(node.url(), Arc::clone(&told)));
            }
            let count = || {
                let told = told.lock().unwrap();
                (told.published.len(), told.acknowledged.len())
            };
            // Once the load gets through, at a moment that is not to be chosen.
            let before = count();
            let through = async {
                while count().0 < before.0 + 50 || count().1 < before.1 + 20 {
                    time::sleep(Duration::from_millis(1)).await;
                }
            };
            time::timeout(DEADLINE, through).await.unwrap();
            time::sleep(Duration::from_millis(u64::from(round * 7))).await;
            node.kill();
            while let Some(ended) = callers.join_next().await {
                ended.unwrap();
            }
        });
        node.start_again();
    }
    runtime.block_on(check(&node, told));
}

async fn check(node: &Node, told: Shared) {
    let client = Client::new(&node.url()).unwrap();
    // The log is whole, and has what was acknowledged where that was said, once.
    let all = read(&client, ">").await;
    let sequences: Vec<u64> = all.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..=all.len() as u64).collect::<Vec<_>>());
    let mut by_key = BTreeMap::new();
    for event in all.iter().filter(|event| event.topic.starts_with("jobs.")) {
        let key = String::from_utf8(event.data.clone()).unwrap();
        assert_eq!(by_key.insert(key.clone(), event.sequence), None, "{key} is there twice");
    }
    for (key, sequence) in &told.lock().unwrap().published {
        assert_eq!(by_key.get(key), Some(sequence), "{key}");
    }
    // The rest of the queue comes: then each event was seen by somebody.
    let working = async {
        loop {
            let deliveries = client.pull("work", 1_000, Duration::from_millis(300)).await.unwrap();
            let ids = deliveries.iter().map(|delivery| delivery.id.clone());
            client.settle("work", Settlement::ack(ids)).await.unwrap();
            told.lock().unwrap().see(&deliveries);
            let queue = client.queue("work").await.unwrap();
            if (queue.depth, queue.in_flight) == (0, 0) {
                return queue;
            }
        }
    };
    let queue = time::timeout(DEADLINE, working).await.unwrap();
    let told = told.lock().unwrap();
    assert!(told.again.is_empty(), "what is done with does not come again: {:?}", told.again);
    let missing: Vec<_> = by_key.values().filter(|it| !told.seen.contains_key(it)).collect();
    assert!(missing.is_empty(), "never delivered: {missing:?}");
    assert_eq!(queue.acknowledged, by_key.len() as u64);
    assert_eq!(queue.dead_lettered, 0);
}
