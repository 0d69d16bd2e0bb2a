//! Queues, as consumers meet them over every transport.

use std::{collections::BTreeSet, time::Duration};

use switchboard_proto::v1::{self, CreateQueueRequest, QueueSettings, SettleResponse};

use super::{
    reader::{self, Reader, reason},
    texts,
    worker::{Said, Way, Worker, code_of},
};
use crate::{
    line::Over,
    node::{Node, until},
};

/// Of the queue `work`, which takes what begins with `a.`.
fn settings() -> QueueSettings {
    QueueSettings { topics: texts(&["a.>"]), ..QueueSettings::default() }
}

/// Makes a queue; the code of the refusal if it is refused.
async fn make(node: &Node, queue: &str, settings: QueueSettings) -> Result<bool, String> {
    let (tenant, queue) = ("a".to_owned(), queue.to_owned());
    let settings = Some(settings);
    let request = CreateQueueRequest { tenant, queue, settings, after: String::new() };
    let made = node.bus().await.create_queue(request).await;
    made.map(|made| made.into_inner().new).map_err(|status| reason(&status))
}

async fn look(node: &Node) -> v1::Queue {
    let request = v1::GetQueueRequest { tenant: "a".to_owned(), queue: "work".to_owned() };
    node.bus().await.get_queue(request).await.unwrap().into_inner()
}

fn done(done: u32) -> SettleResponse {
    SettleResponse { done, refused: Vec::new() }
}

fn refused(delivery: &str, code: &str) -> SettleResponse {
    let refused = v1::RefusedDelivery { delivery: delivery.to_owned(), code: code.to_owned() };
    SettleResponse { done: 0, refused: vec![refused] }
}

fn sequence(delivery: &v1::Delivery) -> u64 {
    delivery.event.as_ref().unwrap().sequence
}

#[tokio::test]
async fn who_has_room_gets_what_comes_later() {
    for way in Way::ALL {
        let node = Node::start().await;
        make(&node, "work", settings()).await.unwrap();
        let mut worker = Worker::open(&node, way, "work", 100).await;
        // Neither what is not settled nor that there was nothing for a while keeps it from more.
        for number in 0..30 {
            let published = node.publish("a.b", &number.to_string()).await;
            assert_eq!(sequence(&worker.next().await), published, "{way:?}");
        }
        assert_eq!(look(&node).await.in_flight, 30, "{way:?}");
    }
}

#[tokio::test]
async fn each_event_is_one_consumers_and_done_with_once_acknowledged() {
    for way in Way::ALL {
        let node = Node::start().await;
        make(&node, "work", settings()).await.unwrap();
        let mut workers = Vec::new();
        for _ in 0..3 {
            workers.push(Worker::open(&node, way, "work", 2).await);
        }
        let (mut published, mut got) = (BTreeSet::new(), BTreeSet::new());
        for number in 0..30 {
            published.insert(node.publish("a.b", &number.to_string()).await);
            node.publish("b", "another").await;
        }
        // Prefetch bounds what one has: so each has its share of the first.
        for _ in 0..5 {
            for worker in &mut workers {
                for _ in 0..2 {
                    let delivery = worker.next().await;
                    assert_eq!(delivery.attempt, 1, "{way:?}");
                    assert!(got.insert(sequence(&delivery)), "{way:?}: two have one");
                    let said = Said { ack: &[&delivery.delivery], ..Said::default() };
                    assert_eq!(worker.settle(said).await, Ok(done(1)), "{way:?}");
                    let again = worker.settle(said).await;
                    assert_eq!(again, Ok(refused(&delivery.delivery, "not_found")), "{way:?}");
                }
            }
        }
        assert_eq!(got, published, "{way:?}");
        let v1::Queue { depth, in_flight, acknowledged, oldest_at, .. } = look(&node).await;
        assert_eq!((depth, in_flight, acknowledged, oldest_at), (0, 0, 30, None), "{way:?}");
    }
}

#[tokio::test]
async fn what_is_given_back_comes_again_and_in_the_end_goes_to_the_dead_letters() {
    for way in Way::ALL {
        let node = Node::start().await;
        make(&node, "work", QueueSettings { max_deliveries: 3, ..settings() }).await.unwrap();
        let mut letters =
            Reader::open(&node, reader::Way::Grpc, &["sys.dead_letters.work"], "").await;
        let mut worker = Worker::open(&node, way, "work", 10).await;
        let published = node.publish("a.b", "poison").await;
        for (attempt, delay_ms) in [(1, 0), (2, 5_000), (3, 0)] {
            let delivery = worker.next().await;
            assert_eq!((sequence(&delivery), delivery.attempt), (published, attempt), "{way:?}");
            let nack = [&*delivery.delivery];
            let said = Said { nack: &nack, delay_ms, reason: "no such order", ..Said::default() };
            assert_eq!(worker.settle(said).await, Ok(done(1)), "{way:?}");
            node.world.turn(Duration::from_millis(delay_ms.into()));
        }
        let letter = letters.next().await;
        let expected = v1::DeadLetter {
            queue: "work".to_owned(),
            reason: "no such order".to_owned(),
            attempts: 3,
            topic: "a.b".to_owned(),
            sequence: published,
        };
        assert_eq!(letter.dead_letter, Some(expected), "{way:?}");
        assert_eq!((&*letter.data, &*letter.r#type), (&b"poison"[..], "t"), "{way:?}");
        let state = look(&node).await;
        assert_eq!((state.dead_lettered, state.redelivered, state.depth), (1, 2, 0), "{way:?}");
    }
}

#[tokio::test]
async fn what_is_not_settled_in_time_is_anothers() {
    for way in Way::ALL {
        let node = Node::start().await;
        let brief = QueueSettings { ack_timeout_ms: 60_000, ..settings() };
        make(&node, "work", brief).await.unwrap();
        let mut slow = Worker::open(&node, way, "work", 1).await;
        let published = node.publish("a.b", "1").await;
        let first = slow.next().await;
        let mut other = Worker::open(&node, way, "work", 1).await;
        node.world.turn(Duration::from_secs(61));
        let second = other.next().await;
        assert_eq!((sequence(&second), second.attempt), (published, 2), "{way:?}");
        // Late, and what is another's is not settled by it.
        let late = slow.settle(Said { ack: &[&first.delivery], ..Said::default() }).await;
        assert_eq!(late, Ok(refused(&first.delivery, "conflict")), "{way:?}");
        let settled = other.settle(Said { ack: &[&second.delivery], ..Said::default() }).await;
        assert_eq!(settled, Ok(done(1)), "{way:?}");
    }
}

#[tokio::test]
async fn what_a_consumer_leaves_behind_is_given_to_another_at_once() {
    for way in Way::ALL {
        if way == Way::Rest {
            // Who pulls has no connection by which it would be known that it has gone.
            continue;
        }
        let node = Node::start().await;
        make(&node, "work", settings()).await.unwrap();
        let mut gone = Worker::open(&node, way, "work", 10).await;
        let mut published = Vec::new();
        for number in 0..3 {
            published.push(node.publish("a.b", &number.to_string()).await);
            gone.next().await;
        }
        let mut other = Worker::open(&node, way, "work", 10).await;
        drop(gone);
        for expected in published {
            let delivery = other.next().await;
            assert_eq!((sequence(&delivery), delivery.attempt), (expected, 2), "{way:?}");
        }
    }
}

#[tokio::test]
async fn a_pull_waits_as_long_as_it_may() {
    let node = Node::start().await;
    make(&node, "work", settings()).await.unwrap();
    let path = "/v1/tenants/a/queues/work/pull";
    for ask in ["{}", "{\"max\":5,\"wait_ms\":50}"] {
        let (status, body) = node.post(path, ask).await;
        assert_eq!((status, body.trim()), (200, "{\"deliveries\":[]}"), "{ask}");
    }
    for (ask, code) in [
        ("{\"max\":1001}", "too_large"),
        ("{\"wait_ms\":20001}", "too_large"),
        ("{\"max\":\"x\"}", "invalid_request"),
        ("{\"most\":1}", "invalid_request"),
    ] {
        let (_, body) = node.post(path, ask).await;
        assert_eq!(code_of(&body), code, "{ask}");
    }
    // Who gives up waiting takes nothing with him.
    let published = node.publish("a.b", "1").await;
    let mut worker = Worker::open(&node, Way::Grpc, "work", 1).await;
    let delivery = worker.next().await;
    assert_eq!((sequence(&delivery), delivery.attempt), (published, 1));
}

#[tokio::test]
async fn what_can_not_be_is_refused_and_changes_nothing() {
    let node = Node::start().await;
    assert_eq!(make(&node, "work", settings()).await, Ok(true));
    assert_eq!(make(&node, "work", settings()).await, Ok(false));
    let before = look(&node).await;
    let with = |topics: &[&str]| QueueSettings { topics: texts(topics), ..settings() };
    for (queue, settings, code) in [
        ("work", QueueSettings { max_deliveries: 2, ..settings() }, "conflict"),
        ("work", with(&["a.*"]), "conflict"),
        ("no.name", settings(), "invalid_queue"),
        ("", settings(), "invalid_queue"),
        ("other", with(&[]), "invalid_request"),
        ("other", with(&["a.>.b"]), "invalid_topic"),
        ("other", with(&["a*"]), "invalid_topic"),
        ("other", with(&["a.b.c.d.e.f.g.h.i"]), "invalid_topic"),
        ("other", with(&[">"]), "invalid_request"),
        ("other", QueueSettings { types: texts(&["a b"]), ..settings() }, "invalid_type"),
        ("other", QueueSettings { ack_timeout_ms: 999, ..settings() }, "invalid_request"),
        ("other", QueueSettings { max_deliveries: 1001, ..settings() }, "invalid_request"),
        (
            "other",
            QueueSettings { dead_letter_topic: "sys.x".to_owned(), ..settings() },
            "invalid_topic",
        ),
    ] {
        assert_eq!(
            make(&node, queue, settings.clone()).await,
            Err(code.to_owned()),
            "{settings:?}"
        );
    }
    assert_eq!(look(&node).await, before);
    for way in Way::ALL {
        let unknown = Worker::try_open(&node, way, "other", 1).await.err();
        assert_eq!(unknown.as_deref(), Some("not_found"), "{way:?}");
        if way != Way::Rest {
            let greedy = Worker::try_open(&node, way, "work", 10_001).await.err();
            assert_eq!(greedy.as_deref(), Some("too_large"), "{way:?}");
        }
    }
    let mut worker = Worker::open(&node, Way::Session(Over::Tcp), "work", 1).await;
    let nonsense = worker.settle(Said { ack: &["nonsense"], ..Said::default() }).await;
    assert_eq!(nonsense, Ok(refused("nonsense", "not_found")));
    for (said, code) in [
        (Said { nack: &["x"], delay_ms: 43_200_001, ..Said::default() }, "too_large"),
        (Said { nack: &["x"], reason: &"x".repeat(257), ..Said::default() }, "too_large"),
        (Said { nack: &["x"], reason: "a\nb", ..Said::default() }, "invalid_request"),
        (Said { ack: &["x"; 1001], ..Said::default() }, "too_large"),
    ] {
        assert_eq!(worker.settle(said).await, Err(code.to_owned()), "{said:?}");
    }
}

#[tokio::test]
async fn a_queue_that_is_removed_ends_its_consumers() {
    let node = Node::start().await;
    make(&node, "work", settings()).await.unwrap();
    let _worker = Worker::open(&node, Way::Grpc, "work", 1).await;
    let delete = || v1::DeleteQueueRequest { tenant: "a".to_owned(), queue: "work".to_owned() };
    let mut bus = node.bus().await;
    for there in [true, false] {
        let deleted = bus.delete_queue(delete()).await.unwrap().into_inner();
        assert_eq!(deleted.deleted, there);
    }
    until("it is gone", async || {
        Worker::try_open(&node, Way::Grpc, "work", 1).await.is_err_and(|code| code == "not_found")
    })
    .await;
    // A new one of the name knows nothing of what the old one had.
    assert_eq!(
        make(&node, "work", QueueSettings { max_deliveries: 2, ..settings() }).await,
        Ok(true)
    );
    assert_eq!(look(&node).await.depth, 0);
}
