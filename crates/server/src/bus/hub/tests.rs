//! Who gets what, and when.

use futures_util::task::noop_waker;
use switchboard_core::{
    Millis,
    bus::{Body, Content},
    signals::Alone,
};

use super::{super::mailbox::Taken, *};
use crate::relay::Ears;

fn hub(bounds: (usize, usize)) -> Arc<Hub> {
    Hub::new(&Metrics::new(), bounds, &Ears::new(Arc::new(Alone)))
}

fn tenant() -> Tenant {
    "a".parse().unwrap()
}

fn event(sequence: u64, topic: &str, kind: &str) -> Event {
    let content = Content { topic, kind, content_type: "", data: b"data", key: None, reply_to: "" };
    Event { sequence, at: Millis(0), body: Body::new(&content).unwrap() }
}

fn interest(filters: &[&str], types: &[&str]) -> Interest {
    Interest::new(filters.iter().copied(), types.iter().copied()).unwrap()
}

/// What is in a mailbox: the numbers of subscriptions, and the sequences that came for them.
fn taken(stay: &Stay) -> Vec<(u32, Vec<u64>)> {
    let mut all = Vec::new();
    while let Taken::Run(number, run) = stay.mailbox().take(&noop_waker()) {
        all.push((number, run.events().iter().map(|event| event.sequence).collect()));
    }
    all
}

fn joined(hub: &Arc<Hub>, position: u64, wanted: &Interest, number: u32) -> (Stay, Place) {
    let stay = hub.enter(tenant());
    match stay.join(position, wanted, number, &noop_waker()) {
        Join::Joined(place) => (stay, place),
        other => panic!("{other:?}"),
    }
}

fn append(hub: &Hub, events: Vec<Event>) {
    hub.tell(vec![Signal::Appended { tenant: tenant(), events }]);
}

#[test]
fn each_gets_what_it_wants_once_and_in_order() {
    let hub = hub((1_000_000, 1_000_000));
    let (all, _) = joined(&hub, 0, &interest(&[">", "a.*"], &[]), 1);
    let (some, _) = joined(&hub, 0, &interest(&["a.>"], &["x"]), 2);
    append(&hub, vec![event(1, "a.b", "x"), event(2, "a.b", "x"), event(3, "a.b", "y")]);
    append(&hub, vec![event(4, "b", "x")]);
    assert_eq!(taken(&all), [(1, vec![1, 2]), (1, vec![3]), (1, vec![4])]);
    assert_eq!(taken(&some), [(2, vec![1, 2])]);
    hub.publish(&tenant(), vec![event(0, "a.c", "x")]);
    assert_eq!(taken(&all), [(1, vec![0])]);
    assert_eq!(taken(&some), [(2, vec![0])]);
    hub.publish(&"b".parse().unwrap(), vec![event(0, "a.c", "x")]);
    assert_eq!(taken(&all), [], "another tenant's");
}

#[test]
fn who_has_read_on_joins_just_there() {
    let hub = hub((1_000_000, 1_000_000));
    let wanted = interest(&[">"], &[]);
    let (live, _) = joined(&hub, 5, &wanted, 1);
    let late = hub.enter(tenant());
    let join = |position| late.join(position, &wanted, 2, &noop_waker());
    // Read, and not told yet.
    assert_eq!(join(6), Join::Ahead);
    append(&hub, vec![event(6, "a", "x")]);
    append(&hub, vec![event(7, "a", "x")]);
    assert_eq!(join(6), Join::Behind);
    assert!(matches!(join(7), Join::Joined(_)));
    append(&hub, vec![event(8, "a", "x")]);
    assert_eq!(taken(&late), [(2, vec![8])]);
    assert_eq!(taken(&live), [(1, vec![6]), (1, vec![7]), (1, vec![8])]);
}

#[test]
fn what_was_read_already_is_not_told_again() {
    let hub = hub((1_000_000, 1_000_000));
    let (stay, _) = joined(&hub, 7, &interest(&[">"], &[]), 1);
    append(&hub, vec![event(6, "a", "x"), event(7, "a", "x")]);
    append(&hub, vec![event(8, "a", "x")]);
    assert_eq!(taken(&stay), [(1, vec![8])]);
}

#[test]
fn a_lost_signal_is_no_silent_gap() {
    let hub = hub((1_000_000, 1_000_000));
    let (stay, _) = joined(&hub, 1, &interest(&[">"], &[]), 1);
    append(&hub, vec![event(3, "a", "x")]);
    assert!(matches!(stay.mailbox().take(&noop_waker()), Taken::Spilt));
}

#[test]
fn a_mailbox_spills_by_itself() {
    let hub = hub((1_000, 1_000_000));
    let wanted = interest(&[">"], &[]);
    let (full, _) = joined(&hub, 0, &wanted, 1);
    let (read, _) = joined(&hub, 0, &wanted, 1);
    for _ in 0..100 {
        hub.publish(&tenant(), vec![event(0, "a", "x")]);
        assert_eq!(taken(&read), [(1, vec![0])]);
    }
    assert!(matches!(full.mailbox().take(&noop_waker()), Taken::Spilt));
    assert_eq!(hub.held.load(Ordering::Relaxed), 0, "nothing is kept of what was let go of");
}

#[test]
fn all_together_hold_no_more_than_they_may() {
    let hub = hub((usize::MAX, 200_000));
    let wanted = interest(&[">"], &[]);
    let all: Vec<_> = (0..10).map(|_| joined(&hub, 0, &wanted, 1)).collect();
    let mut most = 0;
    for _ in 0..100_000 {
        hub.publish(&tenant(), vec![event(0, "a", "x")]);
        most = most.max(hub.held.load(Ordering::Relaxed));
    }
    assert!(most < 300_000, "{most}");
    let spilt =
        |(stay, _): &(Stay, Place)| matches!(stay.mailbox().take(&noop_waker()), Taken::Spilt);
    assert!(all.iter().all(spilt));
}

#[test]
fn nothing_is_left_of_who_has_left() {
    let hub = hub((1_000, 1_000));
    let (stay, place) = joined(&hub, 0, &interest(&["a"], &["x"]), 1);
    let (other, its_place) = joined(&hub, 0, &interest(&["a"], &[]), 1);
    stay.leave([place]);
    hub.publish(&tenant(), vec![event(0, "a", "x")]);
    assert_eq!(taken(&stay), []);
    other.leave([its_place]);
    drop((stay, other));
    assert!(hub.tenants.read().unwrap().is_empty());
}

#[test]
fn news_of_a_queue_goes_to_one_who_waits() {
    let hub = hub((1_000, 1_000));
    let queue = crate::bus::queue(tenant(), "work").unwrap();
    let [first, second, busy] = [(); 3].map(|()| hub.wait(queue.clone()));
    let waker = noop_waker();
    let context = &mut std::task::Context::from_waker(&waker);
    first.line_up();
    first.line_up();
    second.line_up();
    hub.tell(vec![Signal::Ready { queue: queue.clone() }]);
    assert!(busy.poll_news(context).is_pending());
    assert!(second.poll_news(context).is_pending());
    // Who leaves with the news passes it on.
    drop(first);
    assert!(second.poll_news(context).is_ready());
    assert!(second.poll_news(context).is_pending());
    second.line_up();
    busy.line_up();
    hub.ready(&queue);
    second.step_out();
    assert!(busy.poll_news(context).is_ready());
    drop((second, busy));
    assert!(hub.waitings().is_empty());
}

#[test]
fn news_that_nobody_heard_is_for_the_first_who_comes() {
    let hub = hub((1_000, 1_000));
    let queue = crate::bus::queue(tenant(), "work").unwrap();
    let [first, second] = [(); 2].map(|()| hub.wait(queue.clone()));
    let waker = noop_waker();
    let context = &mut std::task::Context::from_waker(&waker);
    hub.ready(&queue);
    hub.ready(&queue);
    first.line_up();
    second.line_up();
    assert!(first.poll_news(context).is_ready());
    assert!(second.poll_news(context).is_pending(), "it was one look that was owed");
    // Who is busy with what it got passes its news on, though nobody waits just now.
    second.step_out();
    first.line_up();
    hub.ready(&queue);
    first.step_out();
    second.line_up();
    assert!(second.poll_news(context).is_ready());
}
