//! Questions and answers.

use std::time::Duration;

use switchboard_client::bus::{Draft, Interest, Reply};
use switchboard_proto::v1::{Event, PublishRequest, subscribe_response};
use tokio::time::{self, Instant};

use super::node::{Node, client, event, refusal};
use crate::gateway::DEADLINE;

fn question() -> Draft {
    Draft::new("prices.get", "ask", "CHF").with_key("k")
}

/// The publishes, once there are so many.
async fn published(node: &Node, count: usize) -> Vec<PublishRequest> {
    let all = async {
        loop {
            let publishes = node.asked.publishes.lock().unwrap().clone();
            if count <= publishes.len() {
                return publishes;
            }
            time::sleep(Duration::from_millis(1)).await;
        }
    };
    time::timeout(DEADLINE, all).await.expect("nothing is published")
}

#[tokio::test]
async fn the_first_answer_counts() {
    let mut node = Node::start().await;
    let client = node.client();
    let play = async {
        let reader = node.begun().await;
        let [topic] = &reader.request.topics[..] else { panic!("{:?}", reader.request) };
        let topic = topic.clone();
        assert_eq!((topic.len(), reader.request.after.as_str()), (38, "now"));
        let asked = published(&node, 1).await.remove(0);
        assert_eq!((asked.topic.as_str(), asked.reply_to), ("prices.get", topic));
        assert!(asked.ephemeral && asked.key.is_empty(), "asked at most once");
        for data in ["first", "second"] {
            let answer = Event { data: data.into(), ..event(0) };
            reader.say(subscribe_response::What::Event(answer)).await;
        }
        reader.left().await;
    };
    let (answer, ()) = tokio::join!(client.request(question(), DEADLINE), play);
    assert_eq!(answer.unwrap().data, b"first");
}

#[tokio::test]
async fn nobody_answers_in_time() {
    let mut node = Node::start().await;
    let client = node.client();
    let (limit, began) = (Duration::from_millis(200), Instant::now());
    let (answer, reader) = tokio::join!(client.request(question(), limit), node.begun());
    let error = answer.unwrap_err();
    assert_eq!(error.code(), "deadline_exceeded");
    assert!(error.to_string().contains("200ms"), "{error}");
    assert!((limit..DEADLINE).contains(&began.elapsed()));
    reader.left().await;
    assert_eq!(node.asked.publishes.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_question_that_is_refused_or_reaches_no_node_is_told() {
    let mut node = Node::start().await;
    let client_of_node = node.client();
    let (answer, ()) = tokio::join!(client_of_node.request(question(), DEADLINE), async {
        let reader = node.reader().await;
        node.trouble([refusal("invalid_topic")]);
        reader.begin("now").await;
        reader.left().await;
    });
    assert_eq!(answer.unwrap_err().code(), "invalid_topic");
    let address = node.address;
    drop(node);
    let unreachable = client(address).request(question(), Duration::from_millis(200)).await;
    assert_eq!(unreachable.unwrap_err().code(), "unavailable");
}

#[tokio::test]
async fn whoever_asks_is_answered() {
    let mut node = Node::start().await;
    let client = node.client();
    let handler = |event: switchboard_client::bus::Event| async move {
        // All wait for each other: they are answered at once.
        let answer = [b"answer to ", &event.data[..]].concat();
        (event.data != b"data of 3").then(|| Reply::new("answered", answer))
    };
    let interest = Interest::new(["prices.*"]);
    let (responding, reader) = tokio::join!(client.respond(interest, handler), node.begun());
    let responding = responding.unwrap();
    assert_eq!(reader.request.after, "now");
    let play = async {
        let asked = |number: u64, reply_to: &str| {
            let asked = event(number);
            let event = Event { sequence: 0, reply_to: reply_to.to_owned(), ..asked };
            subscribe_response::What::Event(event)
        };
        // Nobody waits for an answer to the second, the third gets none, and the answer to the
        // fourth can't be delivered.
        reader.say(asked(1, "reply.a")).await;
        published(&node, 1).await;
        reader.say(asked(2, "")).await;
        reader.say(asked(3, "reply.b")).await;
        node.trouble([refusal("invalid_topic")]);
        reader.say(asked(4, "sys.x")).await;
        published(&node, 2).await;
        reader.say(asked(5, "reply.c")).await;
        let answers = published(&node, 3).await;
        let told: Vec<_> = answers.iter().map(|it| (it.topic.as_str(), &it.data[..])).collect();
        assert_eq!(
            told,
            [
                ("reply.a", &b"answer to data of 1"[..]),
                ("sys.x", b"answer to data of 4"),
                ("reply.c", b"answer to data of 5"),
            ]
        );
        assert!(answers.iter().all(|it| it.ephemeral && it.r#type == "answered"));
        // An answer that can't be published at all is the handler's mistake.
        node.trouble([refusal("invalid_type")]);
        reader.say(asked(6, "reply.d")).await;
        reader.left().await;
    };
    let (ended, ()) = tokio::join!(responding, play);
    assert_eq!(ended.unwrap_err().code(), "invalid_type");
}

#[tokio::test]
async fn one_that_takes_long_does_not_hold_up_the_others() {
    let mut node = Node::start().await;
    let client = node.client();
    let handler = |event: switchboard_client::bus::Event| async move {
        if event.sequence == 1 {
            std::future::pending::<()>().await;
        }
        Some(Reply::json("answered", "1"))
    };
    let interest = Interest::new([">"]);
    let (responding, reader) = tokio::join!(client.respond(interest, handler), node.begun());
    let play = async {
        for sequence in [1, 2] {
            let asked = Event { reply_to: "reply.a".to_owned(), ..event(sequence) };
            reader.say(subscribe_response::What::Event(asked)).await;
        }
        let answers = published(&node, 1).await;
        assert_eq!(answers[0].content_type, "application/json");
    };
    tokio::select! {
        ended = responding.unwrap() => panic!("{ended:?}"),
        () = play => {}
    }
}
