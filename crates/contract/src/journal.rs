//! The contract of [`Journal`].
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

use std::{collections::BTreeSet, sync::Arc};

use switchboard_core::{
    ClientId, Millis,
    presence::{GatewayId, Journal, Report, Sighting, Status, TenantReport},
};
use tokio::task::JoinSet;

/// Declares one test for each clause of the contract, for the journal that `$open` opens.
///
/// `$open` is an async function that gives something which can be borrowed as an
/// `Arc<dyn Journal>`: the store itself, or a guard that also owns its directory.
#[macro_export]
macro_rules! journal {
    ($open:expr) => {
        $crate::journal!(
            $open;
            an_empty_journal_has_nothing_to_read,
            reports_come_back_whole_and_in_order,
            reports_of_any_form_come_back,
            reports_of_any_length_come_back,
            reports_of_many_callers_all_come_back,
            reading_goes_on_from_where_it_stopped,
            pruning_forgets_nothing_that_is_younger,
            pruning_forgets_in_time_what_is_older,
        );
    };
    ($open:expr; $($clause:ident,)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $clause() {
            let opened = $open().await;
            $crate::journal::$clause(opened.as_ref()).await;
        })+
    };
}

/// A report of one client.
fn report(at: i64, client: &str) -> Report {
    let sighting = Sighting {
        client: ClientId::new(client).unwrap(),
        seen: Some(Millis(at - 1)),
        status: Status::Even,
        sessions: 1,
    };
    let sightings = vec![sighting];
    let part = TenantReport { tenant: "a".parse().unwrap(), connected: 1, sightings };
    Report { gateway: GatewayId(7), at: Millis(at), tenants: vec![part] }
}

/// All that the journal holds.
async fn read(journal: &Arc<dyn Journal>) -> Vec<Report> {
    let (mut all, mut from) = (Vec::new(), Some(0));
    while let Some(place) = from {
        let page = journal.read(place).await.unwrap();
        all.extend(page.reports);
        from = page.next;
        assert!(from.is_none_or(|next| place < next), "a page leads on");
    }
    all
}

/// Nothing was appended, nothing comes back.
pub async fn an_empty_journal_has_nothing_to_read(journal: &Arc<dyn Journal>) {
    assert!(read(journal).await.is_empty());
    journal.prune(Millis(1_000)).await.unwrap();
    assert!(read(journal).await.is_empty());
}

/// What was answered is read back, in order.
pub async fn reports_come_back_whole_and_in_order(journal: &Arc<dyn Journal>) {
    let mut appended = Vec::new();
    for at in 1..=20 {
        let report = report(at, &format!("client {at}"));
        journal.append(&report).await.unwrap();
        appended.push(report);
        assert_eq!(read(journal).await, appended);
    }
}

/// Empty ones, long ones, names of any form.
pub async fn reports_of_any_form_come_back(journal: &Arc<dyn Journal>) {
    let empty = Report { gateway: GatewayId(0), at: Millis(-1), tenants: Vec::new() };
    let nobody = TenantReport {
        tenant: "x".repeat(64).parse().unwrap(),
        connected: u32::MAX,
        sightings: Vec::new(),
    };
    let sighting = |client: &str, seen| Sighting {
        client: ClientId::new(client).unwrap(),
        seen,
        status: Status::Unknown,
        sessions: u16::MAX,
    };
    let odd = TenantReport {
        tenant: "._-".parse().unwrap(),
        connected: 0,
        sightings: vec![
            sighting(&"🦀".repeat(32), None),
            sighting("\"quoted\"", Some(Millis(i64::MIN))),
            sighting("é", Some(Millis(i64::MAX))),
        ],
    };
    let long = TenantReport {
        tenant: "many".parse().unwrap(),
        connected: 10_000,
        sightings: (0..200).map(|n| sighting(&format!("{n}"), Some(Millis(n)))).collect(),
    };
    let full = Report {
        gateway: GatewayId(u64::MAX),
        at: Millis(i64::MAX),
        tenants: vec![nobody, odd, long],
    };
    journal.append(&empty).await.unwrap();
    journal.append(&full).await.unwrap();
    assert_eq!(read(journal).await, [empty, full]);
}

/// Long ones among short ones, also of clients whose names are as long as can be.
pub async fn reports_of_any_length_come_back(journal: &Arc<dyn Journal>) {
    let long = |at, sightings| {
        let mut long = report(at, "first");
        long.tenants[0].sightings.extend((0..sightings).map(|n: i64| Sighting {
            client: ClientId::new(&format!("{n:05}{}é", "🦀".repeat(30))).unwrap(),
            seen: (n % 3 != 0).then_some(Millis(n)),
            status: Status::Odd,
            sessions: 2,
        }));
        long
    };
    let reports = [
        report(1, "short"),
        long(2, 20_000),
        long(3, 500),
        report(4, "between"),
        long(5, 1_000),
        report(6, "last"),
    ];
    let mut last = None;
    // At once, so that some are made durable together.
    for report in &reports {
        last = Some(journal.append(report));
    }
    last.unwrap().await.unwrap();
    // Not one message of megabytes when they differ.
    assert!(read(journal).await == reports, "they did not come back as they were");
}

/// Callers do not wait for each other, and lose nothing.
pub async fn reports_of_many_callers_all_come_back(journal: &Arc<dyn Journal>) {
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let journal = Arc::clone(journal);
        callers.spawn(async move {
            for turn in 0..25 {
                journal.append(&report(1, &format!("{caller} {turn}"))).await.unwrap();
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    let reports = read(journal).await;
    let client = |report: &Report| report.tenants[0].sightings[0].client.to_string();
    let clients: BTreeSet<_> = reports.iter().map(client).collect();
    assert_eq!((reports.len(), clients.len()), (200, 200));
}

/// A reader that stops and goes on later misses nothing and sees nothing twice.
pub async fn reading_goes_on_from_where_it_stopped(journal: &Arc<dyn Journal>) {
    let mut appended = Vec::new();
    let long = "x".repeat(100);
    for at in 1..=1_000 {
        let report = report(at, &format!("{long} {at}"));
        drop(journal.append(&report));
        appended.push(report);
    }
    journal.append(&report(1_001, "last")).await.unwrap();
    appended.push(report(1_001, "last"));
    assert_eq!(read(journal).await, appended);
}

/// What is not older than the prune stays.
pub async fn pruning_forgets_nothing_that_is_younger(journal: &Arc<dyn Journal>) {
    for at in 1..=300 {
        journal.append(&report(at, &format!("client {at}"))).await.unwrap();
        if at % 50 == 0 {
            journal.prune(Millis(at - 20)).await.unwrap();
        }
    }
    let times: Vec<_> = read(journal).await.iter().map(|report| report.at.0).collect();
    assert!(times.is_sorted());
    assert!(times.ends_with(&(280..=300).collect::<Vec<_>>()), "{times:?}");
}

/// The journal does not grow for ever.
pub async fn pruning_forgets_in_time_what_is_older(journal: &Arc<dyn Journal>) {
    let long = "x".repeat(100);
    for at in 1..=3_000 {
        drop(journal.append(&report(at, &format!("{long} {at}"))));
        if at % 100 == 0 {
            journal.prune(Millis(at - 10)).await.unwrap();
        }
    }
    let left = read(journal).await.len();
    assert!(left < 2_000, "{left} of 3,000 reports are left");
}

#[cfg(test)]
mod tests {
    use std::future;

    use super::*;
    use crate::Model;

    fn open() -> future::Ready<Box<Arc<dyn Journal>>> {
        future::ready(Box::new(Arc::new(Model::default())))
    }

    crate::journal!(open);
}
