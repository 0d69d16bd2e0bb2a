//! gRPC: calls, errors, reflection and health.

use switchboard_core::store::Condition;
use switchboard_proto::v1::{IngestBatchRequest, IngestRequest, IngestResponse};
use tonic::{Code, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt as _;

use crate::node::{Node, until};

pub(crate) fn request(tenant: &str, key: &str) -> IngestRequest {
    IngestRequest { tenant: tenant.to_owned(), key: key.to_owned() }
}

#[track_caller]
fn check(status: &Status, code: Code, reason: &str) {
    assert_eq!(status.code(), code, "{status:?}");
    let info = status.get_details_error_info().expect("an ErrorInfo");
    assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, "switchboard"));
}

#[tokio::test]
async fn the_sample_conversation_from_two_clients() {
    let node = Node::start().await;
    let (mut one, mut other) = (node.grpc().await, node.grpc().await);
    let mut told = Vec::new();
    told.push(one.ingest(request("3bd1c697", "K-h53dk-A")).await.unwrap().into_inner());
    told.push(other.ingest(request("75682017", "K-h53dk-A")).await.unwrap().into_inner());
    told.push(one.ingest(request("3bd1c697", "K-867vc-C")).await.unwrap().into_inner());
    told.push(other.ingest(request("75682017", "K-h53dk-A")).await.unwrap().into_inner());
    let ids: Vec<_> = told.iter().map(|&IngestResponse { id, new, .. }| (id, new)).collect();
    assert_eq!(ids, [(1, true), (2, true), (3, true), (2, false)]);
    assert!(told.windows(2).all(|pair| pair[0].timestamp < pair[1].timestamp));
}

#[tokio::test]
async fn errors_carry_their_code() {
    let node = Node::start().await;
    let mut client = node.grpc().await;
    let bad_key = client.ingest(request("a", "K-4bbf1")).await.unwrap_err();
    check(&bad_key, Code::InvalidArgument, "invalid_key");
    let bad_tenant = client.ingest(request("a b", "K-4bbf1-P")).await.unwrap_err();
    check(&bad_tenant, Code::InvalidArgument, "invalid_tenant");
    let long = client.ingest(request("a", &"x".repeat(2 * 1024 * 1024))).await.unwrap_err();
    check(&long, Code::ResourceExhausted, "too_large");
    let batch = |keys: Vec<String>| IngestBatchRequest { tenant: "a".to_owned(), keys };
    let empty = client.ingest_batch(batch(vec![])).await.unwrap_err();
    check(&empty, Code::InvalidArgument, "invalid_request");
    let mut keys = vec!["K-4bbf1-P".to_owned(); 10_000];
    keys[7_000] = "K".to_owned();
    let one_bad = client.ingest_batch(batch(keys.clone())).await.unwrap_err();
    check(&one_bad, Code::InvalidArgument, "invalid_key");
    assert!(one_bad.message().contains("index 7000"), "{}", one_bad.message());
    keys[7_000] = "K-4bbf1-Q".to_owned();
    keys.push("K-4bbf1-R".to_owned());
    let many = client.ingest_batch(batch(keys)).await.unwrap_err();
    check(&many, Code::ResourceExhausted, "too_large");
    let panics = client.ingest(request("a", crate::node::PANIC)).await.unwrap_err();
    check(&panics, Code::Internal, "internal");

    let first = client.ingest(request("a", "K-4bbf1-P")).await.unwrap().into_inner();
    assert_eq!((first.id, first.new), (1, true));
}

#[tokio::test]
async fn what_is_no_message_is_refused_by_name() {
    let node = Node::start().await;
    // A tenant that is not UTF-8: field 1, one byte, 0xff.
    let call = "switchboard.v1.IngestService/Ingest";
    let answer = raw_call(&node, call, &[0x0a, 0x01, 0xff]).await;
    check(&answer, Code::InvalidArgument, "invalid_request");
}

/// What comes of a call whose message is these bytes.
pub(crate) async fn raw_call(node: &Node, call: &str, message: &[u8]) -> Status {
    use http_body_util::{BodyExt as _, Full};
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    let stream = tokio::net::TcpStream::connect(node.main).await.unwrap();
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, hyper_util::rt::TokioIo::new(stream))
            .await
            .unwrap();
    let mut driving = tokio::task::JoinSet::new();
    driving.spawn(connection);
    let request = http::Request::post(format!("http://{}/{call}", node.main))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(bytes::Bytes::from(frame)))
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    Status::from_header_map(&head.headers)
        .or_else(|| Status::from_header_map(&trailers))
        .expect("a status")
}

#[tokio::test]
async fn reflection_knows_the_services() {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let node = Node::start().await;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", node.main)).unwrap();
    let mut client = ServerReflectionClient::new(channel.connect().await.unwrap());
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = client.server_reflection_info(tokio_stream::iter([list])).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("no list: {answer:?}");
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&"switchboard.v1.IngestService"), "{names:?}");
    assert!(names.contains(&"grpc.health.v1.Health"), "{names:?}");
}

#[tokio::test]
async fn health_follows_the_store() {
    let node = Node::start().await;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", node.main)).unwrap();
    let client = HealthClient::new(channel.connect().await.unwrap());
    let serving = async |service: &str| {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = client.clone().check(request).await;
        answer.is_ok_and(|answer| answer.into_inner().status == 1)
    };
    until("serving", async || serving("switchboard.v1.IngestService").await).await;
    node.world.set(Condition::Full("no room".to_owned()));
    until("not serving", async || !serving("").await).await;
    node.world.set(Condition::Writable);
    until("serving again", async || serving("").await).await;
}

#[tokio::test]
async fn an_unknown_call_is_unimplemented() {
    let node = Node::start().await;
    let stream = node.send("POST", "/no.Such/Call", "application/grpc", b"").await;
    assert_eq!(stream.0, 200);
}
