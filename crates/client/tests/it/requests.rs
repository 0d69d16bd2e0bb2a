//! Requests of a session.

use std::time::Duration;

use switchboard_client::{Receipt, session::FRAME_BYTES_MAX};
use switchboard_proto::v1::{
    AddRequest, AddResponse, EchoMessage, SessionIngestRequest, SessionIngestResponse,
    client_frame, server_frame,
};

use crate::{
    gateway::{Gateway, Line, Over},
    heard::heard,
};

fn echoed(content: &str, request_id: u64) -> server_frame::Frame {
    server_frame::Frame::Echo(EchoMessage { content: content.to_owned(), request_id })
}

fn recorded(id: u64, request_id: u64) -> server_frame::Frame {
    let receipt = SessionIngestResponse { timestamp: 5, id, new: true, request_id };
    server_frame::Frame::Ingest(receipt)
}

async fn hear_echo(line: &mut Line) -> EchoMessage {
    match line.hear().await {
        Some(client_frame::Frame::Echo(echo)) => echo,
        other => panic!("{other:?} instead of an echo"),
    }
}

async fn hear_ingest(line: &mut Line) -> SessionIngestRequest {
    match line.hear().await {
        Some(client_frame::Frame::Ingest(ingest)) => ingest,
        other => panic!("{other:?} instead of a key"),
    }
}

#[tokio::test]
async fn none_waits_for_another_and_each_gets_its_own_answer() {
    for over in Over::ALL {
        let mut gateway = Gateway::listen(over).await;
        let session = gateway.client().connect("ann").start().unwrap();
        let echo = session.echo("Hello, World!");
        let (sum, beyond) = (session.add(10, 20), session.add(i32::MAX, 1));
        let receipt = session.ingest("K-h53dk-A");
        let mut line = gateway.welcome(1).await;
        assert_eq!(hear_echo(&mut line).await.content, "Hello, World!");
        for (a, b, request_id) in [(10, 20, 2), (i32::MAX, 1, 3)] {
            let expected = client_frame::Frame::Add(AddRequest { a, b, request_id });
            assert_eq!(line.hear().await, Some(expected), "{over:?}");
        }
        assert_eq!(hear_ingest(&mut line).await.key, "K-h53dk-A");
        // In any order, and one that nobody asked for.
        line.say(recorded(9, 4)).await;
        line.refuse(3, "invalid_request").await;
        line.say(server_frame::Frame::Add(AddResponse { result: 30, request_id: 2 })).await;
        line.say(echoed("nobody's", 77)).await;
        line.say(echoed("Hello, World!", 1)).await;
        assert_eq!(echo.await.unwrap(), "Hello, World!");
        assert_eq!(sum.await.unwrap(), 30);
        assert_eq!(beyond.await.unwrap_err().code(), "invalid_request");
        assert_eq!(receipt.await.unwrap(), Receipt { timestamp: 5, id: 9, new: true });
    }
}

#[tokio::test]
async fn a_broken_connection_repeats_ingest_and_fails_the_rest() {
    for over in Over::ALL {
        let mut gateway = Gateway::listen(over).await;
        let session = gateway.client().connect("ann").start().unwrap();
        let mut line = gateway.welcome(1).await;
        let (first, echo) = (session.ingest("K-00000-A"), session.echo("a"));
        let (second, sum) = (session.ingest("K-00001-A"), session.add(1, 2));
        for _ in 0..4 {
            line.hear().await.unwrap();
        }
        drop(line);
        assert_eq!(echo.await.unwrap_err().code(), "unavailable", "{over:?}");
        assert_eq!(sum.await.unwrap_err().code(), "unavailable", "{over:?}");
        let later = session.ingest("K-00002-A");
        let mut line = gateway.welcome(2).await;
        for (key, request_id) in [("K-00000-A", 1), ("K-00001-A", 3), ("K-00002-A", 5)] {
            let expected = SessionIngestRequest { key: key.to_owned(), request_id };
            assert_eq!(hear_ingest(&mut line).await, expected, "{over:?}");
            line.say(recorded(request_id, request_id)).await;
        }
        let ids = [first.await, second.await, later.await].map(|receipt| receipt.unwrap().id);
        assert_eq!(ids, [1, 3, 5]);
    }
}

#[tokio::test]
async fn one_that_is_never_answered_ends_and_makes_room() {
    for over in Over::ALL {
        let mut gateway = Gateway::listen(over).await;
        let client = gateway.client().with_timeout(Duration::from_millis(200));
        let session = client.connect("ann").with_requests_max(2).start().unwrap();
        let mut line = gateway.welcome(1).await;
        let (first, second) = (session.echo("a"), session.ingest("K-00000-A"));
        let third = session.add(1, 2).await.unwrap_err();
        assert_eq!(third.code(), "too_many_requests", "{over:?}");
        let (first, second) = tokio::join!(first, second);
        assert_eq!(first.unwrap_err().code(), "unavailable");
        assert!(second.unwrap_err().to_string().contains("no answer in 200ms"));
        let fourth = session.echo("b");
        while hear_one(&mut line).await != "b" {}
        line.say(echoed("b", 3)).await;
        assert_eq!(fourth.await.unwrap(), "b", "{over:?}");
    }
}

/// The content of the next frame if it is an echo.
async fn hear_one(line: &mut Line) -> String {
    match line.hear().await.unwrap() {
        client_frame::Frame::Echo(echo) => echo.content,
        _ => String::new(),
    }
}

#[tokio::test]
async fn frames_have_a_length_that_is_not_exceeded() {
    for over in Over::ALL {
        let mut gateway = Gateway::listen(over).await;
        let (builder, mut events) = heard(gateway.client().connect("ann"));
        let session = builder.start().unwrap();
        let mut line = gateway.welcome(1).await;
        events.connected().await;
        // Tag and length of the content are 4 bytes, the number of the request 2.
        let longest = "x".repeat(FRAME_BYTES_MAX - 6);
        let echo = session.echo(&longest);
        assert_eq!(hear_echo(&mut line).await.content, longest);
        line.say(echoed(&longest, 1)).await;
        assert_eq!(echo.await.unwrap(), longest, "{over:?}");
        let refused = session.echo(&"x".repeat(FRAME_BYTES_MAX)).await.unwrap_err();
        assert_eq!(refused.code(), "too_large");
        line.say(echoed(&"x".repeat(FRAME_BYTES_MAX + 100), 9)).await;
        let (_, again) = events.disconnected().await;
        assert!(again, "{over:?}: connects again");
    }
}

#[tokio::test]
async fn an_answer_to_something_else_is_an_error() {
    let mut gateway = Gateway::listen(Over::Tcp).await;
    let session = gateway.client().connect("ann").start().unwrap();
    let mut line = gateway.welcome(1).await;
    let sum = session.add(1, 2);
    line.hear().await.unwrap();
    line.say(echoed("3", 1)).await;
    assert_eq!(sum.await.unwrap_err().code(), "internal");
}

#[tokio::test]
async fn many_are_answered_in_both_directions_at_once() {
    for over in Over::ALL {
        let mut gateway = Gateway::listen(over).await;
        let session = gateway.client().connect("ann").start().unwrap();
        let mut line = gateway.welcome(1).await;
        let text = "x".repeat(20_000);
        let asked: Vec<_> = (0..200).map(|_| session.echo(&text)).collect();
        let node = async {
            for _ in 0..200 {
                let echo = hear_echo(&mut line).await;
                line.say(server_frame::Frame::Echo(echo)).await;
            }
        };
        let application = async {
            for asked in asked {
                assert_eq!(asked.await.unwrap(), text, "{over:?}");
            }
        };
        tokio::join!(node, application);
    }
}
