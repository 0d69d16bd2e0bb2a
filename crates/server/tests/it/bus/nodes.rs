//! Events and queues over several nodes.

use std::{collections::BTreeMap, time::Duration};

use switchboard_contract::Fate;
use switchboard_server::Looks;
use tokio::task::JoinSet;

use super::{
    event, publish,
    reader::{Reader, Way},
};
use crate::{
    bus::{hear, subscribe, subscribed},
    cluster::{Cluster, NEVER},
    line::{Line, Over},
    node::{Node, until},
};

/// Publishes at a node, one after another: the topic `from.` and a name, the data 1, 2, …
async fn publish_all(node: &Node, name: &str, count: u64) {
    let mut line = Line::join(node, Over::Tcp, name).await;
    for number in 1..=count {
        line.say(publish(event(&format!("from.{name}"), "t", &number.to_string()))).await;
        assert!(matches!(hear(&mut line).await, super::Frame::Publish(_)));
    }
}

/// The next so many events, none left out, in the order of the log.
async fn read_all(reader: &mut Reader, count: u64) {
    let (mut last, mut numbers) = (None, BTreeMap::<String, u64>::new());
    for _ in 0..count {
        let event = reader.next().await;
        assert!(last.is_none_or(|last| last < event.sequence), "{last:?} {event:?}");
        last = Some(event.sequence);
        let number = numbers.entry(event.topic).or_default();
        *number += 1;
        assert_eq!(event.data, number.to_string().as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_all_nodes_come_in_the_order_of_the_log_whatever_becomes_of_signals() {
    const EACH: u64 = 150;
    let cluster = Cluster::default();
    let looks = Looks { reconcile: Duration::from_millis(400), ..NEVER };
    let nodes = [cluster.node(looks).await, cluster.node(looks).await, cluster.node(looks).await];
    cluster.wire.decide(|payload| {
        match payload.iter().map(|byte| u32::from(*byte)).sum::<u32>() % 7 {
            0 => Fate::Lost,
            1 => Fate::Twice,
            2 => Fate::Late(Duration::from_millis(5)),
            3 => Fate::Late(Duration::from_millis(40)),
            _ => Fate::Arrives,
        }
    });
    let mut readers = Vec::new();
    for (node, way) in
        [(&nodes[0], Way::Session(Over::Tcp)), (&nodes[1], Way::Sse), (&nodes[2], Way::Grpc)]
    {
        readers.push(Reader::open(node, way, &["from.*"], "").await);
    }
    let publishing = async {
        tokio::join!(
            publish_all(&nodes[0], "one", EACH),
            publish_all(&nodes[1], "two", EACH),
            publish_all(&nodes[1], "three", EACH),
        )
    };
    let reading = async {
        for reader in &mut readers {
            read_all(reader, 3 * EACH).await;
        }
    };
    tokio::join!(publishing, reading);
    // And who begins in the middle of it misses nothing either.
    let mut late = Reader::open(&nodes[2], Way::Grpc, &["from.*"], "start").await;
    read_all(&mut late, 3 * EACH).await;
}

#[tokio::test]
async fn an_event_of_another_node_comes_live_and_its_loss_is_found() {
    let cluster = Cluster::default();
    let looks = Looks { reconcile: Duration::from_millis(500), ..NEVER };
    let (one, two) = (cluster.node(NEVER).await, cluster.node(looks).await);
    let mut reader = Reader::open(&two, Way::Grpc, &["a.>"], "").await;
    let sequence = one.publish("a.b", "live").await;
    assert_eq!(reader.next().await.sequence, sequence);
    cluster.wire.decide(|_| Fate::Lost);
    for data in ["lost", "lost as well"] {
        let sequence = one.publish("a.b", data).await;
        let event = reader.next().await;
        assert_eq!((event.sequence, event.data), (sequence, data.into()));
    }
    // The signal of the last is there, those before it are not.
    one.publish("a.b", "missed").await;
    cluster.wire.decide(|_| Fate::Arrives);
    let sequence = one.publish("a.b", "seen").await;
    assert_eq!(reader.next().await.sequence, sequence - 1);
    assert_eq!(reader.next().await.sequence, sequence);
}

#[tokio::test]
async fn the_largest_event_reaches_other_nodes() {
    let cluster = Cluster::default();
    let (one, two) = (cluster.node(NEVER).await, cluster.node(NEVER).await);
    let mut reader = Reader::open(&two, Way::Session(Over::Tcp), &["a"], "").await;
    let large = "x".repeat(1024 * 1024);
    one.publish("a", &large).await;
    assert!(reader.next().await.data == large.as_bytes());
    let mut line = Line::join(&one, Over::Tcp, "x").await;
    let mut ephemeral = event("a", "t", &large);
    ephemeral.ephemeral = true;
    line.say(publish(ephemeral)).await;
    let came = reader.next().await;
    assert!(came.sequence == 0 && came.data == large.as_bytes());
}

#[tokio::test]
async fn ephemeral_events_reach_other_nodes_in_order_and_nobody_waits_for_them() {
    let cluster = Cluster::default();
    let (one, two) = (cluster.node(NEVER).await, cluster.node(NEVER).await);
    let mut readers = Vec::new();
    for node in [&one, &two] {
        readers.push(Reader::open(node, Way::Grpc, &["a"], "").await);
    }
    let mut line = Line::join(&one, Over::Tcp, "x").await;
    for number in 0..100 {
        let mut ephemeral = event("a", "t", &number.to_string());
        ephemeral.ephemeral = true;
        line.say(publish(ephemeral)).await;
    }
    for reader in &mut readers {
        for number in 0..100 {
            let event = reader.next().await;
            assert_eq!((event.sequence, event.data), (0, number.to_string().into()));
        }
    }
}

#[tokio::test]
async fn a_request_is_answered_from_another_node() {
    let cluster = Cluster::default();
    let (one, two) = (cluster.node(NEVER).await, cluster.node(NEVER).await);
    let mut asker = Line::join(&one, Over::Tcp, "asker").await;
    subscribed(&mut asker, subscribe(1, &["answers.asker"], &[], "")).await;
    let mut answerer = Line::join(&two, Over::Tcp, "answerer").await;
    subscribed(&mut answerer, subscribe(1, &["questions"], &[], "")).await;
    let mut question = event("questions", "t", "how are you?");
    question.ephemeral = true;
    question.reply_to = "answers.asker".to_owned();
    asker.say(publish(question)).await;
    let told_question = loop {
        match hear(&mut answerer).await {
            super::Frame::Event(told) => break told.event.unwrap(),
            super::Frame::Publish(_) => {}
            other => panic!("{other:?}"),
        }
    };
    let mut answer = event(&told_question.reply_to, "t", "well");
    answer.ephemeral = true;
    answerer.say(publish(answer)).await;
    loop {
        if let super::Frame::Event(told) = hear(&mut asker).await {
            assert_eq!(told.event.unwrap().data, b"well");
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_at_different_nodes_share_a_queue_and_hold_nothing_at_once() {
    const COUNT: usize = 120;
    let cluster = Cluster::default();
    let (one, two) = (cluster.node(NEVER).await, cluster.node(NEVER).await);
    let body = br#"{"topics":["work.*"]}"#;
    let (status, answer) =
        one.send("PUT", "/v1/tenants/a/queues/q", "application/json", body).await;
    assert!(status < 300, "{answer}");
    let mut consumers = JoinSet::new();
    let mut taken = Vec::new();
    for main in [one.main, two.main] {
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{main}")).unwrap();
        let channel = channel.connect().await.unwrap();
        consumers.spawn(async move {
            let mut bus = super::BusServiceClient::new(channel);
            let mut sequences = Vec::new();
            loop {
                // Waits for news of the other node.
                let request = super::v1::PullRequest {
                    tenant: "a".to_owned(),
                    queue: "q".to_owned(),
                    max: 3,
                    wait_ms: 4_000,
                };
                let pulled = bus.pull(request).await.unwrap().into_inner().deliveries;
                if pulled.is_empty() {
                    return sequences;
                }
                let ids = pulled.iter().map(|it| it.delivery.clone()).collect();
                sequences.extend(pulled.iter().map(|it| it.event.as_ref().unwrap().sequence));
                let request = super::v1::SettleRequest {
                    tenant: "a".to_owned(),
                    queue: "q".to_owned(),
                    ack: ids,
                    ..super::v1::SettleRequest::default()
                };
                bus.settle(request).await.unwrap();
            }
        });
    }
    for number in 0..COUNT {
        let node = if number % 2 == 0 { &one } else { &two };
        node.publish("work.x", &number.to_string()).await;
    }
    while let Some(sequences) = consumers.join_next().await {
        taken.push(sequences.unwrap());
    }
    let mut all: Vec<_> = taken.concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!((all.len(), taken.concat().len()), (COUNT, COUNT), "each once");
    until("both had some", async || taken.iter().all(|some| !some.is_empty())).await;
}
