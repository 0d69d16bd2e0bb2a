//! What queues deliver, and what becomes of it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use switchboard_core::{
    Millis,
    bus::{Delivery, DeliveryId, Log, Pull, Pulled, Settled, Settlement, Since, Verdict},
};
use tokio::task::JoinSet;

use super::{
    draft, of, publish, publish_at,
    queues::{ACK_MS, back, make, pull, queue, settle},
    read,
};

async fn pulled(log: &Arc<dyn Log>, name: &str, max: u32, now: i64) -> Pulled {
    log.pull(Pull { queue: queue(name), max, now: Millis(now) }).await.unwrap()
}

fn first(sequences: impl IntoIterator<Item = u64>) -> Vec<(u64, u32)> {
    sequences.into_iter().map(|sequence| (sequence, 1)).collect()
}

/// Only what the queue takes, as it was published, and whatever else is published meanwhile.
pub async fn first_deliveries_are_in_the_order_of_the_log(log: &Arc<dyn Log>) {
    publish_at(log, "t.before", [1]).await;
    make(log, "work", &["t.*", "t.0"], Since::Now).await;
    assert_eq!(pulled(log, "work", 10, 1).await, Pulled::default());
    for turn in 0..10_u64 {
        let topics = ["t.0", "u", "t.1", "t", "t.1.x"];
        publish(log, topics.map(|topic| draft(topic, 5)).to_vec()).await;
        publish(log, vec![of("b", draft("t.0", 5)); 2]).await;
        if turn % 2 == 1 {
            let place = 2 + 5 * (turn - 1);
            let wanted = [place, place + 2, place + 5, place + 7];
            assert_eq!(pull(log, "work", 3, 10).await, first(wanted[..3].to_vec()));
            assert_eq!(pull(log, "work", 3, 10).await, first(wanted[3..].to_vec()));
        }
    }
    make(log, "all", &["t.1"], Since::Start).await;
    let all = pulled(log, "all", 1_000, 70).await.deliveries;
    let events = log.read(read(&["t.1"], Since::Start)).await.unwrap().events;
    assert_eq!(all.len(), 10);
    for (Delivery { id, event, until }, expected) in all.into_iter().zip(events) {
        assert_eq!(id, DeliveryId { sequence: expected.sequence, attempt: 1 });
        assert_eq!((event, until), (expected, Millis(70 + ACK_MS)));
    }
}

/// Whoever pulls and however many at once; and all have all together.
pub async fn each_event_goes_to_one_of_many_consumers(log: &Arc<dyn Log>) {
    make(log, "work", &["t"], Since::Now).await;
    make(log, "other", &["t"], Since::Now).await;
    let count = Arc::new(AtomicUsize::new(0));
    let mut consumers = JoinSet::new();
    for consumer in 1..=6 {
        let (log, count) = (Arc::clone(log), Arc::clone(&count));
        consumers.spawn(async move {
            let mut own = Vec::new();
            while count.load(Ordering::Relaxed) < 200 {
                let got = pull(&log, "work", consumer, 10).await;
                if consumer % 2 == 0 {
                    let settled = settle(&log, "work", &got, Verdict::Acknowledge, 10).await;
                    assert!(settled.iter().all(|it| *it == Settled::Done), "{settled:?}");
                }
                count.fetch_add(got.len(), Ordering::Relaxed);
                own.extend(got);
                tokio::task::yield_now().await;
            }
            assert!(own.is_sorted(), "each consumer's are in order");
            own
        });
    }
    for _ in 0..40 {
        publish(log, vec![draft("t", 5); 5]).await;
    }
    let mut all = consumers.join_all().await.concat();
    all.sort_unstable();
    assert_eq!(all, first(1..=200));
    let state = log.queue(queue("work")).await.unwrap();
    assert_eq!((state.depth, state.in_flight + state.acknowledged), (0, 200));
    // Another queue has them too.
    assert_eq!(pull(log, "other", 1_000, 10).await, first(1..=200));
}

/// However often it is acknowledged, and whatever time goes by.
pub async fn what_is_acknowledged_is_not_delivered_again(log: &Arc<dyn Log>) {
    publish_at(log, "t", 1..=6).await;
    make(log, "work", &["t"], Since::Start).await;
    assert!(settle(log, "work", &[], Verdict::Acknowledge, 10).await.is_empty());
    assert_eq!(pull(log, "work", 5, 10).await, first(1..=5));
    let (known, unknown) = (Settled::Done, Settled::Unknown);
    let ids = [(2, 1), (2, 1), (5, 1)];
    let settled = settle(log, "work", &ids, Verdict::Acknowledge, 1_009).await;
    assert_eq!(settled, [known, unknown, known]);
    for verdict in [Verdict::Acknowledge, back(20)] {
        assert_eq!(settle(log, "work", &[(5, 1)], verdict, 1_009).await, [unknown]);
    }
    assert_eq!(pull(log, "work", 9, 1_010).await, [(1, 2), (3, 2), (4, 2), (6, 1)]);
    let ids = [(1, 2), (3, 2), (4, 2), (6, 1)];
    assert_eq!(settle(log, "work", &ids, Verdict::Acknowledge, 1_020).await, [known; 4]);
    for now in [1_020, 5_000, 500_000] {
        log.sweep(Millis(now)).await.unwrap();
        assert_eq!(pulled(log, "work", 9, now).await, Pulled::default());
    }
}

/// What never was delivered is not settled, and changes nothing for what is settled beside it.
pub async fn what_was_never_delivered_is_unknown(log: &Arc<dyn Log>) {
    publish_at(log, "t", 1..=4).await;
    publish_at(log, "u", [5]).await;
    make(log, "work", &["t"], Since::Start).await;
    make(log, "other", &["t"], Since::Start).await;
    assert_eq!(pull(log, "work", 2, 10).await, first(1..=2));
    let never = [(1, 0), (1, 2), (1, u32::MAX), (3, 1), (5, 1), (6, 1), (0, 1), (u64::MAX, 1)];
    for verdict in [Verdict::Acknowledge, back(20)] {
        assert_eq!(settle(log, "work", &never, verdict.clone(), 20).await, [Settled::Unknown; 8]);
        // Nor was it delivered by this queue.
        assert_eq!(settle(log, "other", &[(1, 1)], verdict, 20).await, [Settled::Unknown]);
    }
    let id = |sequence| DeliveryId { sequence, attempt: 1 };
    let deliveries = vec![
        (id(3), Verdict::Acknowledge),
        (id(2), Verdict::Acknowledge),
        (id(1), back(30)),
        (id(1), Verdict::Acknowledge),
        (id(2), back(30)),
    ];
    let settlement = Settlement { queue: queue("work"), deliveries, now: Millis(30) };
    let (done, late, unknown) = (Settled::Done, Settled::Late, Settled::Unknown);
    assert_eq!(log.settle(settlement).await.unwrap(), [unknown, done, done, late, unknown]);
    assert_eq!(pull(log, "work", 9, 30).await, [(1, 2), (3, 1), (4, 1)]);
}

/// Those whose time came first come first, then those of the lowest sequence; then what was never
/// delivered.
pub async fn what_is_given_back_is_delivered_again_first(log: &Arc<dyn Log>) {
    publish_at(log, "t", 1..=9).await;
    make(log, "work", &["t"], Since::Start).await;
    assert_eq!(pull(log, "work", 6, 10).await, first(1..=6));
    for (ids, at) in [(&[(3, 1), (2, 1)][..], 40), (&[(5, 1)], 30), (&[(1, 1)], 40)] {
        let settled = settle(log, "work", ids, back(at), 30).await;
        assert!(settled.iter().all(|it| *it == Settled::Done), "{ids:?}: {settled:?}");
    }
    assert_eq!(pull(log, "work", 2, 40).await, [(5, 2), (1, 2)]);
    assert_eq!(pull(log, "work", 3, 40).await, [(2, 2), (3, 2), (7, 1)]);
    assert_eq!(settle(log, "work", &[(7, 1), (5, 2)], back(50), 50).await, [Settled::Done; 2]);
    assert_eq!(pull(log, "work", 9, 50).await, [(5, 3), (7, 2), (8, 1), (9, 1)]);
}

/// Not before its time, while others are delivered; a pull tells when that is.
pub async fn what_is_given_back_for_later_waits(log: &Arc<dyn Log>) {
    publish_at(log, "t", 1..=3).await;
    make(log, "work", &["t"], Since::Start).await;
    assert_eq!(pull(log, "work", 2, 10).await, first(1..=2));
    settle(log, "work", &[(1, 1)], back(300), 20).await;
    settle(log, "work", &[(2, 1)], back(200), 20).await;
    for now in [20, 199] {
        log.sweep(Millis(now)).await.unwrap();
        let next_at = Some(Millis(200));
        let none = Pulled { next_at, ..Pulled::default() };
        assert_eq!(pulled(log, "work", 0, now).await, Pulled { more: true, ..none });
    }
    assert_eq!(pull(log, "work", 9, 199).await, first([3]));
    settle(log, "work", &[(3, 1)], Verdict::Acknowledge, 199).await;
    assert_eq!(log.queue(queue("work")).await.unwrap().depth, 2);
    let next = |at| Pulled { next_at: Some(Millis(at)), ..Pulled::default() };
    assert_eq!(pulled(log, "work", 9, 199).await, next(200));
    assert_eq!(pull(log, "work", 9, 200).await, [(2, 2)]);
    assert_eq!(pulled(log, "work", 9, 299).await, next(300));
    let got = pulled(log, "work", 9, 300).await;
    assert_eq!((got.deliveries.len(), got.next_at), (1, Some(Millis(1_200))));
}

/// Whether somebody sweeps or just pulls, and not before its time is up.
pub async fn what_nobody_settles_comes_back(log: &Arc<dyn Log>) {
    publish_at(log, "t", 1..=4).await;
    make(log, "work", &["t"], Since::Start).await;
    assert_eq!(pull(log, "work", 2, 10).await, first(1..=2));
    assert_eq!(pull(log, "work", 1, 20).await, first([3]));
    log.sweep(Millis(1_009)).await.unwrap();
    let next = |at| Pulled { more: true, next_at: Some(Millis(at)), ..Pulled::default() };
    assert_eq!(pulled(log, "work", 0, 1_009).await, next(1_010));
    assert_eq!(log.queue(queue("work")).await.unwrap().in_flight, 3);
    // By the pull itself.
    assert_eq!(pulled(log, "work", 0, 1_010).await, next(1_020));
    assert_eq!(log.queue(queue("work")).await.unwrap().in_flight, 1);
    assert_eq!(pull(log, "work", 2, 1_011).await, [(1, 2), (2, 2)]);
    // By a sweep, long after.
    log.sweep(Millis(1_500)).await.unwrap();
    let state = log.queue(queue("work")).await.unwrap();
    assert_eq!((state.in_flight, state.depth, state.redelivered), (2, 2, 2));
    assert_eq!(pull(log, "work", 9, 1_600).await, [(3, 2), (4, 1)]);
}

/// Whoever is late is told so, whether anybody noticed before; the event is delivered again, and
/// the one who has it then settles it.
pub async fn settling_late_changes_nothing(log: &Arc<dyn Log>) {
    publish_at(log, "t", 1..=5).await;
    make(log, "work", &["t"], Since::Start).await;
    assert_eq!(pull(log, "work", 4, 10).await, first(1..=4));
    let late = async |ids: &[(u64, u32)], now| {
        let before = log.queue(queue("work")).await.unwrap();
        for verdict in [Verdict::Acknowledge, back(now)] {
            let settled = settle(log, "work", ids, verdict, now).await;
            assert!(settled.iter().all(|it| *it == Settled::Late), "{ids:?}: {settled:?}");
        }
        assert_eq!(log.queue(queue("work")).await.unwrap(), before, "{ids:?}");
    };
    let (done, unknown) = ([Settled::Done], [Settled::Unknown]);
    assert_eq!(settle(log, "work", &[(4, 1)], Verdict::Acknowledge, 1_009).await, done);
    // Nobody has noticed yet.
    late(&[(1, 1), (2, 1), (3, 1)], 1_010).await;
    log.sweep(Millis(1_010)).await.unwrap();
    late(&[(1, 1), (2, 1), (3, 1)], 1_010).await;
    assert_eq!(pull(log, "work", 2, 1_020).await, [(1, 2), (2, 2)]);
    late(&[(1, 1), (2, 1), (3, 1)], 1_020).await;
    // Another has it.
    assert_eq!(settle(log, "work", &[(1, 2)], Verdict::Acknowledge, 1_030).await, done);
    assert_eq!(settle(log, "work", &[(1, 1)], Verdict::Acknowledge, 1_030).await, unknown);
    // It was given back, and not delivered since.
    assert_eq!(settle(log, "work", &[(2, 2)], back(5_000), 1_030).await, done);
    late(&[(2, 1), (2, 2)], 1_030).await;
    assert_eq!(pull(log, "work", 9, 1_040).await, [(3, 2), (5, 1)]);
    assert_eq!(pull(log, "work", 9, 5_000).await, [(3, 3), (5, 2), (2, 3)]);
    late(&[(2, 1), (2, 2), (3, 1), (3, 2), (5, 1)], 5_000).await;
}

/// Just then: when nothing is left that could be delivered now, there is no more.
pub async fn a_pull_tells_whether_there_is_more(log: &Arc<dyn Log>) {
    make(log, "work", &["t"], Since::Now).await;
    let got = async |max, now| {
        let Pulled { deliveries, more, next_at } = pulled(log, "work", max, now).await;
        (deliveries.len(), more, next_at.map(|at| at.0))
    };
    for max in [0, 1, 10] {
        assert_eq!(got(max, 1).await, (0, false, None));
    }
    publish_at(log, "u", 1..=5).await;
    assert_eq!(got(0, 10).await, (0, false, None));
    publish_at(log, "t", 1..=5).await;
    publish_at(log, "u", 1..=5).await;
    assert_eq!(got(0, 10).await, (0, true, None));
    assert_eq!(got(1, 10).await, (1, true, Some(1_010)));
    assert_eq!(got(3, 20).await, (3, true, Some(1_010)));
    assert_eq!(got(1, 30).await, (1, false, Some(1_010)));
    assert_eq!(got(9, 30).await, (0, false, Some(1_010)));
    settle(log, "work", &[(6, 1), (8, 1)], back(40), 40).await;
    assert_eq!(got(0, 40).await, (0, true, Some(1_020)));
    assert_eq!(got(1, 40).await, (1, true, Some(1_020)));
    assert_eq!(got(1, 50).await, (1, false, Some(1_020)));
    settle(log, "work", &[(6, 2)], back(700), 60).await;
    assert_eq!(got(9, 60).await, (0, false, Some(700)));
    // Three have come back when it is 1,030, and one has been there before.
    assert_eq!(got(2, 1_030).await, (2, true, Some(1_050)));
    assert_eq!(got(2, 1_030).await, (2, false, Some(1_050)));
}
