//! The frames of the bus.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _, prost::Message as _};
use switchboard_core::{
    Millis,
    bus::{Body, Content, Cursor, Event, Published, Settled},
    session::{BusRequest, Settle},
};
use switchboard_proto::{
    DESCRIPTORS,
    v1::{self, client_frame, server_frame},
};

use super::{super::*, check};
use crate::wire::examples;

/// A message of the generated types as a library knows it that reads and writes protobuf's JSON.
fn message(name: &str, bytes: &[u8]) -> DynamicMessage {
    static POOL: LazyLock<DescriptorPool> =
        LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).unwrap());
    let descriptor = POOL.get_message_by_name(&format!("switchboard.v1.{name}")).unwrap();
    DynamicMessage::decode(descriptor, bytes).unwrap()
}

fn sent(frame: client_frame::Frame) -> DynamicMessage {
    let bytes = v1::ClientFrame { frame: Some(frame) }.encode_to_vec();
    message("ClientFrame", &bytes)
}

#[test]
fn requests() {
    for (frame, expected) in examples::requests() {
        let message = sent(frame);
        check(&serde_json::to_string(&message).unwrap(), Some(expected.clone()));
        // With the names of the file, numbers as numbers, and what is absent told.
        let options = prost_reflect::SerializeOptions::new()
            .use_proto_field_name(true)
            .stringify_64_bit_integers(false)
            .skip_default_fields(false);
        let mut text = Vec::new();
        let mut serializer = serde_json::Serializer::new(&mut text);
        message.serialize_with_options(&mut serializer, &options).unwrap();
        check(str::from_utf8(&text).unwrap(), Some(expected));
    }
}

#[test]
fn replies() {
    examples::replies(|reply, frame| {
        let text = write(reply);
        let descriptor = message("ServerFrame", b"").descriptor();
        let mut deserializer = serde_json::Deserializer::from_str(&text);
        let read = DynamicMessage::deserialize(descriptor, &mut deserializer).unwrap();
        deserializer.end().unwrap();
        let expected = v1::ServerFrame { frame: Some(frame) };
        let read: v1::ServerFrame = read.transcode_to().unwrap();
        let cut = text.get(..1_000).unwrap_or(&text);
        assert!(read == expected, "{cut}");
    });
}

#[test]
fn known_texts() {
    let bus = |request_id, request| Some(Request::Bus { request_id, request });
    let content = Content {
        topic: "orders.eu",
        kind: "created",
        content_type: "",
        data: b"\xfb\xff\x01\0",
        key: None,
        reply_to: "",
    };
    // Base64 of either alphabet, padded or not.
    for data in ["+/8BAA==", "+/8BAA", "-_8BAA==", "-_8BAA"] {
        let start = r#"{"publish":{"topic":"orders.eu","type":"created","data":""#;
        let text = format!(r#"{start}{data}","requestId":7}}}}"#);
        check(&text, bus(7, BusRequest::Publish { content, key: "", ephemeral: false }));
    }
    let settle = Settle { ack: vec!["1"], nack: vec![], delay_ms: 0, reason: "" };
    let settle = BusRequest::Settle { consumer: 1, settle };
    let text = r#"{"settle":{"consumer":1,"ack":["1"],"nack":null,"delayMs":null,"reason":null}}"#;
    check(text, bus(0, settle));
}

#[test]
fn what_is_no_request() {
    for text in [
        r#"{"publish":{"data":"a"}}"#,
        r#"{"publish":{"data":"+_8BAA"}}"#,
        r#"{"publish":{"data":"a b="}}"#,
        r#"{"publish":{"data":[1,2]}}"#,
        r#"{"publish":{"topic":5}}"#,
        r#"{"publish":{"ephemeral":"true"}}"#,
        r#"{"publish":{"kind":"t"}}"#,
        r#"{"subscribe":{"subscription":-1}}"#,
        r#"{"subscribe":{"subscription":4294967296}}"#,
        r#"{"subscribe":{"topics":"a"}}"#,
        r#"{"subscribe":{"topics":["a",null]}}"#,
        r#"{"unsubscribe":{"consumer":1}}"#,
        r#"{"consume":{"queue":["a"]}}"#,
        r#"{"settle":{"ack":[1]}}"#,
        r#"{"event":{}}"#,
        r#"{"delivery":{}}"#,
    ] {
        check(text, None);
    }
}

#[test]
fn what_is_the_default_is_left_out() {
    let check = |reply: Reply<'_>, expected: &str| assert_eq!(write(&reply), expected);
    let published = Published { sequence: 0, new: false };
    check(Reply::Published { request_id: 0, published }, r#"{"publish":{}}"#);
    let published = Published { sequence: 17, new: true };
    check(
        Reply::Published { request_id: 3, published },
        r#"{"publish":{"sequence":"17","new":true,"requestId":"3"}}"#,
    );
    let cursor = Cursor::new(&"a".parse().unwrap(), 9, 0);
    check(
        Reply::Subscribed { request_id: 0, subscription: 1, cursor },
        &format!(r#"{{"subscribe":{{"subscription":1,"cursor":"{cursor}"}}}}"#),
    );
    let content = Content {
        topic: "a.b",
        kind: "t",
        content_type: "",
        data: b"\xfb\xff",
        key: None,
        reply_to: "",
    };
    let event = Event { sequence: 5, at: Millis(6), body: Body::new(&content).unwrap() };
    check(
        Reply::Event { subscription: 1, event: &event },
        concat!(
            r#"{"event":{"subscription":1,"event":{"sequence":"5","topic":"a.b","type":"t","#,
            r#""data":"+/8=","at":"6"}}}"#
        ),
    );
    check(Reply::Settled { request_id: 0, done: 0, refused: &[] }, r#"{"settle":{}}"#);
    let refused = [("1-1".to_owned(), Settled::Late)];
    check(
        Reply::Settled { request_id: 0, done: 2, refused: &refused },
        r#"{"settle":{"done":2,"refused":[{"delivery":"1-1","code":"conflict"}]}}"#,
    );
}

#[test]
fn a_reply_of_the_node_is_no_frame_of_a_client() {
    let frame = server_frame::Frame::Event(v1::SessionEvent::default());
    let bytes = v1::ServerFrame { frame: Some(frame) }.encode_to_vec();
    let text = serde_json::to_string(&message("ServerFrame", &bytes)).unwrap();
    check(&text, None);
}
