//! What whoever listens is told.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use switchboard_core::{
    Millis, Tenant,
    bus::{Event, Log, QueueId, Signal, Signals, Since, Verdict},
};
use tokio::task::JoinSet;

use super::{
    draft, events_of, keyed, of,
    presence::attendance,
    publish, publish_at,
    queues::{back, make, pull, queue, settings, settle},
    tenant,
};

/// How long a store may take to tell what it has answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// Keeps what it is told.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<Signal>>);

impl Signals for Told {
    fn tell(&self, signals: Vec<Signal>) {
        self.0.lock().unwrap().extend(signals);
    }
}

impl Told {
    fn listens(log: &Arc<dyn Log>) -> Arc<Self> {
        let told = Arc::new(Self::default());
        log.listen(Arc::clone(&told) as Arc<dyn Signals>);
        told
    }

    /// The events of a tenant, in the order in which they were told.
    fn events(&self, of: Tenant) -> Vec<Event> {
        let told = self.0.lock().unwrap();
        let events = told.iter().filter_map(|signal| match signal {
            Signal::Appended { tenant, events } if *tenant == of => Some(events.clone()),
            _ => None,
        });
        events.flatten().collect()
    }

    /// How often a queue was told to be ready.
    fn ready(&self, of: &QueueId) -> usize {
        let told = self.0.lock().unwrap();
        let is_of = |signal: &&Signal| matches!(signal, Signal::Ready { queue } if queue == of);
        told.iter().filter(is_of).count()
    }

    fn forget(&self) {
        self.0.lock().unwrap().clear();
    }
}

/// Waits until something is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{what}");
}

/// Each tenant's events in order and without a gap, whoever published them, and not before they can
/// be read.
pub async fn signals_are_the_log(log: &Arc<dyn Log>) {
    publish_at(log, "before", [1, 2]).await;
    let told = Told::listens(log);
    let mut callers = JoinSet::new();
    for caller in 0..6_u64 {
        let log = Arc::clone(log);
        callers.spawn(async move {
            let name = if caller % 3 == 0 { "b" } else { "a" };
            for turn in 0..20 {
                let drafts = vec![draft("t", 3), keyed(&format!("{turn}"), "t", ""), draft("u", 3)];
                let drafts = drafts.into_iter().map(|draft| of(name, draft));
                for published in log.publish(drafts.collect()).await.unwrap() {
                    published.unwrap();
                }
                let present = turn % 2 == 0;
                let attendance = attendance(&format!("{caller}"), 1, present, turn / 2);
                log.attend(vec![attendance]).await.unwrap();
            }
        });
    }
    let mut seen = 0;
    while seen < 20 {
        seen = told.events(tenant("a")).last().map_or(0, |event| event.sequence);
        assert!(seen <= events_of(log, "a").await.len() as u64, "what is told can be read");
        tokio::task::yield_now().await;
    }
    callers.join_all().await;
    for (name, before) in [("a", 2), ("b", 0)] {
        let events = events_of(log, name).await;
        let all_are_told = || events.len() <= told.events(tenant(name)).len() + before;
        until("what was published is told", all_are_told).await;
        assert_eq!(told.events(tenant(name)), events[before..], "{name}");
    }
    // The last who listens is told, the one before not any more.
    let last = Told::listens(log);
    told.forget();
    publish(log, vec![draft("t", 9)]).await;
    until("the last is told", || last.events(tenant("a")).len() == 1).await;
    assert!(told.events(tenant("a")).is_empty());
}

/// What a queue gives up is told like everything else.
pub async fn dead_letters_are_told(log: &Arc<dyn Log>) {
    let told = Told::listens(log);
    log.create_queue(queue("work"), settings("work", &["t"], 1), Since::Now).await.unwrap();
    make(log, "letters", &["sys.dead_letters.work"], Since::Now).await;
    publish_at(log, "t", [1, 2, 3]).await;
    assert_eq!(pull(log, "work", 9, 10).await.len(), 3);
    settle(log, "work", &[(2, 1)], back(20), 20).await;
    let is_told = |count| move |told: &Told| told.events(tenant("a")).len() == count;
    until("by giving it back", || is_told(4)(&told)).await;
    until("to who takes it", || 1 <= told.ready(&queue("letters"))).await;
    told.forget();
    log.sweep(Millis(1_010)).await.unwrap();
    until("by a sweep", || is_told(2)(&told)).await;
    until("to who takes them", || 1 <= told.ready(&queue("letters"))).await;
    assert_eq!(told.events(tenant("a")), events_of(log, "a").await[4..]);
}

/// By what is published for it, by what is given back, and by what comes back.
pub async fn a_queue_with_something_to_deliver_is_ready(log: &Arc<dyn Log>) {
    make(log, "work", &["t.*"], Since::Now).await;
    make(log, "other", &["u"], Since::Now).await;
    let told = Told::listens(log);
    let ready = async |why: &str| {
        until(why, || 1 <= told.ready(&queue("work"))).await;
        told.forget();
    };
    publish_at(log, "t.a", [1]).await;
    ready("something was published").await;
    publish(log, vec![draft("none", 1), draft("t.b", 1), draft("t.c", 1)]).await;
    ready("something was published among others").await;
    assert_eq!(pull(log, "work", 9, 10).await, [(1, 1), (3, 1), (4, 1)]);
    settle(log, "work", &[(1, 1)], Verdict::Acknowledge, 20).await;
    settle(log, "work", &[(3, 1)], back(20), 20).await;
    ready("something was given back").await;
    log.sweep(Millis(1_010)).await.unwrap();
    ready("the time of something was up").await;
    assert_eq!(pull(log, "work", 9, 1_020).await, [(3, 2), (4, 2)]);
    settle(log, "work", &[(3, 2), (4, 2)], back(1_500), 1_020).await;
    told.forget();
    log.sweep(Millis(1_500)).await.unwrap();
    ready("the time of something has come").await;
    // Nothing of all that was for another.
    assert_eq!(told.ready(&queue("other")), 0);
    publish_at(log, "u", [2_000]).await;
    until("the other", || 1 <= told.ready(&queue("other"))).await;
}
