//! The pipelined stream.

use std::time::Duration;

use switchboard_proto::v1::IngestRequest;
use switchboard_server::Limits;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::Code;

use crate::{
    grpc::request,
    node::{Node, until},
};

fn key(number: u32) -> String {
    format!("K-{number:05}-A")
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_requests() {
    let node = Node::start().await;
    let requests: Vec<IngestRequest> =
        (0..10_000).map(|n| request(&format!("t{}", n % 7), &key(n % 5_000))).collect();
    let answers = node.grpc().await.ingest_stream(tokio_stream::iter(requests)).await.unwrap();
    let mut answers = answers.into_inner();
    let mut ids = std::collections::HashMap::new();
    let mut latest = 0;
    for n in 0..10_000 {
        let answer = answers.message().await.unwrap().expect("an answer for each request");
        let fresh = ids.len() as u64 + 1;
        let id = *ids.entry((n % 7, n % 5_000)).or_insert(fresh);
        assert_eq!((answer.id, answer.new), (id, id == fresh), "request {n}");
        assert!(latest <= answer.timestamp, "time runs backwards");
        latest = answer.timestamp;
    }
    assert!(answers.message().await.unwrap().is_none());
}

#[tokio::test]
async fn each_answer_comes_without_waiting_for_more_requests() {
    let node = Node::start().await;
    let (requests, sent) = mpsc::channel(1);
    let mut client = node.grpc().await;
    let answers = client.ingest_stream(ReceiverStream::new(sent));
    requests.send(request("a", &key(0))).await.unwrap();
    let mut answers = answers.await.unwrap().into_inner();
    for n in 1..20_u32 {
        assert_eq!(answers.message().await.unwrap().unwrap().id, u64::from(n));
        requests.send(request("a", &key(n))).await.unwrap();
    }
}

#[tokio::test]
async fn a_malformed_request_ends_the_stream_after_the_answers_before_it() {
    let node = Node::start().await;
    let requests = [key(0), key(1), "K-bad".to_owned(), key(2)].map(|key| request("a", &key));
    let answers = node.grpc().await.ingest_stream(tokio_stream::iter(requests)).await.unwrap();
    let mut answers = answers.into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap().id, 1);
    assert_eq!(answers.message().await.unwrap().unwrap().id, 2);
    let end = answers.message().await.unwrap_err();
    assert_eq!(end.code(), Code::InvalidArgument, "{end:?}");
    assert!(end.message().contains("K-4bbf1-P"), "{end:?}");
    let next = node.grpc().await.ingest(request("a", &key(3))).await.unwrap().into_inner();
    assert_eq!((next.id, next.new), (3, true), "what came after the bad one was not recorded");
}

#[tokio::test]
async fn a_panic_is_the_end_of_one_stream() {
    let node = Node::start().await;
    let requests = [request("a", &key(0)), request("a", crate::node::PANIC)];
    let answers = node.grpc().await.ingest_stream(tokio_stream::iter(requests)).await.unwrap();
    let mut answers = answers.into_inner();
    let end = loop {
        if let Err(end) = answers.message().await {
            break end;
        }
    };
    assert_eq!(end.code(), Code::Internal, "{end:?}");
    let next = node.grpc().await.ingest(request("a", &key(1))).await.unwrap().into_inner();
    assert!(next.new);
}

#[tokio::test]
async fn a_peer_that_gets_no_answers_is_not_read_for_ever() {
    let limits = Limits { stream_requests_max: 100, ..Limits::default() };
    let node = Node::with(limits).await;
    let gate = node.world.hold();
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = std::sync::Arc::clone(&sent);
    let requests = tokio_stream::iter(0..1_000_000_u32).map_while(move |n| {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        (n < 99_000).then(|| request(&"x".repeat(64), &key(n)))
    });
    let mut answers = node.grpc().await.ingest_stream(requests).await.unwrap().into_inner();
    // What is in flight is bounded by the limit and the windows, far below what is offered: it
    // stops growing.
    let load = || sent.load(std::sync::atomic::Ordering::Relaxed);
    let mut before = 0;
    until("the sender is held back", async || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = load();
        std::mem::replace(&mut before, now) == now && 100 <= now
    })
    .await;
    assert!(load() < 50_000, "{} requests were taken from a peer that reads nothing", load());
    gate.cancel();
    let mut answered = 0;
    while answers.message().await.unwrap().is_some() {
        answered += 1;
    }
    assert_eq!(answered, 99_000);
}
