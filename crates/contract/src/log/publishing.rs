//! Publishes, and what becomes of them.

use std::sync::Arc;

use switchboard_core::{
    Code, Error, Millis, Result,
    bus::{
        Body, Content, DATA_BYTES_MAX, Draft, Event, IdempotencyKey, JSON, Log, Published, QueueId,
        QueueName, QueueSettings, Since,
    },
};
use tokio::task::JoinSet;

use super::{content, draft, events_of, interest, keyed, of, publish, sequences, tenant};

async fn publish_one(log: &Arc<dyn Log>, draft: Draft) -> Result<Published> {
    log.publish(vec![draft]).await.unwrap().pop().unwrap()
}

fn idempotency_key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

fn again(sequence: u64) -> Published {
    Published { sequence, new: false }
}

/// From 1 and without gaps, whoever publishes; one caller's in the order of his calls.
pub async fn sequences_count_the_events_of_a_tenant(log: &Arc<dyn Log>) {
    assert!(log.publish(Vec::new()).await.unwrap().is_empty());
    let drafts = vec![draft("t", 1), of("b", draft("t", 1)), draft("u", 1), draft("t", 1)];
    assert_eq!(publish(log, drafts).await, [1, 1, 2, 3]);
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let log = Arc::clone(log);
        callers.spawn(async move {
            let mut own = Vec::new();
            for turn in 0..25 {
                let topic = format!("caller.{caller}.{turn}");
                own.extend(publish(&log, vec![draft(&topic, 1)]).await);
            }
            assert!(own.is_sorted_by(|a, b| a < b), "{own:?}");
            own
        });
    }
    let mut all = callers.join_all().await.concat();
    all.sort_unstable();
    assert_eq!(all, (4..=203).collect::<Vec<_>>());
    assert_eq!(sequences(&events_of(log, "a").await), (1..=203).collect::<Vec<_>>());
    assert_eq!(sequences(&events_of(log, "b").await), [1]);
}

/// Whoever is asked for, in the order of the question; also where there is nothing.
pub async fn the_newest_of_many_tenants_are_told(log: &Arc<dyn Log>) {
    assert!(log.newest(Vec::new()).await.unwrap().is_empty());
    for (name, events) in [("a", 3), ("b", 1), ("ab", 2)] {
        publish(log, vec![of(name, draft("t", 1)); events]).await;
    }
    let asked = ["ab", "none", "a", "b", "a"].map(tenant);
    assert_eq!(log.newest(asked.to_vec()).await.unwrap(), [2, 0, 3, 1, 3]);
}

/// Whatever they call their topics, keys and queues, and however their names begin.
pub async fn tenants_see_only_themselves(log: &Arc<dyn Log>) {
    let names = ["a", "b", "ab", "a.b"];
    let queue = |name| QueueId { tenant: tenant(name), name: QueueName::new("work").unwrap() };
    for (number, name) in (1..).zip(names) {
        assert!(!log.delete_queue(queue(name)).await.unwrap(), "{name}");
        let filters = interest(&["t", name]);
        let settings = QueueSettings::new(&queue(name).name, filters, (0, 0), "").unwrap();
        assert!(log.create_queue(queue(name), settings, Since::Now).await.unwrap().new, "{name}");
        let sequences = publish(log, vec![of(name, keyed("k", "t", name)); 1]).await;
        assert_eq!(sequences, [1], "{name}");
        for _ in 0..number {
            publish(log, vec![of(name, draft("u", 1))]).await;
        }
    }
    for (number, name) in (1..).zip(names) {
        let events = events_of(log, name).await;
        assert_eq!(sequences(&events), (1..=number + 1).collect::<Vec<_>>(), "{name}");
        assert_eq!(events[0].body.data(), name.as_bytes());
        assert_eq!(log.queues(tenant(name)).await.unwrap().len(), 1, "{name}");
        assert_eq!(log.queue(queue(name)).await.unwrap().depth, 1, "{name}");
    }
    assert!(log.delete_queue(queue("a")).await.unwrap());
    assert_eq!(log.queue(queue("a")).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(log.queue(queue("ab")).await.unwrap().depth, 1);
    assert!(events_of(log, "c").await.is_empty());
    assert!(log.queues(tenant("c")).await.unwrap().is_empty());
}

/// Whichever answer is waited for first.
pub async fn a_batch_takes_its_places_when_it_is_handed_over(log: &Arc<dyn Log>) {
    let batch = |number: i64| (0..5).map(|it| draft("t", 10 * number + it)).collect();
    let answers: Vec<_> = (0..10).map(|number| log.publish(batch(number))).collect();
    for (number, answer) in (0..10).zip(answers).collect::<Vec<_>>().into_iter().rev() {
        let published = answer.await.unwrap().into_iter().map(|it| it.unwrap().sequence);
        let first = 5 * number + 1;
        assert_eq!(published.collect::<Vec<_>>(), (first..first + 5).collect::<Vec<_>>());
    }
    let times = events_of(log, "a").await.into_iter().map(|event| event.at.0);
    let expected = (0..10).flat_map(|number| 10 * number..10 * number + 5);
    assert_eq!(times.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

/// Whoever hands over a batch and goes has published it.
pub async fn a_dropped_answer_takes_nothing_back(log: &Arc<dyn Log>) {
    for turn in 0..20 {
        drop(log.publish(vec![draft("t", turn), keyed(&format!("{turn}"), "t", "")]));
    }
    assert_eq!(publish(log, vec![draft("t", 20)]).await, [41]);
    assert_eq!(events_of(log, "a").await.len(), 41);
    assert_eq!(publish_one(log, keyed("7", "t", "")).await.unwrap(), again(16));
}

/// In the same batch and in another, at whatever time; nothing is added.
pub async fn a_repeated_key_answers_the_first_event(log: &Arc<dyn Log>) {
    let first = keyed("k", "t", "1");
    publish(log, vec![draft("t", 1), first.clone()]).await;
    let later = Draft { at: Millis(9_000), ..first.clone() };
    assert_eq!(publish_one(log, later.clone()).await.unwrap(), again(2));
    let batch = vec![later, keyed("l", "t", "1"), keyed("l", "t", "1"), first, draft("t", 1)];
    let published = log.publish(batch).await.unwrap();
    let published: Vec<Published> = published.into_iter().map(Result::unwrap).collect();
    let new = |sequence| Published { sequence, new: true };
    assert_eq!(published, [again(2), new(3), again(3), again(2), new(4)]);
    let events = events_of(log, "a").await;
    assert_eq!(sequences(&events), [1, 2, 3, 4]);
    assert_eq!(events[1].at, Millis(1_000));
    // The same without a key is another, each time; and so is the same key of another tenant.
    assert_eq!(publish(log, vec![draft("t", 1), draft("t", 1)]).await, [5, 6]);
    assert_eq!(publish(log, vec![of("b", keyed("k", "u", "2"))]).await, [1]);
    // Keys are taken as they are written.
    let others = ["K", "k ", " k", "k\u{301}", "kk", &"k".repeat(128), "🦀"];
    let others = others.map(|key| keyed(key, "t", "1"));
    assert_eq!(publish(log, others.to_vec()).await, (7..14).collect::<Vec<_>>());
}

/// In one batch, and from many callers; all are told the same sequence.
pub async fn of_equal_publishes_at_once_one_is_new(log: &Arc<dyn Log>) {
    let published = log.publish(vec![keyed("same", "t", ""); 5]).await.unwrap();
    let published: Vec<bool> = published.into_iter().map(|it| it.unwrap().new).collect();
    assert_eq!(published, [true, false, false, false, false]);
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let log = Arc::clone(log);
        callers.spawn(async move {
            let mut all = Vec::new();
            for number in 0..50 {
                let draft = keyed(&format!("{number}"), "t", "");
                all.push(publish_one(&log, draft).await.unwrap());
            }
            all
        });
    }
    let callers = callers.join_all().await;
    for number in 0..50 {
        let told: Vec<Published> = callers.iter().map(|all| all[number]).collect();
        assert_eq!(told.iter().filter(|it| it.new).count(), 1, "{number}: {told:?}");
        assert!(told.iter().all(|it| it.sequence == told[0].sequence), "{number}: {told:?}");
    }
    assert_eq!(events_of(log, "a").await.len(), 51);
}

/// Whatever is other about it, but for its time. It changes nothing, and is no reason to refuse
/// others of its batch.
pub async fn another_event_under_a_known_key_is_a_conflict(log: &Arc<dyn Log>) {
    let key = idempotency_key("k");
    let whole = Content {
        topic: "t",
        kind: "made",
        content_type: "text/plain",
        data: b"1",
        key: Some(&key),
        reply_to: "r",
    };
    let draft_of = |content: &Content<'_>| {
        let body = Body::new(content).unwrap();
        Draft { tenant: tenant("a"), body, at: Millis(1_000) }
    };
    publish(log, vec![draft_of(&whole)]).await;
    let others = [
        Content { topic: "u", ..whole },
        Content { kind: "sent", ..whole },
        Content { content_type: "", ..whole },
        Content { data: b"2", ..whole },
        Content { data: b"", ..whole },
        Content { reply_to: "", ..whole },
    ];
    let mut batch = vec![draft("v", 1)];
    batch.extend(others.iter().map(draft_of));
    batch.extend([draft_of(&whole), keyed("l", "t", "1"), keyed("l", "t", "2"), draft("v", 1)]);
    let code = |published: &Result<Published>| published.as_ref().map(|it| it.sequence).ok();
    let published = log.publish(batch).await.unwrap();
    let refused = published.iter().filter_map(|it| it.as_ref().err().map(Error::code));
    assert_eq!(refused.collect::<Vec<_>>(), [Code::Conflict; 7]);
    let sequences_told: Vec<_> = published.iter().map(code).collect();
    assert_eq!(sequences_told[0], Some(2));
    assert_eq!(sequences_told[1..7], [None; 6]);
    assert_eq!(sequences_told[7..], [Some(1), Some(3), None, Some(4)]);
    let events = events_of(log, "a").await;
    assert_eq!(sequences(&events), [1, 2, 3, 4]);
    assert_eq!(events[0].body, draft_of(&whole).body);
}

/// An event that was accepted earlier than the one before it is as late as that one.
pub async fn times_never_go_back(log: &Arc<dyn Log>) {
    let times = [5, 3, 9, 9, -7, 8, 10, i64::MIN];
    publish(log, times.map(|at| draft("t", at)).to_vec()).await;
    publish(log, vec![of("b", draft("t", -9)), draft("t", 1), draft("t", 11)]).await;
    let at = |events: Vec<Event>| events.into_iter().map(|event| event.at.0).collect::<Vec<_>>();
    assert_eq!(at(events_of(log, "a").await), [5, 5, 9, 9, 9, 9, 10, 10, 10, 11]);
    assert_eq!(at(events_of(log, "b").await), [-9]);
}

/// Byte for byte: none and a megabyte of data, with all that can be said of it and without.
pub async fn events_of_every_kind_come_back(log: &Arc<dyn Log>) {
    let byte = |at: usize| u8::try_from(at * at / 7 % 251).unwrap();
    let data: Vec<u8> = (0..DATA_BYTES_MAX).map(byte).collect();
    let words = "w".repeat(256);
    let kind = "k".repeat(128);
    let content_type = "c".repeat(127);
    let key = idempotency_key(&"🦀".repeat(32));
    let plain = content("t", b"");
    let contents = [
        plain,
        Content { data: b"\0\xff\r\n\"", ..plain },
        Content { content_type: JSON, data: br#"{"a": 1.0}"#, ..plain },
        Content { topic: "A-z_0.9.a.a.a.a.a.a", kind: "A.z-0_9", reply_to: "b.c", ..plain },
        Content { key: Some(&key), ..plain },
        Content { data: &data[1..], ..plain },
        Content { topic: &words, kind: &kind, data: &data, ..plain },
        Content { content_type: &content_type, reply_to: &words, key: None, ..plain },
        Content { data: &data[..65_536], ..plain },
    ];
    let bodies: Vec<Body> = contents.iter().map(|content| Body::new(content).unwrap()).collect();
    let drafts = bodies.iter().map(|body| Draft {
        tenant: tenant("a"),
        body: body.clone(),
        at: Millis(i64::MAX),
    });
    // At once, so that some are made durable together; then all in one batch.
    let answers: Vec<_> = drafts.clone().map(|draft| log.publish(vec![draft])).collect();
    for answer in answers {
        assert!(answer.await.unwrap()[0].as_ref().unwrap().new);
    }
    log.publish(drafts.collect()).await.unwrap();
    let events = events_of(log, "a").await;
    assert_eq!(events.len(), 2 * bodies.len() - 1, "but for the one with a key");
    let expected = bodies.iter().chain(bodies.iter().filter(|body| body.key().is_empty()));
    for (event, body) in events.iter().zip(expected) {
        assert_eq!(event.at, Millis(i64::MAX));
        // Not one message of megabytes when they differ.
        assert!(event.body == *body, "{:?} instead of {body:?}", event.body);
    }
}
