//! What is written by hand is what the generated types say.

mod bus;

use std::sync::Arc;

use prost::Message as _;
use switchboard_core::{
    Millis,
    chat::{
        ClientMessageId, Cursor, Entry, Happening, Marks, Message, MessageStatus, Sent, Text, User,
        Written,
    },
    ingest::Receipt,
    session::ChatRequest,
};
use switchboard_proto::{
    frame,
    v1::{self, client_frame, server_frame},
};

use super::*;

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a case is one line")]
fn check_read(sent: client_frame::Frame, expected: Request<'_>) {
    let bytes = v1::ClientFrame { frame: Some(sent) }.encode_to_vec();
    let frame = frame::next(&bytes, usize::MAX).unwrap().unwrap();
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
    let expected = Request::Hello { tenant: "a", client: "x", cursor: Some("c"), traceparent: "t" };
    check_read(hello, expected);
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

/// A user, what happened to him, and where he reads on.
pub(crate) fn chat_examples() -> (User, Entry, Written) {
    let user = User { tenant: "a".parse().unwrap(), phone: "+41791234567".parse().unwrap() };
    let message = Message {
        id: 3,
        from: user.phone,
        to: "+41791234568".parse().unwrap(),
        text: Text::new("hi").unwrap(),
        client_message_id: ClientMessageId::new("m").unwrap(),
        sent_at: Millis(1_790_000_000_000),
        trace: None,
    };
    let entry = Entry { sequence: 7, what: Happening::Message(Arc::new(message)) };
    (user, entry, Cursor::of_inbox(&user).write(7))
}

#[test]
fn requests_of_chats() {
    use client_frame::Frame;
    let chat = |request_id, request| Request::Chat { request_id, request };
    let send = Frame::Send(v1::SessionSendRequest {
        to: "+41791234567".to_owned(),
        text: "hi".to_owned(),
        client_message_id: "m".to_owned(),
        request_id: 3,
        traceparent: "t".to_owned(),
    });
    let expected = ChatRequest::Send {
        to: "+41791234567",
        text: "hi",
        client_message_id: "m",
        traceparent: "t",
    };
    check_read(send, chat(3, expected));
    for (delivered_up_to, read_up_to) in [(Some(4), None), (None, Some(0)), (Some(5), Some(4))] {
        let stated = Frame::Acknowledge(v1::SessionAcknowledgeRequest {
            peer: "p".to_owned(),
            delivered_up_to,
            read_up_to,
            request_id: 9,
        });
        let expected = ChatRequest::Acknowledge { peer: "p", delivered_up_to, read_up_to };
        check_read(stated, chat(9, expected));
    }
    let follow = Frame::Follow(v1::Follow { after: "now".to_owned(), request_id: 1 });
    check_read(follow, chat(1, ChatRequest::Follow { after: "now" }));
    let typing = Frame::Typing(v1::Typing { peer: "p".to_owned(), typing: true });
    check_read(typing, chat(0, ChatRequest::Typing { peer: "p", typing: true }));
}

#[test]
fn replies_of_chats() {
    use server_frame::Frame;
    let (user, entry, cursor) = chat_examples();
    let Happening::Message(message) = &entry.what else { panic!("no message") };
    let sent = Sent { message: Arc::clone(message), status: MessageStatus::Read, new: true };
    let expected = v1::SessionSendResponse {
        id: 3,
        sent_at: 1_790_000_000_000,
        status: v1::MessageStatus::Read.into(),
        new: true,
        request_id: 4,
    };
    check_write(&Reply::Sent { request_id: 4, sent: &sent }, Frame::Send(expected));
    let marks = Marks { delivered_up_to: 4, read_up_to: 0 };
    let marked =
        v1::SessionAcknowledgeResponse { delivered_up_to: 4, read_up_to: 0, request_id: 5 };
    check_write(&Reply::Marked { request_id: 5, marks }, Frame::Acknowledge(marked));
    let following = v1::Following { cursor: cursor.to_string(), request_id: 6 };
    check_write(&Reply::Following { request_id: 6, cursor }, Frame::Following(following));
    let typing = v1::Typing { peer: "+41791234567".to_owned(), typing: false };
    check_write(&Reply::Typing { peer: user.phone, typing: false }, Frame::Typing(typing));
    // As the sender sees it, and as the recipient does.
    let mut seen = v1::Message {
        id: 3,
        chat: "+41791234568".to_owned(),
        from: "+41791234567".to_owned(),
        to: "+41791234568".to_owned(),
        text: "hi".to_owned(),
        sent_at: 1_790_000_000_000,
        status: v1::MessageStatus::Sent.into(),
        client_message_id: "m".to_owned(),
    };
    let told = |what| {
        Frame::Inbox(v1::InboxEntry { sequence: 7, cursor: cursor.to_string(), what: Some(what) })
    };
    let happened = |user, entry| Reply::Happened { user, entry, cursor };
    let expected = told(v1::inbox_entry::What::Message(seen.clone()));
    check_write(&happened(user.phone, &entry), expected);
    seen.chat = "+41791234567".to_owned();
    seen.client_message_id = String::new();
    let expected = told(v1::inbox_entry::What::Message(seen));
    check_write(&happened(message.to, &entry), expected);
    let (peer, up_to, at) = (message.to, 300, Millis(1_790_000_000_001));
    let receipt = v1::InboxReceipt { chat: peer.to_string(), up_to, at: at.0 };
    let read = Entry { sequence: 7, what: Happening::Read { peer, up_to, at } };
    let expected = told(v1::inbox_entry::What::Read(receipt.clone()));
    check_write(&happened(user.phone, &read), expected);
    let delivered = Entry { sequence: 7, what: Happening::Delivered { peer, up_to, at } };
    let expected = told(v1::inbox_entry::What::Delivered(receipt));
    check_write(&happened(user.phone, &delivered), expected);
}
