//! What is written by hand is what the generated types say.

use prost::Message as _;
use switchboard_core::{Millis, ingest::Receipt};
use switchboard_proto::{
    frame,
    v1::{self, client_frame, server_frame},
};

use super::*;

#[track_caller]
fn check_read(sent: client_frame::Frame, expected: Request<'_>) {
    let bytes = v1::ClientFrame { frame: Some(sent) }.encode_to_vec();
    let frame = frame::next(&bytes, 1_000).unwrap().unwrap();
    assert_eq!(frame.whole, bytes);
    assert_eq!(read(frame.number, frame.payload).unwrap(), expected);
}

#[test]
fn requests() {
    use client_frame::Frame;
    let echo = |content: &str, request_id| {
        Frame::Echo(v1::EchoMessage { content: content.to_owned(), request_id })
    };
    check_read(echo("", 0), Request::Echo { request_id: 0, content: "" });
    check_read(echo("Zoë 🦀", u64::MAX), Request::Echo { request_id: u64::MAX, content: "Zoë 🦀" });
    for (a, b) in [(0, 0), (10, 20), (i32::MIN, -1), (i32::MAX, i32::MIN)] {
        let add = Frame::Add(v1::AddRequest { a, b, request_id: 9 });
        check_read(add, Request::Add { request_id: 9, a, b });
    }
    let hello = Frame::Hello(v1::Hello {
        tenant: "a".to_owned(),
        client: "x".to_owned(),
        cursor: Some("c".to_owned()),
        traceparent: "t".to_owned(),
    });
    check_read(hello, Request::Hello { tenant: "a", client: "x" });
    for (sent, status) in [
        (v1::Status::Unknown, Status::Unknown),
        (v1::Status::Even, Status::Even),
        (v1::Status::Odd, Status::Odd),
    ] {
        let pong = Frame::Pong(v1::Pong { status: sent.into(), sequence: 300 });
        check_read(pong, Request::Pong { status });
    }
    let pong = Frame::Pong(v1::Pong { status: 77, sequence: 0 });
    check_read(pong, Request::Pong { status: Status::Unknown });
    let key = "K-h53dk-A";
    let ingest = Frame::Ingest(v1::SessionIngestRequest { key: key.to_owned(), request_id: 4 });
    check_read(ingest, Request::Ingest { request_id: 4, key });
}

#[test]
fn what_is_no_request() {
    let refused = |number, payload: &[u8]| {
        assert_eq!(read(number, payload).unwrap_err().code(), Code::InvalidRequest);
    };
    refused(1, b"\x0a\x01\xff");
    refused(1, b"\x0a\x05a");
    refused(1, b"\x08\x05");
    refused(2, b"\x0a\x00");
    refused(3, b"\x08\x00");
    refused(4, b"\xff");
    assert_eq!(read(19, b"\xff").unwrap(), Request::Unknown { number: 19 });
    // A field of a later version is passed over.
    let later = read(1, b"\x0a\x01a\x78\x05").unwrap();
    assert_eq!(later, Request::Echo { request_id: 0, content: "a" });
}

#[track_caller]
fn check_write(reply: &Reply<'_>, expected: server_frame::Frame) {
    let mut out = Vec::new();
    write(reply, &mut out);
    let expected = v1::ServerFrame { frame: Some(expected) };
    assert_eq!(v1::ServerFrame::decode(&out[..]).unwrap(), expected);
    assert_eq!(out, expected.encode_to_vec());
}

#[test]
fn replies() {
    use server_frame::Frame;
    for content in ["", "a", "Hello, World!", &"🦀".repeat(1_000)] {
        let echo = Frame::Echo(v1::EchoMessage { content: content.to_owned(), request_id: 300 });
        check_write(&Reply::Echo { request_id: 300, content }, echo);
    }
    for result in [0, 30, -1, i32::MIN, i32::MAX] {
        let sum = Frame::Add(v1::AddResponse { result, request_id: 0 });
        check_write(&Reply::Sum { request_id: 0, result }, sum);
    }
    let error = Error::new(Code::TooLarge, "the frame is too long");
    let sent = Frame::Error(v1::ErrorMessage {
        content: "the frame is too long".to_owned(),
        code: "too_large".to_owned(),
        request_id: 7,
    });
    check_write(&Reply::Error { request_id: 7, error }, sent);
    let welcome = Frame::Welcome(v1::Welcome { session_id: u64::MAX, ping_interval_ms: 1_000 });
    check_write(&Reply::Welcome { session_id: u64::MAX, ping_interval_ms: 1_000 }, welcome);
    check_write(&Reply::Ping { sequence: 128 }, Frame::Ping(v1::Ping { sequence: 128 }));
    let receipt = Receipt { id: 1, new: true };
    let recorded = Frame::Ingest(v1::SessionIngestResponse {
        timestamp: 1_790_000_000_000,
        id: 1,
        new: true,
        request_id: 2,
    });
    let at = Millis(1_790_000_000_000);
    check_write(&Reply::Recorded { request_id: 2, receipt, at }, recorded);
    check_write(&Reply::Drain { delay_ms: 0 }, Frame::Drain(v1::Drain { delay_ms: 0 }));
}

/// The bytes that the documentation gives.
#[test]
fn known_bytes() {
    #[track_caller]
    fn check(request: &[u8], reply: &[u8]) {
        let frame = frame::next(request, 64).unwrap().unwrap();
        let reply_to = match read(frame.number, frame.payload).unwrap() {
            Request::Echo { request_id, content } => Reply::Echo { request_id, content },
            Request::Add { request_id, a, b } => Reply::Sum { request_id, result: a + b },
            other => panic!("{other:?}"),
        };
        let mut out = Vec::new();
        write(&reply_to, &mut out);
        assert_eq!(out, reply);
    }
    check(b"\x0a\x0f\x0a\x0dHello, World!", b"\x0a\x0f\x0a\x0dHello, World!");
    check(b"\x12\x04\x08\x0a\x10\x14", b"\x12\x02\x08\x1e");
    check(b"\x12\x00", b"\x12\x00");
    check(b"\x0a\x00", b"\x0a\x00");
}

#[test]
fn what_is_sent_back_as_it_came_is_what_would_be_written() {
    #[track_caller]
    fn check(payload: &[u8], short: bool) {
        let mut bytes = vec![0x0a, payload.len().try_into().unwrap()];
        bytes.extend(payload);
        let frame = frame::next(&bytes, 200).unwrap().unwrap();
        assert_eq!(is_echo(&frame), short, "{payload:?}");
        if short {
            let Ok(Request::Echo { request_id, content }) = read(frame.number, frame.payload)
            else {
                panic!("no echo")
            };
            let mut out = Vec::new();
            write(&Reply::Echo { request_id, content }, &mut out);
            assert_eq!(out, bytes);
        }
    }
    check(b"\x0a\x01a", true);
    check("\x0a\x04🦀".as_bytes(), true);
    check(b"", false);
    check(b"\x0a\x00", false);
    check(b"\x0a\x01\xff", false);
    check(b"\x0a\x01ab", false);
    check(b"\x0a\x02a", false);
    check(b"\x0a\x01a\x10\x05", false);
    check(b"\x10\x05", false);
}
