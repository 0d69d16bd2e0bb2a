//! Two nodes at one database, at once.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use switchboard_core::{
    ClientId, Code, Millis, Tenant,
    bus::{
        Attendance, Body, Content, DeliveryId, Draft, Event, Gone, IdempotencyKey, Interest, Log,
        Pull, QueueId, QueueName, QueueSettings, Read, Retention, Settled, Settlement, Signal,
        Signals, Since, TopicFilter, Verdict,
    },
    presence::GatewayId,
};
use tokio::task::JoinSet;

use crate::{Node, open};

/// How long all of something may take.
const PATIENCE: Duration = Duration::from_mins(2);

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
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
    Draft { tenant: tenant("a"), body: Body::new(&content).unwrap(), at: Millis(1) }
}

fn all(since: Since) -> Read {
    let interest = Interest::new([">"], []).unwrap();
    Read { tenant: tenant("a"), interest, since, events_max: 100, bytes_max: usize::MAX }
}

fn work() -> QueueId {
    QueueId { tenant: tenant("a"), name: QueueName::new("work").unwrap() }
}

async fn make_work(log: &Arc<dyn Log>, max_deliveries: u32) {
    let interest = Interest::new(["t"], []).unwrap();
    let numbers = (1_000, max_deliveries);
    let settings = QueueSettings::new(&work().name, interest, numbers, "").unwrap();
    log.create_queue(work(), settings, Since::Start).await.unwrap();
}

/// Reads on to a sequence while others publish; in order, without a gap.
async fn follow(log: Arc<dyn Log>, to: u64) -> Vec<Event> {
    let (mut read, mut events) = (all(Since::Start), Vec::<Event>::new());
    loop {
        let page = log.read(read.clone()).await.unwrap();
        for event in page.events {
            assert_eq!(
                event.sequence,
                events.len() as u64 + 1,
                "none is seen before an earlier one"
            );
            events.push(event);
        }
        assert_eq!(page.position, events.len() as u64);
        if to <= page.position {
            return events;
        }
        read.since = Since::After(page.position);
        tokio::task::yield_now().await;
    }
}

async fn two() -> (Node, Node) {
    let one = open().await;
    let other = one.another().await;
    (one, other)
}

/// Whoever publishes where: sequences have no gap, a key counts once, and every reader sees every
/// event once, in order, and none before an earlier one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_on_two_nodes_share_one_log() {
    const CALLERS: usize = 4;
    const TURNS: usize = 60;
    let (one, other) = two().await;
    let mut callers = JoinSet::new();
    for caller in 0..2 * CALLERS {
        let log = Arc::clone(if caller % 2 == 0 { &one.log } else { &other.log });
        callers.spawn(async move {
            let mut sequences = Vec::new();
            for turn in 0..TURNS {
                let own = format!("{caller}-{turn}");
                let drafts =
                    vec![draft("t", None, &own), draft("u", Some(&format!("{turn}")), "same")];
                let published = log.publish(drafts).await.unwrap();
                sequences.extend(published.into_iter().map(|it| it.unwrap()));
            }
            sequences
        });
    }
    let count = (2 * CALLERS * TURNS + TURNS) as u64;
    let mut readers = JoinSet::new();
    for node in [&one, &other] {
        readers.spawn(follow(Arc::clone(&node.log), count));
    }
    let done = tokio::time::timeout(PATIENCE, callers.join_all()).await.unwrap();
    let pages = tokio::time::timeout(PATIENCE, readers.join_all()).await.unwrap();
    assert_eq!(pages[0], pages[1]);
    assert_eq!(pages[0].len() as u64, count);
    let new: Vec<u64> = done.iter().flatten().filter(|it| it.new).map(|it| it.sequence).collect();
    assert_eq!(new.iter().collect::<BTreeSet<_>>().len() as u64, count, "each is new once");
    assert_eq!(new.len() as u64, count);
    for turn in 0..TURNS {
        // The second of each turn: by all who published it.
        let of_key: BTreeSet<u64> =
            done.iter().map(|published| published[2 * turn + 1].sequence).collect();
        assert_eq!(of_key.len(), 1, "one key is one event");
    }
    for published in &done {
        let own: Vec<u64> = published.iter().step_by(2).map(|it| it.sequence).collect();
        assert!(own.is_sorted(), "a caller's events are in his order");
    }
    assert_eq!(one.log.newest(vec![tenant("a"), tenant("none")]).await.unwrap(), [count, 0]);
}

/// Who holds what right now.
#[derive(Debug, Default)]
struct Holders {
    held: Mutex<HashSet<u64>>,
    acknowledged: Mutex<BTreeMap<u64, u32>>,
}

/// A consumer that acknowledges most, and gives back some.
async fn consume(log: Arc<dyn Log>, holders: Arc<Holders>, clock: Arc<AtomicU64>, count: usize) {
    let mut turn = 0_u64;
    while holders.acknowledged.lock().unwrap().len() < count {
        let now = Millis(i64::try_from(clock.load(Ordering::SeqCst)).unwrap());
        let pulled = log.pull(Pull { queue: work(), max: 5, now }).await.unwrap();
        let ids: Vec<DeliveryId> = pulled.deliveries.iter().map(|it| it.id).collect();
        for id in &ids {
            let free = holders.held.lock().unwrap().insert(id.sequence);
            assert!(free, "{id:?} is held by another");
        }
        tokio::task::yield_now().await;
        turn += 1;
        let verdict = |id: &DeliveryId| {
            if (id.sequence + turn).is_multiple_of(5) && id.attempt < 4 {
                Verdict::Return { at: now, reason: "again".into() }
            } else {
                Verdict::Acknowledge
            }
        };
        let deliveries: Vec<_> = ids.iter().map(|id| (*id, verdict(id))).collect();
        for id in &ids {
            holders.held.lock().unwrap().remove(&id.sequence);
        }
        let settlement = Settlement { queue: work(), deliveries: deliveries.clone(), now };
        let settled = log.settle(settlement).await.unwrap();
        for ((id, verdict), settled) in deliveries.iter().zip(settled) {
            assert_eq!(settled, Settled::Done, "{id:?}");
            if *verdict == Verdict::Acknowledge {
                *holders.acknowledged.lock().unwrap().entry(id.sequence).or_default() += 1;
            }
        }
    }
}

/// Consumers on both nodes, while both publish and sweep: no delivery is held by two at once, and
/// all are acknowledged, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_on_two_nodes_share_one_queue() {
    const COUNT: usize = 400;
    let (one, other) = two().await;
    make_work(&one.log, 10).await;
    let (holders, clock) = (Arc::new(Holders::default()), Arc::new(AtomicU64::new(1_000)));
    let stop = Arc::new(AtomicBool::new(false));
    let (mut tasks, mut sweepers) = (JoinSet::new(), JoinSet::new());
    for (number, node) in [&one, &other].into_iter().enumerate() {
        let log = Arc::clone(&node.log);
        tasks.spawn(async move {
            for turn in 0..COUNT / 2 {
                let data = format!("{number}-{turn}");
                log.publish(vec![draft("t", None, &data)]).await.unwrap();
            }
        });
        for _ in 0..3 {
            let (log, holders) = (Arc::clone(&node.log), Arc::clone(&holders));
            tasks.spawn(consume(log, holders, Arc::clone(&clock), COUNT));
        }
        let (log, clock, stop) = (Arc::clone(&node.log), Arc::clone(&clock), Arc::clone(&stop));
        sweepers.spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                // Nobody's time is ever up: it advances by less than a consumer may take.
                let now = clock.fetch_max(1_001, Ordering::SeqCst);
                log.sweep(Millis(i64::try_from(now).unwrap())).await.unwrap();
            }
        });
    }
    tokio::time::timeout(PATIENCE, tasks.join_all()).await.unwrap();
    stop.store(true, Ordering::SeqCst);
    sweepers.join_all().await;
    let acknowledged = holders.acknowledged.lock().unwrap().clone();
    assert_eq!(acknowledged.len(), COUNT);
    assert!(acknowledged.values().all(|times| *times == 1), "{acknowledged:?}");
    for node in [&one, &other] {
        let state = node.log.queue(work()).await.unwrap();
        assert_eq!((state.depth, state.in_flight, state.dead_lettered), (0, 0, 0));
        assert_eq!(state.acknowledged, COUNT as u64);
    }
}

/// What nobody settles is given up once, whichever node looks after it; and both can settle what
/// either gave out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sweeps_on_two_nodes_give_up_once() {
    let (one, other) = two().await;
    make_work(&one.log, 1).await;
    let drafts = (0..1_500).map(|number| draft("t", None, &number.to_string())).collect();
    one.log.publish(drafts).await.unwrap();
    for node in [&one, &other] {
        let pull = Pull { queue: work(), max: 750, now: Millis(10) };
        assert_eq!(node.log.pull(pull).await.unwrap().deliveries.len(), 750);
    }
    let id = DeliveryId { sequence: 700, attempt: 1 };
    let deliveries = vec![(id, Verdict::Acknowledge)];
    let settlement = Settlement { queue: work(), deliveries, now: Millis(20) };
    assert_eq!(other.log.settle(settlement.clone()).await.unwrap(), [Settled::Done]);
    assert_eq!(one.log.settle(settlement).await.unwrap(), [Settled::Unknown]);
    let now = Millis(1_010);
    let sweeps = [&one, &other, &one, &other].map(|node| node.log.sweep(now));
    for swept in join_all(sweeps).await {
        swept.unwrap();
    }
    let state = one.log.queue(work()).await.unwrap();
    assert_eq!((state.depth, state.in_flight, state.dead_lettered), (0, 0, 1_499));
    let events = follow(Arc::clone(&other.log), 2_999).await;
    let letters = events[1_500..].iter().map(|event| event.body.dead_letter().unwrap().sequence);
    let expected: Vec<u64> = (1..=1_500).filter(|sequence| *sequence != 700).collect();
    assert_eq!(letters.collect::<Vec<_>>(), expected, "in the order of the log");
}

/// What one node has published, changed or let go of, the other knows at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_knows_what_the_other_did() {
    let (one, other) = two().await;
    one.log.publish(vec![draft("t", Some("k"), "1"), draft("u", None, "2")]).await.unwrap();
    let wanted =
        |filter| Read { interest: Interest::new([filter], []).unwrap(), ..all(Since::Start) };
    assert_eq!(other.log.read(wanted("t")).await.unwrap().events.len(), 1);
    // A topic that the other has not heard of.
    one.log.publish(vec![draft("t.new", None, "3")]).await.unwrap();
    assert_eq!(other.log.read(wanted("t.*")).await.unwrap().events.len(), 1);
    let again = other.log.publish(vec![draft("t", Some("k"), "1")]).await.unwrap();
    assert!(!again[0].as_ref().unwrap().new);
    let differs = other.log.publish(vec![draft("t", Some("k"), "9")]).await.unwrap();
    assert_eq!(differs[0].as_ref().unwrap_err().code(), Code::Conflict);
    make_work(&other.log, 3).await;
    assert_eq!(one.log.queues(tenant("a")).await.unwrap().len(), 1);
    let filter = TopicFilter::new("t").unwrap();
    let rules: Arc<[Retention]> = [Retention { filter, age_ms: Some(0), bytes: None }].into();
    assert_eq!(one.log.expire(rules, Millis(1_000)).await.unwrap(), 1);
    let read = other.log.read(all(Since::After(0))).await;
    assert_eq!(read.unwrap_err().code(), Code::CursorExpired);
    assert_eq!(other.log.queue(work()).await.unwrap().depth, 0);
    let again = other.log.publish(vec![draft("t", Some("k"), "9")]).await.unwrap();
    assert!(again[0].as_ref().unwrap().new, "a key is forgotten with its event");
}

/// Both nodes are told to let go of what both see: it is let go of once, and readers are told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_nodes_expire_at_once() {
    let (one, other) = two().await;
    let drafts = (0..5_000).map(|number| draft("t", None, &number.to_string())).collect();
    one.log.publish(drafts).await.unwrap();
    let filter = TopicFilter::new("t").unwrap();
    let rules: Arc<[Retention]> = [Retention { filter, age_ms: Some(0), bytes: None }].into();
    let expiries = [&one, &other].map(|node| node.log.expire(Arc::clone(&rules), Millis(9)));
    let mut count = 0;
    for expired in join_all(expiries).await {
        count += expired.unwrap();
    }
    assert_eq!(count, 5_000);
    let page = other.log.read(all(Since::Start)).await.unwrap();
    assert_eq!((page.events.len(), page.position, page.newest), (0, 5_000, 5_000));
}

#[derive(Debug, Default)]
struct Told(Mutex<Vec<Signal>>);

impl Signals for Told {
    fn tell(&self, signals: Vec<Signal>) {
        self.0.lock().unwrap().extend(signals);
    }
}

/// Clients come and go at gateways of both nodes: announced once, by the first and the last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_at_two_nodes_is_announced_once() {
    let (one, other) = two().await;
    let told = Arc::new(Told::default());
    one.log.listen(Arc::clone(&told) as Arc<dyn Signals>);
    let attendance = |gateway, present, session| Attendance {
        tenant: tenant("a"),
        client: ClientId::new("zoe").unwrap(),
        gateway: GatewayId(gateway),
        present,
        session,
        at: Millis(1),
    };
    let both = [
        one.log.attend(vec![attendance(1, true, 10)]),
        other.log.attend(vec![attendance(u64::MAX, true, 11)]),
    ];
    for attended in join_all(both).await {
        attended.unwrap();
    }
    one.log.attend(vec![attendance(1, false, 10)]).await.unwrap();
    let gateways = one.log.gateways().await.unwrap();
    assert_eq!(gateways, [GatewayId(u64::MAX)]);
    let gone = || Gone::These(vec![GatewayId(u64::MAX)]);
    let both = [one.log.abandon(gone(), Millis(5)), other.log.abandon(gone(), Millis(5))];
    let mut notes = 0;
    for abandoned in join_all(both).await {
        notes += abandoned.unwrap();
    }
    assert_eq!(notes, 1);
    let events = other.log.read(all(Since::Start)).await.unwrap().events;
    let topics: Vec<&str> = events.iter().map(|event| event.body.topic()).collect();
    assert_eq!(topics, ["sys.presence.online", "sys.presence.offline"]);
}
