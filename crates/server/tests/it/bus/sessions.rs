//! Publishing and subscribing over sessions.

use switchboard_proto::v1::{self, server_frame::Frame};
use switchboard_server::Limits;

use super::{
    check_refused, event, hear, publish,
    reader::{Reader, Way},
    subscribe, subscribed, told, unsubscribe,
};
use crate::{
    line::{Line, Over, echo, echoed},
    node::Node,
};

/// Publishes and returns the answer.
async fn published(
    line: &mut Line,
    event: v1::SessionPublishRequest,
) -> v1::SessionPublishResponse {
    line.say(publish(event)).await;
    match hear(line).await {
        Frame::Publish(published) => published,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_published_is_answered_with_its_sequence() {
    let node = Node::start().await;
    for over in Over::ALL {
        let mut line = Line::join(&node, over, "x").await;
        // That a client has come is an event too.
        let mut sequence = published(&mut line, event("a.b", "t", "0")).await.sequence;
        let mut check = async |event: v1::SessionPublishRequest, further, new| {
            let request_id = event.request_id;
            let expected =
                v1::SessionPublishResponse { sequence: sequence + further, new, request_id };
            assert_eq!(published(&mut line, event).await, expected, "{over:?}");
            sequence += further;
        };
        let plain = event("a.b", "t", "1");
        check(plain.clone(), 1, true).await;
        check(plain.clone(), 1, true).await;
        let key = format!("key of {over:?}");
        let named = v1::SessionPublishRequest { key: key.clone(), request_id: 9, ..plain.clone() };
        check(named.clone(), 1, true).await;
        check(named.clone(), 0, false).await;
        check(v1::SessionPublishRequest { request_id: 10, ..named.clone() }, 0, false).await;
        let named_sequence = sequence;
        for other in [
            v1::SessionPublishRequest { topic: "a.c".to_owned(), ..named.clone() },
            v1::SessionPublishRequest { r#type: "u".to_owned(), ..named.clone() },
            v1::SessionPublishRequest { data: b"2".to_vec(), ..named.clone() },
            v1::SessionPublishRequest { content_type: "x/y".to_owned(), ..named.clone() },
        ] {
            check_refused(&mut line, publish(other), ("conflict", 9)).await;
        }
        // Nothing of that was published, and the key is still that of the first.
        assert_eq!(published(&mut line, plain).await.sequence, named_sequence + 1, "{over:?}");
        assert_eq!(published(&mut line, named).await.sequence, named_sequence, "{over:?}");
    }
}

#[tokio::test]
async fn many_at_once_are_answered_in_order() {
    let node = Node::start().await;
    for over in Over::ALL {
        let mut line = Line::join(&node, over, "x").await;
        let first = published(&mut line, event("a", "t", "0")).await.sequence;
        for request_id in 1..=200 {
            let event = event("a", "t", &request_id.to_string());
            line.say(publish(v1::SessionPublishRequest { request_id, ..event })).await;
        }
        for request_id in 1..=200 {
            let sequence = first + request_id;
            let expected = v1::SessionPublishResponse { sequence, new: true, request_id };
            assert_eq!(hear(&mut line).await, Frame::Publish(expected), "{over:?}");
        }
    }
}

#[tokio::test]
async fn an_event_arrives_as_it_was_published() {
    let node = Node::start().await;
    let mut readers = Vec::new();
    for way in Way::ALL {
        readers.push((way, Reader::open(&node, way, &["a.>"], "").await));
    }
    let mut line = Line::join(&node, Over::Tcp, "x").await;
    for (data, content_type) in [
        (b"".as_slice(), ""),
        (b"{\"a\":[1]}", "application/json"),
        (b"\0\xff\n", "application/octet-stream"),
        ("Zoë 🦀".as_bytes(), "text/plain;charset=utf-8"),
        (&vec![b'x'; 1024 * 1024], "x"),
    ] {
        let before = node.world.time();
        let content_type = content_type.to_owned();
        let data = data.to_vec();
        let sent = v1::SessionPublishRequest { data, content_type, ..event("a.b.c", "T-1.x", "") };
        let sequence = published(&mut line, sent.clone()).await.sequence;
        let after = node.world.time();
        for (way, reader) in &mut readers {
            let came = reader.next().await;
            assert!((before..=after).contains(&came.at), "{way:?}");
            let expected = v1::Event {
                sequence,
                topic: sent.topic.clone(),
                r#type: sent.r#type.clone(),
                data: sent.data.clone(),
                content_type: sent.content_type.clone(),
                at: came.at,
                reply_to: String::new(),
                dead_letter: None,
            };
            assert!(came == expected, "{way:?}: {} {}", came.sequence, came.content_type);
        }
    }
}

#[tokio::test]
async fn each_subscription_gets_what_it_wants_once() {
    let node = Node::start().await;
    for over in Over::ALL {
        let mut line = Line::join(&node, over, "x").await;
        subscribed(
            &mut line,
            subscribe(1, &["orders.*", "orders.eu", "orders.>", "orders"], &[], ""),
        )
        .await;
        subscribed(&mut line, subscribe(7, &["orders.>"], &["new", "paid"], "now")).await;
        subscribed(&mut line, subscribe(u32::MAX, &["*.eu.*"], &["new"], "")).await;
        let mut publisher = Line::join(&node, over, "y").await;
        for (number, (topic, kind, expected)) in [
            ("orders.eu", "new", &[1, 7][..]),
            ("orders.eu.zrh", "new", &[1, 7, u32::MAX]),
            ("orders.eu.zrh", "gone", &[1]),
            ("orders", "new", &[1]),
            ("orders.us", "paid", &[1, 7]),
        ]
        .into_iter()
        .enumerate()
        {
            let data = format!("{over:?} {number}");
            published(&mut publisher, event(topic, kind, &data)).await;
            let mut got = Vec::new();
            for _ in expected {
                let (subscription, came) = told(&mut line).await;
                assert_eq!(came.data, data.as_bytes());
                got.push(subscription);
            }
            got.sort_unstable();
            assert_eq!(got, expected, "{over:?} {topic} {kind}");
        }
        line.say(echo("nothing more", 3)).await;
        assert_eq!(Some(hear(&mut line).await), echoed("nothing more", 3));
    }
}

#[tokio::test]
async fn a_subscription_ends_at_once_and_its_number_is_free_again() {
    let node = Node::start().await;
    for over in Over::ALL {
        let mut line = Line::join(&node, over, "x").await;
        let mut publisher = Line::join(&node, over, "y").await;
        subscribed(&mut line, subscribe(1, &["a"], &[], "")).await;
        subscribed(&mut line, subscribe(2, &["a"], &[], "")).await;
        for round in 0..20 {
            let data = round.to_string();
            published(&mut publisher, event("a", "t", &data)).await;
            // What is on its way may still come; behind the answer nothing does.
            line.say(unsubscribe(1)).await;
            let mut came = Vec::new();
            loop {
                match hear(&mut line).await {
                    Frame::Event(it) => came.push(it.subscription),
                    Frame::Unsubscribe(ended) => {
                        assert_eq!((ended.subscription, ended.request_id), (1, 80));
                        break;
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert!(came.iter().filter(|it| **it == 1).count() <= 1, "{over:?} {came:?}");
            if !came.contains(&2) {
                assert_eq!(told(&mut line).await.0, 2, "{over:?}");
            }
            published(&mut publisher, event("a", "t", "unseen")).await;
            assert_eq!(told(&mut line).await.0, 2, "{over:?}");
            subscribed(&mut line, subscribe(1, &["a"], &[], "")).await;
        }
        check_refused(&mut line, unsubscribe(3), ("not_found", 80)).await;
    }
}

#[tokio::test]
async fn what_can_not_be_subscribed_is_refused_and_the_session_goes_on() {
    let limits = Limits { session_subscriptions_max: 2, ..Limits::default() };
    let node = Node::with(limits).await;
    for over in Over::ALL {
        let mut line = Line::open(&node, over).await;
        check_refused(&mut line, subscribe(1, &["a"], &[], ""), ("unauthorized", 71)).await;
        check_refused(&mut line, publish(event("a", "t", "")), ("unauthorized", 1)).await;
        drop(line);
        let mut line = Line::join(&node, over, "x").await;
        let many = vec!["a"; 33];
        let long = "x".repeat(257);
        for (frame, code) in [
            (subscribe(0, &["a"], &[], ""), "invalid_request"),
            (subscribe(1, &[], &[], ""), "invalid_request"),
            (subscribe(1, &["a", "a..b"], &[], ""), "invalid_topic"),
            (subscribe(1, &["a.>.b"], &[], ""), "invalid_topic"),
            (subscribe(1, &["1.2.3.4.5.6.7.8.9"], &[], ""), "invalid_topic"),
            (subscribe(1, &[&long], &[], ""), "invalid_topic"),
            (subscribe(1, &["a"], &["b c"], ""), "invalid_type"),
            (subscribe(1, &["a"], &[""], ""), "invalid_type"),
            (subscribe(1, &many, &[], ""), "too_large"),
            (subscribe(1, &["a"], &many, ""), "too_large"),
            (subscribe(1, &["a"], &[], "then"), "invalid_cursor"),
            (subscribe(1, &["a"], &[], "4711"), "invalid_cursor"),
            (subscribe(1, &["a"], &[], "0-00000000"), "invalid_cursor"),
        ] {
            let request_id = 70
                + if code == "invalid_request" {
                    let v1::client_frame::Frame::Subscribe(it) = &frame else { unreachable!() };
                    u64::from(it.subscription)
                } else {
                    1
                };
            check_refused(&mut line, frame, (code, request_id)).await;
        }
        // A refused number is as free as it was.
        subscribed(&mut line, subscribe(1, &["a"], &[], "")).await;
        check_refused(&mut line, subscribe(1, &["b"], &[], ""), ("conflict", 71)).await;
        subscribed(&mut line, subscribe(2, &["b"], &[], "")).await;
        check_refused(&mut line, subscribe(3, &["c"], &[], ""), ("too_many_requests", 73)).await;
        line.say(unsubscribe(2)).await;
        assert!(matches!(hear(&mut line).await, Frame::Unsubscribe(_)));
        subscribed(&mut line, subscribe(3, &["c"], &[], "")).await;
        node.publish("a", "1").await;
        assert_eq!(told(&mut line).await.0, 1);
    }
}

#[tokio::test]
async fn what_can_not_be_published_is_refused_and_nothing_is() {
    let node = Node::start().await;
    for over in Over::ALL {
        let mut line = Line::join(&node, over, "x").await;
        let good = || event("a", "t", "1");
        let long = "x".repeat(257);
        let topic = |topic: &str| event(topic, "t", "1");
        for (bad, code) in [
            (topic(""), "invalid_topic"),
            (topic("a.*"), "invalid_topic"),
            (topic(">"), "invalid_topic"),
            (topic("1.2.3.4.5.6.7.8.9"), "invalid_topic"),
            (topic(&long), "invalid_topic"),
            (topic("sys"), "invalid_topic"),
            (topic("sys.presence.online"), "invalid_topic"),
            (v1::SessionPublishRequest { ephemeral: true, ..topic("sys.x") }, "invalid_topic"),
            (event("a", "", "1"), "invalid_type"),
            (event("a", "b c", "1"), "invalid_type"),
            (event("a", &long, "1"), "invalid_type"),
            (
                v1::SessionPublishRequest { content_type: "a b".to_owned(), ..good() },
                "invalid_type",
            ),
            (
                v1::SessionPublishRequest {
                    content_type: "application/json".to_owned(),
                    ..event("a", "t", "{")
                },
                "invalid_value",
            ),
            (event("a", "t", &"x".repeat(1024 * 1024 + 1)), "too_large"),
            (v1::SessionPublishRequest { key: "x".repeat(129), ..good() }, "invalid_request"),
            (v1::SessionPublishRequest { key: "a\n".to_owned(), ..good() }, "invalid_request"),
            (v1::SessionPublishRequest { reply_to: "b".to_owned(), ..good() }, "invalid_request"),
            (
                v1::SessionPublishRequest { reply_to: "b.*".to_owned(), ephemeral: true, ..good() },
                "invalid_topic",
            ),
            (
                v1::SessionPublishRequest { key: "k".to_owned(), ephemeral: true, ..good() },
                "invalid_request",
            ),
        ] {
            check_refused(&mut line, publish(bad), (code, 1)).await;
        }
        // An ephemeral one that nobody waits for is refused by name too.
        let bad = v1::SessionPublishRequest { ephemeral: true, request_id: 0, ..topic("a b") };
        check_refused(&mut line, publish(bad), ("invalid_topic", 0)).await;
    }
    let (_, page) = node.get_events("?topics=a").await;
    assert_eq!(page["events"], serde_json::json!([]), "nothing was published");
}
