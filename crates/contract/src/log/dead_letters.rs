//! What queues give up.

use std::sync::Arc;

use switchboard_core::{
    Millis,
    bus::{
        Body, Content, DeadLetter, Draft, Event, JSON, Log, QueueSettings, Settled, Since,
        TIMED_OUT, Verdict,
    },
};

use super::{
    content, draft, events_of, interest, publish, publish_at,
    queues::{back, make, pull, queue, settings, settle},
    read, tenant,
};

async fn on(log: &Arc<dyn Log>, topic: &str) -> Vec<Event> {
    log.read(read(&[topic], Since::Start)).await.unwrap().events
}

/// How an event was given up: why, after how many deliveries, from which topic and place.
fn letter(event: &Event) -> (String, u32, String, u64) {
    let DeadLetter { reason, attempts, topic, sequence, .. } = event.body.dead_letter().unwrap();
    (reason.to_string(), attempts, topic.to_string(), sequence)
}

/// It says the same, and where it was and why it was given up; it is an event like any other, of
/// the same tenant, from when it was given up.
pub async fn what_is_given_back_often_enough_is_given_up(log: &Arc<dyn Log>) {
    make(log, "work", &["t.>"], Since::Now).await;
    make(log, "letters", &["sys.dead_letters.work"], Since::Now).await;
    let content = Content { content_type: JSON, reply_to: "r", kind: "k", ..content("t.a", b"{}") };
    let body = Body::new(&content).unwrap();
    publish(log, vec![Draft { body, ..draft("t", 5) }, draft("t.b", 6)]).await;
    for (attempt, reason) in [(1, "first"), (2, "second"), (3, "the last \"\u{1f980}\"")] {
        assert!(on(log, "sys.>").await.is_empty(), "{attempt}");
        assert_eq!(pull(log, "work", 1, 10).await, [(1, attempt)]);
        let verdict = Verdict::Return { at: Millis(10), reason: reason.into() };
        assert_eq!(settle(log, "work", &[(1, attempt)], verdict, 10).await, [Settled::Done]);
    }
    let events = events_of(log, "a").await;
    assert_eq!(events.len(), 3);
    let Event { sequence, at, body } = &events[2];
    assert_eq!((*sequence, *at), (3, Millis(10)));
    assert_eq!((body.topic(), body.kind()), ("sys.dead_letters.work", "k"));
    assert_eq!((body.content_type(), body.data(), body.key()), (JSON, &b"{}"[..], ""));
    let expected = DeadLetter {
        queue: "work".into(),
        reason: "the last \"\u{1f980}\"".into(),
        attempts: 3,
        topic: "t.a".into(),
        sequence: 1,
    };
    assert_eq!(body.dead_letter(), Some(expected));
    assert!(events[..2].iter().all(|event| event.body.dead_letter().is_none()));
    // It is gone from the queue, and in that which takes what is given up.
    for verdict in [Verdict::Acknowledge, back(20)] {
        assert_eq!(settle(log, "work", &[(1, 3)], verdict, 20).await, [Settled::Unknown]);
    }
    assert_eq!(pull(log, "work", 9, 20).await, [(2, 1)]);
    assert_eq!(pull(log, "letters", 9, 20).await, [(3, 1)]);
    assert_eq!(log.queue(queue("work")).await.unwrap().dead_lettered, 1);
    assert!(events_of(log, "b").await.is_empty());
}

/// By a sweep or by a pull, whichever comes first, and once.
pub async fn what_times_out_often_enough_is_given_up(log: &Arc<dyn Log>) {
    publish_at(log, "t", 1..=4).await;
    make(log, "work", &["t"], Since::Start).await;
    for (now, expected) in [
        (2_000, vec![(1, 1), (2, 1)]),
        (3_000, vec![(1, 2), (2, 2)]),
        (4_000, vec![(1, 3)]),
        (4_001, vec![(2, 3)]),
    ] {
        let max = u32::try_from(expected.len()).unwrap();
        assert_eq!(pull(log, "work", max, now).await, expected);
    }
    let given_up = async || on(log, "sys.>").await.iter().map(letter).collect::<Vec<_>>();
    let timed_out = |sequence| (TIMED_OUT.to_owned(), 3, "t".to_owned(), sequence);
    log.sweep(Millis(4_999)).await.unwrap();
    assert!(given_up().await.is_empty());
    log.sweep(Millis(5_000)).await.unwrap();
    assert_eq!(given_up().await, [timed_out(1)]);
    assert_eq!(pull(log, "work", 9, 5_001).await, [(3, 1), (4, 1)]);
    assert_eq!(given_up().await, [timed_out(1), timed_out(2)]);
    settle(log, "work", &[(3, 1)], Verdict::Acknowledge, 5_002).await;
    assert_eq!(pull(log, "work", 9, 6_001).await, [(4, 2)]);
    assert_eq!(pull(log, "work", 9, 7_001).await, [(4, 3)]);
    // Its time is up, and nobody has noticed: even so it can't be saved.
    let late = settle(log, "work", &[(4, 3)], Verdict::Acknowledge, 8_001).await;
    assert_eq!(late, [Settled::Late]);
    log.sweep(Millis(9_000)).await.unwrap();
    let late = settle(log, "work", &[(4, 3)], Verdict::Acknowledge, 9_000).await;
    assert_eq!(late, [Settled::Unknown]);
    for now in [9_000, 99_999] {
        log.sweep(Millis(now)).await.unwrap();
        assert!(pull(log, "work", 9, now).await.is_empty());
    }
    assert_eq!(given_up().await, [timed_out(1), timed_out(2), timed_out(4)]);
    let times: Vec<i64> = on(log, "sys.>").await.iter().map(|event| event.at.0).collect();
    assert_eq!(times, [5_000, 5_001, 9_000]);
    let state = log.queue(queue("work")).await.unwrap();
    assert_eq!((state.dead_lettered, state.depth, state.in_flight), (3, 0, 0));
}

/// On the topic that is named, if one is; in the order in which they were given back. Of those that
/// a sweep gives up, those come first whose time was up first, then those of the first queue.
pub async fn each_queue_has_its_own_dead_letters(log: &Arc<dyn Log>) {
    let named = QueueSettings::new(&queue("one").name, interest(&["t"]), (1_000, 1), "letters.one");
    log.create_queue(queue("one"), named.unwrap(), Since::Now).await.unwrap();
    log.create_queue(queue("two"), settings("two", &["t"], 1), Since::Now).await.unwrap();
    make(log, "three", &["t", "letters.*"], Since::Now).await;
    publish_at(log, "t", 1..=3).await;
    for name in ["two", "one"] {
        assert_eq!(pull(log, name, 9, 10).await, [(1, 1), (2, 1), (3, 1)]);
    }
    settle(log, "one", &[(3, 1), (1, 1)], back(20), 20).await;
    settle(log, "two", &[(2, 1)], Verdict::Acknowledge, 20).await;
    log.sweep(Millis(1_010)).await.unwrap();
    let given_up = async |topic| {
        let of = |event: &Event| (event.sequence, event.body.dead_letter().unwrap().sequence);
        on(log, topic).await.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(given_up("letters.one").await, [(4, 3), (5, 1), (6, 2)]);
    assert_eq!(given_up("sys.dead_letters.two").await, [(7, 1), (8, 3)]);
    publish_at(log, "t", 9..=10).await;
    for (name, now) in [("two", 1_020), ("one", 1_030)] {
        assert_eq!(pull(log, name, 1, now).await, [(9, 1)]);
        assert_eq!(pull(log, name, 1, 1_030).await, [(10, 1)]);
    }
    log.sweep(Millis(3_000)).await.unwrap();
    assert_eq!(given_up("letters.one").await[3..], [(12, 9), (13, 10)]);
    assert_eq!(given_up("sys.dead_letters.two").await[2..], [(11, 9), (14, 10)]);
    assert_eq!(pull(log, "three", 99, 3_000).await.len(), 10);
    let counts = log.queues(tenant("a")).await.unwrap();
    let counts: Vec<u64> = counts.iter().map(|state| state.dead_lettered).collect();
    assert_eq!(counts, [5, 0, 4]);
}
