//! Consumers: what is settled, and what comes again.

use std::time::Duration;

use switchboard_client::{
    Error,
    bus::{Consumer, Lease},
};
use tokio::time;
use tokio_stream::StreamExt as _;
use tonic::Status;

use super::node::{Node, Worker, delivery, refusal};
use crate::gateway::DEADLINE;

async fn next(consumer: &mut Consumer) -> Option<Result<Lease, Error>> {
    time::timeout(DEADLINE, consumer.next()).await.expect("nothing comes")
}

/// The next deliveries, by the sequences of their events.
async fn leases<const N: usize>(consumer: &mut Consumer, expected: [u64; N]) -> [Lease; N] {
    let mut leases = Vec::new();
    for sequence in expected {
        let lease = next(consumer).await.expect("it goes on").unwrap();
        assert_eq!(lease.event.sequence, sequence);
        leases.push(lease);
    }
    leases.try_into().unwrap()
}

async fn consume(node: &mut Node, prefetch: u32) -> (Consumer, Worker) {
    let client = node.client();
    let (consumer, (worker, start)) =
        tokio::join!(client.consume("mail", prefetch), node.consuming());
    assert_eq!((start.tenant.as_str(), start.queue.as_str()), ("t", "mail"));
    assert_eq!(start.prefetch, prefetch);
    (consumer.unwrap(), worker)
}

#[tokio::test]
async fn each_is_settled_and_those_that_wait_together_are_sent_together() {
    let mut node = Node::start().await;
    let (mut consumer, mut worker) = consume(&mut node, 10).await;
    worker.deliver(1..=5).await;
    let [one, two, three, four, five] = leases(&mut consumer, [1, 2, 3, 4, 5]).await;
    assert_eq!((one.id.as_str(), one.attempt, one.until), ("d1", 1, 9));
    // Queued although nobody waits yet.
    let (one, two) = (one.ack(), two.ack());
    let three = three.nack(Duration::from_millis(1_500), "no");
    let (four, five) = (four.ack(), five.ack());
    let mut settles = Vec::new();
    let mut heard = 0;
    while heard < 5 {
        let settle = worker.settle().await;
        heard += settle.ack.len() + settle.nack.len();
        settles.push(settle);
    }
    let acked: Vec<&String> = settles.iter().flat_map(|it| &it.ack).collect();
    assert_eq!(acked, ["d1", "d2", "d4", "d5"]);
    let nacked: Vec<_> = settles.iter().filter(|it| !it.nack.is_empty()).collect();
    assert!(matches!(&nacked[..], [it] if it.nack == ["d3"] && it.ack.is_empty()
        && it.delay_ms == 1_500 && it.reason == "no"));
    for settle in &settles {
        let refused: &[_] = match settle.ack.iter().any(|id| id == "d5") {
            true => &[("d4", "conflict"), ("d5", "not_found")],
            false if settle.ack.iter().any(|id| id == "d4") => &[("d4", "conflict")],
            false => &[],
        };
        let all = u32::try_from(settle.ack.len() + settle.nack.len() - refused.len()).unwrap();
        worker.settled(all, refused).await;
    }
    assert_eq!((one.await, two.await, three.await), (Ok(()), Ok(()), Ok(())));
    assert_eq!(four.await.unwrap_err().code(), "conflict");
    assert_eq!(five.await.unwrap_err().code(), "not_found");
}

#[tokio::test]
async fn it_comes_back_and_what_was_not_settled_comes_again() {
    let mut node = Node::start().await;
    let (mut consumer, mut worker) = consume(&mut node, 10).await;
    for (round, status) in
        [refusal("unavailable"), refusal("slow_consumer"), Status::unknown("reset")]
            .into_iter()
            .enumerate()
    {
        worker.deliver([1, 2, 3]).await;
        let [one, two] = leases(&mut consumer, [1, 2]).await;
        let unanswered = one.ack();
        worker.settle().await;
        worker.fail(status).await;
        assert_eq!(unanswered.await.unwrap_err().code(), "unavailable", "round {round}");
        let stale = two.ack().await.unwrap_err();
        assert_eq!(stale.code(), "conflict", "round {round}");
        worker = node.consuming().await.0;
        // The third was not taken: it is void, and comes again like the others.
        worker.deliver([2]).await;
        let [two] = leases(&mut consumer, [2]).await;
        let settled = two.ack();
        assert_eq!(worker.settle().await.ack, ["d2"]);
        worker.settled(1, &[]).await;
        assert_eq!(settled.await, Ok(()), "round {round}");
    }
}

#[tokio::test]
async fn a_node_that_was_killed_is_waited_for() {
    let mut node = Node::start().await;
    let address = node.address;
    let (consumer, worker) = consume(&mut node, 10).await;
    let (breaks, mut broke) = tokio::sync::mpsc::channel(1_000);
    let mut consumer = consumer.with_breaks(move |it| drop(breaks.try_send(it.error)));
    drop((worker, node));
    for _ in 0..3 {
        let error = time::timeout(DEADLINE, broke.recv()).await.unwrap().unwrap();
        assert_eq!(error.code(), "unavailable");
    }
    let mut node = Node::at(address).await;
    let (worker, _) = node.consuming().await;
    worker.deliver([1]).await;
    let [_lease] = leases(&mut consumer, [1]).await;
}

#[tokio::test]
async fn what_coming_back_does_not_mend_is_given_out_and_ends_it() {
    let mut node = Node::start().await;
    let (mut consumer, worker) = consume(&mut node, 10).await;
    worker.deliver([1]).await;
    let [lease] = leases(&mut consumer, [1]).await;
    node.trouble([refusal("unavailable")]);
    // The queue is deleted.
    worker.fail(refusal("not_found")).await;
    assert_eq!(next(&mut consumer).await.unwrap().unwrap_err().code(), "not_found");
    assert!(next(&mut consumer).await.is_none(), "it is over");
    assert!(lease.ack().await.is_err());

    node.trouble([refusal("not_found")]);
    assert_eq!(node.client().consume("none", 0).await.unwrap_err().code(), "not_found");
}

#[tokio::test]
async fn closing_settles_what_was_asked_for_first() {
    let mut node = Node::start().await;
    let (mut consumer, mut worker) = consume(&mut node, 10).await;
    worker.deliver([1, 2]).await;
    let [one, _two] = leases(&mut consumer, [1, 2]).await;
    let settled = one.ack();
    let worker = async {
        assert_eq!(worker.settle().await.ack, ["d1"]);
        worker.settled(1, &[]).await;
        assert_eq!(worker.hear().await, None, "the call ends");
    };
    tokio::join!(consumer.close(), worker);
    assert_eq!(settled.await, Ok(()));
}

#[tokio::test]
async fn dropping_it_ends_the_call() {
    let mut node = Node::start().await;
    let (mut consumer, mut worker) = consume(&mut node, 0).await;
    worker.deliver([1]).await;
    let [lease] = leases(&mut consumer, [1]).await;
    drop(consumer);
    assert_eq!(worker.hear().await, None);
    assert_eq!(lease.ack().await.unwrap_err().code(), "unavailable");
}

#[tokio::test]
async fn a_delivery_without_an_event_ends_it() {
    use switchboard_proto::v1::{Delivery, consume_response};
    let mut node = Node::start().await;
    let (mut consumer, worker) = consume(&mut node, 0).await;
    let empty = Delivery { event: None, ..delivery(1) };
    worker.say(consume_response::What::Delivery(empty)).await;
    assert_eq!(next(&mut consumer).await.unwrap().unwrap_err().code(), "internal");
}
