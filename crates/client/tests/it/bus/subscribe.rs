//! Subscriptions: nothing is lost or doubled, whatever breaks.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use switchboard_client::bus::{Interest, Subscription};
use tokio::time;
use tokio_stream::StreamExt as _;
use tonic::Status;

use super::node::{Node, client, refusal};
use crate::gateway::DEADLINE;

fn all() -> Interest {
    Interest::new(["a.>"])
}

/// The sequences of the next events.
async fn sequences(subscription: &mut Subscription, count: usize) -> Vec<u64> {
    let mut sequences = Vec::new();
    while sequences.len() < count {
        let event = time::timeout(DEADLINE, subscription.next()).await.expect("no event comes");
        sequences.push(event.expect("it goes on").unwrap().sequence);
    }
    sequences
}

#[tokio::test]
async fn it_has_begun_when_it_is_there() {
    let mut node = Node::start().await;
    let client = node.client();
    let interest = all().with_types(["c", "d"]);
    let (subscription, reader) = tokio::join!(client.subscribe(interest, "@5"), async {
        let reader = node.reader().await;
        reader.begin("7-tag").await;
        reader
    });
    let mut subscription = subscription.unwrap();
    assert_eq!(subscription.cursor(), "7-tag");
    let request = &reader.request;
    assert_eq!((request.tenant.as_str(), request.after.as_str()), ("t", "@5"));
    assert_eq!(
        (&request.topics[..], &request.types[..]),
        (&["a.>".into()][..], &["c".into(), "d".into()][..])
    );
    reader.events([8, 0, 9]).await;
    assert_eq!(sequences(&mut subscription, 3).await, [8, 0, 9], "0 is ephemeral");
    assert_eq!(subscription.cursor(), "7-tag/9");
    drop(subscription);
    reader.left().await;
}

#[tokio::test]
async fn it_goes_on_behind_what_it_gave_whatever_breaks() {
    let mut node = Node::start().await;
    let client = node.client();
    let (subscription, reader) =
        tokio::join!(client.subscribe(all(), "start"), node.begun_at("0-tag"));
    let breaks = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&breaks);
    let mut subscription = subscription.unwrap().with_breaks(move |it| {
        assert!(it.retry_in <= Duration::from_millis(50), "short, since it was good");
        told.lock().unwrap().push(it.error.code().to_owned());
    });
    let mut reader = reader;
    for (round, status) in [
        Some(refusal("slow_consumer")),
        Some(refusal("unavailable")),
        Some(refusal("too_many_requests")),
        Some(Status::unknown("the connection was reset")),
        Some(Status::cancelled("the connection was closed")),
        None,
    ]
    .into_iter()
    .enumerate()
    {
        let first = round as u64 * 4 + 1;
        // One that it has, in every round but the first, and an ephemeral one.
        reader.events([first.max(2) - 1, first, first + 1, 0, first + 2]).await;
        let expected = [first, first + 1, 0, first + 2];
        assert_eq!(sequences(&mut subscription, 4).await, expected, "round {round}");
        match status {
            Some(status) => reader.fail(status).await,
            None => drop(reader),
        }
        let next = async {
            let reader = node.begun_at(&format!("{}-tag", round + 1)).await;
            assert_eq!(reader.request.after, format!("{round}-tag/{}", first + 2));
            reader.events([first + 2, first + 3]).await;
            reader
        };
        let (came, next) = tokio::join!(sequences(&mut subscription, 1), next);
        assert_eq!(came, [first + 3], "round {round}");
        reader = next;
    }
    let expected = ["slow_consumer", "unavailable", "too_many_requests"];
    assert_eq!(breaks.lock().unwrap()[..3], expected);
    assert!(breaks.lock().unwrap()[3..].iter().all(|code| code == "unavailable"));
}

#[tokio::test]
async fn before_the_first_event_it_goes_on_where_it_began() {
    let mut node = Node::start().await;
    let client = node.client();
    let (subscription, reader) =
        tokio::join!(client.subscribe(all(), "now"), node.begun_at("7-tag"));
    let mut subscription = subscription.unwrap();
    drop(reader);
    let (came, reader) = tokio::join!(sequences(&mut subscription, 1), async {
        let reader = node.begun().await;
        reader.events([8]).await;
        reader
    });
    assert_eq!((came, reader.request.after.as_str()), (vec![8], "7-tag"));
}

#[tokio::test]
async fn a_node_that_was_killed_is_waited_for() {
    let mut node = Node::start().await;
    let (address, client) = (node.address, node.client());
    let (subscription, reader) = tokio::join!(client.subscribe(all(), "now"), node.begun());
    let mut subscription = subscription.unwrap();
    reader.events([1]).await;
    assert_eq!(sequences(&mut subscription, 1).await, [1]);
    drop((reader, node));
    // Polled while nobody is there.
    let early = time::timeout(Duration::from_millis(100), subscription.next()).await;
    assert!(early.is_err(), "{early:?}");
    let mut node = Node::at(address).await;
    let (came, reader) = tokio::join!(sequences(&mut subscription, 1), async {
        let reader = node.begun().await;
        reader.events([2]).await;
        reader
    });
    assert_eq!((came, reader.request.after.as_str()), (vec![2], "now/1"));
}

#[tokio::test]
async fn what_coming_back_does_not_mend_is_given_out_and_ends_it() {
    for code in ["cursor_expired", "forbidden", "invalid_topic"] {
        let mut node = Node::start().await;
        let client = node.client();
        let (subscription, reader) = tokio::join!(client.subscribe(all(), "now"), node.begun());
        let mut subscription = subscription.unwrap();
        reader.events([1]).await;
        assert_eq!(sequences(&mut subscription, 1).await, [1]);
        drop(reader);
        node.trouble([refusal("unavailable"), refusal(code)]);
        let ended = time::timeout(DEADLINE, subscription.next()).await.unwrap().unwrap();
        assert_eq!(ended.unwrap_err().code(), code);
        assert!(subscription.next().await.is_none(), "it is over");
        assert_eq!(subscription.cursor(), "now/1");
    }
}

#[tokio::test]
async fn the_first_try_is_tried_again_until_the_timeout_and_a_refusal_is_told() {
    let mut node = Node::start().await;
    let client = node.client();
    node.trouble([refusal("unavailable"), refusal("unavailable")]);
    let (subscription, _reader) = tokio::join!(client.subscribe(all(), "now"), node.begun());
    assert!(subscription.is_ok());
    node.trouble([refusal("cursor_expired")]);
    let refused = client.subscribe(all(), "1").await.unwrap_err();
    assert_eq!(refused.code(), "cursor_expired");
    // As the first item of the stream instead of the answer.
    let (refused, ()) = tokio::join!(client.subscribe(all(), "x"), async {
        node.reader().await.fail(refusal("invalid_cursor")).await;
    });
    assert_eq!(refused.unwrap_err().code(), "invalid_cursor");
    // One that never begins.
    let hasty = client.with_timeout(Duration::from_millis(200));
    let (silent, _reader) = tokio::join!(hasty.subscribe(all(), "now"), node.reader());
    assert_eq!(silent.unwrap_err().code(), "unavailable");
}

#[tokio::test]
async fn a_node_that_takes_it_up_and_says_nothing_is_left_after_the_timeout() {
    let mut node = Node::start().await;
    let client = client(node.address).with_timeout(Duration::from_millis(200));
    let (subscription, reader) = tokio::join!(client.subscribe(all(), "now"), node.begun());
    let mut subscription = subscription.unwrap();
    drop(reader);
    let (came, ()) = tokio::join!(sequences(&mut subscription, 1), async {
        let silent = node.reader().await;
        node.begun().await.events([1]).await;
        silent.left().await;
    });
    assert_eq!(came, [1]);
}

#[tokio::test]
async fn one_that_is_not_read_holds_up_no_other_call() {
    let mut node = Node::start().await;
    let client = node.client();
    let mut held = Vec::new();
    // Together more than one connection takes that is not read.
    for _ in 0..4 {
        let (subscription, reader) = tokio::join!(client.subscribe(all(), "now"), node.begun());
        reader.flood().await;
        held.push((subscription.unwrap(), reader));
    }
    assert_eq!(client.queues().await.unwrap().len(), 2);
    let (mut last, _reader) = held.pop().unwrap();
    assert_eq!(sequences(&mut last, 10).await, (1..=10).collect::<Vec<_>>());
}
