//! Chat, as its users meet it, over every transport.

mod nodes;
mod rest;

use serde_json::{Value, json};
use switchboard_proto::v1::{
    self, FollowInboxRequest, ListMessagesRequest, ReadInboxRequest, SendMessageRequest,
    chat_service_client::ChatServiceClient, client_frame, inbox_entry::What, server_frame::Frame,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};
use tonic::transport::{Channel, Endpoint};

use crate::{
    line::{Line, Over, hello, pong},
    node::{DEADLINE, Node},
};

const ANN: &str = "+41791234567";
const BOB: &str = "+41791234568";
const CAT: &str = "+41791234569";

fn users(rest: &str) -> String {
    format!("/v1/tenants/a/users/{rest}")
}

impl Node {
    async fn get(&self, rest: &str) -> (u16, Value) {
        parsed(self.send("GET", &users(rest), "application/json", b"").await)
    }

    async fn say(&self, from: &str, to: &str, id: &str) -> (u16, Value) {
        let body = json!({"to": to, "text": format!("text of {id}"), "client_message_id": id});
        parsed(self.post(&users(&format!("{from}/messages")), body.to_string()).await)
    }

    async fn chats(&self) -> ChatServiceClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.main)).unwrap();
        ChatServiceClient::new(endpoint.connect().await.unwrap())
    }
}

fn parsed((status, body): (u16, String)) -> (u16, Value) {
    assert!(!body.is_empty(), "no answer is empty");
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

fn send(to: &str, id: &str, request_id: u64) -> client_frame::Frame {
    client_frame::Frame::Send(v1::SessionSendRequest {
        to: to.to_owned(),
        text: format!("text of {id}"),
        client_message_id: id.to_owned(),
        request_id,
        traceparent: String::new(),
    })
}

fn follow(after: &str) -> client_frame::Frame {
    client_frame::Frame::Follow(v1::Follow { after: after.to_owned(), request_id: 77 })
}

fn acknowledge(peer: &str, read_up_to: u64) -> client_frame::Frame {
    client_frame::Frame::Acknowledge(v1::SessionAcknowledgeRequest {
        peer: peer.to_owned(),
        delivered_up_to: None,
        read_up_to: Some(read_up_to),
        request_id: 88,
    })
}

/// The next frame that is no ping.
async fn hear(line: &mut Line) -> Frame {
    loop {
        match line.hear().await.expect("the session goes on") {
            Frame::Ping(_) => line.say(pong(v1::Status::Even)).await,
            frame => return frame,
        }
    }
}

async fn following(node: &Node, over: Over, user: &str, after: &str) -> Line {
    let mut line = Line::join(node, over, user).await;
    line.say(follow(after)).await;
    let told = hear(&mut line).await;
    assert!(matches!(&told, Frame::Following(it) if it.request_id == 77), "{told:?}");
    line
}

/// The next thing that happened, and the cursor behind it.
async fn happened(line: &mut Line) -> (What, String) {
    match hear(line).await {
        Frame::Inbox(entry) => (entry.what.unwrap(), entry.cursor),
        other => panic!("{other:?}"),
    }
}

fn text((what, _): &(What, String)) -> &str {
    match what {
        What::Message(message) => &message.text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_sent_reaches_every_device_at_once_and_receipts_come_back() {
    let node = Node::start().await;
    for (place, over) in Over::ALL.into_iter().enumerate() {
        let id = format!("m{place}");
        let mut devices = Vec::new();
        for over in Over::ALL {
            devices.push(following(&node, over, BOB, "now").await);
        }
        // The sender's other device sees what he sends.
        let mut other = following(&node, Over::Tcp, ANN, "now").await;
        let mut sender = Line::join(&node, over, ANN).await;
        sender.say(send("+41 79 123 45 68", &id, 5)).await;
        let Frame::Send(sent) = hear(&mut sender).await else { panic!("not sent") };
        assert!(sent.new && sent.request_id == 5);
        for device in &mut devices {
            assert_eq!(text(&happened(device).await), format!("text of {id}"), "{over:?}");
        }
        assert_eq!(text(&happened(&mut other).await), format!("text of {id}"));
        devices[place].say(acknowledge(ANN, sent.id)).await;
        let Frame::Acknowledge(marks) = hear(&mut devices[place]).await else { panic!("no marks") };
        assert_eq!((marks.read_up_to, marks.request_id), (sent.id, 88));
        let (what, _) = happened(&mut other).await;
        let What::Read(read) = what else { panic!("{what:?}") };
        assert_eq!((read.chat.as_str(), read.up_to), (BOB, sent.id));
        // The reader is told nothing of his own reading: the next thing is the next message.
        sender.say(send(BOB, &format!("{id} next"), 6)).await;
        hear(&mut sender).await;
        for device in &mut devices {
            assert_eq!(text(&happened(device).await), format!("text of {id} next"));
        }
    }
}

/// Reads events of a stream until there are so many: their ids and texts.
async fn events(node: &Node, last: &str, count: usize) -> Vec<(String, String)> {
    let mut stream = TcpStream::connect(node.main).await.unwrap();
    let path = users(&format!("{BOB}/inbox"));
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: a\r\naccept: text/event-stream\r\n\
         last-event-id: {last}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut came, mut buffer) = (String::new(), vec![0; 4_096]);
    let read = async {
        while came.matches("\nevent: ").count() < count || !came.ends_with("\n\n\r\n") {
            let len = stream.read(&mut buffer).await.unwrap();
            assert_ne!(len, 0, "{came}");
            came.push_str(str::from_utf8(&buffer[..len]).unwrap());
        }
    };
    tokio::time::timeout(DEADLINE, read).await.expect("the events come");
    let ids = came.lines().filter_map(|line| line.strip_prefix("id: "));
    let data = came.lines().filter_map(|line| line.strip_prefix("data: "));
    let read = |(id, data): (&str, &str)| {
        let entry: Value = serde_json::from_str(data).unwrap();
        (id.to_owned(), entry["message"]["text"].as_str().unwrap().to_owned())
    };
    ids.zip(data).map(read).collect()
}

#[tokio::test]
async fn a_cursor_resumes_on_any_transport() {
    let node = Node::start().await;
    for number in 0..18 {
        node.say(ANN, BOB, &format!("{number}")).await;
    }
    let expected = |from: usize, to: usize| {
        (from..to).map(|number| format!("text of {number}")).collect::<Vec<_>>()
    };
    let mut cursor = String::new();
    let mut seen = Vec::new();
    for over in Over::ALL {
        let mut line = following(&node, over, BOB, &cursor).await;
        for _ in 0..3 {
            let entry = happened(&mut line).await;
            seen.push(text(&entry).to_owned());
            cursor = entry.1;
        }
    }
    for (id, text) in events(&node, &cursor, 6).await.into_iter().take(2) {
        seen.push(text);
        cursor = id;
    }
    let mut chats = node.chats().await;
    let request =
        FollowInboxRequest { tenant: "a".to_owned(), phone: BOB.to_owned(), after: cursor.clone() };
    let mut stream = chats.follow_inbox(request).await.unwrap().into_inner();
    for _ in 0..2 {
        let entry = stream.message().await.unwrap().unwrap();
        let Some(What::Message(message)) = entry.what else { panic!("no message") };
        seen.push(message.text);
        cursor = entry.cursor;
    }
    let (_, page) = node.get(&format!("{BOB}/inbox?limit=1&after={cursor}")).await;
    seen.push(page["entries"][0]["message"]["text"].as_str().unwrap().to_owned());
    cursor = page["next_cursor"].as_str().unwrap().to_owned();
    // The query of a WebSocket, and the cursor of a hello.
    let client = BOB.replace('+', "%2B");
    let path = format!("/v1/tenants/a/connect?client={client}&after={cursor}");
    let mut line = Line::socket(&node, &path, true).await;
    assert!(matches!(hear(&mut line).await, Frame::Welcome(_)));
    assert!(matches!(hear(&mut line).await, Frame::Following(_)));
    let entry = happened(&mut line).await;
    seen.push(text(&entry).to_owned());
    assert_eq!(seen, expected(0, 18));
}

#[tokio::test]
async fn there_is_no_seam_between_the_past_and_the_present() {
    let node = Node::start().await;
    let mut senders = JoinSet::new();
    let mut lines = Vec::new();
    for number in 0..4 {
        lines.push(Line::join(&node, Over::Tcp, &format!("+4179000000{number}")).await);
    }
    for mut line in lines {
        senders.spawn(async move {
            for number in 0..500 {
                line.say(send(BOB, &format!("{number}"), number)).await;
                while !matches!(hear(&mut line).await, Frame::Send(_)) {}
            }
        });
    }
    // Devices come while messages do, and one of them reads nothing for long.
    let mut devices = JoinSet::new();
    for over in Over::ALL {
        let mut line = following(&node, over, BOB, "").await;
        devices.spawn(async move {
            let mut cursors = Vec::new();
            for _ in 0..2_000 {
                cursors.push(happened(&mut line).await.1);
            }
            cursors
        });
    }
    senders.join_all().await;
    let feeds = devices.join_all().await;
    let mut whole: Vec<String> = Vec::new();
    while whole.len() < 2_000 {
        let after = whole.last().cloned().unwrap_or_default();
        let (_, page) = node.get(&format!("{BOB}/inbox?limit=1000&after={after}")).await;
        let cursors = page["entries"].as_array().unwrap().iter();
        whole.extend(cursors.map(|entry| entry["cursor"].as_str().unwrap().to_owned()));
    }
    for feed in feeds {
        assert!(feed == whole, "every device's feed is the inbox");
    }
}

#[tokio::test]
async fn who_does_not_read_holds_up_nobody_and_misses_nothing() {
    let node = Node::start().await;
    let mut slow = following(&node, Over::Tcp, BOB, "now").await;
    let mut sender = Line::join(&node, Over::Tcp, ANN).await;
    let text = "🦀".repeat(4_000);
    // More than all buffers in between hold.
    for number in 0..1_500_u64 {
        sender
            .say(client_frame::Frame::Send(v1::SessionSendRequest {
                to: BOB.to_owned(),
                text: text.clone(),
                client_message_id: format!("{number}"),
                request_id: number + 1,
                traceparent: String::new(),
            }))
            .await;
        while !matches!(hear(&mut sender).await, Frame::Send(_)) {}
    }
    for id in 1..=1_500 {
        let (what, _) = happened(&mut slow).await;
        let What::Message(message) = what else { panic!("{what:?}") };
        assert_eq!(message.id, id);
    }
}

#[tokio::test]
async fn hints_are_for_those_who_are_there() {
    let node = Node::start().await;
    let typing = |peer: &str, typing| {
        client_frame::Frame::Typing(v1::Typing { peer: peer.to_owned(), typing })
    };
    let mut bob = following(&node, Over::Grpc, BOB, "now").await;
    let mut ann = Line::join(&node, Over::Tcp, ANN).await;
    for state in [true, false] {
        ann.say(typing(BOB, state)).await;
        let expected = v1::Typing { peer: ANN.to_owned(), typing: state };
        assert_eq!(hear(&mut bob).await, Frame::Typing(expected));
    }
    ann.say(typing(CAT, true)).await;
    ann.say(typing(ANN, true)).await;
    let Frame::Error(error) = hear(&mut ann).await else { panic!("no error") };
    assert_eq!((error.code.as_str(), error.request_id), ("invalid_recipient", 0));
    assert_eq!(node.get(&format!("{BOB}/inbox")).await.1["entries"], json!([]));
}

#[tokio::test]
async fn a_session_that_asks_for_nonsense_is_told_and_goes_on() {
    let node = Node::start().await;
    for over in Over::ALL {
        let mut line = Line::join(&node, over, "+41 79 123 45 67").await;
        let refused = async |line: &mut Line, frame, code: &str, id| {
            line.say(frame).await;
            let Frame::Error(error) = hear(line).await else { panic!("{code} was not told") };
            assert_eq!((error.code.as_str(), error.request_id), (code, id), "{over:?}");
        };
        refused(&mut line, send("12", "m", 1), "invalid_phone", 1).await;
        refused(&mut line, send(ANN, "m", 2), "invalid_recipient", 2).await;
        refused(&mut line, acknowledge(CAT, 1), "not_found", 88).await;
        refused(&mut line, follow("nonsense"), "invalid_cursor", 77).await;
        let (_, inbox) = node.get(&format!("{ANN}/inbox")).await;
        let beyond = inbox["next_cursor"].as_str().unwrap().replace("0-", "99-");
        refused(&mut line, follow(&beyond), "invalid_cursor", 77).await;
        line.say(follow("now")).await;
        assert!(matches!(hear(&mut line).await, Frame::Following(_)));
        // One that is no phone number may do all else.
        let mut thing = Line::join(&node, over, "thing").await;
        refused(&mut thing, send(ANN, "m", 3), "invalid_phone", 3).await;
        refused(&mut thing, follow(""), "invalid_phone", 77).await;
        let mut nobody = Line::open(&node, over).await;
        refused(&mut nobody, send(ANN, "m", 4), "unauthorized", 4).await;
    }
    // A hello with a cursor of somebody else is let in, and told.
    let (_, foreign) = node.get(&format!("{BOB}/inbox")).await;
    let mut line = Line::open(&node, Over::Tcp).await;
    let client_frame::Frame::Hello(mut said) = hello("a", ANN) else { panic!("no hello") };
    said.cursor = Some(foreign["next_cursor"].as_str().unwrap().to_owned());
    line.say(client_frame::Frame::Hello(said)).await;
    assert!(matches!(hear(&mut line).await, Frame::Welcome(_)));
    let Frame::Error(error) = hear(&mut line).await else { panic!("no error") };
    assert_eq!((error.code.as_str(), error.request_id), ("invalid_cursor", 0));
}

#[tokio::test]
async fn the_calls_of_grpc() {
    let node = Node::start().await;
    let mut chats = node.chats().await;
    let request = SendMessageRequest {
        tenant: "a".to_owned(),
        from: ANN.to_owned(),
        to: BOB.to_owned(),
        text: "hi".to_owned(),
        client_message_id: "m".to_owned(),
    };
    for new in [true, false] {
        let sent = chats.send_message(request.clone()).await.unwrap().into_inner();
        assert_eq!((sent.new, sent.message.unwrap().id), (new, 1));
    }
    let other = SendMessageRequest { to: CAT.to_owned(), ..request.clone() };
    let refused = chats.send_message(other).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Aborted);
    let wrong = SendMessageRequest { to: "1".to_owned(), ..request };
    let refused = chats.send_message(wrong).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    let page = ListMessagesRequest {
        tenant: "a".to_owned(),
        phone: BOB.to_owned(),
        peer: ANN.to_owned(),
        limit: 1,
        cursor: String::new(),
    };
    let listed = chats.list_messages(page.clone()).await.unwrap().into_inner();
    assert_eq!((listed.messages.len(), listed.next_cursor.as_str()), (1, ""));
    let newer = ListMessagesRequest { cursor: listed.previous_cursor, ..page };
    let listed = chats.list_messages(newer).await.unwrap().into_inner();
    assert!(listed.messages.is_empty() && !listed.previous_cursor.is_empty());
    let request =
        ReadInboxRequest { tenant: "a".to_owned(), phone: BOB.to_owned(), ..Default::default() };
    let read = chats.read_inbox(request).await.unwrap().into_inner();
    assert_eq!(read.entries[0].cursor, read.next_cursor);
}

#[tokio::test]
async fn a_chat_tells_whether_the_peer_is_online() {
    let node = Node::start().await;
    node.say(ANN, BOB, "m").await;
    let (_, chats) = node.get(&format!("{ANN}/chats")).await;
    assert_eq!(chats["chats"][0]["online"], json!(false));
    // However he writes his number.
    let mut bob = Line::join(&node, Over::Tcp, "+41 79 123 45 68").await;
    bob.say(pong(v1::Status::Even)).await;
    crate::node::until("bob is online", async || {
        let (_, chats) = node.get(&format!("{ANN}/chats")).await;
        chats["chats"][0]["online"] == json!(true) && chats["chats"][0]["last_seen"].is_i64()
    })
    .await;
}

#[tokio::test]
async fn what_happens_is_counted() {
    let node = Node::start().await;
    let mut bob = following(&node, Over::Tcp, BOB, "now").await;
    node.say(ANN, BOB, "m").await;
    node.say(ANN, BOB, "m").await;
    node.say(ANN, CAT, "m").await;
    happened(&mut bob).await;
    bob.say(acknowledge(ANN, 1)).await;
    hear(&mut bob).await;
    let (_, metrics) = node.admin("/metrics").await;
    for line in [
        "switchboard_messages_total{result=\"new\"} 1",
        "switchboard_messages_total{result=\"duplicate\"} 1",
        "switchboard_messages_total{result=\"conflict\"} 1",
        "switchboard_receipts_total{type=\"read\"} 1",
        "switchboard_inbox_followers 1",
        "switchboard_inbox_entries_total{source=\"live\"} 1",
        "switchboard_delivery_duration_seconds_count{capability=\"chat\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}
