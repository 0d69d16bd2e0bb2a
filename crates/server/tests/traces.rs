//! Traces: a request that belongs to a sampled trace is sent over OTLP, as part of that trace.
//!
//! Alone in its program, because logs and traces are started once for all of it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a suite of tests")]

#[path = "it/node.rs"]
#[expect(dead_code, reason = "written for the other tests")]
mod node;

use std::time::{Duration, Instant};

use switchboard_server::telemetry::{self, LogFormat, Settings};
use tokio::{io::AsyncReadExt as _, net::TcpListener, task, time};

use crate::node::{DEADLINE, Node, exchange};

const TRACE: [u8; 16] = [0xab; 16];

/// The span of the caller.
const CALLER: [u8; 8] = [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7];

/// How long the end may take when nobody answers: more than is given to the last spans, less than
/// the 10 seconds for which the exporter itself would wait.
const FLUSH_MAX: Duration = Duration::from_secs(5);

fn holds(received: &[u8], wanted: &[u8]) -> bool {
    received.windows(wanted.len()).any(|window| window == wanted)
}

/// Whether there is a span of the caller's trace, with an id of its own and the caller's span as
/// its parent: fields 1, 2 and 4 of `opentelemetry.proto.trace.v1.Span`, each with its length.
fn holds_child(received: &[u8]) -> bool {
    let trace = [[0x0a, 16].as_slice(), &TRACE].concat();
    let parent = [[0x22, 8].as_slice(), &CALLER].concat();
    received.windows(trace.len() + 10 + parent.len()).any(|span| {
        let Some((id, rest)) =
            span.strip_prefix(&*trace).and_then(|rest| rest.split_at_checked(10))
        else {
            return false;
        };
        id.starts_with(&[0x12, 8]) && !id.ends_with(&CALLER) && rest == parent
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sampled_request_is_sent() {
    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings {
        format: LogFormat::Json,
        filter: "warn".to_owned(),
        otlp_endpoint: Some(format!("http://{}", collector.local_addr().unwrap())),
        sample: 0.0,
    };
    let guard = telemetry::start(&settings).unwrap();
    assert!(telemetry::start(&settings).is_err(), "a second start");
    let node = Node::start().await;
    let trace = "ab".repeat(16);
    let request = format!(
        "POST /v1/tenants/a/ingest HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: 19\r\n\
         traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n\r\n{{\"key\":\"K-00000-A\"}}"
    );
    let answer = exchange(node.main, request.as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));

    // Sends what waits. Nobody ever answers.
    let flushing = task::spawn_blocking(move || {
        let began = Instant::now();
        drop(guard);
        began.elapsed()
    });
    let (mut connection, _) = time::timeout(DEADLINE, collector.accept()).await.unwrap().unwrap();
    let mut received = Vec::new();
    while !holds_child(&received) || !holds(&received, b"capability") {
        let read = time::timeout(DEADLINE, connection.read_buf(&mut received)).await;
        assert!(0 < read.unwrap().unwrap(), "closed after {received:?}");
    }
    assert!(!holds(&received, b"K-00000-A"), "a key is in no trace");
    let took = time::timeout(DEADLINE, flushing).await.unwrap().unwrap();
    assert!(took < FLUSH_MAX, "a collector that hangs kept the node for {took:?}");
    drop(connection);
}
