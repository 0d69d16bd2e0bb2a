//! Chat over REST.

use serde_json::{Value, json};

use super::{ANN, BOB, CAT, parsed, users};
use crate::node::Node;

#[tokio::test]
async fn the_sample_conversation() {
    let node = Node::start().await;
    let put = |body: &'static str| async {
        parsed(node.send("PUT", &users(BOB), "application/json", body.as_bytes()).await)
    };
    let (status, profile) = put(r#"{"name":"Bob"}"#).await;
    assert_eq!((status, &profile["name"], &profile["phone"]), (201, &json!("Bob"), &json!(BOB)));
    assert_eq!(put(r"{}").await, (200, profile));
    let (status, first) = node.say("+41 79 123 45 67".replace(' ', "%20").as_str(), BOB, "m").await;
    assert_eq!((status, &first["new"]), (201, &json!(true)));
    let message = &first["message"];
    for (field, value) in [
        ("id", json!(1)),
        ("chat", json!(BOB)),
        ("from", json!(ANN)),
        ("to", json!(BOB)),
        ("text", json!("text of m")),
        ("status", json!("sent")),
    ] {
        assert_eq!(message[field], value, "{field}");
    }
    // The same again, however its recipient is written: the first message, whole.
    let (status, again) = node.say(ANN, "0041791234568", "m").await;
    assert_eq!((status, &again["new"], &again["message"]), (200, &json!(false), message));
    let (status, conflict) = node.say(ANN, CAT, "m").await;
    assert_eq!((status, &conflict["code"]), (409, &json!("conflict")));
    let (_, chats) = node.get(&format!("{ANN}/chats")).await;
    let chat = &chats["chats"][0];
    assert_eq!((&chat["peer"], &chat["peer_name"]), (&json!(BOB), &json!("Bob")));
    assert_eq!((&chat["unread"], &chats["next_cursor"]), (&json!(0), &Value::Null));
    let (_, chats) = node.get(&format!("{BOB}/chats")).await;
    assert_eq!(chats["chats"][0]["unread"], json!(1));
    let receipts = users(&format!("{BOB}/chats/{ANN}/receipts"));
    let (status, marks) = parsed(node.post(&receipts, r#"{"read_up_to":1}"#).await);
    assert_eq!((status, marks), (200, json!({"delivered_up_to": 1, "read_up_to": 1})));
    let (_, page) = node.get(&format!("{ANN}/chats/{BOB}/messages")).await;
    assert_eq!(page["messages"][0]["status"], json!("read"));
    let (_, inbox) = node.get(&format!("{ANN}/inbox")).await;
    let types: Vec<_> = inbox["entries"].as_array().unwrap().iter().map(|it| &it["type"]).collect();
    assert_eq!(types, ["message", "read"]);
    let (_, traced) = node.get(&format!("{ANN}/messages/m")).await;
    let steps: Vec<_> = traced["steps"].as_array().unwrap().iter().map(|it| &it["step"]).collect();
    assert_eq!(steps, ["accepted", "stored", "signalled", "delivered", "read"]);
    // What the sender called it is not the recipient's business.
    let (_, page) = node.get(&format!("{BOB}/chats/{ANN}/messages")).await;
    assert_eq!(page["messages"][0].get("client_message_id"), None);
}

#[tokio::test]
async fn bad_input_is_named_and_changes_nothing() {
    let node = Node::start().await;
    node.say(ANN, BOB, "m").await;
    let messages = format!("{ANN}/messages");
    let receipts = format!("{BOB}/chats/{ANN}/receipts");
    let long = json!({"to": BOB, "text": "x".repeat(4_097)}).to_string();
    for (path, body, status, code) in [
        ("12345/messages", r#"{"to":"+41791234568","text":"x"}"#, 400, "invalid_phone"),
        (&messages, r#"{"to":"12345","text":"x"}"#, 400, "invalid_phone"),
        (&messages, r#"{"to":"+41791234567","text":"x"}"#, 400, "invalid_recipient"),
        (&messages, r#"{"to":"+41 79 123 45 67","text":"x"}"#, 400, "invalid_recipient"),
        (&messages, r#"{"to":"+41791234568","text":""}"#, 400, "invalid_text"),
        (&messages, r#"{"to":"+41791234568","text":"a\u0000b"}"#, 400, "invalid_text"),
        (&messages, &long, 413, "too_large"),
        (&messages, r#"{"to":"+41791234568"}"#, 400, "invalid_request"),
        (&messages, r#"{"to":"+41791234568","text":"x","x":1}"#, 400, "invalid_request"),
        (
            &messages,
            r#"{"to":"+41791234568","text":"x","client_message_id":""}"#,
            400,
            "invalid_request",
        ),
        (&receipts, r#"{"read_up_to":2}"#, 404, "not_found"),
        (&receipts, r#"{"delivered_up_to":0}"#, 404, "not_found"),
        (&receipts, r"{}", 400, "invalid_request"),
        (&receipts, r#"{"read_up_to":-1}"#, 400, "invalid_request"),
        (&format!("{BOB}/chats/{CAT}/receipts"), r#"{"read_up_to":1}"#, 404, "not_found"),
    ] {
        let (answered, problem) = parsed(node.post(&users(path), body).await);
        assert_eq!((answered, &problem["code"]), (status, &json!(code)), "{path} {body}");
    }
    let foreign = node.get(&format!("{BOB}/inbox")).await.1["next_cursor"].clone();
    let foreign = foreign.as_str().unwrap();
    for (path, status, code) in [
        (format!("{ANN}/chats?cursor=nonsense"), 400, "invalid_cursor"),
        (format!("{ANN}/chats?cursor={foreign}"), 400, "invalid_cursor"),
        (format!("{ANN}/chats/{BOB}/messages?cursor=b9"), 400, "invalid_cursor"),
        (format!("{ANN}/inbox?after={foreign}"), 400, "invalid_cursor"),
        (format!("{ANN}/inbox?after=0"), 400, "invalid_cursor"),
        (format!("{ANN}/chats?limit=0"), 400, "invalid_request"),
        (format!("{ANN}/chats?limit=1001"), 413, "too_large"),
        (format!("{ANN}/chats?pages=1"), 400, "invalid_request"),
        (format!("{ANN}/chats/{ANN}/messages"), 400, "invalid_recipient"),
        (format!("{ANN}/chats/99/messages"), 400, "invalid_phone"),
        (format!("{ANN}/messages/none"), 404, "not_found"),
        (format!("{BOB}/messages/m"), 404, "not_found"),
        // Made-up paths lead nowhere: two numbers are no number.
        (format!("{ANN},{BOB}/chats"), 400, "invalid_phone"),
        (format!("{ANN}%2F..%2F{BOB}/chats"), 400, "invalid_phone"),
        (format!("%FF{ANN}/chats"), 400, "invalid_request"),
        (format!("{ANN}*/chats"), 400, "invalid_phone"),
    ] {
        let (answered, problem) = node.get(&path).await;
        assert_eq!((answered, &problem["code"]), (status, &json!(code)), "{path}");
    }
    let (status, empty) = node.get(&format!("{ANN}/chats/{CAT}/messages")).await;
    assert_eq!((status, &empty["messages"]), (200, &json!([])));
    let (_, inbox) = node.get(&format!("{ANN}/inbox")).await;
    assert_eq!(inbox["entries"].as_array().unwrap().len(), 1, "nothing was changed");
}

#[tokio::test]
async fn the_customary_header_names_a_message_too() {
    let node = Node::start().await;
    let post = async |key: &str, body: &str| {
        let path = users(&format!("{ANN}/messages"));
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\nidempotency-key: {key}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = crate::node::exchange(node.main, request.as_bytes()).await;
        String::from_utf8(answer).unwrap()
    };
    let body = r#"{"to":"+41791234568","text":"x"}"#;
    assert!(post("k", body).await.starts_with("HTTP/1.1 201"));
    assert!(post("k", body).await.starts_with("HTTP/1.1 200"));
    let both = r#"{"to":"+41791234568","text":"x","client_message_id":"k"}"#;
    assert!(post("k", both).await.starts_with("HTTP/1.1 200"));
    let other = post("other", both).await;
    assert!(other.starts_with("HTTP/1.1 409") && other.contains("conflict"), "{other}");
}
