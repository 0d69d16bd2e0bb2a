//! What is not kept any more.
//!
//! What a rule does not keep can't be read once [`Log::expire`] has answered, and nothing else has
//! gone: how a store makes room is its own.

use std::sync::Arc;

use switchboard_core::{
    Code, Millis,
    bus::{
        Body, Draft, Event, Log, Page, QueueId, QueueName, QueueSettings, Read, Retention, Since,
        TopicFilter,
    },
};

use super::{
    content, draft, events_of, interest, keyed, of, publish, publish_at, read, sequences,
    sequences_read, tenant,
};

pub(super) fn by_age(filter: &str, age_ms: i64) -> Retention {
    let filter = TopicFilter::new(filter).unwrap();
    Retention { filter, age_ms: Some(age_ms), bytes: None }
}

fn by_bytes(filter: &str, bytes: u64) -> Retention {
    let filter = TopicFilter::new(filter).unwrap();
    Retention { filter, age_ms: None, bytes: Some(bytes) }
}

fn unlimited(filter: &str) -> Retention {
    Retention { age_ms: None, ..by_age(filter, 0) }
}

pub(super) async fn expire(log: &Arc<dyn Log>, rules: &[Retention], now: i64) -> u64 {
    log.expire(rules.into(), Millis(now)).await.unwrap()
}

/// What can be read after a sequence: the code and the detail of its error, if it is one.
async fn refused(log: &Arc<dyn Log>, filters: &[&str], after: u64) -> Option<(Code, String)> {
    let error = log.read(read(filters, Since::After(after))).await.err()?;
    Some((error.code(), error.to_string()))
}

/// Those that are older go; those that are just so old stay, and those of which no rule says
/// anything.
pub async fn events_expire_by_age(log: &Arc<dyn Log>) {
    publish_at(log, "t.short", 0..20).await;
    publish_at(log, "t.kept", [19, 19]).await;
    publish_at(log, "other", [19]).await;
    publish_at(log, "t.short", 20..30).await;
    publish(log, vec![of("b", draft("t.short", 3)), of("b", draft("t.short", 30))]).await;
    let rules = [unlimited("t.kept"), by_age("t.>", 10)];
    for (now, count, gone) in [(0, 0, 0), (10, 0, 0), (11, 1, 1), (11, 0, 1), (20, 10, 10)] {
        assert_eq!(expire(log, &rules, now).await, count, "{now}");
        let all = sequences(&events_of(log, "a").await);
        assert_eq!(all, (gone + 1..=33).collect::<Vec<_>>(), "{now}");
    }
    assert_eq!(expire(log, &[], i64::MAX).await, 0);
    assert_eq!(sequences(&events_of(log, "b").await), [2]);
    // Earlier than before: nothing comes back, and nothing more goes.
    assert_eq!(expire(log, &rules, 5).await, 0);
    assert_eq!(expire(log, &rules, 35).await, 15);
    let all = sequences(&events_of(log, "a").await);
    assert_eq!(all, [21, 22, 23].into_iter().chain(29..=33).collect::<Vec<_>>());
    assert_eq!(sequences_read(log, &["t.>"], Since::Start).await.len(), 7);
    assert_eq!(expire(log, &rules, 1_000).await, 6);
    assert_eq!(sequences(&events_of(log, "a").await), [21, 22, 23]);
}

fn long(topic: &str, len: usize) -> Draft {
    let data = vec![b'x'; len];
    Draft { body: Body::new(&content(topic, &data)).unwrap(), ..draft(topic, 1) }
}

fn bytes(events: &[Event]) -> u64 {
    events.iter().map(|event| event.body.as_bytes().len() as u64).sum()
}

/// The oldest go, and no more of them than must; bytes are those of whole bodies.
pub async fn events_expire_by_bytes(log: &Arc<dyn Log>) {
    for len in [10, 2_000, 0, 500, 30_000, 100, 100, 70_000, 1] {
        publish(log, vec![long("t", len), draft("other", 1)]).await;
    }
    let own = async || log.read(read(&["t"], Since::Start)).await.unwrap().events;
    let mut before = own().await;
    let whole = bytes(&before);
    for max in [u64::MAX, whole, whole - 1, 72_000, 71_000, 70_200, 70_199, 60_000, 9, 0] {
        let count = expire(log, &[by_bytes("t", max)], 1).await;
        let left = own().await;
        assert!(bytes(&left) <= max, "{max}: {} are left", bytes(&left));
        assert!(before.ends_with(&left), "{max}: the oldest go");
        assert_eq!(count, (before.len() - left.len()) as u64, "{max}");
        let needless = &before[before.len() - left.len()..];
        assert_eq!(needless, left, "{max}");
        if let Some(last_gone) = before.len().checked_sub(left.len() + 1) {
            assert!(max < bytes(&before[last_gone..]), "{max}: no more than must");
        }
        before = left;
    }
    assert!(before.is_empty());
    assert_eq!(sequences_read(log, &["other"], Since::Start).await.len(), 9);
    // Age and bytes of one rule: whichever takes more.
    publish_at(log, "t", 10..20).await;
    let rule = Retention { age_ms: Some(5), ..by_bytes("t", 1_000) };
    assert_eq!(expire(log, std::slice::from_ref(&rule), 20).await, 5);
    let of_three = bytes(&own().await[2..]);
    let rule = Retention { bytes: Some(of_three), ..rule };
    assert_eq!(expire(log, &[rule], 20).await, 2);
    assert_eq!(own().await.len(), 3);
}

/// What one has is no reason to let go of what is another's; the topics of a rule count together.
pub async fn each_tenant_has_its_own_bytes(log: &Arc<dyn Log>) {
    for name in ["a", "b", "ab"] {
        let drafts = [long("t.1", 100), long("t.2", 100), long("t.1", 100), long("u", 100)];
        publish(log, drafts.map(|draft| of(name, draft)).to_vec()).await;
    }
    publish(log, vec![of("b", long("t.1", 100)); 4]).await;
    let one = bytes(&events_of(log, "a").await[..1]);
    assert_eq!(expire(log, &[by_bytes("t.*", 2 * one)], 1).await, 1 + 5 + 1);
    for (name, left) in [("a", vec![2, 3, 4]), ("ab", vec![2, 3, 4]), ("b", vec![4, 7, 8])] {
        assert_eq!(sequences(&events_of(log, name).await), left, "{name}");
    }
}

/// Whatever those behind it say, and whatever it said before.
pub async fn the_first_rule_that_matches_counts(log: &Arc<dyn Log>) {
    for topic in ["a.b", "a.c", "a", "b.b", "sys2.x"] {
        publish_at(log, topic, [1]).await;
    }
    let none = [unlimited("a.b"), unlimited("a.*"), unlimited(">"), by_age(">", 0)];
    assert_eq!(expire(log, &none, 100).await, 0);
    let some = [unlimited("a.b"), by_age("a.*", 10), unlimited("*.b"), by_bytes(">", u64::MAX)];
    assert_eq!(expire(log, &some, 100).await, 1);
    assert_eq!(sequences(&events_of(log, "a").await), [1, 3, 4, 5]);
    // Their rules are others now.
    publish_at(log, "a.c", [95]).await;
    let others = [by_age("a.b", 1_000), by_age("*.b", 10), unlimited(">")];
    assert_eq!(expire(log, &others, 100).await, 1);
    assert_eq!(sequences(&events_of(log, "a").await), [1, 3, 5, 6]);
    assert_eq!(expire(log, &[by_age("*.*", 10), unlimited(">")], 100).await, 2);
    assert_eq!(sequences(&events_of(log, "a").await), [3, 6]);
}

/// Where an event expired behind its place that was under a rule of topics that it may want.
/// It is told the oldest sequence that is left.
pub async fn a_reader_is_told_that_it_missed_something(log: &Arc<dyn Log>) {
    publish_at(log, "t.a", 1..=10).await;
    publish_at(log, "u", 11..=20).await;
    publish_at(log, "t.b", 21..=30).await;
    publish(log, vec![of("b", draft("t.a", 30))]).await;
    assert_eq!(expire(log, &[by_age("t.*", 100), by_age("u.>", 0)], 106).await, 5);
    // They want what the rule is about, whether or not just that has expired.
    let told: [&[&str]; 7] =
        [&["t.a"], &["t.b"], &["t.*"], &["*.a"], &[">"], &["u", "t.c"], &["*.>"]];
    for filters in told {
        for after in 0..5 {
            let (code, detail) = refused(log, filters, after).await.unwrap();
            assert_eq!(code, Code::CursorExpired, "{filters:?} {after}");
            let mut numbers = detail.split(|symbol: char| !symbol.is_ascii_digit());
            assert!(numbers.any(|number| number == "6"), "{detail}");
        }
        for after in 5..=30 {
            assert_eq!(refused(log, filters, after).await, None, "{filters:?} {after}");
        }
    }
    let others: [&[&str]; 5] = [&["u"], &["t"], &["t.a.b"], &["*"], &["u", "t.a.>"]];
    for filters in others {
        for after in 0..=30 {
            assert_eq!(refused(log, filters, after).await, None, "{filters:?} {after}");
        }
    }
    assert_eq!(sequences_read(log, &["u"], Since::After(3)).await, (11..=20).collect::<Vec<_>>());
    // Only the places are asked for, or a queue is to begin there: it is the same.
    let places = Read { events_max: 0, ..read(&["t.b"], Since::After(4)) };
    assert_eq!(log.read(places).await.unwrap_err().code(), Code::CursorExpired);
    let queue = QueueId { tenant: tenant("a"), name: QueueName::new("work").unwrap() };
    let settings = QueueSettings::new(&queue.name, interest(&["t.b"]), (0, 0), "").unwrap();
    let created = log.create_queue(queue.clone(), settings, Since::After(4)).await;
    assert_eq!(created.unwrap_err().code(), Code::CursorExpired);
    assert_eq!(log.queue(queue).await.unwrap_err().code(), Code::NotFound);
    // What is told once is told for ever, also if an older event expires by the same rule later.
    publish_at(log, "v.a", [40]).await;
    publish_at(log, "v.b", [41]).await;
    assert_eq!(expire(log, &[unlimited("v.a"), by_age("v.*", 0)], 100).await, 1);
    assert_eq!(expire(log, &[by_age("v.*", 0)], 100).await, 1);
    assert_eq!(expire(log, &[], 100).await, 0);
    assert_eq!(refused(log, &["v.c"], 31).await.unwrap().0, Code::CursorExpired);
    assert_eq!(refused(log, &["v.c"], 32).await, None);
    // Of another tenant nothing has expired.
    let other = Read { tenant: tenant("b"), ..read(&[">"], Since::After(0)) };
    assert_eq!(log.read(other).await.unwrap().events.len(), 1);
}

/// A page says how often events had expired: whoever reads on with that is not told of those again,
/// and is told of others.
pub async fn who_knows_what_has_expired_reads_on(log: &Arc<dyn Log>) {
    publish_at(log, "kept", 1..=10).await;
    publish_at(log, "t", 11..=12).await;
    publish_at(log, "kept", 13..=20).await;
    assert_eq!(expire(log, &[by_age("t", 10)], 22).await, 1);
    // From the beginning, page by page, over what is not there.
    for since in [Since::Start, Since::Time(Millis(0)), Since::After(11)] {
        let mut read = Read { events_max: 3, ..read(&[">"], since) };
        let mut all = Vec::new();
        loop {
            let page = log.read(read.clone()).await.unwrap();
            all.extend(sequences(&page.events));
            if page.position == page.newest {
                break;
            }
            read.since = Since::at(page.position, page.expired);
        }
        let from = if since == Since::After(11) { 12 } else { 1 };
        assert_eq!(all, (from..=20).filter(|it| *it != 11).collect::<Vec<_>>(), "{since:?}");
    }
    let first = Read { events_max: 3, ..read(&[">"], Since::Start) };
    let page = log.read(first).await.unwrap();
    assert_eq!(refused(log, &[">"], page.position).await.unwrap().0, Code::CursorExpired);
    let on = Read { events_max: 3, ..read(&[">"], Since::at(page.position, page.expired)) };
    assert_eq!(sequences(&log.read(on.clone()).await.unwrap().events), [4, 5, 6]);
    // Nothing expires: nothing is news. Then something does that was to come.
    assert_eq!(expire(log, &[by_age("t", 10)], 22).await, 0);
    log.read(on.clone()).await.unwrap();
    assert_eq!(expire(log, &[by_age("t", 10)], 1_000).await, 1);
    assert_eq!(log.read(on.clone()).await.unwrap_err().code(), Code::CursorExpired);
    let others = Read { interest: interest(&["kept"]), ..on };
    assert_eq!(sequences(&log.read(others).await.unwrap().events), [4, 5, 6]);
}

/// They have what is left from its beginning, or from a time on, and go on from there.
pub async fn new_readers_begin_at_the_oldest_left(log: &Arc<dyn Log>) {
    publish_at(log, "t", 1..=30).await;
    expire(log, &[by_age("t", 10)], 21).await;
    for filters in [&["t"][..], &[">"]] {
        for since in [Since::Start, Since::Time(Millis(0)), Since::Time(Millis(10))] {
            let all: Vec<u64> = (11..=30).collect();
            assert_eq!(sequences_read(log, filters, since).await, all, "{since:?}");
            for events_max in [0, 1, 7] {
                let read = Read { events_max, ..read(filters, since) };
                let page = log.read(read.clone()).await.unwrap();
                let on = Since::at(page.position, page.expired);
                let rest = sequences_read(log, filters, on).await;
                assert_eq!([sequences(&page.events), rest].concat(), all, "{read:?}");
            }
        }
        let later = sequences_read(log, filters, Since::Time(Millis(12))).await;
        assert_eq!(later, (12..=30).collect::<Vec<_>>());
        let on = sequences_read(log, filters, Since::After(10)).await;
        assert_eq!(on, (11..=30).collect::<Vec<_>>());
    }
    // Topics that are kept for ever have all of theirs, whatever has expired among them.
    publish_at(log, "kept", [31]).await;
    publish_at(log, "t", [32]).await;
    expire(log, &[by_age("t", 10)], 1_000).await;
    publish_at(log, "t", [1_000]).await;
    assert_eq!(sequences_read(log, &[">"], Since::Start).await, [31, 33]);
    assert_eq!(sequences_read(log, &["kept"], Since::After(0)).await, [31]);
}

/// Also their times; and whoever has read all of it reads on.
pub async fn sequences_go_on_when_all_has_expired(log: &Arc<dyn Log>) {
    publish_at(log, "t", 1..=10).await;
    publish_at(log, "t", [500]).await;
    assert_eq!(expire(log, &[by_bytes(">", 0)], 1).await, 11);
    for since in [Since::Start, Since::Now, Since::After(11), Since::Time(Millis(3))] {
        for events_max in [0, 10] {
            let read = Read { events_max, ..read(&[">"], since) };
            let page = log.read(read).await.unwrap();
            let Page { events, position, newest, .. } = page;
            assert_eq!((events, position, newest), (Vec::new(), 11, 11), "{since:?}");
        }
    }
    let (code, detail) = refused(log, &["t"], 10).await.unwrap();
    assert_eq!(code, Code::CursorExpired);
    assert!(detail.contains("12"), "the oldest left is the one to come: {detail}");
    assert_eq!(publish(log, vec![draft("t", 20)]).await, [12]);
    let page = log.read(read(&["t"], Since::After(11))).await.unwrap();
    assert_eq!((page.position, page.newest), (12, 12));
    assert_eq!((page.events[0].sequence, page.events[0].at), (12, Millis(500)));
}

/// What was published with it is forgotten, and what is published with it now is new.
pub async fn an_expired_key_can_be_used_again(log: &Arc<dyn Log>) {
    publish(log, vec![keyed("k", "t", "1"), keyed("l", "kept", "1")]).await;
    assert_eq!(expire(log, &[by_age("t", 10)], 1_011).await, 1);
    assert_eq!(publish(log, vec![keyed("k", "u", "2")]).await, [3]);
    let known = log.publish(vec![keyed("k", "u", "2"), keyed("l", "kept", "1")]).await.unwrap();
    let known: Vec<_> = known.into_iter().map(|it| it.unwrap()).collect();
    assert!(known.iter().all(|it| !it.new), "{known:?}");
    assert_eq!((known[0].sequence, known[1].sequence), (3, 2));
    let other = log.publish(vec![keyed("k", "t", "1")]).await.unwrap().pop().unwrap();
    assert_eq!(other.unwrap_err().code(), Code::Conflict);
}
