//! The bus on a directory of the machine's own file system: over restarts, and at its limits.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use switchboard_core::{
    Code, Millis, Tenant,
    bus::{
        Body, Content, Draft, Event, IN_FLIGHT_MAX, IdempotencyKey, Interest, Log, PULL_MAX,
        Published, Pull, Pulled, QueueId, QueueName, QueueSettings, Read, Settlement, Signal,
        Signals, Since, Verdict,
    },
    store::Unobserved,
};
use switchboard_embedded::{Embedded, Options, disk::LocalDisk};

fn options() -> Options {
    Options {
        segment_bytes: 64 * 1024,
        reports_segment_bytes: 64 * 1024,
        chat_segment_bytes: 128 * 1024,
        vault_segment_bytes: 64 * 1024,
        bus_segment_bytes: 64 * 1024,
        bus_flush_bytes: 16 * 1024,
        ..Options::default()
    }
}

fn open(folder: &Path) -> Embedded {
    let disk = Arc::new(LocalDisk::open(folder).unwrap());
    Embedded::open(disk, &options(), Arc::new(Unobserved)).unwrap()
}

fn tenant() -> Tenant {
    "acme".parse().unwrap()
}

fn draft(topic: &str, key: Option<&str>, data: &str) -> Draft {
    let key = key.map(|key| IdempotencyKey::new(key).unwrap());
    let content = Content {
        topic,
        kind: "made",
        content_type: "",
        data: data.as_bytes(),
        key: key.as_ref(),
        reply_to: "",
    };
    Draft { tenant: tenant(), body: Body::new(&content).unwrap(), at: Millis(5) }
}

async fn publish(store: &Embedded, drafts: Vec<Draft>) -> Vec<Published> {
    let published = store.publish(drafts).await.unwrap();
    published.into_iter().map(|published| published.unwrap()).collect()
}

/// All that matches, read page by page.
async fn read(store: &Embedded, filter: &str) -> Vec<Event> {
    let interest = Interest::new([filter], []).unwrap();
    let (mut since, mut events) = (Since::Start, Vec::new());
    loop {
        let read = Read {
            tenant: tenant(),
            interest: interest.clone(),
            since,
            events_max: 7,
            bytes_max: 1 << 20,
        };
        let page = Log::read(store, read).await.unwrap();
        events.extend(page.events);
        if page.position == page.newest {
            return events;
        }
        since = Since::After(page.position);
    }
}

#[derive(Debug, Default)]
struct Told(Mutex<Vec<Signal>>);

impl Signals for Told {
    fn tell(&self, signals: Vec<Signal>) {
        self.0.lock().unwrap().extend(signals);
    }
}

#[tokio::test]
async fn events_survive_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for round in 0..4_u32 {
        let store = open(folder.path());
        for number in 0..100_u32 {
            let text = format!("{round}.{number}");
            let key = number.is_multiple_of(3).then(|| format!("key {text}"));
            let draft = draft(&format!("a.{}", number % 5), key.as_deref(), &text);
            expected.push(draft.body.clone());
            let published = publish(&store, vec![draft.clone(), draft]).await;
            let first = published[0];
            assert!(first.new);
            if key.is_some() {
                assert_eq!(published[1], Published { sequence: first.sequence, new: false });
            } else {
                expected.push(expected[expected.len() - 1].clone());
                assert_eq!(published[1], Published { sequence: first.sequence + 1, new: true });
            }
        }
        let known = draft("a.0", Some("key 0.0"), "0.0");
        assert_eq!(publish(&store, vec![known]).await, [Published { sequence: 1, new: false }]);
        let other = store.publish(vec![draft("a.0", Some("key 0.0"), "other")]).await.unwrap();
        assert_eq!(other[0].as_ref().unwrap_err().code(), Code::Conflict);
        drop(store);
        let store = open(folder.path());
        let events = read(&store, ">").await;
        assert!(events.iter().map(|event| event.sequence).eq(1..=expected.len() as u64));
        assert!(events.iter().map(|event| &event.body).eq(&expected), "round {round}");
        let some = expected.iter().filter(|body| body.topic() == "a.3");
        assert!(read(&store, "*.3").await.iter().map(|event| &event.body).eq(some));
    }
}

#[tokio::test]
async fn what_is_durable_is_told_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    publish(&store, vec![draft("before", None, "")]).await;
    let told = Arc::new(Told::default());
    store.listen(Arc::clone(&told) as Arc<dyn Signals>);
    let mut other = draft("a", None, "other");
    other.tenant = "other".parse().unwrap();
    publish(&store, vec![draft("a", None, "2"), other, draft("b", None, "3")]).await;
    publish(&store, vec![draft("a", None, "4")]).await;
    drop(store);
    let mut sequences = Vec::new();
    for signal in &*told.0.lock().unwrap() {
        let Signal::Appended { tenant: whose, events } = signal else { continue };
        if *whose == tenant() {
            sequences.extend(events.iter().map(|event| event.sequence));
        }
    }
    assert_eq!(sequences, [2, 3, 4]);
}

#[tokio::test]
async fn an_event_that_is_longer_than_a_record_may_be_is_refused_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let long = "x".repeat(40_000);
    let drafts = vec![draft("a", None, "1"), draft("a", None, &long), draft("a", None, "2")];
    let published = store.publish(drafts).await.unwrap();
    let sequences = published.iter().map(|it| it.as_ref().ok().map(|it| it.sequence));
    assert_eq!(sequences.collect::<Vec<_>>(), [Some(1), None, Some(2)]);
    assert_eq!(published[1].as_ref().unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_queue_with_as_many_deliveries_as_it_may_have_tells_when_it_has_room_again() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(LocalDisk::open(folder.path()).unwrap());
    let options = Options { bus_segment_bytes: 8 << 20, ..options() };
    let store = Embedded::open(disk, &options, Arc::new(Unobserved)).unwrap();
    let queue = QueueId { tenant: tenant(), name: QueueName::new("work").unwrap() };
    let interest = Interest::new(["a"], []).unwrap();
    let settings = QueueSettings::new(&queue.name, interest, (0, 0), "").unwrap();
    store.create_queue(queue.clone(), settings, Since::Start).await.unwrap();
    let drafts = vec![draft("a", None, ""); IN_FLIGHT_MAX + 1];
    publish(&store, drafts).await;
    let pull = async || {
        let pull = Pull { queue: queue.clone(), max: PULL_MAX, now: Millis(6) };
        store.pull(pull).await.unwrap()
    };
    let mut last = None;
    for _ in 0..IN_FLIGHT_MAX / PULL_MAX as usize {
        let pulled = pull().await;
        assert_eq!(pulled.deliveries.len(), PULL_MAX as usize);
        last = pulled.deliveries.last().map(|delivery| delivery.id);
    }
    let Pulled { deliveries, more, .. } = pull().await;
    assert!(deliveries.is_empty() && !more);
    let told = Arc::new(Told::default());
    store.listen(Arc::clone(&told) as Arc<dyn Signals>);
    let deliveries = vec![(last.unwrap(), Verdict::Acknowledge)];
    let settlement = Settlement { queue: queue.clone(), deliveries, now: Millis(6) };
    store.settle(settlement).await.unwrap();
    // Answers come before signals: behind the next answer they are there.
    assert_eq!(pull().await.deliveries.len(), 1);
    let told = told.0.lock().unwrap();
    assert!(told.contains(&Signal::Ready { queue }), "{told:?}");
}
