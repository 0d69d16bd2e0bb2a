//! The journal on PostgreSQL: its contract, and many nodes on one database.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

#[path = "it/opened.rs"]
mod opened;
#[path = "it/server.rs"]
mod server;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use switchboard_core::{
    ClientId, Millis,
    presence::{GatewayId, Journal, Place, Report, Sighting, Status, TenantReport},
};
use tokio::{task::JoinSet, time::timeout};

use self::{
    opened::{Opened, store},
    server::{server, store_at},
};

async fn open() -> Opened<dyn Journal> {
    let store = store().await;
    let journal = Arc::clone(&store.journal) as Arc<dyn Journal>;
    Opened::new(journal, store)
}

switchboard_contract::journal!(open);

/// A report that says which one it is by its time.
fn report(gateway: u64, at: i64) -> Report {
    let sighting = Sighting {
        client: ClientId::new(&format!("{gateway} {at}")).unwrap(),
        seen: Some(Millis(at)),
        status: Status::Even,
        sessions: 1,
    };
    let part =
        TenantReport { tenant: "a".parse().unwrap(), connected: 1, sightings: vec![sighting] };
    Report { gateway: GatewayId(gateway), at: Millis(at), tenants: vec![part] }
}

fn place(gateway: u64, number: u64) -> Place {
    Place { gateway: GatewayId(gateway), number }
}

/// All that there is, and up to where that is.
async fn read(journal: &Arc<dyn Journal>) -> (Vec<Report>, Vec<Place>) {
    let (mut all, mut places, mut from) = (Vec::new(), Vec::new(), Some(0));
    while let Some(place) = from {
        let page = journal.read(place).await.unwrap();
        all.extend(page.reports);
        places = page.places;
        from = page.next;
    }
    (all, places)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_appended_another_is_told_once() {
    let url = server().database().unwrap();
    let (here, there) = (store_at(&url).await.journal, store_at(&url).await.journal);
    assert!(there.others(Vec::new()).await.unwrap().is_empty());
    for number in 1..=3 {
        let at = i64::try_from(number).unwrap();
        assert_eq!(here.append(&report(7, at)).await.unwrap(), Some(place(7, number)));
    }
    let told = there.others(Vec::new()).await.unwrap();
    let expected: Vec<_> = (1..=3).map(|n| (place(7, n), report(7, n.cast_signed()))).collect();
    assert_eq!(told, expected);
    assert_eq!(there.others(vec![place(7, 2)]).await.unwrap(), expected[2..]);
    assert!(there.others(vec![place(7, 3)]).await.unwrap().is_empty());
    // A gateway that has turned to another node counts on.
    assert_eq!(there.append(&report(7, 4)).await.unwrap(), Some(place(7, 4)));
    assert_eq!(here.others(vec![place(7, 3)]).await.unwrap(), [(place(7, 4), report(7, 4))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_is_not_told_again_and_what_came_since_is() {
    let url = server().database().unwrap();
    let (here, there) = (store_at(&url).await.journal, store_at(&url).await.journal);
    let here: Arc<dyn Journal> = here;
    for at in 1..=5 {
        here.append(&report(u64::MAX, at)).await.unwrap();
        there.append(&report(0, at)).await.unwrap();
    }
    let (all, places) = read(&here).await;
    // In the order of the appends, not of the gateways.
    let expected: Vec<_> = (1..=5).flat_map(|at| [report(u64::MAX, at), report(0, at)]).collect();
    assert_eq!(all, expected);
    assert!(here.others(places.clone()).await.unwrap().is_empty());
    there.append(&report(0, 6)).await.unwrap();
    there.append(&report(5, 1)).await.unwrap();
    let told = here.others(places).await.unwrap();
    let told: BTreeMap<_, _> = told.into_iter().map(|(place, it)| (place.gateway, it)).collect();
    let expected = [(GatewayId(0), report(0, 6)), (GatewayId(5), report(5, 1))];
    assert_eq!(told, BTreeMap::from(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_read_at_once_do_not_disturb_each_other() {
    let journal = Arc::clone(&store().await.journal);
    let appends: Vec<_> = (1..=1_500).map(|at| journal.append(&report(1, at))).collect();
    for append in appends {
        append.await.unwrap();
    }
    let journal: Arc<dyn Journal> = journal;
    let mut reading = JoinSet::new();
    for _ in 0..20 {
        let journal = Arc::clone(&journal);
        reading.spawn(async move {
            let (all, places) = read(&journal).await;
            let times: Vec<_> = all.iter().map(|report| report.at.0).collect();
            (times, places)
        });
    }
    let mut whole = 0;
    for (mut times, places) in reading.join_all().await {
        whole += usize::from(times.len() == 1_500);
        // Who had to begin anew may have read some twice.
        times.sort_unstable();
        times.dedup();
        assert_eq!(times, (1..=1_500).collect::<Vec<_>>());
        assert_eq!(places, [place(1, 1_500)]);
    }
    assert!(0 < whole);
}

/// Appends, readers that begin at any moment, and those who follow: all at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_misses_a_report_and_nobody_is_told_one_twice() {
    const STORES: u64 = 3;
    const GATEWAYS: u64 = 4;
    const EACH: i64 = 60;
    let url = server().database().unwrap();
    let mut appending = JoinSet::new();
    let mut stores = Vec::new();
    for store in 0..STORES {
        let opened = store_at(&url).await;
        let journal = Arc::clone(&opened.journal);
        stores.push(opened);
        appending.spawn(async move {
            for turn in 0..EACH {
                // Several gateways at once, each also by other stores.
                let at = turn * STORES.cast_signed() + store.cast_signed();
                let order = (0..GATEWAYS).map(|nth| (nth + store) % GATEWAYS);
                let appends: Vec<_> =
                    order.map(|gateway| journal.append(&report(gateway, at))).collect();
                for append in appends {
                    append.await.unwrap();
                }
            }
        });
    }
    let total = usize::try_from(STORES * GATEWAYS).unwrap() * usize::try_from(EACH).unwrap();
    let mut following = JoinSet::new();
    for nth in 0..4_u64 {
        let store = store_at(&url).await;
        following.spawn(async move {
            tokio::time::sleep(Duration::from_millis(100 * nth)).await;
            let journal: Arc<dyn Journal> = Arc::clone(&store.journal) as _;
            let (mut seen, places) = read(&journal).await;
            let mut at: HashMap<_, _> =
                places.iter().map(|place| (place.gateway, place.number)).collect();
            while seen.len() < total {
                let behind =
                    at.iter().map(|(&gateway, &number)| Place { gateway, number }).collect();
                for (place, report) in journal.others(behind).await.unwrap() {
                    let last = at.entry(place.gateway).or_default();
                    assert_eq!(place.number, *last + 1, "{place:?} is not the next one");
                    *last = place.number;
                    seen.push(report);
                }
            }
            assert_eq!(seen.len(), total);
            let mut names: Vec<_> = seen.iter().map(|report| (report.gateway, report.at)).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), total);
        });
    }
    let limit = Duration::from_mins(2);
    timeout(limit, appending.join_all()).await.unwrap();
    timeout(limit, following.join_all()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_gap_in_what_is_kept_leaves_the_numbers_as_they_were() {
    let url = server().database().unwrap();
    let (here, there) = (store_at(&url).await.journal, store_at(&url).await.journal);
    for at in 1..=10 {
        here.append(&report(3, at)).await.unwrap();
    }
    here.prune(Millis(1_000)).await.unwrap();
    assert!(there.others(Vec::new()).await.unwrap().is_empty());
    assert_eq!(here.append(&report(3, 2_000)).await.unwrap(), Some(place(3, 11)));
    assert_eq!(there.others(vec![place(3, 10)]).await.unwrap().len(), 1);
    // After a day without a word nobody knows of it any more.
    here.prune(Millis(2_000 + 86_400_001)).await.unwrap();
    assert_eq!(here.append(&report(3, 90_000_000)).await.unwrap(), Some(place(3, 1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_at_once_is_bounded_and_goes_on() {
    let url = server().database().unwrap();
    let (here, there) = (store_at(&url).await.journal, store_at(&url).await.journal);
    let long = |at| {
        let mut long = report(9, at);
        long.tenants[0].sightings.extend((0..20_000).map(|n| Sighting {
            client: ClientId::new(&format!("{n:0>100}")).unwrap(),
            seen: None,
            status: Status::Odd,
            sessions: 1,
        }));
        long
    };
    for at in 1..=6 {
        here.append(&long(at)).await.unwrap();
    }
    let (mut told, mut last, mut calls) = (Vec::new(), 0, 0);
    loop {
        let others = there.others(vec![place(9, last)]).await.unwrap();
        let Some((place, _)) = others.last() else { break };
        last = place.number;
        calls += 1;
        told.extend(others.into_iter().map(|(_, report)| report.at.0));
    }
    assert_eq!(told, [1, 2, 3, 4, 5, 6]);
    assert!(1 < calls, "12 MB came at once");
}
