//! What is written by hand is what protobuf's JSON says.

mod bus;

use switchboard_core::{Millis, chat::Marks, ingest::Receipt, session::ChatRequest};

use super::*;

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a case is one line")]
fn check(text: &str, expected: Option<Request<'_>>) {
    let frame = ClientFrame::read(text);
    assert_eq!(frame.as_ref().ok().map(ClientFrame::request), expected, "{text} {frame:?}");
}

#[test]
fn requests() {
    let echo = |request_id, content| Some(Request::Echo { request_id, content });
    check(r#"{"echo":{"content":"hi \"you\"","requestId":"3"}}"#, echo(3, "hi \"you\""));
    check(r#"{"echo":{"request_id":3}}"#, echo(3, ""));
    check(r#"{"echo":{"content":null,"requestId":null}}"#, echo(0, ""));
    check(r#"{"echo":{"requestId":"\u0033"}}"#, echo(3, ""));
    check(r#"{"echo":{"requestId":"18446744073709551615"}}"#, echo(u64::MAX, ""));
    check(r#"{"add":{"a":10,"b":-20}}"#, Some(Request::Add { request_id: 0, a: 10, b: -20 }));
    let hello =
        Some(Request::Hello { tenant: "a", client: "x", cursor: Some("c"), traceparent: "" });
    check(r#"{"hello":{"tenant":"a","client":"x","cursor":"c"}}"#, hello);
    for (status, expected) in [
        (r#""STATUS_EVEN""#, Status::Even),
        ("2", Status::Odd),
        ("null", Status::Unknown),
        ("77", Status::Unknown),
        (r#""STATUS_UNKNOWN""#, Status::Unknown),
    ] {
        let pong = format!(r#"{{"pong":{{"status":{status},"sequence":"4"}}}}"#);
        check(&pong, Some(Request::Pong { status: expected }));
    }
    let ingest = Some(Request::Ingest { request_id: 4, key: "K-h53dk-A" });
    check(r#"{"ingest":{"key":"K-h53dk-A","requestId":4}}"#, ingest);
    let chat = |request_id, request| Some(Request::Chat { request_id, request });
    let send = ChatRequest::Send {
        to: "+41791234567",
        text: "hi",
        client_message_id: "m",
        traceparent: "",
    };
    let text = r#"{"send":{"to":"+41791234567","text":"hi","clientMessageId":"m","requestId":3}}"#;
    check(text, chat(3, send));
    let stated = |delivered_up_to, read_up_to| ChatRequest::Acknowledge {
        peer: "p",
        delivered_up_to,
        read_up_to,
    };
    check(r#"{"acknowledge":{"peer":"p","readUpTo":"7"}}"#, chat(0, stated(None, Some(7))));
    check(r#"{"acknowledge":{"peer":"p","deliveredUpTo":7}}"#, chat(0, stated(Some(7), None)));
    check(r#"{"follow":{"after":"now"}}"#, chat(0, ChatRequest::Follow { after: "now" }));
    let typing = ChatRequest::Typing { peer: "p", typing: true };
    check(r#"{"typing":{"peer":"p","typing":true}}"#, chat(0, typing));
}

#[test]
fn what_is_no_request() {
    for text in [
        "",
        "{}",
        "[]",
        "null",
        r#"{"echo":{}}x"#,
        r#"{"echo":{},"add":{}}"#,
        r#"{"echo":{"contents":"hi"}}"#,
        r#"{"echo":{"content":5}}"#,
        r#"{"add":{"a":2147483648}}"#,
        r#"{"echo":{"requestId":-1}}"#,
        r#"{"echo":{"requestId":"18446744073709551616"}}"#,
        r#"{"pong":{"status":"EVEN"}}"#,
        r#"{"welcome":{}}"#,
    ] {
        check(text, None);
    }
}

const MESSAGE: &str = concat!(
    r#"{"id":"3","chat":"+41791234568","from":"+41791234567","to":"+41791234568","#,
    r#""text":"hi","sentAt":"1790000000000","status":"MESSAGE_STATUS_SENT","#,
    r#""clientMessageId":"m"}"#
);

#[test]
fn replies() {
    let check = |reply: Reply<'_>, expected: &str| assert_eq!(write(&reply), expected);
    check(
        Reply::Echo { request_id: 3, content: "hi" },
        r#"{"echo":{"content":"hi","requestId":"3"}}"#,
    );
    check(Reply::Echo { request_id: 0, content: "" }, r#"{"echo":{}}"#);
    check(Reply::Sum { request_id: 0, result: 30 }, r#"{"add":{"result":30}}"#);
    check(
        Reply::Error { request_id: 0, error: Error::new(Code::TooLarge, "long") },
        r#"{"error":{"content":"long","code":"too_large"}}"#,
    );
    check(
        Reply::Welcome { session_id: 1 << 60, ping_interval_ms: 1_000 },
        r#"{"welcome":{"sessionId":"1152921504606846976","pingIntervalMs":1000}}"#,
    );
    check(Reply::Ping { sequence: 1 }, r#"{"ping":{"sequence":"1"}}"#);
    let (receipt, at) = (Receipt { id: 7, new: true }, Millis(1_790_000_000_000));
    check(
        Reply::Recorded { request_id: 2, receipt, at },
        r#"{"ingest":{"timestamp":"1790000000000","id":"7","new":true,"requestId":"2"}}"#,
    );
    check(Reply::Drain { delay_ms: 5 }, r#"{"drain":{"delayMs":5}}"#);
    let (user, entry, cursor) = crate::wire::frame::chat_examples();
    check(
        Reply::Happened { user: user.phone, entry: &entry, cursor },
        &format!(r#"{{"inbox":{{"sequence":"7","cursor":"{cursor}","message":{MESSAGE}}}}}"#),
    );
    check(
        Reply::Following { request_id: 4, cursor },
        &format!(r#"{{"following":{{"cursor":"{cursor}","requestId":"4"}}}}"#),
    );
    check(
        Reply::Typing { peer: user.phone, typing: false },
        r#"{"typing":{"peer":"+41791234567"}}"#,
    );
    let marks = Marks { delivered_up_to: 4, read_up_to: 0 };
    check(Reply::Marked { request_id: 0, marks }, r#"{"acknowledge":{"deliveredUpTo":"4"}}"#);
}
