//! Scripts of (time, input), and all that comes out.

use super::*;
use crate::bus::Content;

const RULES: Rules = Rules { hello_ms: 10_000, idle_ms: 60_000, in_flight_max: 2 };

const HELLO: Request<'static> =
    Request::Hello { tenant: "a", client: "x", cursor: None, traceparent: "" };

/// What a test says: a frame, or anything else.
fn said(request: Request<'static>) -> Input<'static> {
    Input::Request(request)
}

fn pong(status: Status) -> Input<'static> {
    said(Request::Pong { status })
}

fn told(output: &Output<'_>) -> String {
    match output {
        Output::Send(Reply::Echo { request_id, content }) => format!("echo {request_id} {content}"),
        Output::Send(Reply::Sum { request_id, result }) => format!("sum {request_id} {result}"),
        Output::Send(Reply::Error { request_id, error }) => {
            format!("error {request_id} {}", error.code())
        }
        Output::Send(Reply::Welcome { session_id, .. }) => format!("welcome {session_id}"),
        Output::Send(Reply::Ping { sequence }) => format!("ping {sequence}"),
        Output::Send(Reply::Recorded { request_id, .. }) => format!("recorded {request_id}"),
        Output::Send(Reply::Drain { delay_ms }) => format!("drain {delay_ms}"),
        Output::Send(Reply::Typing { peer, .. }) => format!("typing {peer}"),
        Output::Send(
            Reply::Sent { request_id, .. }
            | Reply::Marked { request_id, .. }
            | Reply::Following { request_id, .. },
        ) => format!("done {request_id}"),
        Output::Send(Reply::Happened { entry, .. }) => format!("happened {}", entry.sequence),
        Output::Admit { tenant, client, .. } => format!("admit {tenant} {client}"),
        Output::Chat { request_id, request } => match request {
            ChatRequest::Send { to, .. } => format!("send {request_id} {to}"),
            ChatRequest::Acknowledge { peer, .. } => format!("acknowledge {request_id} {peer}"),
            ChatRequest::Follow { after } => format!("follow {request_id} {after}"),
            ChatRequest::Typing { peer, .. } => format!("type {peer}"),
        },
        Output::Bus { request_id, .. } => format!("bus {request_id}"),
        Output::Send(reply) => format!("{reply:?}"),
        Output::Record { request_id, key } => format!("record {request_id} {key}"),
        Output::Report => "report".to_owned(),
        Output::Close(reason) => format!("close {}", reason.as_str()),
    }
}

#[track_caller]
fn check(patient: bool, script: Vec<(i64, Input<'static>)>, expected: &str) {
    let mut session = Session::new(&RULES, patient, Millis(0));
    let mut lines = Vec::new();
    for (at, input) in script {
        session.handle(&RULES, input, Millis(at), &mut |output| {
            lines.push(format!("{at} {}", told(&output)).trim_end().to_owned());
        });
    }
    let expected: Vec<_> =
        expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(lines, expected);
}

fn joined(more: Vec<(i64, Input<'static>)>) -> Vec<(i64, Input<'static>)> {
    let mut script = vec![(0, said(HELLO)), (0, Input::Admitted { session_id: 7 })];
    script.extend(more);
    script
}

const JOINED: &str = "0 admit a x\n0 welcome 7\n0 report\n0 ping 1\n";

#[track_caller]
fn check_joined(script: Vec<(i64, Input<'static>)>, expected: &str) {
    check(false, joined(script), &format!("{JOINED}{expected}"));
}

#[test]
fn what_is_for_those_who_are_there_alone_is_not_counted() {
    let publish = |request_id, ephemeral| {
        let (topic, kind, content_type, reply_to) = ("a", "x", "", "");
        let content = Content { topic, kind, content_type, data: b"", key: None, reply_to };
        let request = BusRequest::Publish { content, key: "", ephemeral };
        said(Request::Bus { request_id, request })
    };
    let script = vec![
        (0, publish(7, false)),
        (0, said(HELLO)),
        (0, Input::Admitted { session_id: 1 }),
        (1, publish(1, false)),
        (1, publish(2, true)),
        (1, publish(3, false)),
        (1, publish(0, true)),
        (1, Input::Answered),
        (1, publish(4, false)),
    ];
    let expected = "
        0 error 7 unauthorized
        0 admit a x
        0 welcome 1
        0 report
        0 ping 1
        1 bus 1
        1 bus 2
        1 error 3 too_many_requests
        1 bus 0
        1 bus 4";
    check(false, script, expected);
}

#[test]
fn echo_and_add_need_no_hello() {
    let script = vec![
        (1, said(Request::Echo { request_id: 3, content: "hi" })),
        (2, said(Request::Add { request_id: 4, a: 10, b: 20 })),
        (3, said(Request::Add { request_id: 5, a: i32::MAX, b: 1 })),
        (4, said(Request::Add { request_id: 6, a: i32::MIN, b: -1 })),
        (5, said(Request::Add { request_id: 7, a: i32::MIN, b: i32::MAX })),
    ];
    let expected = "1 echo 3 hi
        2 sum 4 30
        3 error 5 invalid_request
        4 error 6 invalid_request
        5 sum 7 -1";
    check(false, script, expected);
}

#[test]
fn a_client_is_pinged_from_its_welcome_on_each_second() {
    let script = vec![(700, Input::Tick), (1_700, Input::Tick)];
    check_joined(script, "700 ping 2\n1700 ping 3");
}

#[test]
fn a_client_that_never_pongs_is_closed_after_ten_seconds() {
    let script = vec![(9_999, Input::Tick), (10_000, Input::Tick), (10_001, Input::Tick)];
    check_joined(
        script,
        "9999 ping 2\n10000 error 0 unavailable\n10000 report\n10000 close timeout",
    );
}

#[test]
fn a_client_that_pongs_late_stays() {
    let script = vec![(9_999, pong(Status::Even)), (19_998, Input::Tick), (19_999, Input::Tick)];
    let expected = "9999 report
        19998 ping 2
        19999 error 0 unavailable
        19999 report
        19999 close timeout";
    check_joined(script, expected);
}

#[test]
fn a_session_is_reported_often_enough_that_what_was_reported_is_at_most_5_seconds_old() {
    let script = (1..=9).map(|second| (second * 1_000, pong(Status::Odd))).collect();
    check_joined(script, "1000 report\n5000 report\n9000 report");
}

#[test]
fn who_turns_unknown_is_reported_at_once_and_once() {
    let script = vec![
        (1_000, pong(Status::Odd)),
        (2_000, pong(Status::Even)),
        (3_000, pong(Status::Unknown)),
        (4_000, pong(Status::Unknown)),
        (5_000, pong(Status::Odd)),
    ];
    check_joined(script, "1000 report\n3000 report\n5000 report");
}

#[test]
fn who_leaves_is_reported() {
    check_joined(vec![(5, Input::Left), (6, Input::Left)], "5 report\n5 close client");
    check(false, vec![(5, Input::Left)], "5 close client");
}

#[test]
fn a_hello_is_said_once_and_in_time() {
    check_joined(vec![(1, said(HELLO))], "1 error 0 conflict");
    let late = "10000 error 0 invalid_request\n10000 close no_hello";
    check(false, vec![(9_999, Input::Tick), (10_000, Input::Tick)], late);
    check(true, vec![(59_999, Input::Tick)], "");
    // Who asks for something else first is heard for longer.
    let script = vec![
        (9_000, said(Request::Echo { request_id: 0, content: "" })),
        (68_999, Input::Tick),
        (69_000, Input::Tick),
    ];
    check(false, script, "9000 echo 0\n69000 error 0 invalid_request\n69000 close no_hello");
}

#[test]
fn a_hello_may_be_refused() {
    let error = Error::new(Code::TooManyRequests, "full");
    let script = vec![(0, said(HELLO)), (1, Input::Refused(error)), (2, said(HELLO))];
    check(false, script, "0 admit a x\n1 error 0 too_many_requests\n1 close refused");
}

#[test]
fn pong_and_ingest_need_a_hello() {
    let ingest = said(Request::Ingest { request_id: 9, key: "K-h53dk-A" });
    let script = vec![(0, pong(Status::Odd)), (1, ingest)];
    check(false, script, "0 error 0 unauthorized\n1 error 9 unauthorized");
}

#[test]
fn requests_in_flight_are_limited() {
    let ingest = |request_id| said(Request::Ingest { request_id, key: "K-h53dk-A" });
    let script = vec![
        (1, ingest(1)),
        (2, ingest(2)),
        (3, ingest(3)),
        (4, Input::Answered),
        (5, ingest(4)),
        (6, said(Request::Ingest { request_id: 5, key: "nonsense" })),
    ];
    let expected = "1 record 1 K-h53dk-A
        2 record 2 K-h53dk-A
        3 error 3 too_many_requests
        5 record 4 K-h53dk-A
        6 error 5 too_many_requests";
    check_joined(script, expected);
}

#[test]
fn a_drain_finishes_what_is_in_flight() {
    let ingest = |request_id| said(Request::Ingest { request_id, key: "K-h53dk-A" });
    let script = vec![
        (1, ingest(1)),
        (2, Input::Drain { delay_ms: 50 }),
        (3, ingest(2)),
        (4, Input::Answered),
        (5, ingest(3)),
    ];
    let expected = "1 record 1 K-h53dk-A
        2 drain 50
        3 error 2 unavailable
        4 report
        4 close drain";
    check_joined(script, expected);
}

#[test]
fn a_drain_says_nothing_to_who_never_said_hello() {
    check(true, vec![(1, Input::Drain { delay_ms: 50 })], "1 close drain");
}

#[test]
fn what_is_no_frame_ends_the_session() {
    let error = Error::new(Code::InvalidRequest, "no frame");
    check(true, vec![(1, Input::Malformed(error))], "1 error 0 invalid_request\n1 close malformed");
}

fn chat(request_id: u64, request: ChatRequest<'static>) -> Input<'static> {
    said(Request::Chat { request_id, request })
}

const FOLLOW: ChatRequest<'static> = ChatRequest::Follow { after: "now" };
const TYPING: ChatRequest<'static> = ChatRequest::Typing { peer: "y", typing: true };
const STATED: ChatRequest<'static> =
    ChatRequest::Acknowledge { peer: "y", delivered_up_to: None, read_up_to: Some(1) };

#[test]
fn chats_need_a_hello_and_wait_with_the_others() {
    let script = vec![(1, chat(5, FOLLOW)), (2, chat(0, TYPING))];
    check(false, script, "1 error 5 unauthorized\n2 error 0 unauthorized");
    let script = vec![
        (1, chat(5, FOLLOW)),
        (2, chat(6, STATED)),
        (3, chat(7, STATED)),
        (4, chat(0, TYPING)),
        (5, Input::Answered),
        (6, chat(8, STATED)),
    ];
    let expected = "1 follow 5 now
        2 acknowledge 6 y
        3 error 7 too_many_requests
        4 type y
        6 acknowledge 8 y";
    check_joined(script, expected);
}

#[test]
fn what_was_asked_of_chats_is_answered_before_a_drain_ends() {
    let script = vec![
        (1, chat(5, STATED)),
        (2, Input::Drain { delay_ms: 9 }),
        (3, chat(6, STATED)),
        (4, Input::Answered),
    ];
    let expected = "1 acknowledge 5 y
        2 drain 9
        3 error 6 unavailable
        4 report
        4 close drain";
    check_joined(script, expected);
}
