//! Those who read too slowly.

use std::time::Duration;

use switchboard_proto::v1::{self, server_frame::Frame};
use switchboard_server::Limits;

use super::{
    event, hear,
    places::{number, numbered},
    publish,
    reader::{Reader, Way},
};
use crate::{
    line::{Line, Over},
    node::Node,
};

const DATA: usize = 128 * 1024;

fn limits() -> Limits {
    Limits {
        events_waiting_bytes_max: 1024 * 1024,
        events_held_bytes_max: 4 * 1024 * 1024,
        write_stall: Duration::from_mins(5),
        ..Limits::default()
    }
}

/// How many were told that they are too slow, or will be.
async fn spilt(node: &Node) -> u64 {
    let (_, metrics) = node.admin("/metrics").await;
    let line = metrics.lines().find(|line| line.starts_with("switchboard_slow_consumers_total"));
    line.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// Publishes until somebody is too slow, and a little more. Returns the last number.
async fn flood(node: &Node, publisher: &mut Line, quick: &mut Reader) -> u64 {
    let (mut last, mut more) = (0, 10);
    while 0 < more {
        last += 1;
        publisher.say(publish(event("a", "t", &numbered(last, DATA)))).await;
        assert!(matches!(hear(publisher).await, Frame::Publish(_)));
        // Whoever reads is not held up.
        assert_eq!(number(&quick.next().await), last);
        more -= u32::from(spilt(node).await != 0);
        assert!(last < 4_000, "nobody is too slow");
    }
    last
}

#[tokio::test]
async fn who_does_not_read_is_told_and_reads_on_from_his_last_event() {
    for way in Way::ALL {
        let node = Node::with(limits()).await;
        let mut slow = Reader::open(&node, way, &["a"], "").await;
        let mut quick = Reader::open(&node, Way::Grpc, &["a"], "").await;
        let mut publisher = Line::join(&node, Over::Tcp, "publisher").await;
        let last = flood(&node, &mut publisher, &mut quick).await;
        let (mut read, mut cursor) = (0, 0);
        let end = loop {
            match slow.try_next().await {
                Ok(Some(event)) => {
                    read += 1;
                    assert_eq!(number(&event), read, "{way:?}");
                    cursor = event.sequence;
                }
                end => break end,
            }
        };
        assert_eq!(end, Err("slow_consumer".to_owned()), "{way:?}");
        assert!(read < last, "{way:?}");
        // Nothing more comes: the end is the end.
        assert!(matches!(slow.try_next().await, Ok(None)), "{way:?}");
        let mut again = Reader::open(&node, way, &["a"], &cursor.to_string()).await;
        for expected in read + 1..=last {
            assert_eq!(number(&again.next().await), expected, "{way:?}");
        }
        let sequence = node.publish("a", "live").await;
        assert_eq!(again.next().await.sequence, sequence, "{way:?}");
        assert_eq!(spilt(&node).await, 1, "{way:?}");
    }
}

#[tokio::test]
async fn a_flood_of_what_is_not_kept_is_told_likewise() {
    let node = Node::with(limits()).await;
    for over in Over::ALL {
        let mut line = Line::join(&node, over, "x").await;
        super::subscribed(&mut line, super::subscribe(1, &["a"], &[], "")).await;
        let data = "x".repeat(DATA);
        let ephemeral =
            v1::SessionPublishRequest { ephemeral: true, request_id: 0, ..event("a", "t", &data) };
        let mut publisher = Line::join(&node, Over::Tcp, "y").await;
        let before = spilt(&node).await;
        while spilt(&node).await == before {
            for _ in 0..8 {
                publisher.say(publish(ephemeral.clone())).await;
            }
        }
        let code = loop {
            match hear(&mut line).await {
                Frame::Event(_) => {}
                Frame::Error(error) => break error.code,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(code, "slow_consumer", "{over:?}");
        assert_eq!(super::try_hear(&mut line).await, None, "{over:?}");
    }
}
