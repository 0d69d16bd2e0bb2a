//! Queues, as they are made, looked at and removed.

use std::sync::Arc;

use switchboard_core::{
    Code, Millis,
    bus::{
        Created, DeliveryId, Log, Pull, QueueId, QueueName, QueueSettings, QueueState, Settled,
        Settlement, Since, Verdict,
    },
};

use super::{
    draft, events_of, interest, of, publish, publish_at,
    retention::{by_age, expire},
    tenant,
};

/// How long consumers of these queues may take, in milliseconds.
pub(super) const ACK_MS: i64 = 1_000;

/// A queue of the tenant `a`.
pub(super) fn queue(name: &str) -> QueueId {
    QueueId { tenant: tenant("a"), name: QueueName::new(name).unwrap() }
}

/// Each event is delivered so often at the most.
pub(super) fn settings(name: &str, filters: &[&str], max_deliveries: u32) -> QueueSettings {
    let numbers = (u32::try_from(ACK_MS).unwrap(), max_deliveries);
    QueueSettings::new(&queue(name).name, interest(filters), numbers, "").unwrap()
}

/// Makes a queue that delivers up to three times.
pub(super) async fn make(log: &Arc<dyn Log>, name: &str, filters: &[&str], since: Since) {
    let settings = settings(name, filters, 3);
    let Created { queue: state, new } =
        log.create_queue(queue(name), settings.clone(), since).await.unwrap();
    assert!(new);
    assert_eq!((&state.name, &state.settings), (&queue(name).name, &settings));
    assert_eq!(log.queue(queue(name)).await.unwrap(), state);
}

/// What a pull gets: sequences, and how often each was delivered.
pub(super) async fn pull(log: &Arc<dyn Log>, name: &str, max: u32, now: i64) -> Vec<(u64, u32)> {
    let pull = Pull { queue: queue(name), max, now: Millis(now) };
    let deliveries = log.pull(pull).await.unwrap().deliveries;
    assert!(deliveries.iter().all(|it| it.until == Millis(now + ACK_MS)), "{deliveries:?}");
    assert!(deliveries.iter().all(|it| it.id.sequence == it.event.sequence), "{deliveries:?}");
    deliveries.iter().map(|delivery| (delivery.id.sequence, delivery.id.attempt)).collect()
}

/// Settles deliveries, all in the same way.
pub(super) async fn settle(
    log: &Arc<dyn Log>,
    name: &str,
    ids: &[(u64, u32)],
    verdict: Verdict,
    now: i64,
) -> Vec<Settled> {
    let id = |&(sequence, attempt)| DeliveryId { sequence, attempt };
    let deliveries = ids.iter().map(|it| (id(it), verdict.clone())).collect();
    let settlement = Settlement { queue: queue(name), deliveries, now: Millis(now) };
    let settled = log.settle(settlement).await.unwrap();
    assert_eq!(settled.len(), ids.len(), "an answer for each");
    settled
}

/// Gives back at a time what is to be delivered again at one.
pub(super) fn back(at: i64) -> Verdict {
    Verdict::Return { at: Millis(at), reason: "no".into() }
}

/// A queue of which nothing was delivered.
fn fresh(name: &str, filters: &[&str], depth: u64, oldest_at: Option<i64>) -> QueueState {
    QueueState {
        name: queue(name).name,
        settings: settings(name, filters, 3),
        depth,
        in_flight: 0,
        oldest_at: oldest_at.map(Millis),
        dead_lettered: 0,
        acknowledged: 0,
        redelivered: 0,
    }
}

/// Who makes it again with the same settings finds it as it is, wherever it is said to begin; with
/// other settings it is refused, and stays as it was.
pub async fn a_queue_is_made_once(log: &Arc<dyn Log>) {
    publish_at(log, "t", [1, 2, 3]).await;
    make(log, "work", &["t", "u.*"], Since::Start).await;
    assert_eq!(pull(log, "work", 1, 10).await, [(1, 1)]);
    let state = log.queue(queue("work")).await.unwrap();
    assert_eq!((state.depth, state.in_flight), (2, 1));
    let same = settings("work", &["u.*", "t", "t"], 3);
    for since in [Since::Start, Since::Now, Since::After(2), Since::After(99)] {
        let found = log.create_queue(queue("work"), same.clone(), since).await.unwrap();
        assert_eq!(found, Created { queue: state.clone(), new: false });
    }
    let named = |numbers, topic| {
        QueueSettings::new(&queue("work").name, same.interest.clone(), numbers, topic).unwrap()
    };
    for other in [
        settings("work", &["t"], 3),
        settings("work", &["t", "u.*"], 4),
        named((1_001, 3), ""),
        named((1_000, 3), "letters"),
    ] {
        let refused = log.create_queue(queue("work"), other, Since::Start).await;
        assert_eq!(refused.unwrap_err().code(), Code::Conflict);
    }
    assert_eq!(log.queue(queue("work")).await.unwrap(), state);
    assert_eq!(pull(log, "work", 9, 20).await, [(2, 1), (3, 1)]);
}

/// At the place that is said; a place that has not come is refused, and no queue is made.
pub async fn a_queue_begins_at_its_place(log: &Arc<dyn Log>) {
    publish_at(log, "t", [10, 20, 20, 30]).await;
    publish_at(log, "u", [40]).await;
    for (number, (since, depth, oldest_at)) in [
        (Since::Start, 4, Some(10)),
        (Since::After(0), 4, Some(10)),
        (Since::After(3), 1, Some(30)),
        (Since::After(5), 0, None),
        (Since::Now, 0, None),
        (Since::Time(Millis(11)), 3, Some(20)),
        (Since::Time(Millis(31)), 0, None),
        (Since::Time(Millis(99)), 0, None),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("queue-{number}");
        make(log, &name, &["t"], since).await;
        let state = log.queue(queue(&name)).await.unwrap();
        assert_eq!(state, fresh(&name, &["t"], depth, oldest_at), "{since:?}");
    }
    let settings = settings("none", &["t"], 3);
    let refused = log.create_queue(queue("none"), settings, Since::After(6)).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidCursor);
    assert_eq!(log.queue(queue("none")).await.unwrap_err().code(), Code::NotFound);
    // All have what comes now.
    publish_at(log, "t", [50]).await;
    for (number, first) in [1, 1, 4, 6, 6, 2, 6, 6].into_iter().enumerate() {
        let sequences = [1, 2, 3, 4, 6].into_iter().filter(|sequence| first <= *sequence);
        let expected: Vec<(u64, u32)> = sequences.map(|sequence| (sequence, 1)).collect();
        assert_eq!(pull(log, &format!("queue-{number}"), 9, 60).await, expected, "{number}");
    }
}

/// By name, each as it is, and those of nobody else.
pub async fn queues_are_listed_by_name(log: &Arc<dyn Log>) {
    assert!(log.queues(tenant("a")).await.unwrap().is_empty());
    let names = ["b", "a", "B", "ab", "a-b", "a_b", "10", "9", &"x".repeat(64)];
    for name in names {
        make(log, name, &["t"], Since::Now).await;
    }
    let other = QueueId { tenant: tenant("b"), ..queue("other") };
    log.create_queue(other, settings("other", &["t"], 3), Since::Now).await.unwrap();
    publish_at(log, "t", [7]).await;
    let mut sorted = names;
    sorted.sort_unstable();
    let expected = sorted.map(|name| fresh(name, &["t"], 1, Some(7)));
    assert_eq!(log.queues(tenant("a")).await.unwrap(), expected);
    assert_eq!(log.queues(tenant("b")).await.unwrap().len(), 1);
}

/// It is not there, and what was delivered of it can't be settled.
pub async fn a_deleted_queue_is_gone(log: &Arc<dyn Log>) {
    publish_at(log, "t", [1, 2, 3]).await;
    make(log, "work", &["t"], Since::Start).await;
    make(log, "other", &["t"], Since::Start).await;
    assert_eq!(pull(log, "work", 2, 10).await, [(1, 1), (2, 1)]);
    assert!(log.delete_queue(queue("work")).await.unwrap());
    assert!(!log.delete_queue(queue("work")).await.unwrap());
    for name in ["work", "never"] {
        let pull = Pull { queue: queue(name), max: 1, now: Millis(10) };
        assert_eq!(log.pull(pull).await.unwrap_err().code(), Code::NotFound);
        let id = DeliveryId { sequence: 1, attempt: 1 };
        let deliveries = vec![(id, Verdict::Acknowledge)];
        let settlement = Settlement { queue: queue(name), deliveries, now: Millis(10) };
        assert_eq!(log.settle(settlement).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(log.queue(queue(name)).await.unwrap_err().code(), Code::NotFound);
    }
    // What was in flight is not given up either.
    log.sweep(Millis(1_000_000)).await.unwrap();
    assert_eq!(log.queues(tenant("a")).await.unwrap(), [fresh("other", &["t"], 3, Some(1))]);
    let events = events_of(log, "a").await;
    assert_eq!(events.len(), 3, "none is a dead letter");
}

/// With other settings if need be, and nothing of what was before.
pub async fn a_queue_that_is_made_again_begins_anew(log: &Arc<dyn Log>) {
    publish_at(log, "t", [1, 2, 3, 4]).await;
    make(log, "work", &["t"], Since::Start).await;
    assert_eq!(pull(log, "work", 3, 10).await, [(1, 1), (2, 1), (3, 1)]);
    settle(log, "work", &[(1, 1)], Verdict::Acknowledge, 20).await;
    settle(log, "work", &[(2, 1)], back(20), 20).await;
    assert_eq!(pull(log, "work", 1, 30).await, [(2, 2)]);
    assert!(log.delete_queue(queue("work")).await.unwrap());
    make(log, "work", &["t", "u"], Since::After(1)).await;
    let state = log.queue(queue("work")).await.unwrap();
    assert_eq!(state, fresh("work", &["t", "u"], 3, Some(2)));
    let settled = settle(log, "work", &[(2, 2), (3, 1)], Verdict::Acknowledge, 40).await;
    assert_eq!(settled, [Settled::Unknown; 2]);
    assert_eq!(pull(log, "work", 9, 5_000).await, [(2, 1), (3, 1), (4, 1)]);
}

/// At each step of the life of its events.
pub async fn the_state_of_a_queue_adds_up(log: &Arc<dyn Log>) {
    make(log, "work", &["t"], Since::Now).await;
    publish_at(log, "u", 1..5).await;
    publish(log, vec![of("b", draft("t", 3)); 3]).await;
    let mut state = fresh("work", &["t"], 0, None);
    let is = async |state: &QueueState, step: &str| {
        assert_eq!(log.queue(queue("work")).await.unwrap(), *state, "{step}");
        assert_eq!(log.queues(tenant("a")).await.unwrap(), std::slice::from_ref(state), "{step}");
    };
    is(&state, "nothing that it takes was published").await;
    publish_at(log, "t", 10..=15).await;
    state = QueueState { depth: 6, oldest_at: Some(Millis(10)), ..state };
    is(&state, "six were published").await;
    assert_eq!(pull(log, "work", 4, 100).await, [(5, 1), (6, 1), (7, 1), (8, 1)]);
    state = QueueState { depth: 2, in_flight: 4, ..state };
    is(&state, "four were delivered").await;
    settle(log, "work", &[(5, 1), (7, 1)], Verdict::Acknowledge, 200).await;
    let oldest_at = Some(Millis(11));
    state = QueueState { in_flight: 2, oldest_at, acknowledged: 2, ..state };
    is(&state, "the first and the third were acknowledged").await;
    settle(log, "work", &[(6, 1)], back(900), 200).await;
    state = QueueState { in_flight: 1, depth: 3, ..state };
    is(&state, "one was given back for later").await;
    log.sweep(Millis(1_100)).await.unwrap();
    state = QueueState { in_flight: 0, depth: 4, ..state };
    is(&state, "the time of another was up").await;
    assert_eq!(pull(log, "work", 3, 1_200).await, [(6, 2), (8, 2), (9, 1)]);
    state = QueueState { in_flight: 3, depth: 1, redelivered: 2, ..state };
    is(&state, "two were delivered again, and one for the first time").await;
    settle(log, "work", &[(6, 2), (8, 2)], back(1_300), 1_300).await;
    assert_eq!(pull(log, "work", 2, 1_300).await, [(6, 3), (8, 3)]);
    state = QueueState { redelivered: 4, ..state };
    is(&state, "two were delivered for the third time").await;
    settle(log, "work", &[(6, 3)], back(1_400), 1_400).await;
    let oldest_at = Some(Millis(13));
    state = QueueState { in_flight: 2, oldest_at, dead_lettered: 1, ..state };
    is(&state, "one was given up").await;
    log.sweep(Millis(2_300)).await.unwrap();
    let oldest_at = Some(Millis(14));
    state = QueueState { in_flight: 0, depth: 2, oldest_at, dead_lettered: 2, ..state };
    is(&state, "the other was given up, and one came back").await;
    let all = pull(log, "work", 9, 2_400).await;
    assert_eq!(all, [(9, 2), (10, 1)]);
    settle(log, "work", &all, Verdict::Acknowledge, 2_400).await;
    let (oldest_at, acknowledged, redelivered) = (None, 4, 5);
    state = QueueState { depth: 0, oldest_at, acknowledged, redelivered, ..state };
    is(&state, "all are done with").await;
    publish_at(log, "t", [2_500]).await;
    state = QueueState { depth: 1, oldest_at: Some(Millis(2_500)), ..state };
    is(&state, "another came").await;
}

/// They are not delivered, not counted, and not given up. Only what a consumer has when it expires
/// counts as in flight until it is settled or its time is up, and can be acknowledged; it does not
/// come back.
pub async fn a_queue_lets_go_of_what_has_expired(log: &Arc<dyn Log>) {
    make(log, "work", &["t.*"], Since::Now).await;
    publish_at(log, "t.a", 1..=8).await;
    publish_at(log, "t.kept", [9]).await;
    publish_at(log, "t.a", [500]).await;
    assert_eq!(pull(log, "work", 5, 10).await.len(), 5);
    settle(log, "work", &[(1, 1)], back(20), 20).await;
    assert_eq!(expire(log, &[by_age("t.a", 50)], 200).await, 8);
    let mut state = fresh("work", &["t.*"], 2, Some(9));
    state.in_flight = 4;
    assert_eq!(log.queue(queue("work")).await.unwrap(), state);
    // 2 is acknowledged, 3 is given back, 4 and 5 are never settled.
    let settled = settle(log, "work", &[(1, 1)], Verdict::Acknowledge, 200).await;
    assert_eq!(settled, [Settled::Unknown]);
    let settled = settle(log, "work", &[(2, 1)], Verdict::Acknowledge, 200).await;
    assert_eq!(settled, [Settled::Done]);
    assert_eq!(settle(log, "work", &[(3, 1)], back(300), 200).await, [Settled::Done]);
    state = QueueState { in_flight: 2, acknowledged: 1, ..state };
    assert_eq!(log.queue(queue("work")).await.unwrap(), state);
    let settled = settle(log, "work", &[(2, 1), (3, 1)], back(300), 300).await;
    assert_eq!(settled, [Settled::Unknown; 2]);
    log.sweep(Millis(1_010)).await.unwrap();
    state = QueueState { in_flight: 0, ..state };
    assert_eq!(log.queue(queue("work")).await.unwrap(), state);
    assert_eq!(pull(log, "work", 9, 1_010).await, [(9, 1), (10, 1)]);
    // Not even the last delivery of one that has expired makes it a dead letter.
    assert_eq!(expire(log, &[by_age("t.a", 50)], 1_500).await, 1);
    for (now, attempt) in [(2_010, 2), (3_010, 3)] {
        assert_eq!(pull(log, "work", 9, now).await, [(9, attempt)]);
    }
    state = QueueState { redelivered: 2, depth: 0, in_flight: 1, ..state };
    assert_eq!(log.queue(queue("work")).await.unwrap(), state);
    assert_eq!(expire(log, &[by_age("t.*", 50)], 3_500).await, 1);
    log.sweep(Millis(9_999)).await.unwrap();
    state = QueueState { oldest_at: None, in_flight: 0, ..state };
    assert_eq!(log.queue(queue("work")).await.unwrap(), state);
    assert!(events_of(log, "a").await.is_empty());
    publish_at(log, "t.a", [10_000]).await;
    assert_eq!(pull(log, "work", 9, 10_000).await, [(11, 1)]);
}
