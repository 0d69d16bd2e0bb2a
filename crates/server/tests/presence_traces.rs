//! Traces of presence: from a pong through the report to the fold, as one.
//!
//! Alone in its program, because logs and traces are started once for all of it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a suite of tests")]

#[path = "it/line.rs"]
#[expect(dead_code, reason = "written for the other tests")]
mod line;
#[path = "it/node.rs"]
#[expect(dead_code, reason = "written for the other tests")]
mod node;

use switchboard_proto::v1::Status;
use switchboard_server::telemetry::{self, LogFormat, Settings};
use tokio::{io::AsyncReadExt as _, net::TcpListener, task, time};

use crate::{
    line::{Line, Over, pong},
    node::{DEADLINE, Node, until},
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_runs_from_the_pong_through_the_report_to_the_fold() {
    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings {
        format: LogFormat::Text,
        filter: "warn".to_owned(),
        otlp_endpoint: Some(format!("http://{}", collector.local_addr().unwrap())),
        sample: 1.0,
    };
    let guard = telemetry::start(&settings).unwrap();
    let node = Node::start().await;
    let mut line = Line::join(&node, Over::Tcp, "x").await;
    line.say(pong(Status::Even)).await;
    until("the client is counted", async || {
        let (_, count) = node.send("GET", "/v1/tenants/a/presence", "", b"").await;
        count.contains("\"online\":1")
    })
    .await;
    let flushing = task::spawn_blocking(move || drop(guard));
    let (mut connection, _) = time::timeout(DEADLINE, collector.accept()).await.unwrap().unwrap();
    let mut received = Vec::new();
    while !holds_chain(&received) {
        let read = time::timeout(DEADLINE, connection.read_buf(&mut received)).await;
        let spans: Vec<_> = (0..received.len()).filter_map(|at| span(&received[at..])).collect();
        assert!(0 < read.expect("the chain in time").unwrap(), "closed with {spans:?}");
    }
    time::timeout(DEADLINE, flushing).await.unwrap().unwrap();
}
