//! Stopping: what was taken is answered, nothing more is taken.

use std::sync::Arc;

use switchboard_core::store::Condition;
use switchboard_proto::v1::{
    RetrieveRequest, StoreRequest, Value, value, vault_service_client::VaultServiceClient,
};
use switchboard_server::{Limits, Stopped};
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    grpc::request,
    node::{Node, World, until},
};

#[tokio::test]
async fn what_was_taken_is_answered_and_the_stream_says_goodbye() {
    let mut node = Node::start().await;
    let (requests, sent) = mpsc::channel(8);
    let mut client = node.grpc().await;
    let answers = client.ingest_stream(ReceiverStream::new(sent));
    requests.send(request("a", "K-00000-A")).await.unwrap();
    let mut answers = answers.await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap().id, 1);

    let gate = node.world.hold();
    let mut other = node.grpc().await;
    let mut unary = JoinSet::new();
    unary.spawn(async move { other.ingest(request("a", "K-00001-A")).await });
    until("the request is under way", async || node.world.recorded() == 2).await;
    node.stop.cancel();
    let end = answers.message().await.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable, "{end:?}");
    gate.cancel();
    let answer = unary.join_next().await.unwrap().unwrap().unwrap().into_inner();
    assert_eq!((answer.id, answer.new), (2, true));
    drop((client, answers, requests));
    node.ended().await.unwrap();
    assert!(TcpStream::connect(node.main).await.is_err(), "nobody listens any more");
}

/// An end without an error would say that there are no more.
#[tokio::test]
async fn records_that_are_being_read_end_with_an_error() {
    let mut node = Node::start().await;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", node.main)).unwrap();
    let mut client = VaultServiceClient::new(channel.connect().await.unwrap());
    let text = format!("\"{}\"", "a".repeat(900_000));
    for number in 0..40 {
        let mut request = StoreRequest::default();
        (request.tenant, request.id) = ("a".to_owned(), format!("record-{number}"));
        request.encryption_key = "a key".to_owned();
        request.value = Some(Value { content: Some(value::Content::Json(text.clone())) });
        client.store(request).await.unwrap();
    }
    let mut request = RetrieveRequest::default();
    (request.tenant, request.id) = ("a".to_owned(), "*".to_owned());
    request.encryption_key = "a key".to_owned();
    let mut records = client.retrieve(request).await.unwrap().into_inner();
    assert!(records.message().await.unwrap().is_some());
    node.stop.cancel();
    let mut read = 1;
    let end = loop {
        match records.message().await {
            Ok(Some(_)) => read += 1,
            Ok(None) => panic!("it ends after {read} of 40"),
            Err(end) => break end,
        }
    };
    assert_eq!(end.code(), Code::Unavailable, "{end:?}");
    drop((client, records));
    node.ended().await.unwrap();
}

#[tokio::test]
async fn who_watches_does_not_hold_up_the_end() {
    let mut node = Node::start().await;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", node.main)).unwrap();
    let mut client = HealthClient::new(channel.connect().await.unwrap());
    let watched = client.watch(HealthCheckRequest { service: String::new() }).await.unwrap();
    let mut watched = watched.into_inner();
    assert!(watched.message().await.unwrap().is_some());
    node.stop.cancel();
    node.ended().await.unwrap();
}

#[tokio::test]
async fn health_and_metrics_answer_while_the_node_drains() {
    let mut node = Node::start().await;
    assert_eq!(node.admin("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(node.admin("/readyz").await.0, 200);
    node.world.set(Condition::Full("no room".to_owned()));
    let (status, body) = node.admin("/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains(r#""store":"full: no room""#), "{body}");
    node.world.set(Condition::Writable);

    let gate = node.world.hold();
    let mut client = node.grpc().await;
    let mut unary = JoinSet::new();
    unary.spawn(async move { client.ingest(request("a", "K-00001-A")).await });
    until("the request is under way", async || node.world.recorded() == 1).await;
    node.stop.cancel();
    until("draining", async || node.admin("/readyz").await.0 == 503).await;
    assert_eq!(node.admin("/healthz").await, (200, "ok\n".to_owned()), "alive, but not ready");
    let (_, metrics) = node.admin("/metrics").await;
    let in_flight = "switchboard_requests_in_flight{capability=\"ingest\",\
                     operation=\"ingest\",transport=\"grpc\"} 1";
    assert!(metrics.contains(in_flight), "{metrics}");
    gate.cancel();
    unary.join_next().await.unwrap().unwrap().unwrap();
    node.ended().await.unwrap();
}

#[tokio::test]
async fn a_failed_store_stops_the_node() {
    let world = Arc::new(World::default());
    world.set(Condition::Failed("the disk is gone".to_owned()));
    let mut node = Node::on(world, Limits::default()).await;
    match node.ended().await {
        Err(Stopped::Store(error)) => assert!(error.to_string().contains("the disk is gone")),
        other => panic!("ended with {other:?}"),
    }
}
