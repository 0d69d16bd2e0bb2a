//! Publishing: no retry publishes twice.

use switchboard_client::{
    Error,
    bus::{CONTENT_TYPE, DeadLetter, Draft, Event, Interest, Page, Published},
};
use switchboard_proto::v1::PublishRequest;
use tokio_stream::StreamExt as _;
use tonic::Status;

use super::node::{Node, refusal};

fn draft() -> Draft {
    Draft::json("a.b", "c", "{}")
}

#[tokio::test]
async fn a_made_up_key_is_the_same_in_every_try_and_another_for_every_event() {
    let node = Node::start().await;
    let client = node.client();
    // The second is published although its answer is lost: only the node can know.
    node.trouble([refusal("unavailable"), Status::unknown("the connection was reset")]);
    let told = client.publish(draft()).await.unwrap();
    assert_eq!(told, Published { sequence: 3, new: true });
    client.publish(draft()).await.unwrap();
    client.publish(draft().with_key("k")).await.unwrap();
    let publishes = node.asked.publishes.lock().unwrap();
    let keys: Vec<&str> = publishes.iter().map(|it| it.key.as_str()).collect();
    let [first, second, third, fourth, fifth] = keys[..] else { panic!("{keys:?}") };
    assert!(first == second && second == third && third != fourth, "{keys:?}");
    assert!(first.len() == 32 && first.bytes().all(|it| it.is_ascii_hexdigit()), "{first}");
    assert_eq!(fifth, "k");
    let expected = PublishRequest {
        tenant: "t".to_owned(),
        topic: "a.b".to_owned(),
        r#type: "c".to_owned(),
        data: b"{}".to_vec(),
        content_type: "application/json".to_owned(),
        key: "k".to_owned(),
        ..PublishRequest::default()
    };
    assert_eq!(publishes[4], expected);
}

#[tokio::test]
async fn an_ephemeral_event_reaches_nobody_twice() {
    let node = Node::start().await;
    node.trouble([refusal("unavailable")]);
    let lost = node.client().publish(draft().ephemeral()).await.unwrap_err();
    assert_eq!(lost.code(), "unavailable");
    assert_eq!(node.asked.publishes.lock().unwrap().len(), 1, "it may have reached somebody");

    node.trouble([refusal("too_many_requests")]);
    let told = node.client().publish(draft().ephemeral()).await.unwrap();
    assert_eq!(told.sequence, 0);
    let publishes = node.asked.publishes.lock().unwrap();
    assert_eq!(publishes.len(), 3, "what the node took nothing of is tried again");
    assert!(publishes.iter().all(|it| it.ephemeral && it.key.is_empty()));
}

#[tokio::test]
async fn what_is_refused_is_asked_once() {
    let node = Node::start().await;
    for code in ["invalid_topic", "conflict"] {
        node.trouble([refusal(code)]);
        assert_eq!(node.client().publish(draft()).await.unwrap_err().code(), code);
    }
    assert_eq!(node.asked.publishes.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_stream_is_answered_in_order_up_to_the_first_that_is_refused() {
    let node = Node::start().await;
    let stream = || async {
        let drafts = tokio_stream::iter((0..100).map(|_| draft()));
        let mut answers = node.client().publish_stream(drafts).await?;
        let mut published = Vec::new();
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(answer) => published.push(answer.sequence),
                Err(error) => return Ok::<_, Error>((published, Some(error))),
            }
        }
        Ok((published, None))
    };
    assert_eq!(stream().await, Ok(((1..=100).collect(), None)));
    assert!(node.asked.publishes.lock().unwrap().iter().all(|it| it.key.is_empty()));
    node.trouble([refusal("unavailable")]);
    assert_eq!(stream().await.unwrap_err().code(), "unavailable");

    // Sent ahead of the first answer; the second is refused.
    let node = Node::start().await;
    let (drafts, waiting) = tokio::sync::mpsc::channel(4);
    let drafted = tokio_stream::wrappers::ReceiverStream::new(waiting);
    drafts.send(draft()).await.unwrap();
    let mut answers = node.client().publish_stream(drafted).await.unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap().sequence, 1);
    node.trouble([refusal("invalid_topic")]);
    drafts.send(draft()).await.unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap_err().code(), "invalid_topic");
    assert!(answers.next().await.is_none());
}

#[tokio::test]
async fn a_stream_that_a_node_ends_before_all_is_answered_is_told() {
    let node = Node::start().await;
    for (events, answered) in [(3, 2), (9, 2), (1, 0)] {
        node.asked.ends_after(answered);
        let drafts = tokio_stream::iter((0..events).map(|_| draft()));
        let mut answers = node.client().publish_stream(drafts).await.unwrap();
        for _ in 0..answered {
            assert!(answers.next().await.unwrap().is_ok());
        }
        assert_eq!(answers.next().await.unwrap().unwrap_err().code(), "unavailable", "{events}");
        assert!(answers.next().await.is_none());
    }
}

#[tokio::test]
async fn a_page_says_where_it_goes_on() {
    let node = Node::start().await;
    node.trouble([refusal("unavailable")]);
    let interest = Interest::new(["a.*", "b.>"]).with_types(["c"]);
    let page = node.client().read_events(&interest, "@5", 7).await.unwrap();
    let expected = |sequence| Event {
        sequence,
        topic: "a.b".to_owned(),
        kind: "c".to_owned(),
        data: format!("data of {sequence}").into_bytes(),
        content_type: CONTENT_TYPE.to_owned(),
        at: 5,
        reply_to: None,
        dead_letter: None,
    };
    let events = vec![expected(1), expected(4)];
    assert_eq!(page, Page { events, next_cursor: "behind 9".to_owned() });
    let reads = node.asked.reads.lock().unwrap();
    let read = &reads[1];
    assert_eq!((read.tenant.as_str(), read.after.as_str(), read.limit), ("t", "@5", 7));
    assert_eq!((&read.topics, &read.types), (&interest.topics, &interest.types));
}

#[test]
fn what_stands_in_an_event_is_told() {
    use switchboard_proto::v1;
    let letter = v1::DeadLetter {
        queue: "q".to_owned(),
        reason: "no".to_owned(),
        attempts: 3,
        topic: "a".to_owned(),
        sequence: 2,
    };
    let event = Event::from(v1::Event {
        content_type: "text/plain".to_owned(),
        reply_to: "reply.x".to_owned(),
        dead_letter: Some(letter),
        ..v1::Event::default()
    });
    assert_eq!(
        (event.content_type.as_str(), event.reply_to.as_deref()),
        ("text/plain", Some("reply.x"))
    );
    let DeadLetter { queue, reason, attempts, topic, sequence } = event.dead_letter.unwrap();
    assert_eq!((queue.as_str(), reason.as_str(), attempts), ("q", "no", 3));
    assert_eq!((topic.as_str(), sequence), ("a", 2));
}
