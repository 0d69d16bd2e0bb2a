//! Traces: a request that belongs to a sampled trace is sent over OTLP, as part of that trace.
//!
//! Alone in its program, because logs and traces are started once for all of it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a suite of tests")]

#[path = "it/node.rs"]
#[expect(dead_code, reason = "written for the other tests")]
mod node;

use std::thread;

use switchboard_server::telemetry::{self, LogFormat, Settings};
use tokio::{io::AsyncReadExt as _, net::TcpListener, time};

use crate::node::{DEADLINE, Node, exchange};

const TRACE: [u8; 16] = [0xab; 16];

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

    // Sends what waits. Nobody answers, which is not waited for here.
    let _sending = thread::spawn(move || drop(guard));
    let (mut connection, _) = time::timeout(DEADLINE, collector.accept()).await.unwrap().unwrap();
    let mut received = Vec::new();
    let holds = |received: &[u8], wanted: &[u8]| {
        received.windows(wanted.len()).any(|window| window == wanted)
    };
    while !holds(&received, &TRACE) || !holds(&received, b"capability") {
        let read = time::timeout(DEADLINE, connection.read_buf(&mut received)).await;
        assert!(0 < read.unwrap().unwrap(), "closed after {received:?}");
    }
    assert!(!holds(&received, b"K-00000-A"), "a key is in no trace");
}
