//! Events for those who are there right now.

use switchboard_proto::v1::{self, PublishRequest, server_frame::Frame};

use super::{
    event, hear, publish,
    reader::{Reader, Way},
    subscribe, subscribed, told,
};
use crate::{
    line::{Line, Over, echo, echoed},
    node::Node,
};

fn ephemeral(data: &str, request_id: u64) -> v1::SessionPublishRequest {
    v1::SessionPublishRequest { ephemeral: true, request_id, ..event("a.b", "t", data) }
}

#[tokio::test]
async fn it_reaches_all_who_are_subscribed_and_nobody_later() {
    let node = Node::start().await;
    let mut readers = Vec::new();
    for (turn, way) in Way::ALL.into_iter().enumerate() {
        readers.push((way, Reader::open(&node, way, &["a.*"], "").await));
        // One way or another of publishing it.
        let data = turn.to_string();
        let mut line = Line::join(&node, Over::ALL[turn % 4], "x").await;
        line.say(publish(ephemeral(&data, 5))).await;
        let expected = v1::SessionPublishResponse { sequence: 0, new: true, request_id: 5 };
        assert_eq!(hear(&mut line).await, Frame::Publish(expected));
        // All who came so far get it, and nothing that was published before they came.
        for (way, reader) in &mut readers {
            let came = reader.next().await;
            assert_eq!((came.sequence, came.data), (0, data.clone().into_bytes()), "{way:?}");
        }
    }
    let (_, page) = node.get_events("?topics=a.%3E").await;
    assert_eq!(page["events"], serde_json::json!([]), "nothing is kept");
}

#[tokio::test]
async fn whoever_names_no_request_gets_no_answer() {
    let node = Node::start().await;
    for over in Over::ALL {
        let mut line = Line::join(&node, over, "x").await;
        // More than may wait for their answers.
        for _ in 0..1_000 {
            line.say(publish(ephemeral("1", 0))).await;
        }
        line.say(echo("the first answer", 3)).await;
        assert_eq!(Some(hear(&mut line).await), echoed("the first answer", 3), "{over:?}");
    }
}

#[tokio::test]
async fn a_question_finds_its_answer() {
    let node = Node::start().await;
    let mut server = Line::join(&node, Over::Tcp, "server").await;
    subscribed(&mut server, subscribe(1, &["questions"], &[], "")).await;
    for over in Over::ALL {
        let mut asker = Line::join(&node, over, "asker").await;
        for round in 0..20 {
            let reply_to = format!("answers.{over:?}-{round}");
            // Whoever was told that he is subscribed is.
            subscribed(&mut asker, subscribe(1, &[&reply_to], &[], "")).await;
            let question = v1::SessionPublishRequest {
                topic: "questions".to_owned(),
                reply_to: reply_to.clone(),
                ..ephemeral("?", 0)
            };
            asker.say(publish(question)).await;
            let (_, question) = told(&mut server).await;
            assert_eq!(question.reply_to, reply_to);
            let answer =
                v1::SessionPublishRequest { topic: question.reply_to, ..ephemeral("!", 0) };
            server.say(publish(answer)).await;
            assert_eq!(told(&mut asker).await.1.data, b"!", "{over:?}");
            asker.say(super::unsubscribe(1)).await;
            assert!(matches!(hear(&mut asker).await, Frame::Unsubscribe(_)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_told_that_he_is_subscribed_misses_nothing() {
    let node = Node::start().await;
    let mut bus = node.bus().await;
    for way in Way::ALL {
        for round in 0..100 {
            let mut reader = Reader::open(&node, way, &["a"], "").await;
            let request = PublishRequest {
                tenant: "a".to_owned(),
                topic: "a".to_owned(),
                r#type: "t".to_owned(),
                data: round.to_string().into_bytes(),
                ephemeral: true,
                ..PublishRequest::default()
            };
            bus.publish(request).await.unwrap();
            assert_eq!(reader.next().await.data, round.to_string().as_bytes(), "{way:?}");
        }
    }
}
