//! From any place on, without a seam.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use switchboard_core::{
    Millis, Tenant,
    bus::{Body, Content, Draft, Log as _, Retention, TopicFilter},
};
use switchboard_proto::v1::{
    self, PublishRequest, ReadEventsRequest, bus_service_client::BusServiceClient,
    server_frame::Frame,
};
use switchboard_server::Limits;
use tokio::{sync::mpsc, task::JoinSet};
use tonic::{Code, transport::Channel};

use super::{
    event, hear, publish,
    reader::{Reader, Way, reason},
    subscribe, subscribed, texts, told,
};
use crate::{
    line::{Line, Over, echo, echoed},
    node::{Node, World, until},
};

/// The topic of an event by its number: every fourth is not wanted.
fn topic(number: u64) -> String {
    if is_wanted(number) { format!("a.{}", number % 3) } else { "other".to_owned() }
}

fn is_wanted(number: u64) -> bool {
    !number.is_multiple_of(4)
}

impl World {
    /// Has events from long ago, each with its number and so long, without their being
    /// published by anybody. Their sequences are their numbers, if nothing was there before.
    pub(super) async fn fill(&self, count: u64, len: usize, topic: impl Fn(u64) -> String) {
        let tenant: Tenant = "a".parse().unwrap();
        for number in 1..=count {
            let data = numbered(number, len);
            let content = Content {
                topic: &topic(number),
                kind: "t",
                content_type: "",
                data: data.as_bytes(),
                key: None,
                reply_to: "",
            };
            let body = Body::new(&content).unwrap();
            let at = Millis(1_790_000_000_000);
            self.log.publish(vec![Draft { tenant, body, at }]).await.unwrap();
        }
    }

    /// Lets go of all events of the tenant whose topics match.
    pub(super) async fn expire_all(&self, filter: &str) {
        let filter = TopicFilter::new(filter).unwrap();
        let rule = Retention { filter, age_ms: Some(0), bytes: None };
        self.turn(Duration::from_secs(1));
        let now = Millis(1_790_000_000_000 + self.time());
        assert!(0 < self.log.expire(Arc::new([rule]), now).await.unwrap());
    }
}

/// Data that is a number and so long.
pub(super) fn numbered(number: u64, len: usize) -> String {
    format!("{number} {}", " ".repeat(len))
}

/// The number of an event.
pub(super) fn number(event: &v1::Event) -> u64 {
    str::from_utf8(&event.data).unwrap().trim().parse().unwrap()
}

/// Publishes events, one after the other, up to the number that it is told, and notes their
/// sequences: there are others of other topics between them.
async fn keep_publishing(
    mut bus: BusServiceClient<Channel>,
    mut asked: mpsc::Receiver<u64>,
    sequences: Arc<Mutex<Vec<u64>>>,
) {
    let mut number = sequences.lock().unwrap().len() as u64;
    while let Some(last) = asked.recv().await {
        while number < last {
            let request = PublishRequest {
                tenant: "a".to_owned(),
                topic: topic(number),
                r#type: "t".to_owned(),
                data: number.to_string().into_bytes(),
                ..PublishRequest::default()
            };
            let published = bus.publish(request).await.unwrap().into_inner();
            sequences.lock().unwrap().push(published.sequence);
            number += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_no_seam_wherever_it_begins() {
    const OLD: u64 = 1_200;
    const ROUND: u64 = 61;
    for way in Way::ALL {
        let node = Node::start().await;
        node.world.fill(OLD, 1, topic).await;
        // By number.
        let sequences = Arc::new(Mutex::new((0..=OLD).collect::<Vec<_>>()));
        let sequence = |number: u64| sequences.lock().unwrap()[usize::try_from(number).unwrap()];
        let mut publishing = JoinSet::new();
        let (ask, asked) = mpsc::channel(1);
        publishing.spawn(keep_publishing(node.bus().await, asked, Arc::clone(&sequences)));
        let (mut last, mut cursor) = (OLD, "now".to_owned());
        for round in 0..25_u64 {
            let before = last;
            last += ROUND;
            ask.send(last + 1).await.unwrap();
            until("some are published", async || {
                before + 10 < sequences.lock().unwrap().len() as u64
            })
            .await;
            // Somewhere among those that were there, or are being published.
            let place = before + 5 - round * 40;
            let time = node.at(sequence(place)).await;
            let after = match round % 5 {
                0 => "start".to_owned(),
                1 => sequence(place).to_string(),
                2 => cursor.clone(),
                3 => "now".to_owned(),
                _ => format!("@{time}"),
            };
            let (mut reader, began) = Reader::try_open(&node, way, &["a.*"], &after).await.unwrap();
            let mut read = Vec::new();
            let end = if is_wanted(last) { last } else { last - 1 };
            while read.last().is_none_or(|number| *number < end) {
                let event = reader.next().await;
                assert_eq!(event.sequence, sequence_of(&sequences, number(&event)).await);
                read.push(number(&event));
            }
            let from = match round % 5 {
                0 => 0,
                1 => sequence(place),
                2 => place_of(&cursor),
                3 => {
                    assert!(sequence(before + 5) <= place_of(&began), "{way:?}");
                    place_of(&began)
                }
                // The clock tells each time once, but to those from long ago.
                _ if OLD < place => sequence(place) - 1,
                _ => 0,
            };
            let expected = (1..=end).filter(|it| is_wanted(*it) && from < sequence(*it));
            assert!(read.iter().copied().eq(expected), "{way:?} {after}: {read:?}");
            cursor = began;
        }
        drop(ask);
        publishing.join_all().await;
    }
}

/// The sequence behind which a cursor is.
fn place_of(cursor: &str) -> u64 {
    cursor.split(['.', '-']).next().unwrap().parse().unwrap()
}

/// The sequence of a number, which whoever published it may hear of a little later.
async fn sequence_of(sequences: &Mutex<Vec<u64>>, number: u64) -> u64 {
    let number = usize::try_from(number).unwrap();
    until("the sequence is known", async || number < sequences.lock().unwrap().len()).await;
    sequences.lock().unwrap()[number]
}

impl Node {
    /// When the event of a sequence was published.
    async fn at(&self, sequence: u64) -> i64 {
        let query = format!("?topics=%3E&after={}&limit=1", sequence - 1);
        let (_, page) = self.get_events(&query).await;
        assert_eq!(page["events"][0]["sequence"], sequence);
        page["events"][0]["at"].as_i64().unwrap()
    }
}

#[tokio::test]
async fn what_was_read_is_read_on_from_on_any_transport() {
    let node = Node::start().await;
    node.world.fill(30, 1, |_| "a".to_owned()).await;
    let (mut last, mut cursor) = (0, "start".to_owned());
    for way in [Way::ALL, Way::ALL].concat() {
        let (mut reader, began) = Reader::try_open(&node, way, &["a"], &cursor).await.unwrap();
        for _ in 0..2 {
            last += 1;
            assert_eq!(reader.next().await.sequence, last, "{way:?}");
        }
        // A page that begins there, too, leads on.
        let (_, page) = node.get_events(&format!("?topics=a&after={began}&limit=2")).await;
        assert_eq!(page["events"][1]["sequence"], last);
        cursor = page["next_cursor"].as_str().unwrap().to_owned();
    }
}

#[tokio::test]
async fn who_reads_the_past_gets_the_present_of_others_meanwhile() {
    let limits = Limits { events_waiting_bytes_max: 1024 * 1024, ..Limits::default() };
    for over in Over::ALL {
        let node = Node::with(limits).await;
        let old = 5_000;
        node.world.fill(old, 4_000, |_| "old".to_owned()).await;
        let mut reader = Line::join(&node, over, "x").await;
        let mut publisher = Line::join(&node, Over::Tcp, "y").await;
        subscribed(&mut reader, subscribe(1, &["live"], &[], "")).await;
        subscribed(&mut reader, subscribe(2, &["old"], &[], "start")).await;
        let (mut read, mut live, mut count) = (0, 0, 0);
        while read < old {
            if read % 500 == 0 {
                // More than waits for one session, if it were read behind all of the past.
                for _ in 0..60 {
                    count += 1;
                    let data = numbered(count, 4_000);
                    publisher.say(publish(event("live", "t", &data))).await;
                    assert!(matches!(hear(&mut publisher).await, Frame::Publish(_)));
                }
            }
            let (subscription, event) = told(&mut reader).await;
            let last = if subscription == 2 { &mut read } else { &mut live };
            *last += 1;
            assert_eq!(number(&event), *last, "{over:?}");
        }
        assert!(300 <= live, "{over:?}: only {live} came in between");
    }
}

#[tokio::test]
async fn what_has_expired_is_told() {
    let node = Node::start().await;
    node.world.fill(20, 10, |n| if n <= 10 { "a.x" } else { "b" }.to_owned()).await;
    let (_, page) = node.get_events("?topics=%3E&limit=3").await;
    let cursor = page["next_cursor"].as_str().unwrap().to_owned();
    node.world.expire_all("a.>").await;
    for way in Way::ALL {
        for after in ["0", "9", &cursor] {
            let refused = Reader::try_open(&node, way, &["a.*"], after).await.err();
            assert_eq!(refused.as_deref(), Some("cursor_expired"), "{way:?} {after}");
        }
        // Nothing that would be missed: behind it, or of other topics.
        for (topics, after) in [("b", "0"), (">", "start"), (">", "10"), ("*", "@0")] {
            let mut reader = Reader::open(&node, way, &[topics], after).await;
            assert_eq!(reader.next().await.sequence, 11, "{way:?} {topics} {after}");
        }
    }
    let (status, problem) = node.get_events("?topics=a.x&after=3").await;
    assert_eq!((status, &problem["code"]), (410, &"cursor_expired".into()), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("11 is the oldest"), "{problem}");
    let request = ReadEventsRequest {
        tenant: "a".to_owned(),
        topics: texts(&[">"]),
        after: cursor,
        ..ReadEventsRequest::default()
    };
    let refused = node.bus().await.read_events(request).await.unwrap_err();
    assert_eq!((refused.code(), &*reason(&refused)), (Code::NotFound, "cursor_expired"));
}

#[tokio::test]
async fn what_expires_while_it_is_read_is_told_too() {
    for way in Way::ALL {
        let node = Node::start().await;
        // More than all buffers in between hold.
        node.world.fill(400, 100_000, |_| "a".to_owned()).await;
        let mut reader = Reader::open(&node, way, &["a"], "start").await;
        assert_eq!(reader.next().await.sequence, 1);
        node.world.expire_all("a").await;
        let mut last = 1;
        let end = loop {
            match reader.try_next().await {
                Ok(Some(event)) => {
                    last += 1;
                    assert_eq!(event.sequence, last, "{way:?}");
                }
                end => break end,
            }
        };
        assert_eq!(end, Err("cursor_expired".to_owned()), "{way:?} at {last}");
        assert!(last < 400, "{way:?}");
    }
}

#[tokio::test]
async fn a_subscription_that_ends_so_ends_alone() {
    let node = Node::start().await;
    node.world.fill(5, 10, |_| "a".to_owned()).await;
    node.world.expire_all("a").await;
    for over in Over::ALL {
        let mut line = Line::join(&node, over, "x").await;
        super::check_refused(&mut line, subscribe(1, &["a"], &[], "2"), ("cursor_expired", 71))
            .await;
        let began = subscribed(&mut line, subscribe(1, &["a"], &[], "now")).await;
        assert_eq!(began.subscription, 1);
        line.say(echo("on", 2)).await;
        assert_eq!(Some(hear(&mut line).await), echoed("on", 2), "{over:?}");
        let sequence = node.publish("a", "1").await;
        assert_eq!(told(&mut line).await.1.sequence, sequence);
    }
}
