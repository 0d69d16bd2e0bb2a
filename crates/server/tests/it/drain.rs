//! Stopping: what was taken is answered, nothing more is taken.

use std::sync::Arc;

use switchboard_core::store::Condition;
use switchboard_server::{Limits, Stopped};
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

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
