//! The bus over the real program: restarts, presence, retention, and the command line.

mod command_line;
mod crash;

use std::time::Duration;

use serde_json::{Value, json};
use switchboard_client::{
    Client,
    bus::{Draft, Event, Interest},
};
use tokio::time::timeout;
use tokio_stream::StreamExt as _;

use crate::node::{DEADLINE, Node, until};

fn client(node: &Node) -> Client {
    Client::new(&node.url()).unwrap()
}

/// All events that a filter matches, page by page.
async fn read(client: &Client, filter: &str) -> Vec<Event> {
    let (interest, mut after, mut all) = (Interest::new([filter]), String::new(), Vec::new());
    loop {
        let page = client.read_events(&interest, &after, 1_000).await.unwrap();
        if page.events.is_empty() {
            return all;
        }
        all.extend(page.events);
        after = page.next_cursor;
    }
}

/// What happened to clients: who, by which session, and whether he came.
async fn presence(client: &Client) -> Vec<(String, u64, bool)> {
    let told = |event: Event| {
        let data: Value = serde_json::from_slice(&event.data).unwrap();
        let text = |name: &str| data[name].as_str().unwrap().to_owned();
        let session = text("session").parse().unwrap();
        (text("client"), session, event.topic == "sys.presence.online")
    };
    read(client, "sys.presence.*").await.into_iter().map(told).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_sees_all_once_over_restarts() {
    let mut node = Node::start();
    let mut events = client(&node).subscribe(Interest::new(["a.>"]), "start").await.unwrap();
    for round in 0..3_u64 {
        for number in 0..10 {
            let data = format!("{round}.{number}");
            client(&node).publish(Draft::new("a.b", "t", data.clone())).await.unwrap();
            let came = timeout(DEADLINE, events.next()).await.unwrap().unwrap().unwrap();
            assert_eq!(came.data, data.as_bytes());
        }
        // Once it goes down in good order.
        if round == 1 {
            assert_eq!(node.stop(), 0);
        } else {
            node.kill();
        }
        node.start_again_in_place();
    }
    drop(events);
    assert_eq!(read(&client(&node), "a.b").await.len(), 30);
}

#[tokio::test]
async fn who_comes_and_goes_is_told_also_after_a_crash() {
    let mut node = Node::start();
    let connect = |node: &Node, name: &str| {
        Client::new(&format!("tcp://{}", node.tcp)).unwrap().connect(name).start().unwrap()
    };
    let alice = connect(&node, "alice");
    let second = connect(&node, "alice");
    let there = async |node: &Node, expected: usize| {
        let client = client(node);
        let waiting = async {
            loop {
                let told = presence(&client).await;
                if told.len() == expected {
                    break told;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(DEADLINE, waiting).await.expect("as many events of presence")
    };
    let told = there(&node, 1).await;
    assert_eq!((&*told[0].0, told[0].2), ("alice", true));
    // One of two sessions ends: nothing happened to the client.
    drop(second);
    let bob = connect(&node, "bob");
    assert_eq!(there(&node, 2).await[1].0, "bob");
    drop(alice);
    let told = there(&node, 3).await;
    assert_eq!((&*told[2].0, told[2].2), ("alice", false));
    node.kill();
    drop(bob);
    node.start_again();
    // Whoever was there when the node went is told to have left.
    let told = there(&node, 4).await;
    assert_eq!((&*told[3].0, told[3].2), ("bob", false));
    let back = connect(&node, "bob");
    let told = there(&node, 5).await;
    assert_eq!((&*told[4].0, told[4].2), ("bob", true));
    // The newer stay has the greater number: what is late of the older is known by it.
    assert!(told[3].1 < told[4].1, "{told:?}");
    assert_eq!(told[1].1, told[3].1, "an end names the session that it is of");
    drop(back);
}

#[test]
fn what_has_expired_is_gone_and_never_a_silent_gap() {
    let node = Node::with(&["--log-segment-mib", "1", "--retention", "metrics.>=1s"]);
    let publish = |topic: &str| {
        let body = json!({ "type": "t", "data": 1 }).to_string();
        let path = format!("/v1/tenants/default/topics/{topic}/events");
        let (status, answer) = node.post(&path, &body);
        assert_eq!(status, 201, "{answer}");
    };
    let get = |query: &str| {
        let (status, body) = node.get(&format!("/v1/tenants/default/events?{query}"));
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    publish("orders");
    publish("metrics.cpu");
    publish("metrics.cpu");
    publish("orders");
    assert_eq!(get("topics=metrics.%3E").1["events"].as_array().unwrap().len(), 2);
    until("it expires", || {
        let (_, page) = get("topics=metrics.%3E");
        page["events"].as_array().is_some_and(Vec::is_empty)
    });
    let (status, problem) = get("topics=metrics.%3E&after=2");
    assert_eq!((status, &problem["code"]), (410, &json!("cursor_expired")));
    // Whoever shares no topic with what is gone is not troubled.
    let (status, page) = get("topics=orders&after=1");
    assert_eq!((status, &page["events"][0]["sequence"]), (200, &json!(4)));
    let (status, page) = get("topics=orders");
    assert_eq!((status, page["events"].as_array().unwrap().len()), (200, 2));
}
