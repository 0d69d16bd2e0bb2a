//! Events, those who subscribe, and consumers of a queue on different nodes.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use switchboard_client::{
    Client,
    bus::{Draft, Event, Interest, QueueSettings},
};
use tokio::{task::JoinSet, time};
use tokio_stream::StreamExt as _;

use super::{Count, Ground, locked};
use crate::cluster::DEADLINE;

const TENANT: &str = "bus";

const QUEUE: &str = "work";

const PUBLISHERS: u32 = 3;

const SUBSCRIBERS: u32 = 2;

const CONSUMERS: u32 = 3;

/// One delivery: of which event, which attempt of it, and whether an acknowledgement was answered.
#[derive(Clone, Copy, Debug)]
struct Delivered {
    sequence: u64,
    attempt: u32,
    acknowledged: bool,
}

/// What publishers were told, what subscribers and consumers got.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// By key.
    published: Mutex<HashMap<String, u64>>,
    /// In the order in which they came.
    heard: [Mutex<Vec<u64>>; SUBSCRIBERS as usize],
    deliveries: Mutex<Vec<Delivered>>,
    /// Up to which event those who hear go on once no more is published; 0: still published.
    last: AtomicU64,
    /// Nothing is left in the queue.
    done: AtomicBool,
    /// Publishers that have ended.
    ended: AtomicU64,
    pub(crate) acknowledged: Count,
    pub(crate) settled: Count,
}

pub(crate) fn start(ground: &Ground, tasks: &mut JoinSet<()>) -> Arc<History> {
    let history = Arc::new(History::default());
    for number in 0..PUBLISHERS {
        let (ground, history) = (ground.clone(), Arc::clone(&history));
        tasks.spawn(async move {
            publish(&ground, &history, number).await;
            history.ended.fetch_add(1, Ordering::Relaxed);
        });
    }
    for number in 0..SUBSCRIBERS {
        tasks.spawn(subscribe(ground.clone(), Arc::clone(&history), number));
    }
    for number in 0..CONSUMERS {
        tasks.spawn(consume(ground.clone(), Arc::clone(&history), number));
    }
    history
}

async fn publish(ground: &Ground, history: &History, publisher: u32) {
    let client = ground.client(TENANT);
    for number in 0_u32.. {
        let key = format!("{publisher}-{number}");
        let topic = format!("load.{}", number % 3);
        let draft = Draft::new(topic, "made", key.clone()).with_key(key.clone());
        loop {
            match client.publish(draft.clone()).await {
                Ok(answer) => {
                    locked(&history.published).insert(key, answer.sequence);
                    history.acknowledged.add();
                    break;
                }
                Err(error) => ground.saw("publish", &error),
            }
            if ground.stopped() {
                return;
            }
        }
        ground.pause(Duration::from_millis(60)).await;
        if ground.stopped() {
            return;
        }
    }
}

/// Hears everything from the first event on, until all that was published has come.
async fn subscribe(ground: Ground, history: Arc<History>, number: u32) {
    let interest = Interest::new(["load.>"]);
    let client = ground.client(TENANT).with_timeout(DEADLINE);
    let mut events = client.subscribe(interest, "start").await.unwrap();
    let heard = &history.heard[number as usize];
    let mut at = 0;
    let mut over = None;
    while over.is_none_or(|since: Instant| since.elapsed() < DEADLINE) {
        let last = history.last.load(Ordering::Relaxed);
        if last != 0 {
            if last <= at {
                return;
            }
            over.get_or_insert_with(Instant::now);
        }
        if ground.stopped() && last == 0 {
            let newest = newest(&ground, &history).await;
            history.last.store(newest.max(1), Ordering::Relaxed);
        }
        // So that the end is looked for when nothing comes.
        match time::timeout(Duration::from_millis(500), events.next()).await {
            Ok(Some(Ok(event))) => {
                at = event.sequence;
                locked(heard).push(event.sequence);
            }
            Ok(Some(Err(error))) => {
                ground.wrong(format!("subscriber {number} ended: {}: {error}", error.code()));
                return;
            }
            Ok(None) => return,
            Err(_) => {}
        }
    }
    ground.wrong(format!("subscriber {number} came to {at} only"));
}

/// The sequence of the newest event, once nobody publishes any more.
async fn newest(ground: &Ground, history: &History) -> u64 {
    while history.ended.load(Ordering::Relaxed) < PUBLISHERS.into() {
        time::sleep(Duration::from_millis(50)).await;
    }
    let events = all(&ground.client(TENANT), "load.>").await;
    events.last().map_or(0, |event| event.sequence)
}

/// Consumes a queue: mostly acknowledges, sometimes gives back, sometimes forgets.
async fn consume(ground: Ground, history: Arc<History>, number: u32) {
    let client = ground.client(TENANT);
    let settings = QueueSettings {
        ack_timeout_ms: 3_000,
        max_deliveries: 1_000,
        ..QueueSettings::new(Interest::new(["load.>"]))
    };
    while let Err(error) = client.create_queue(QUEUE, settings.clone(), "start").await {
        ground.saw("create a queue", &error);
        assert!(!ground.stopped(), "{error}");
    }
    let mut leases = client.consume(QUEUE, 10).await.unwrap();
    let mut turn = number;
    while !history.done.load(Ordering::Relaxed) {
        let Ok(lease) = time::timeout(Duration::from_millis(200), leases.next()).await else {
            if ground.stopped() && is_empty(&client).await {
                history.done.store(true, Ordering::Relaxed);
            }
            continue;
        };
        let lease = match lease {
            Some(Ok(lease)) => lease,
            other => {
                ground.wrong(format!("consumer {number} ended: {other:?}"));
                return;
            }
        };
        let (sequence, attempt) = (lease.event.sequence, lease.attempt);
        turn += 1;
        let acknowledged = match turn % 16 {
            0 => {
                // Whether or not: it comes again.
                let _ = lease.nack(Duration::ZERO, "as the test says").await;
                false
            }
            8 => false,
            _ => lease.ack().await.is_ok(),
        };
        if acknowledged {
            history.settled.add();
        }
        locked(&history.deliveries).push(Delivered { sequence, attempt, acknowledged });
    }
    leases.close().await;
}

/// Whether all events of the queue are settled.
async fn is_empty(client: &Client) -> bool {
    let queue = client.queue(QUEUE).await;
    queue.is_ok_and(|queue| queue.depth == 0 && queue.in_flight == 0)
}

async fn all(client: &Client, filter: &str) -> Vec<Event> {
    let (mut all, mut after) = (Vec::new(), "start".to_owned());
    loop {
        let page = client.read_events(&Interest::new([filter]), &after, 1_000).await.unwrap();
        if page.events.is_empty() {
            return all;
        }
        all.extend(page.events);
        after = page.next_cursor;
    }
}

/// What is wrong with the deliveries of a queue that is empty.
fn judge(deliveries: &[Delivered], events: &HashSet<u64>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut by_event: BTreeMap<u64, Vec<Delivered>> = BTreeMap::new();
    for it in deliveries {
        by_event.entry(it.sequence).or_default().push(*it);
    }
    for sequence in events {
        if !by_event.contains_key(sequence) {
            wrong.push(format!("event {sequence} was not delivered"));
        }
    }
    for (sequence, deliveries) in by_event {
        let attempts: HashSet<u32> = deliveries.iter().map(|it| it.attempt).collect();
        if attempts.len() < deliveries.len() {
            wrong.push(format!("an attempt of event {sequence} was held twice: {deliveries:?}"));
        }
        let last = attempts.iter().max();
        let mut acknowledged = deliveries.iter().filter(|it| it.acknowledged);
        if let Some(done) = acknowledged.next() {
            if Some(&done.attempt) != last {
                wrong.push(format!("event {sequence} came again: {deliveries:?}"));
            }
            if acknowledged.next().is_some() {
                wrong.push(format!("event {sequence} was acknowledged twice: {deliveries:?}"));
            }
        }
    }
    wrong
}

/// Looks at the log, as each node tells it, and at what came of it.
pub(crate) async fn check(ground: &Ground, history: &History) {
    let events = all(&ground.client(TENANT), ">").await;
    for (expected, event) in (1..).zip(&events) {
        if event.sequence != expected {
            ground.wrong(format!("event {} in the place of {expected}", event.sequence));
            break;
        }
    }
    for url in &ground.nodes {
        let node = Client::new(url).unwrap().with_tenant(TENANT);
        // It may have no role for it.
        let Ok(_) = node.read_events(&Interest::new([">"]), "start", 1).await else { continue };
        if all(&node, ">").await != events {
            ground.wrong(format!("{url} tells other events"));
        }
    }
    let mut by_key: HashMap<String, Vec<u64>> = HashMap::new();
    for event in &events {
        let key = String::from_utf8(event.data.clone()).unwrap();
        by_key.entry(key).or_default().push(event.sequence);
    }
    for (key, sequence) in locked(&history.published).iter() {
        if by_key.get(key).map(Vec::as_slice) != Some(&[*sequence]) {
            ground.wrong(format!("{key} was {sequence}, and is {:?}", by_key.get(key)));
        }
    }
    for (key, sequences) in &by_key {
        if 1 < sequences.len() {
            ground.wrong(format!("{key} was published as {sequences:?}"));
        }
    }
    let sequences: Vec<u64> = events.iter().map(|event| event.sequence).collect();
    for (number, heard) in history.heard.iter().enumerate() {
        if *locked(heard) != sequences {
            let (heard, all) = (locked(heard).clone(), sequences.len());
            let wrong = heard.iter().zip(&sequences).find(|(one, other)| one != other);
            let heard = heard.len();
            ground.wrong(format!("subscriber {number} heard {heard} of {all}: {wrong:?}"));
        }
    }
    let wrong = judge(&locked(&history.deliveries), &sequences.into_iter().collect());
    for wrong in wrong {
        ground.wrong(wrong);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(deliveries: &[(u64, u32, bool)]) -> Vec<String> {
        let deliveries: Vec<Delivered> = deliveries
            .iter()
            .map(|&(sequence, attempt, acknowledged)| Delivered { sequence, attempt, acknowledged })
            .collect();
        judge(&deliveries, &HashSet::from([1]))
    }

    #[test]
    fn deliveries_are_judged() {
        assert_eq!(judged(&[(1, 1, true)]), Vec::<String>::new());
        assert_eq!(judged(&[(1, 1, false), (1, 2, false), (1, 3, true)]), Vec::<String>::new());
        for (deliveries, says) in [
            (&[][..], "not delivered"),
            (&[(1, 1, true), (1, 2, false)], "came again"),
            (&[(1, 1, false), (1, 1, true)], "held twice"),
            (&[(1, 1, true), (1, 2, true)], "acknowledged twice"),
        ] {
            let wrong = judged(deliveries);
            assert!(wrong.iter().any(|it| it.contains(says)), "{wrong:?}");
        }
    }
}
