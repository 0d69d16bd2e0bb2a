//! The contract of [`Records`].
//!
//! What takes a fault is not here: nothing that goes through the port makes a record
//! [`Found::Damaged`], or a change that is not durable. A store shows by tests of its own what it
//! makes of those.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

mod expiry;
mod interleavings;
mod pages;
mod versions;

use std::sync::Arc;

use switchboard_core::{
    Millis, Tenant,
    vault::{
        Change, Expected, Found, Listed, OVERHEAD, Outcome, Place, Profile, Record, RecordId,
        Records, SALT_BYTES, Sealed, Then, Work,
    },
};
use tokio::task::JoinSet;

pub(crate) use self::interleavings::Interleaving;
pub use self::{
    expiry::{
        an_expired_version_is_never_put_again, another_expiry_takes_the_place_of_the_first,
        removing_takes_what_has_expired_and_nothing_else,
        what_has_expired_stays_until_it_is_removed,
    },
    interleavings::{any_interleaving_is_that_of_the_model, interleavings_over_restarts},
    pages::{
        a_list_begins_behind_any_id, a_prefix_is_taken_as_it_is_written,
        lists_are_in_the_order_of_bytes, pages_lose_nothing_that_stays,
    },
    versions::{
        a_change_needs_what_it_expects, a_deleted_version_is_never_put_again,
        a_version_is_greater_than_the_one_before,
    },
};
use crate::random::Random;

/// Declares one test for each clause of the contract, for the records that `$open` opens.
///
/// `$open` is an async function that gives something which can be borrowed as an
/// `Arc<dyn Records>`: the store itself, or a guard that also owns its directory.
#[macro_export]
macro_rules! records {
    ($open:expr) => {
        $crate::records!(
            $open;
            an_empty_place_has_a_first_version,
            a_record_comes_back_as_it_was_put,
            records_of_any_length_come_back,
            a_change_needs_what_it_expects,
            a_version_is_greater_than_the_one_before,
            of_changes_that_expect_the_same_one_happens,
            no_change_of_many_callers_is_lost,
            changes_happen_in_order_and_each_by_itself,
            changes_take_their_places_when_they_are_handed_over,
            a_dropped_answer_takes_nothing_back,
            a_deleted_version_is_never_put_again,
            an_expired_version_is_never_put_again,
            what_has_expired_stays_until_it_is_removed,
            removing_takes_what_has_expired_and_nothing_else,
            another_expiry_takes_the_place_of_the_first,
            tenants_see_only_themselves,
            lists_are_in_the_order_of_bytes,
            a_prefix_is_taken_as_it_is_written,
            a_list_begins_behind_any_id,
            pages_lose_nothing_that_stays,
            profiles_stay_as_they_were_first_added,
            of_profiles_added_at_once_one_stays,
            any_interleaving_is_that_of_the_model,
        );
    };
    ($open:expr; $($clause:ident,)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $clause() {
            let opened = $open().await;
            $crate::records::$clause(opened.as_ref()).await;
        })+
    };
}

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

/// Bytes in the form of a sealed value, with nothing in them that could be made shorter.
fn sealed(len: usize, seed: u64) -> Sealed {
    let mut random = Random((2 * seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut bytes = vec![1; len];
    // Behind the version and the profile.
    for byte in bytes.iter_mut().skip(2) {
        *byte = u8::try_from(random.below(256)).unwrap();
    }
    Sealed::new(bytes)
}

/// A record that never expires.
fn record(version: u64) -> Record {
    let sealed = sealed(OVERHEAD + 32, version);
    Record { version, updated_at: Millis(1_000), expires_at: None, sealed }
}

fn expiring(version: u64, at: i64) -> Record {
    Record { expires_at: Some(Millis(at)), ..record(version) }
}

/// A change of the tenant `a`.
fn put(at: &str, expected: Expected, record: Record) -> Change {
    Change { tenant: tenant("a"), id: id(at), expected, then: Then::Put(record) }
}

/// A change of the tenant `a`.
fn delete(at: &str, expected: Expected) -> Change {
    Change { tenant: tenant("a"), id: id(at), expected, then: Then::Delete }
}

async fn change(records: &Arc<dyn Records>, change: Change) -> Outcome {
    let outcomes = records.change(vec![change]).await.unwrap();
    assert_eq!(outcomes.len(), 1, "one outcome for each change");
    outcomes[0]
}

/// A place of the tenant `a`.
async fn place(records: &Arc<dyn Records>, at: &str) -> Place {
    records.get(tenant("a"), &id(at)).await.unwrap()
}

/// What is at a place of the tenant `a`.
async fn found(records: &Arc<dyn Records>, at: &str) -> Option<Record> {
    match place(records, at).await.found {
        Some(Found::Whole(record)) => Some(record),
        Some(Found::Damaged(_)) => panic!("{at} is damaged"),
        None => None,
    }
}

/// Puts what never expires, with the next version, whatever is there.
async fn put_next(records: &Arc<dyn Records>, of: Tenant, at: &str) -> Listed {
    let place = records.get(of, &id(at)).await.unwrap();
    let (expected, version) = match &place.found {
        Some(found) => {
            let version = found.record().version;
            (Expected::Version(version), version + 1)
        }
        None => (Expected::Absent, place.first_version),
    };
    let record = record(version);
    let put = Change { tenant: of, ..put(at, expected, record.clone()) };
    assert_eq!(change(records, put).await, Outcome::Done, "{of} {at}");
    Listed { id: id(at), found: Found::Whole(record) }
}

/// Nothing is there, and something can be put there.
pub async fn an_empty_place_has_a_first_version(records: &Arc<dyn Records>) {
    let empty = place(records, "k").await;
    assert_eq!(empty.found, None);
    assert!(1 <= empty.first_version);
    let nothing = record(empty.first_version - 1);
    let refused = change(records, put("k", Expected::Absent, nothing)).await;
    assert_eq!(refused, Outcome::Changed);
    let first = record(empty.first_version);
    assert_eq!(change(records, put("k", Expected::Absent, first)).await, Outcome::Done);
}

/// Whatever its id, its version and its times; and so does what takes its place.
pub async fn a_record_comes_back_as_it_was_put(records: &Arc<dyn Records>) {
    let ids = ["k", ".%_[$?\\/ \"'", "Zoë 🦀", &"x".repeat(256), &"é".repeat(128), "K", "k "];
    let first = place(records, "k").await.first_version;
    for (number, at) in (0..).zip(ids) {
        // More than a double holds exactly.
        for version in [first + number, first + (1 << 53) + 1 + number] {
            let before = found(records, at).await.map(|before| Expected::Version(before.version));
            let put_record = Record {
                updated_at: Millis(if number == 0 { -1 } else { i64::MAX - 1 }),
                expires_at: (number % 2 == 0).then_some(Millis(i64::MAX - 1)),
                ..record(version)
            };
            let put = put(at, before.unwrap_or(Expected::Absent), put_record.clone());
            assert_eq!(change(records, put).await, Outcome::Done, "{at}");
            assert_eq!(found(records, at).await, Some(put_record), "{at}");
        }
    }
}

/// Also those that are as long as can be, alone, together and in lists.
pub async fn records_of_any_length_come_back(records: &Arc<dyn Records>) {
    let first = place(records, "0").await.first_version;
    let lengths = [OVERHEAD + 1, 4_095, 4_096, 65_537, 600_000, 1_048_576, 1_200_000, 1_200_000];
    let all: Vec<(String, Record)> = (0..)
        .zip(lengths)
        .map(|(number, len)| {
            let sealed = sealed(len, number + 1);
            (format!("{number}"), Record { sealed, ..record(first) })
        })
        .collect();
    let changes = all.iter().map(|(at, it)| put(at, Expected::Absent, it.clone()));
    // At once, so that some are made durable together.
    let changing: Vec<_> = changes.map(|change| records.change(vec![change])).collect();
    for outcomes in changing {
        assert_eq!(outcomes.await.unwrap(), [Outcome::Done]);
    }
    for (at, record) in &all {
        assert_eq!(found(records, at).await.as_ref(), Some(record), "{at}");
    }
    let listed = |(at, it): &(String, Record)| {
        let found = Found::Whole(it.clone());
        Listed { id: id(at), found }
    };
    let all: Vec<Listed> = all.iter().map(listed).collect();
    for bytes_max in [1, 1_500_000, usize::MAX] {
        pages::check(records, tenant("a"), &pages::range("", 100, bytes_max), &all).await;
    }
}

/// Made at once, by one caller or by many.
pub async fn of_changes_that_expect_the_same_one_happens(records: &Arc<dyn Records>) {
    let Place { first_version, .. } = place(records, "k").await;
    for round in 0..20 {
        let (expected, version) = match found(records, "k").await {
            Some(Record { version, .. }) => (Expected::Version(version), version + 1),
            None => (Expected::Absent, first_version),
        };
        // Each of its own, so that what is read tells whose it was.
        let one =
            |number| put("k", expected, Record { updated_at: Millis(number), ..record(version) });
        let changing: Vec<_> = (0..16).map(|number| records.change(vec![one(number)])).collect();
        let mut outcomes = Vec::new();
        for (number, changing) in (0..).zip(changing) {
            outcomes.push((number, changing.await.unwrap()));
        }
        let mut callers = JoinSet::new();
        for number in 16..32 {
            let (records, change) = (Arc::clone(records), one(number));
            callers.spawn(async move { (number, records.change(vec![change]).await.unwrap()) });
        }
        outcomes.extend(callers.join_all().await);
        let done = outcomes.into_iter().filter(|(_, outcome)| *outcome == [Outcome::Done]);
        let done: Vec<Millis> = done.map(|(number, _)| Millis(number)).collect();
        let left = found(records, "k").await.unwrap();
        assert_eq!(done, [left.updated_at], "round {round}");
        assert_eq!(left.version, version);
    }
    // The same for those that delete.
    let Record { version, .. } = found(records, "k").await.unwrap();
    let mut callers = JoinSet::new();
    for _ in 0..16 {
        let (records, delete) = (Arc::clone(records), delete("k", Expected::Version(version)));
        callers.spawn(async move { change(&records, delete).await });
    }
    let outcomes = callers.join_all().await;
    assert_eq!(outcomes.iter().filter(|&&outcome| outcome == Outcome::Done).count(), 1);
    assert_eq!(found(records, "k").await, None);
}

/// Who finds that another was first tries again, until each has had his turn.
pub async fn no_change_of_many_callers_is_lost(records: &Arc<dyn Records>) {
    let before = put_next(records, tenant("a"), "k").await.found.record().version;
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let records = Arc::clone(records);
        callers.spawn(async move {
            let mut turns = 0;
            while turns < 25 {
                let version = found(&records, "k").await.unwrap().version;
                let next = put("k", Expected::Version(version), record(version + 1));
                turns += u64::from(change(&records, next).await == Outcome::Done);
            }
            turns
        });
    }
    assert_eq!(callers.join_all().await.iter().sum::<u64>(), 200);
    assert_eq!(found(records, "k").await, Some(record(before + 200)));
}

/// One that doesn't happen is no reason for another not to.
pub async fn changes_happen_in_order_and_each_by_itself(records: &Arc<dyn Records>) {
    assert_eq!(records.change(Vec::new()).await.unwrap(), []);
    let first = place(records, "k").await.first_version;
    let other = Change { tenant: tenant("b"), ..put("k", Expected::Absent, record(first)) };
    let changes = vec![
        put("k", Expected::Absent, record(first)),
        put("k", Expected::Absent, record(first + 1)),
        put("k", Expected::Version(first), record(first + 1)),
        other.clone(),
        put("k", Expected::Version(first), record(first + 2)),
        put("k", Expected::Version(first + 1), record(first + 1)),
        delete("k", Expected::Version(first)),
        put("l", Expected::Absent, record(first)),
        delete("k", Expected::Version(first + 1)),
        put("k", Expected::Absent, record(first + 1)),
        put("l", Expected::Version(first), record(first + 5)),
        delete("k", Expected::Version(first + 1)),
        other,
    ];
    let outcomes = records.change(changes).await.unwrap();
    let done: Vec<usize> =
        (0..outcomes.len()).filter(|&number| outcomes[number] == Outcome::Done).collect();
    assert_eq!((outcomes.len(), done), (13, vec![0, 2, 3, 7, 8, 10]));
    assert_eq!(found(records, "k").await, None);
    assert_eq!(found(records, "l").await, Some(record(first + 5)));
    let others = records.get(tenant("b"), &id("k")).await.unwrap().found;
    assert_eq!(others, Some(Found::Whole(record(first))));
}

/// Whichever is awaited first.
pub async fn changes_take_their_places_when_they_are_handed_over(records: &Arc<dyn Records>) {
    let version = place(records, "k").await.first_version;
    let first = records.change(vec![put("k", Expected::Absent, record(version))]);
    let second = records.change(vec![put("k", Expected::Version(version), record(version + 1))]);
    let third = records.change(vec![put("k", Expected::Absent, record(version))]);
    let (third, second, first) =
        (third.await.unwrap(), second.await.unwrap(), first.await.unwrap());
    assert_eq!([first, second, third].concat(), [Outcome::Done, Outcome::Done, Outcome::Changed]);
    assert_eq!(found(records, "k").await, Some(record(version + 1)));
}

/// Who stops waiting has changed it nevertheless.
pub async fn a_dropped_answer_takes_nothing_back(records: &Arc<dyn Records>) {
    let version = place(records, "k").await.first_version;
    drop(records.change(vec![put("k", Expected::Absent, record(version))]));
    let again = change(records, put("k", Expected::Absent, record(version + 1))).await;
    assert_eq!(again, Outcome::Changed);
    assert_eq!(found(records, "k").await, Some(record(version)));
}

/// Not even what has the same id in another tenant, nor where name and id together read alike.
pub async fn tenants_see_only_themselves(records: &Arc<dyn Records>) {
    let mut all = Vec::new();
    for (of, at) in [("a", "bc"), ("ab", "c"), ("a", "k"), ("ab", "k"), ("abc", "bc")] {
        all.push((tenant(of), put_next(records, tenant(of), at).await));
    }
    // What follows is nobody else's change.
    for _ in 0..3 {
        all[3].1 = put_next(records, tenant("ab"), "k").await;
    }
    for of in ["a", "ab", "abc", "b", "A", "a.", "a-"].map(tenant) {
        let own: Vec<Listed> =
            all.iter().filter(|(its, _)| *its == of).map(|(_, it)| it.clone()).collect();
        for at in ["bc", "c", "k", "abc"].map(id) {
            let place = records.get(of, &at).await.unwrap();
            let listed = own.iter().find(|listed| listed.id == at);
            assert_eq!(place.found.as_ref(), listed.map(|it| &it.found), "{of} {at}");
        }
        for records_max in [1, 100] {
            let range = pages::range("", records_max, usize::MAX);
            pages::check(records, of, &range, &own).await;
        }
    }
    let Record { version, .. } = found(records, "k").await.unwrap();
    assert_eq!(change(records, delete("k", Expected::Version(version))).await, Outcome::Done);
    let left = records.get(tenant("ab"), &id("k")).await.unwrap().found;
    assert_eq!(left.as_ref(), Some(&all[3].1.found));
}

fn profile(number: u8, salt: u8) -> Profile {
    let work = Work { memory_kib: 8 + u32::from(salt), passes: u32::MAX, lanes: 1 };
    Profile { number, salt: [salt; SALT_BYTES], work }
}

/// By their numbers; those of the tenant alone.
pub async fn profiles_stay_as_they_were_first_added(records: &Arc<dyn Records>) {
    for of in ["a", "ab", "b"].map(tenant) {
        assert_eq!(*records.profiles(of).await.unwrap(), []);
    }
    let (a, ab) = (tenant("a"), tenant("ab"));
    let (first, second, last) = (profile(1, 1), profile(2, 2), profile(u8::MAX, 3));
    for (added, expected) in [
        (first, vec![first]),
        (profile(1, 9), vec![first]),
        (last, vec![first, last]),
        (second, vec![first, second, last]),
        (profile(2, 9), vec![first, second, last]),
        (profile(u8::MAX, 9), vec![first, second, last]),
    ] {
        assert_eq!(*records.add_profile(a, added).await.unwrap(), expected);
        assert_eq!(*records.profiles(a).await.unwrap(), expected);
    }
    let other = profile(1, 4);
    assert_eq!(*records.add_profile(ab, other).await.unwrap(), [other]);
    assert_eq!(*records.profiles(a).await.unwrap(), [first, second, last]);
    assert_eq!(*records.profiles(tenant("b")).await.unwrap(), []);
    // They are no records.
    assert!(found(records, "1").await.is_none());
    pages::check(records, a, &pages::range("", 10, usize::MAX), &[]).await;
}

/// Whoever adds one is told which it is.
pub async fn of_profiles_added_at_once_one_stays(records: &Arc<dyn Records>) {
    let mut callers = JoinSet::new();
    for salt in 0..16 {
        let records = Arc::clone(records);
        callers.spawn(
            async move { records.add_profile(tenant("a"), profile(1, salt)).await.unwrap() },
        );
    }
    let told = callers.join_all().await;
    let stays = records.profiles(tenant("a")).await.unwrap();
    assert_eq!(stays.len(), 1);
    assert!(told.iter().all(|it| *it == stays), "{told:?}");
}

#[cfg(test)]
mod tests {
    use std::future;

    use super::*;
    use crate::Model;

    fn open() -> future::Ready<Box<Arc<dyn Records>>> {
        future::ready(Box::new(Arc::new(Model::default())))
    }

    crate::records!(open);
}
