//! Traces that go on after their request: from a pong through the report to the fold, and from a
//! send to its delivery.
//!
//! Alone in its program, because logs and traces are started once for all of it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a suite of tests")]

#[path = "it/line.rs"]
#[expect(dead_code, reason = "written for the other tests")]
mod line;
#[path = "it/node.rs"]
#[expect(dead_code, reason = "written for the other tests")]
mod node;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use switchboard_proto::v1::{self, Status, client_frame, server_frame};
use switchboard_server::telemetry::{self, LogFormat, Settings};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet, time};

use crate::{
    line::{Line, Over, pong},
    node::{DEADLINE, Node},
};

/// What is read of a span of `opentelemetry.proto.trace.v1`.
#[derive(Debug)]
struct Span {
    trace: [u8; 16],
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    name: String,
}

/// The bytes of a field with this tag, and what follows.
fn field(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, len], rest) = bytes.split_first_chunk()?;
    (found == tag && len < 0x80).then(|| rest.split_at_checked(len.into()))?
}

/// The span that begins here, if one does: fields 1, 2, perhaps 3 and 4, and 5.
fn span(bytes: &[u8]) -> Option<Span> {
    let (trace, rest) = field(bytes, 0x0a)?;
    let (id, mut rest) = field(rest, 0x12)?;
    if let Some((_state, behind)) = field(rest, 0x1a) {
        rest = behind;
    }
    let mut parent = None;
    if let Some((id, behind)) = field(rest, 0x22) {
        parent = id.try_into().ok();
        rest = behind;
    }
    let (name, _) = field(rest, 0x2a)?;
    Some(Span {
        trace: trace.try_into().ok()?,
        id: id.try_into().ok()?,
        parent,
        name: String::from_utf8(name.to_vec()).ok()?,
    })
}

/// Whether a fold followed from a report, and that from a pong.
fn holds_chain(received: &[u8]) -> bool {
    let spans: Vec<_> = (0..received.len()).filter_map(|at| span(&received[at..])).collect();
    let parent = |child: &Span, name: &str| {
        let found = spans.iter().find(|span| {
            span.name == name && Some(span.id) == child.parent && span.trace == child.trace
        });
        found.map(|span| span.id)
    };
    spans.iter().filter(|span| span.name == "fold").any(|fold| {
        let report = spans.iter().find(|span| Some(span.id) == parent(fold, "report"));
        report.is_some_and(|report| parent(report, "pong").is_some())
    })
}

/// Whether the delivery of a message followed from the request that sent it, over REST and over a
/// session each.
fn holds_deliveries(received: &[u8]) -> bool {
    let spans: Vec<_> = (0..received.len()).filter_map(|at| span(&received[at..])).collect();
    let sent = |delivery: &Span| {
        spans.iter().find(|span| {
            span.name == "request"
                && Some(span.id) == delivery.parent
                && span.trace == delivery.trace
        })
    };
    let deliveries = spans.iter().filter(|span| span.name == "deliver");
    let traces: std::collections::HashSet<_> =
        deliveries.filter_map(sent).map(|request| request.trace).collect();
    traces.contains(&[7; 16]) && 2 <= traces.len()
}

/// Answers every export with success, and hands on what was exported.
async fn collect(collector: TcpListener, exported: mpsc::Sender<Bytes>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = collector.accept().await {
        let exported = exported.clone();
        connections.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let exported = exported.clone();
                async move {
                    let body = request.into_body().collect().await?.to_bytes();
                    // A test that has seen enough listens no more.
                    let _ = exported.send(body).await;
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", HeaderValue::from_static("0"));
                    // An empty message.
                    let frames =
                        [Frame::data(Bytes::from_static(&[0; 5])), Frame::trailers(trailers)];
                    let frames = tokio_stream::iter(frames.map(Ok::<_, hyper::Error>));
                    let mut response = Response::new(StreamBody::new(frames));
                    let grpc = HeaderValue::from_static("application/grpc");
                    response.headers_mut().insert("content-type", grpc);
                    Ok::<_, hyper::Error>(response)
                }
            });
            let builder = http2::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_runs_from_the_pong_to_the_fold_and_from_the_send_to_the_delivery() {
    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings {
        format: LogFormat::Text,
        filter: "warn".to_owned(),
        otlp_endpoint: Some(format!("http://{}", collector.local_addr().unwrap())),
        sample: 1.0,
    };
    let (exported, mut exports) = mpsc::channel(64);
    let mut collecting = JoinSet::new();
    collecting.spawn(collect(collector, exported));
    let _guard = telemetry::start(&settings).unwrap();
    let node = Node::start().await;
    let mut line = Line::join(&node, Over::Tcp, "x").await;
    line.say(pong(Status::Even)).await;
    let mut received = Vec::new();
    while !holds_chain(&received) {
        let export = time::timeout(DEADLINE, exports.recv()).await;
        received.extend(export.expect("the chain in time").unwrap());
    }
    let (ann, bob) = ("+41791234567", "+41791234568");
    let mut follower = Line::join(&node, Over::Tcp, bob).await;
    let follow = v1::Follow { after: "now".to_owned(), request_id: 1 };
    follower.say(client_frame::Frame::Follow(follow)).await;
    let following = follower.answer().await;
    assert!(matches!(following, Some(server_frame::Frame::Following(_))), "{following:?}");
    let path = format!("/v1/tenants/a/users/{ann}/messages");
    let (status, _) = node.post(&path, format!(r#"{{"to":"{bob}","text":"hi"}}"#)).await;
    assert_eq!(status, 201);
    let mut sender = Line::join(&node, Over::Tcp, ann).await;
    let send = v1::SessionSendRequest {
        to: bob.to_owned(),
        text: "hi".to_owned(),
        traceparent: format!("00-{}-{}-01", "07".repeat(16), "05".repeat(8)),
        ..v1::SessionSendRequest::default()
    };
    sender.say(client_frame::Frame::Send(send)).await;
    while !holds_deliveries(&received) {
        let export = time::timeout(DEADLINE, exports.recv()).await;
        received.extend(export.expect("the deliveries in time").unwrap());
    }
}
