//! Sessions, as clients meet them, over every transport.

use std::time::Duration;

use switchboard_core::store::Condition;
use switchboard_proto::v1::{self, server_frame::Frame};
use switchboard_server::Limits;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    line::{Line, Over, add, code, echo, echoed, hello, ingest, pong},
    node::{DEADLINE, Node, exchange, until},
};

/// Bytes of a plain client, and the bytes that it reads back with one read.
async fn check_bytes(stream: &mut TcpStream, sent: &[u8], expected: &[u8]) {
    stream.write_all(sent).await.unwrap();
    let mut reply = vec![0; 1_024];
    let read = tokio::time::timeout(DEADLINE, stream.read(&mut reply)).await;
    let len = read.expect("a reply in time").unwrap();
    assert_eq!(&reply[..len], expected);
}

#[tokio::test]
async fn a_single_connection() {
    let node = Node::start().await;
    let stream = TcpStream::connect(node.tcp).await.unwrap();
    drop(stream);
    for loopback in [[127, 0, 0, 1].into(), std::net::Ipv6Addr::LOCALHOST.into()] {
        let address: (std::net::IpAddr, u16) = (loopback, node.tcp.port());
        let mut stream = TcpStream::connect(address).await.unwrap();
        check_bytes(&mut stream, b"\x0a\x00", b"\x0a\x00").await;
    }
}

#[tokio::test]
async fn the_known_bytes_of_plain_clients() {
    let node = Node::start().await;
    let mut stream = TcpStream::connect(node.tcp).await.unwrap();
    let hello = b"\x0a\x0f\x0a\x0dHello, World!";
    check_bytes(&mut stream, hello, hello).await;
    check_bytes(&mut stream, b"\x12\x04\x08\x0a\x10\x14", b"\x12\x02\x08\x1e").await;
    check_bytes(&mut stream, b"\x12\x00", b"\x12\x00").await;
    check_bytes(&mut stream, b"\x0a\x00", b"\x0a\x00").await;
    // A reply of 1,000 bytes arrives whole.
    let long = [b"\x0a\xe5\x07\x0a\xe2\x07".as_slice(), &[b'x'; 994]].concat();
    for _ in 0..100 {
        check_bytes(&mut stream, &long, &long).await;
    }
}

#[tokio::test]
async fn an_echo() {
    let node = Node::start().await;
    for over in Over::ALL {
        let mut line = Line::open(&node, over).await;
        line.say(echo("Hello, World!", 0)).await;
        assert_eq!(line.hear().await, echoed("Hello, World!", 0), "{over:?}");
        for content in ["", "\0\u{1}\n\"", "Zoë", "🦀 и 漢字", &"🦀".repeat(16_000)] {
            line.say(echo(content, 7)).await;
            assert_eq!(line.hear().await, echoed(content, 7), "{over:?}");
        }
    }
}

#[tokio::test]
async fn several_echoes_pipelined() {
    let node = Node::start().await;
    for over in Over::ALL {
        let mut line = Line::open(&node, over).await;
        for number in 0..50 {
            line.say(echo(&format!("message {number}"), number)).await;
        }
        for number in 0..50 {
            let expected = echoed(&format!("message {number}"), number);
            assert_eq!(line.hear().await, expected, "{over:?}");
        }
    }
}

#[tokio::test]
async fn several_clients_at_once_share_nothing() {
    let node = Node::start().await;
    let mut clients = JoinSet::new();
    for number in 0..40 {
        let mut line = Line::open(&node, Over::ALL[number % 4]).await;
        clients.spawn(async move {
            for turn in 0..20 {
                let content = format!("{number} {turn} {}", "x".repeat(number * 100));
                line.say(echo(&content, turn)).await;
                assert_eq!(line.hear().await, echoed(&content, turn));
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
}

#[tokio::test]
async fn an_add_request() {
    let node = Node::start().await;
    let sum = |result, request_id| Some(Frame::Add(v1::AddResponse { result, request_id }));
    for over in Over::ALL {
        let mut line = Line::open(&node, over).await;
        line.say(add(10, 20, 1)).await;
        assert_eq!(line.hear().await, sum(30, 1), "{over:?}");
        line.say(add(i32::MIN, i32::MAX, 2)).await;
        assert_eq!(line.hear().await, sum(-1, 2), "{over:?}");
        line.say(add(i32::MAX, 1, 3)).await;
        assert_eq!(code(line.hear().await), ("invalid_request".to_owned(), 3), "{over:?}");
        line.say(add(0, 0, 0)).await;
        assert_eq!(line.hear().await, sum(0, 0), "{over:?}");
    }
}

#[tokio::test]
async fn a_message_split_over_many_packets_and_many_in_one() {
    let node = Node::start().await;
    let mut line = Line::open(&node, Over::Tcp).await;
    for byte in b"\x0a\x0f\x0a\x0dHello, World!" {
        line.write(&[*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(line.hear().await, echoed("Hello, World!", 0));
    let mut many = b"\x0a\x03\x0a\x01x".repeat(2_000);
    // The last is cut.
    let rest = many.split_off(many.len() - 2);
    line.write(&many).await;
    for _ in 0..1_999 {
        assert_eq!(line.hear().await, echoed("x", 0));
    }
    line.write(&rest).await;
    assert_eq!(line.hear().await, echoed("x", 0));
}

#[tokio::test]
async fn a_client_may_write_much_before_it_reads() {
    let node = Node::start().await;
    let mut line = Line::open(&node, Over::Tcp).await;
    let content = "y".repeat(60_000);
    for number in 1..=10 {
        line.say(echo(&content, number)).await;
    }
    for number in 1..=10 {
        assert_eq!(line.hear().await, echoed(&content, number));
    }
}

#[tokio::test]
async fn a_silent_client_holds_nobody_up_and_is_not_closed_for_minutes() {
    let node = Node::start().await;
    let mut silent = Line::open(&node, Over::Tcp).await;
    node.world.turn(Duration::from_mins(5));
    let mut other = Line::join(&node, Over::Tcp, "x").await;
    // Two pings later the silent one has been looked at as well.
    for _ in 0..3 {
        assert!(matches!(other.hear().await, Some(Frame::Ping(_))));
        other.say(pong(v1::Status::Even)).await;
    }
    silent.say(echo("still here", 1)).await;
    assert_eq!(silent.hear().await, echoed("still here", 1), "and it got no frame before");
}

#[tokio::test]
async fn malformed_and_half_open_streams_end_with_an_error_frame_and_are_counted() {
    let node = Node::start().await;
    let too_long = [b"\x0a".as_slice(), &[0xff, 0xff, 0xff, 0x7f]].concat();
    for (bytes, expected) in [
        (b"GET / HTTP/1.1\r\n\r\n".as_slice(), "invalid_request"),
        (b"\x08\x01", "invalid_request"),
        (b"\x0a\x02\x0a\x05", "invalid_request"),
        (b"\x0a\x03\x0a\x01\xff", "invalid_request"),
        (&too_long, "too_large"),
    ] {
        let mut line = Line::open(&node, Over::Tcp).await;
        line.write(bytes).await;
        assert_eq!(code(line.hear().await), (expected.to_owned(), 0), "{bytes:?}");
        assert_eq!(line.hear().await, None);
    }
    let mut line = Line::open(&node, Over::Tcp).await;
    line.write(b"\x0a\x0f\x0a").await;
    line.end().await;
    assert_eq!(code(line.hear().await).0, "invalid_request");
    assert_eq!(line.hear().await, None);
    let (_, metrics) = node.admin("/metrics").await;
    assert!(metrics.contains("switchboard_frame_errors_total{transport=\"tcp\"} 6"), "{metrics}");
    assert!(metrics.contains("switchboard_sessions_closed_total{reason=\"malformed\"} 6"));
}

#[tokio::test]
async fn a_frame_of_64_kib_passes_and_a_longer_one_does_not() {
    let node = Node::start().await;
    // Tag and length of the content take four bytes.
    let most = "x".repeat(64 * 1024 - 4);
    for over in [Over::Tcp, Over::Grpc] {
        let mut line = Line::open(&node, over).await;
        line.say(echo(&most, 0)).await;
        assert_eq!(line.hear().await, echoed(&most, 0), "{over:?}");
        line.say(echo(&format!("{most}x"), 0)).await;
        assert_eq!(code(line.hear().await).0, "too_large", "{over:?}");
        assert_eq!(line.hear().await, None, "{over:?}");
    }
}

#[tokio::test]
async fn who_closes_its_side_still_gets_its_answers() {
    let node = Node::start().await;
    for over in [Over::Tcp, Over::Grpc] {
        let mut line = Line::join(&node, over, "x").await;
        let gate = node.world.hold();
        line.say(ingest("K-h53dk-A", 5)).await;
        line.say(echo("last", 6)).await;
        line.end().await;
        assert_eq!(line.answer().await, echoed("last", 6), "{over:?}");
        gate.cancel();
        match line.answer().await {
            Some(Frame::Ingest(answer)) => assert_eq!((answer.id, answer.request_id), (1, 5)),
            other => panic!("{over:?}: {other:?}"),
        }
        assert_eq!(line.answer().await, None, "{over:?}");
    }
}

#[tokio::test]
async fn a_session_begins_with_hello_and_is_pinged() {
    let node = Node::start().await;
    let mut sessions = Vec::new();
    for over in Over::ALL {
        let mut line = Line::open(&node, over).await;
        line.say(pong(v1::Status::Even)).await;
        assert_eq!(code(line.hear().await).0, "unauthorized", "{over:?}");
        line.say(hello("a", "")).await;
        assert_eq!(code(line.hear().await).0, "invalid_request", "{over:?}");
        assert_eq!(line.hear().await, None, "{over:?}: an unusable hello ends the session");
        let mut line = Line::open(&node, over).await;
        line.say(hello("a", "x")).await;
        let Some(Frame::Welcome(welcome)) = line.hear().await else { panic!("no welcome") };
        assert_eq!(welcome.ping_interval_ms, 1_000);
        sessions.push(welcome.session_id);
        for sequence in 1..=3 {
            assert_eq!(line.hear().await, Some(Frame::Ping(v1::Ping { sequence })), "{over:?}");
            line.say(pong(v1::Status::Odd)).await;
        }
        line.say(hello("a", "x")).await;
        assert_eq!(code(line.answer().await).0, "conflict", "{over:?}");
    }
    assert!(sessions.is_sorted_by(|a, b| a < b), "{sessions:?}");
}

#[tokio::test]
async fn keys_are_recorded_over_sessions() {
    let node = Node::start().await;
    for (turn, over) in Over::ALL.into_iter().enumerate() {
        let mut line = Line::join(&node, over, "x").await;
        line.say(ingest("K-h53dk-A", 1)).await;
        line.say(ingest("K-nonsense", 2)).await;
        let mut heard = [line.answer().await, line.answer().await];
        heard.sort_by_key(|frame| matches!(frame, Some(Frame::Error(_))));
        let [recorded, refused] = heard;
        match recorded {
            Some(Frame::Ingest(answer)) => {
                assert_eq!((answer.id, answer.request_id, answer.new), (1, 1, turn == 0));
                assert!(1_000 <= answer.timestamp);
            }
            other => panic!("{over:?}: {other:?}"),
        }
        assert_eq!(code(refused), ("invalid_key".to_owned(), 2), "{over:?}");
    }
    node.world.set(Condition::Writable);
}

#[tokio::test]
async fn requests_in_flight_are_limited() {
    let limits = Limits { session_requests_max: 2, ..Limits::default() };
    let node = Node::with(limits).await;
    for over in Over::ALL {
        let mut line = Line::join(&node, over, "x").await;
        let gate = node.world.hold();
        for request_id in 1..=3 {
            line.say(ingest("K-h53dk-A", request_id)).await;
        }
        assert_eq!(code(line.answer().await), ("too_many_requests".to_owned(), 3), "{over:?}");
        gate.cancel();
        for _ in 0..2 {
            assert!(matches!(line.answer().await, Some(Frame::Ingest(_))), "{over:?}");
        }
    }
}

#[tokio::test]
async fn several_sessions_of_a_client_up_to_the_limits() {
    let limits =
        Limits { sessions_per_tenant_max: 3, sessions_per_client_max: 2, ..Limits::default() };
    let node = Node::with(limits).await;
    let first = Line::join(&node, Over::Tcp, "x").await;
    let _second = Line::join(&node, Over::Grpc, "x").await;
    let mut third = Line::open(&node, Over::Socket).await;
    third.say(hello("a", "x")).await;
    assert_eq!(code(third.hear().await).0, "too_many_requests");
    assert_eq!(third.hear().await, None);
    let _third = Line::join(&node, Over::Tcp, "y").await;
    let mut fourth = Line::open(&node, Over::Tcp).await;
    fourth.say(hello("a", "z")).await;
    assert_eq!(code(fourth.hear().await).0, "too_many_requests");
    // Who leaves makes room.
    drop(first);
    let joined = async || {
        let mut line = Line::open(&node, Over::Tcp).await;
        line.say(hello("a", "z")).await;
        matches!(line.hear().await, Some(Frame::Welcome(_)))
    };
    until("there is room again", joined).await;
}

#[tokio::test]
async fn who_never_says_hello_is_closed_where_a_plain_client_is_not_expected() {
    let node = Node::start().await;
    for over in [Over::Grpc, Over::Socket, Over::SocketJson] {
        let mut line = Line::open(&node, over).await;
        // The session is there before the time is turned.
        line.say(echo("x", 1)).await;
        assert_eq!(line.hear().await, echoed("x", 1));
        let mut other = Line::open(&node, over).await;
        node.world.turn(Duration::from_secs(11));
        assert_eq!(code(other.hear().await).0, "invalid_request", "{over:?}");
        assert_eq!(other.hear().await, None, "{over:?}");
        line.say(echo("y", 2)).await;
        assert_eq!(line.hear().await, echoed("y", 2), "who asks for an echo is not one of them");
    }
}

#[tokio::test]
async fn a_client_that_never_pongs_is_closed_and_one_that_pongs_late_is_not() {
    let node = Node::start().await;
    for over in Over::ALL {
        let mut silent = Line::join(&node, over, "silent").await;
        let mut late = Line::join(&node, over, "late").await;
        node.world.turn(Duration::from_secs(6));
        late.say(pong(v1::Status::Even)).await;
        late.say(echo("taken", 1)).await;
        assert_eq!(late.answer().await, echoed("taken", 1));
        node.world.turn(Duration::from_secs(5));
        assert_eq!(code(silent.answer().await).0, "unavailable", "{over:?}");
        assert_eq!(silent.hear().await, None, "{over:?}");
        late.say(pong(v1::Status::Even)).await;
        late.say(echo("here", 2)).await;
        assert_eq!(late.answer().await, echoed("here", 2), "{over:?}");
    }
}

#[tokio::test]
async fn a_drain_asks_clients_to_come_back_and_finishes_what_they_asked_for() {
    let mut node = Node::start().await;
    let gate = node.world.hold();
    let mut lines = Vec::new();
    for over in Over::ALL {
        let mut line = Line::join(&node, over, "x").await;
        line.say(ingest("K-h53dk-A", 9)).await;
        lines.push((over, line));
    }
    until("all are under way", async || node.world.recorded() == 4).await;
    node.stop.cancel();
    for (over, line) in &mut lines {
        match line.answer().await {
            Some(Frame::Drain(drain)) => assert!(drain.delay_ms <= 5_000),
            other => panic!("{over:?}: {other:?}"),
        }
    }
    gate.cancel();
    for (over, line) in &mut lines {
        assert!(matches!(line.answer().await, Some(Frame::Ingest(_))), "{over:?}");
        assert_eq!(line.answer().await, None, "{over:?}");
    }
    node.ended().await.unwrap();
}

#[tokio::test]
async fn who_does_not_read_is_let_go_and_holds_nobody_up() {
    let limits = Limits {
        session_queue_bytes_max: 64 * 1024,
        write_stall: Duration::from_secs(1),
        ..Limits::default()
    };
    let node = Node::with(limits).await;
    let mut stream = TcpStream::connect(node.tcp).await.unwrap();
    let message = [b"\x0a\xe5\x07\x0a\xe2\x07".as_slice(), &[b'x'; 994]].concat().repeat(64);
    // Until the node takes no more, and then closes.
    let flood = async { while stream.write_all(&message).await.is_ok() {} };
    let mut other = Line::open(&node, Over::Tcp).await;
    let served = async {
        let closed = "switchboard_sessions_closed_total{reason=\"slow_consumer\"} 1";
        until("it is let go", async || {
            other.say(echo("x", 1)).await;
            assert_eq!(other.hear().await, echoed("x", 1));
            node.admin("/metrics").await.1.contains(closed)
        })
        .await;
    };
    tokio::join!(flood, served);
}

#[tokio::test]
async fn a_web_socket_names_its_client_in_the_query() {
    let node = Node::start().await;
    let mut line = Line::socket(&node, "/v1/tenants/a/connect?client=x%20y", true).await;
    assert!(matches!(line.hear().await, Some(Frame::Welcome(_))));
    line.say(hello("a", "x")).await;
    assert_eq!(code(line.answer().await).0, "conflict");
    let mut line = Line::socket(&node, "/v1/tenants/a/connect", false).await;
    line.say(hello("b", "x")).await;
    assert_eq!(code(line.hear().await).0, "forbidden");
}

#[tokio::test]
async fn a_bad_handshake_gets_a_clear_error() {
    let node = Node::start().await;
    let check = async |path: &str, headers: &str, expected: &str| {
        let request = format!(
            "GET /v1/tenants/{path} HTTP/1.1\r\nhost: here\r\nconnection: upgrade, close\r\n\
             upgrade: websocket\r\n{headers}\r\n"
        );
        let answer =
            String::from_utf8_lossy(&exchange(node.main, request.as_bytes()).await).into_owned();
        assert!(answer.contains(expected), "{path} {headers}: {answer}");
    };
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n";
    check("a/connect", "", "version 13").await;
    check("a/connect", "sec-websocket-version: 13\r\n", "no Sec-WebSocket-Key").await;
    check("a%20b/connect", key, "invalid_tenant").await;
    check("a/connect?client=", key, "invalid_request").await;
    check("a/connect?token=secret", key, "never travel in the query").await;
    check("a/connect?clint=x", key, "knows no").await;
    let origin = format!("{key}origin: https://evil.example\r\n");
    check("a/connect", &origin, "\"forbidden\"").await;
    let unknown = format!("{key}sec-websocket-protocol: mqtt\r\n");
    check("a/connect", &unknown, "speaks the subprotocols").await;
    let (status, body) = node.send("GET", "/v1/tenants/a/connect", "", b"").await;
    assert_eq!(status, 400, "{body}");
}
