//! Connections that do not behave.

use std::time::Duration;

use http::uri::PathAndQuery;
use switchboard_proto::v1::{IngestRequest, IngestResponse};
use switchboard_server::Limits;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{Code, Request, client::Grpc, transport::Endpoint};
use tonic_prost::ProstCodec;

use crate::node::{DEADLINE, Node};

fn impatient() -> Limits {
    Limits {
        first_request: Duration::from_millis(200),
        header: Duration::from_millis(200),
        ..Limits::default()
    }
}

/// What a connection gets on which only this is sent, until it is closed.
async fn half_sent(node: &Node, sent: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(node.main).await.unwrap();
    stream.write_all(sent).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
    // A reset is a way of closing too.
    let _ = read.expect("the connection is closed in time");
    answer
}

#[tokio::test]
async fn who_sends_nothing_or_half_a_request_is_closed() {
    let node = Node::with(impatient()).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for sent in [
        b"".as_slice(),
        b"P",
        b"PRI * HTT",
        preface,
        b"GET / HTTP/1.1\r\nhost: a\r\nx: ",
        b"POST /v1/tenants/a/ingest HTTP/1.1\r\n",
    ] {
        half_sent(&node, sent).await;
    }
    let (status, _) = node.post("/v1/tenants/a/ingest", r#"{"key":"K-4bbf1-P"}"#).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn http_2_states_its_limits() {
    let node = Node::with(Limits { streams_max: 7, ..impatient() }).await;
    let mut preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    preface.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    let answer = half_sent(&node, &preface).await;
    // A frame: length of 3 bytes, type 4 (SETTINGS), flags, stream of 4 bytes; then pairs of a
    // 16-bit name and a 32-bit value (RFC 9113, 6.5).
    let length = usize::from(answer[1]) << 8 | usize::from(answer[2]);
    assert_eq!(answer[3], 4, "the first frame is SETTINGS");
    let settings: Vec<(u8, u32)> = answer[9..9 + length]
        .chunks(6)
        .map(|pair| (pair[1], u32::from_be_bytes([pair[2], pair[3], pair[4], pair[5]])))
        .collect();
    assert!(settings.contains(&(3, 7)), "max concurrent streams: {settings:?}");
    assert!(settings.contains(&(6, 16 * 1024)), "max header list size: {settings:?}");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let node = Node::with(Limits { connections_max: 1, ..Limits::default() }).await;
    let mut first = TcpStream::connect(node.main).await.unwrap();
    let request = b"GET /openapi.json HTTP/1.1\r\nhost: a\r\n\r\n";
    first.write_all(request).await.unwrap();
    let mut answer = [0; 12];
    first.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let mut second = TcpStream::connect(node.main).await.unwrap();
    second.write_all(request).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(200), second.read_exact(&mut answer));
    assert!(early.await.is_err(), "there is no place yet");
    drop(first);
    tokio::time::timeout(DEADLINE, second.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn a_slow_caller_of_a_unary_request_is_told() {
    let limits = Limits { request: Duration::from_millis(100), ..Limits::default() };
    let node = Node::with(limits).await;
    let _gate = node.world.hold();
    let (status, body) = node.post("/v1/tenants/a/ingest", r#"{"key":"K-4bbf1-P"}"#).await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("took too long"), "{body}");
}

#[tokio::test]
async fn who_sends_half_a_body_is_told_and_closed() {
    let limits = Limits { request: Duration::from_millis(100), ..Limits::default() };
    let node = Node::with(limits).await;
    for (path, length) in [
        ("/v1/tenants/a/ingest", "content-length: 19"),
        ("/v1/tenants/a/ingest/batch", "content-length: 22"),
        ("/v1/tenants/a/ingest", "transfer-encoding: chunked"),
    ] {
        let body = if length.starts_with("content") { "{\"key" } else { "5\r\n{\"key\r\n" };
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
             {length}\r\n\r\n{body}"
        );
        let answer = half_sent(&node, request.as_bytes()).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 503 "), "{path}, {length}: {answer}");
        assert!(answer.contains(r#""code":"unavailable""#), "{path}, {length}: {answer}");
    }
    assert_eq!(node.world.recorded(), 0);
}

#[tokio::test]
async fn who_sends_no_end_of_a_unary_call_is_told() {
    let limits = Limits { request: Duration::from_millis(100), ..Limits::default() };
    let node = Node::with(limits).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", node.main)).unwrap();
    let mut client = Grpc::new(endpoint.connect().await.unwrap());
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static("/switchboard.v1.IngestService/Ingest");
    let codec = ProstCodec::<IngestRequest, IngestResponse>::default();
    let call = client.client_streaming(Request::new(tokio_stream::pending()), path, codec);
    let status = tokio::time::timeout(DEADLINE, call).await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.message().contains("took too long"), "{status:?}");
    assert_eq!(node.world.recorded(), 0);
}
