//! Pages of events.

use std::sync::Arc;

use switchboard_core::{
    Code, Millis,
    bus::{Body, Content, Draft, Event, Interest, Log, Page, Read, Since},
};
use tokio::task::JoinSet;

use super::{content, draft, interest, of, publish, publish_at, read, read_on, sequences, tenant};

/// Whether a page is one of what was asked for, where these are all that can be read of it.
///
/// How many bytes a store counts for an event is its own; they are at least those of its data.
/// Where they are no limit, a page of a short log has as many events as were asked for.
pub(super) fn is_page(page: &Page, read: &Read, all: &[Event]) {
    let Page { events, position, newest, .. } = page;
    assert!(all.starts_with(events), "{read:?} of {all:?} begins with {events:?}");
    assert!(events.len() <= read.events_max as usize, "{read:?}: {}", events.len());
    let none_is_due = all.is_empty() || read.events_max == 0;
    assert!(!events.is_empty() || none_is_due, "{read:?}: at least one");
    if let Some((_, before)) = events.split_last() {
        let full = before.iter().map(|event| event.body.data().len()).sum::<usize>();
        assert!(before.is_empty() || full < read.bytes_max, "{read:?}: {full} bytes");
    }
    if read.bytes_max == usize::MAX {
        assert_eq!(events.len(), all.len().min(read.events_max as usize), "{read:?}");
    }
    assert!(position <= newest, "{read:?}: {position} of {newest}");
    if let Some(last) = events.last() {
        assert!(last.sequence <= *position, "{read:?}: {position} is behind {}", last.sequence);
    }
    if let Some(more) = all.get(events.len()) {
        assert!(*position < more.sequence, "{read:?}: {position} leaves {} out", more.sequence);
    } else if events.len() < read.events_max as usize {
        assert_eq!(position, newest, "{read:?}: nothing more is there");
    }
    if let Since::After(before) | Since::Known { after: before, .. } = read.since {
        assert!(before <= *position, "{read:?}: {position}");
    }
}

/// Reads on to the newest, page by page; these are all that can be read.
pub(super) async fn check(log: &Arc<dyn Log>, read: &Read, mut all: &[Event]) {
    let mut read = read.clone();
    let places = Read { events_max: 0, ..read.clone() };
    let beginning = log.read(places.clone()).await.unwrap();
    is_page(&beginning, &places, all);
    // Those before the beginning are wanted by nobody: it is the same to begin there.
    let since = Since::at(beginning.position, beginning.expired);
    let after_it = Read { since, ..read.clone() };
    is_page(&log.read(after_it.clone()).await.unwrap(), &after_it, all);
    loop {
        let page = log.read(read.clone()).await.unwrap();
        is_page(&page, &read, all);
        assert_eq!(page.newest, beginning.newest, "{read:?}");
        all = &all[page.events.len()..];
        if page.position == page.newest {
            return;
        }
        let on = Since::at(page.position, page.expired);
        assert!(read.since != on, "{read:?}: a page leads on");
        read.since = on;
    }
}

fn typed(topic: &str, kind: &str, at: i64) -> Draft {
    let body = Body::new(&Content { kind, ..content(topic, b"") }).unwrap();
    Draft { body, ..draft(topic, at) }
}

/// Each event once that a filter matches, and any of them, and of which a type is named, if any is.
pub async fn events_are_read_by_topic_and_type(log: &Arc<dyn Log>) {
    let topics =
        ["a", "a.b", "a.b.c", "a.c", "b", "b.b", "b.b.c", "A", "ab", "a-b.c", "a.b.c.d.e.f.g.h"];
    let kinds = ["made", "sent", "made.it", "Made"];
    let drafts = topics.iter().flat_map(|topic| kinds.map(|kind| typed(topic, kind, 1_000)));
    publish(log, drafts.collect()).await;
    let all = log.read(read(&[">"], Since::Start)).await.unwrap().events;
    assert_eq!(all.len(), topics.len() * kinds.len());
    let filters: [&[&str]; 16] = [
        &[">"],
        &["a"],
        &["a.b"],
        &["a.*"],
        &["*"],
        &["*.b"],
        &["*.*"],
        &["a.>"],
        &["*.>"],
        &["*.b.*"],
        &["a.b.c.d.e.f.g.*"],
        &["a.>", "a.b", "a.*", "*.b"],
        &["b", "a"],
        &["a", ">"],
        &["none.>"],
        &["none", "b.b"],
    ];
    let types: [&[&str]; 5] = [&[], &["made"], &["sent", "Made"], &["none"], &["none", "made"]];
    for filters in filters {
        for types in types {
            let interest = Interest::new(filters.iter().copied(), types.iter().copied()).unwrap();
            let wanted = |it: &&Event| interest.wants(it.body.topic(), it.body.kind());
            let wanted: Vec<Event> = all.iter().filter(wanted).cloned().collect();
            for (since, wanted) in [(Since::Start, &wanted[..]), (Since::Now, &[])] {
                for events_max in [1, 3, 1_000] {
                    let read = read(filters, since);
                    check(log, &Read { interest: interest.clone(), events_max, ..read }, wanted)
                        .await;
                }
            }
        }
    }
}

/// However many others there are; a page that has none of it leads on all the same.
pub async fn a_rare_type_is_found_among_many(log: &Arc<dyn Log>) {
    let mut rare = Vec::new();
    for number in 0..60_i64 {
        let mut batch: Vec<_> = (0..100).map(|at| draft("many", 1_000 * number + at)).collect();
        if number % 20 == 7 {
            batch.push(typed("many", "rare", 1_000 * number + 500));
        }
        rare.extend(publish(log, batch).await.get(100));
    }
    let interest = Interest::new([">"], ["rare"]).unwrap();
    for events_max in [1, 2, 1_000] {
        let read = Read { interest: interest.clone(), events_max, ..read(&[">"], Since::Start) };
        assert_eq!(sequences(&read_on(log, read).await), rare);
    }
    let none = Interest::new([">"], ["none"]).unwrap();
    let none = Read { interest: none, ..read(&[">"], Since::Start) };
    assert!(read_on(log, none).await.is_empty());
}

/// Now, at the start, behind a sequence, or with the first that came at a time or later.
pub async fn reading_begins_where_it_is_said(log: &Arc<dyn Log>) {
    for since in [Since::Now, Since::Start, Since::After(0), Since::Time(Millis(0))] {
        let page = log.read(read(&[">"], since)).await.unwrap();
        assert_eq!(page, Page::default(), "{since:?}");
    }
    // Others have no part in it.
    publish(log, (0..3).map(|at| of("b", draft("t", at))).collect()).await;
    publish_at(log, "t", [10, 20, 20, 20, 40, 30, 50]).await;
    let all = log.read(read(&[">"], Since::Start)).await.unwrap().events;
    for (since, first) in [
        (Since::Start, 1),
        (Since::Now, 8),
        (Since::Time(Millis(i64::MIN)), 1),
        (Since::Time(Millis(9)), 1),
        (Since::Time(Millis(10)), 1),
        (Since::Time(Millis(11)), 2),
        (Since::Time(Millis(20)), 2),
        (Since::Time(Millis(21)), 5),
        // The one of 30 came behind that of 40.
        (Since::Time(Millis(35)), 5),
        (Since::Time(Millis(41)), 7),
        (Since::Time(Millis(51)), 8),
        (Since::Time(Millis(i64::MAX)), 8),
    ] {
        for events_max in [1, 2, 1_000] {
            let read = Read { events_max, ..read(&["t"], since) };
            check(log, &read, &all[first - 1..]).await;
        }
    }
    for after in 0..=7 {
        let read = read(&["t"], Since::After(after as u64));
        check(log, &read, &all[after..]).await;
    }
    let places = Read { events_max: 0, ..read(&["t"], Since::Now) };
    assert_eq!(log.read(places).await.unwrap(), Page { position: 7, newest: 7, ..Page::default() });
}

/// Nobody reads on from a sequence that no event has; from the newest there is nothing yet.
pub async fn a_place_that_has_not_come_is_refused(log: &Arc<dyn Log>) {
    for newest in 0..3 {
        for filters in [&["t"][..], &["none"], &[">"]] {
            let page = log.read(read(filters, Since::After(newest))).await.unwrap();
            assert_eq!(page, Page { position: newest, newest, ..Page::default() });
            for beyond in [newest + 1, newest + 2, u64::MAX] {
                for events_max in [0, 1, 10] {
                    let read = Read { events_max, ..read(filters, Since::After(beyond)) };
                    let refused = log.read(read).await.unwrap_err();
                    assert_eq!(refused.code(), Code::InvalidCursor, "{beyond} of {newest}");
                }
            }
        }
        publish(log, vec![of("b", draft("t", 1)), draft("t", 1), of("b", draft("t", 1))]).await;
    }
}

/// Also where the last that is wanted came long ago, or none ever did.
pub async fn pages_lead_on_to_the_newest(log: &Arc<dyn Log>) {
    publish_at(log, "t", 0..5).await;
    publish_at(log, "u", 5..10).await;
    let all = log.read(read(&["t"], Since::Start)).await.unwrap();
    assert_eq!((all.events.len(), all.position, all.newest), (5, 10, 10));
    let none = log.read(read(&["none"], Since::Start)).await.unwrap();
    assert_eq!(none, Page { position: 10, newest: 10, ..Page::default() });
    for events_max in 1..=6 {
        check(log, &Read { events_max, ..read(&["t"], Since::Start) }, &all.events).await;
    }
    // Whoever has come so far has what comes then.
    publish_at(log, "t", 10..12).await;
    for position in [all.position, none.position] {
        let page = log.read(read(&["t"], Since::After(position))).await.unwrap();
        assert_eq!((sequences(&page.events), page.position), (vec![11, 12], 12));
    }
}

/// So many events and so many bytes, but at least one; of none that is asked for, only the places
/// are told.
pub async fn pages_keep_to_their_limits(log: &Arc<dyn Log>) {
    let lengths = [0, 1, 10, 100, 1_000, 10, 400_000, 1, 1_000_000, 0, 7, 1_048_576, 5, 1_048_576];
    let data = vec![b'x'; 1_048_576];
    let drafts = lengths.map(|len| {
        let body = Body::new(&content("t", &data[..len])).unwrap();
        Draft { body, ..draft("t", 1) }
    });
    publish(log, drafts.to_vec()).await;
    let all = read_on(log, read(&["t"], Since::Start)).await;
    assert_eq!(all.len(), lengths.len());
    for events_max in [1, 2, 3, 13, 14, 15, u32::MAX] {
        for bytes_max in [0, 1, 2, 11, 12, 111, 5_000, 1_000_000, 1_100_000, usize::MAX] {
            let read = Read { events_max, bytes_max, ..read(&["t"], Since::Start) };
            check(log, &read, &all).await;
        }
    }
    for (since, position) in [(Since::Start, 0), (Since::After(3), 3), (Since::Now, 14)] {
        let read = Read { events_max: 0, bytes_max: 0, ..read(&["t"], since) };
        let page = log.read(read).await.unwrap();
        assert_eq!(page, Page { position, newest: 14, ..Page::default() }, "{since:?}");
    }
}

/// Readers who read on have each event once and in order, however slow they are.
pub async fn pages_lose_nothing_while_others_publish(log: &Arc<dyn Log>) {
    let mut callers = JoinSet::new();
    for caller in 0..4 {
        let log = Arc::clone(log);
        callers.spawn(async move {
            for turn in 0..50 {
                let drafts = (0..=turn % 3).map(|_| draft(&format!("t.{caller}"), turn));
                publish(&log, drafts.collect()).await;
            }
        });
    }
    let mut readers = JoinSet::new();
    for events_max in [1, 3, 1_000] {
        let log = Arc::clone(log);
        readers.spawn(async move {
            let mut read = Read { events_max, ..read(&["t.1", "t.2"], Since::Start) };
            let (mut own, mut newest) = (Vec::new(), 0);
            while own.len() < 198 {
                let page = log.read(read.clone()).await.unwrap();
                assert!(newest <= page.newest && page.position <= page.newest);
                own.extend(page.events);
                newest = page.newest;
                read.since = Since::at(page.position, page.expired);
                tokio::task::yield_now().await;
            }
            own
        });
    }
    callers.join_all().await;
    let interest = interest(&["t.1", "t.2"]);
    let read = Read { tenant: tenant("a"), interest, ..read(&[">"], Since::Start) };
    let all = read_on(log, read).await;
    for own in readers.join_all().await {
        assert_eq!(own, all);
    }
}
