//! Unary calls and streams.

use std::{net::Ipv4Addr, time::Duration};

use switchboard_client::{Client, Error, Receipt};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
    time::Instant,
};
use tokio_stream::StreamExt as _;
use tonic::Code;

use crate::service::{Mood, Running};

const KEY: &str = "K-h53dk-A";
const RECEIPT: Receipt = Receipt { timestamp: 5, id: 1, new: true };

/// Enough for a few tries, not enough for many.
const TIMEOUT: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_node_that_is_unavailable_twice_is_asked_three_times() {
    let service = Running::start(Mood::Unavailable(2)).await;
    assert_eq!(service.client().ingest(KEY).await, Ok(RECEIPT));
    assert_eq!(service.calls(), 3);
    let service = Running::start(Mood::Unavailable(2)).await;
    assert_eq!(service.client().ingest_batch(&[KEY]).await, Ok(vec![RECEIPT]));
    assert_eq!(service.calls(), 3);
}

#[tokio::test]
async fn a_stream_is_not_taken_up_again() {
    let service = Running::start(Mood::Unavailable(1)).await;
    let stream = || async {
        let keys = tokio_stream::iter([KEY.to_owned()]);
        service.client().ingest_stream(keys).await?.collect::<Result<Vec<Receipt>, Error>>().await
    };
    assert_eq!(stream().await.unwrap_err().code(), "unavailable");
    assert_eq!(stream().await, Ok(vec![RECEIPT]));
}

#[tokio::test]
async fn a_node_that_never_answers_is_given_up_after_the_timeout() {
    let service = Running::start(Mood::Silent).await;
    let began = Instant::now();
    let error = service.client().with_timeout(TIMEOUT).ingest(KEY).await.unwrap_err();
    assert_eq!(error.code(), "unavailable");
    assert!(error.to_string().contains("500ms"), "{error}");
    assert!((TIMEOUT..TIMEOUT * 10).contains(&began.elapsed()));
    assert_eq!(service.calls(), 1);
}

#[tokio::test]
async fn a_node_that_is_always_unavailable_is_given_up_after_the_timeout() {
    let service = Running::start(Mood::Unavailable(u32::MAX)).await;
    let error = service.client().with_timeout(TIMEOUT).ingest(KEY).await.unwrap_err();
    assert_eq!(error.code(), "unavailable");
    assert!(1 < service.calls());
}

#[tokio::test]
async fn what_trying_again_does_not_mend_is_asked_once() {
    for (code, expected) in [
        (Code::InvalidArgument, "invalid_request"),
        (Code::Unimplemented, "not_found"),
        (Code::PermissionDenied, "internal"),
        (Code::Internal, "internal"),
    ] {
        let service = Running::start(Mood::Refusing(code)).await;
        let error = service.client().ingest(KEY).await.unwrap_err();
        assert_eq!((error.code(), service.calls()), (expected, 1), "{code:?}");
    }
}

#[tokio::test]
async fn a_malformed_answer_is_an_error() {
    // No message; a string in place of a number; a length beyond the end.
    for bytes in [&[0xff, 0xff, 0xff][..], b"\x12\x01x", b"\x0a\x7f"] {
        let service = Running::start(Mood::Saying(bytes)).await;
        let error = service.client().ingest(KEY).await.unwrap_err();
        assert_eq!((error.code(), service.calls()), ("internal", 1), "{bytes:02x?}");
    }
}

#[tokio::test]
async fn who_answers_in_another_protocol_is_no_node() {
    let http_1 = &b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"[..];
    for (says, cuts, expected) in [(http_1, false, "internal"), (b"", true, "unavailable")] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.write_all(says).await;
                // Until the client leaves.
                while !cuts && stream.read(&mut [0; 1_024]).await.is_ok_and(|read| 0 < read) {}
            }
        });
        let client = Client::new(&url).unwrap().with_timeout(TIMEOUT);
        let error = client.ingest(KEY).await.unwrap_err();
        assert_eq!(error.code(), expected, "{error}");
    }
}

#[tokio::test]
async fn a_connection_refused_is_tried_again_until_the_timeout() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new(&url).unwrap().with_timeout(TIMEOUT);
    let began = Instant::now();
    assert_eq!(client.ingest(KEY).await.unwrap_err().code(), "unavailable");
    assert!(began.elapsed() < TIMEOUT * 10);
    let keys = tokio_stream::iter([KEY.to_owned()]);
    let refused = client.ingest_stream(keys).await.map(drop).unwrap_err();
    assert_eq!(refused.code(), "unavailable");
}

#[tokio::test]
async fn plain_tcp_is_for_sessions() {
    let client = Client::new("tcp://127.0.0.1:7401").unwrap();
    assert_eq!(client.ingest(KEY).await.unwrap_err().code(), "invalid_request");
    assert_eq!(client.ingest_batch(&[KEY]).await.unwrap_err().code(), "invalid_request");
}
