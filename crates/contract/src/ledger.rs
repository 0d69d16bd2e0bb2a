//! The contract of [`Ledger`].
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a suite of tests")]

use std::{collections::BTreeSet, sync::Arc};

use switchboard_core::ingest::{Entry, Key, Ledger, Receipt};
use tokio::task::JoinSet;

/// Declares one test for each clause of the contract, for the ledger that `$open` opens.
///
/// `$open` is an async function that gives something which can be borrowed as an
/// `Arc<dyn Ledger>`: the store itself, or a guard that also owns its directory. Append `gapless`
/// for a store whose ids have no gaps.
#[macro_export]
macro_rules! ledger {
    ($open:expr) => {
        $crate::ledger!(
            $open;
            the_sample_conversation_comes_out_exactly,
            an_equal_entry_gets_the_first_receipt,
            a_batch_is_answered_in_order,
            an_empty_batch_is_answered_with_nothing,
            tenants_do_not_see_each_other,
            of_equal_entries_at_once_exactly_one_is_new,
            a_batch_takes_its_place_when_it_is_handed_over,
            a_dropped_answer_takes_nothing_back,
        );
    };
    ($open:expr, gapless) => {
        $crate::ledger!($open);
        $crate::ledger!($open; ids_have_no_gaps,);
    };
    ($open:expr; $($clause:ident,)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $clause() {
            let opened = $open().await;
            $crate::ledger::$clause(opened.as_ref()).await;
        })+
    };
}

/// What two clients see who record the same keys.
pub async fn the_sample_conversation_comes_out_exactly(ledger: &Arc<dyn Ledger>) {
    for (entry, id, new) in [
        ("3bd1c697 K-h53dk-A", 1, true),
        ("75682017 K-h53dk-A", 2, true),
        ("3bd1c697 K-867vc-C", 3, true),
        ("75682017 K-h53dk-A", 2, false),
    ] {
        assert_eq!(record(ledger, [entry]).await, [Receipt { id, new }]);
    }
}

/// Of equal entries exactly one receipt is new, and all carry its id.
pub async fn an_equal_entry_gets_the_first_receipt(ledger: &Arc<dyn Ledger>) {
    let [first] = record(ledger, ["a K-4bbf1-P"]).await;
    assert!(first.new);
    for _ in 0..3 {
        let [again] = record(ledger, ["a K-4bbf1-P"]).await;
        assert_eq!(again, Receipt { id: first.id, new: false });
    }
}

/// Receipts come in the order of the entries, also within a batch that repeats itself.
pub async fn a_batch_is_answered_in_order(ledger: &Arc<dyn Ledger>) {
    let [one, two, again] = record(ledger, ["a K-00001-A", "a K-00002-A", "a K-00001-A"]).await;
    assert!(one.new && two.new && !again.new);
    assert_eq!(again.id, one.id);
    assert!(one.id < two.id);
}

/// Nothing to record is no error, and no id.
pub async fn an_empty_batch_is_answered_with_nothing(ledger: &Arc<dyn Ledger>) {
    assert_eq!(record(ledger, []).await, []);
    assert_eq!(record(ledger, ["a K-4bbf1-P"]).await, [Receipt { id: 1, new: true }]);
}

/// A key that one tenant recorded is new to another, also where one name begins the other.
pub async fn tenants_do_not_see_each_other(ledger: &Arc<dyn Ledger>) {
    let receipts = record(ledger, ["a K-4bbf1-P", "aa K-4bbf1-P", "A K-4bbf1-P"]).await;
    assert!(receipts.iter().all(|receipt| receipt.new));
    let ids: BTreeSet<_> = receipts.iter().map(|receipt| receipt.id).collect();
    assert_eq!(ids.len(), 3);
}

/// However many ask at once, one of them recorded the entry, and all are told its id.
pub async fn of_equal_entries_at_once_exactly_one_is_new(ledger: &Arc<dyn Ledger>) {
    for round in 0..20 {
        let entry = Entry { tenant: "a".parse().unwrap(), key: Key::from_number(round).unwrap() };
        let mut asking = JoinSet::new();
        for _ in 0..16 {
            let ledger = Arc::clone(ledger);
            asking.spawn(async move { ledger.record(vec![entry]).await.unwrap() });
        }
        let receipts: Vec<Receipt> = asking.join_all().await.into_iter().flatten().collect();
        assert_eq!(receipts.iter().filter(|receipt| receipt.new).count(), 1);
        assert!(receipts.iter().all(|receipt| receipt.id == receipts[0].id));
    }
}

/// Of two batches of one caller the one handed over first is recorded first, whichever is awaited
/// first.
pub async fn a_batch_takes_its_place_when_it_is_handed_over(ledger: &Arc<dyn Ledger>) {
    let first = ledger.record(parse(["a K-4bbf1-P"]));
    let second = ledger.record(parse(["a K-4bbf1-P"]));
    let (second, first) = (second.await.unwrap(), first.await.unwrap());
    assert!(first[0].new && !second[0].new);
    assert_eq!(first[0].id, second[0].id);
}

/// Who stops waiting has recorded nevertheless.
pub async fn a_dropped_answer_takes_nothing_back(ledger: &Arc<dyn Ledger>) {
    drop(ledger.record(parse(["a K-4bbf1-P"])));
    let [again] = record(ledger, ["a K-4bbf1-P"]).await;
    assert_eq!(again, Receipt { id: 1, new: false });
}

/// Ids are 1, 2, 3 and so on, whoever asks, and repeats take none.
pub async fn ids_have_no_gaps(ledger: &Arc<dyn Ledger>) {
    let mut asking = JoinSet::new();
    for caller in 0..8_u32 {
        let ledger = Arc::clone(ledger);
        asking.spawn(async move {
            let tenant = format!("t{}", caller % 3).parse().unwrap();
            let mut ids = Vec::new();
            for batch in 0..50_u32 {
                let entry = |n| Entry { tenant, key: Key::from_number((batch + n) * 7).unwrap() };
                let receipts = ledger.record((0..5).map(entry).collect()).await.unwrap();
                ids.extend(receipts.iter().filter(|receipt| receipt.new).map(|receipt| receipt.id));
            }
            ids
        });
    }
    let mut ids: Vec<u64> = asking.join_all().await.into_iter().flatten().collect();
    ids.sort_unstable();
    let distinct = 3 * 54;
    assert_eq!(ids, (1..=distinct).collect::<Vec<u64>>());
}

async fn record<const N: usize>(ledger: &Arc<dyn Ledger>, entries: [&str; N]) -> [Receipt; N] {
    let receipts = ledger.record(parse(entries)).await.unwrap();
    receipts.try_into().expect("one receipt for each entry")
}

/// Entries as `tenant key`.
fn parse<const N: usize>(entries: [&str; N]) -> Vec<Entry> {
    let entry = |text: &str| {
        let (tenant, key) = text.split_once(' ').expect("a tenant, a space, a key");
        Entry { tenant: tenant.parse().unwrap(), key: key.parse().unwrap() }
    };
    entries.into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use std::future;

    use super::*;

    fn open() -> future::Ready<Box<Arc<dyn Ledger>>> {
        future::ready(Box::new(Arc::new(crate::Model::default())))
    }

    crate::ledger!(open, gapless);
}
