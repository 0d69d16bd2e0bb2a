//! What a change needs to happen.

use std::sync::Arc;

use switchboard_core::vault::{Change, Expected, Outcome, Place, Records};

use super::{change, delete, found, id, place, put, put_next, record, tenant};

/// Otherwise nothing is changed by it, whether it puts or deletes.
pub async fn a_change_needs_what_it_expects(records: &Arc<dyn Records>) {
    let first = place(records, "k").await.first_version;
    for expected in [Expected::Version(0), Expected::Version(first)] {
        for nothing in [put("k", expected, record(first + 9)), delete("k", expected)] {
            assert_eq!(change(records, nothing).await, Outcome::Changed, "{expected:?}");
            assert_eq!(found(records, "k").await, None);
        }
    }
    // Nothing is there, as it expects.
    assert_eq!(change(records, delete("k", Expected::Absent)).await, Outcome::Done);
    let two = put("k", Expected::Absent, record(first + 2));
    assert_eq!(change(records, two).await, Outcome::Done);
    let wrong = [Expected::Absent, Expected::Version(first + 1), Expected::Version(first + 3)];
    for expected in wrong {
        for nothing in [put("k", expected, record(first + 9)), delete("k", expected)] {
            assert_eq!(change(records, nothing).await, Outcome::Changed, "{expected:?}");
            assert_eq!(found(records, "k").await, Some(record(first + 2)));
        }
    }
    let right = Expected::Version(first + 2);
    assert_eq!(change(records, put("k", right, record(first + 9))).await, Outcome::Done);
    assert_eq!(found(records, "k").await, Some(record(first + 9)));
    assert_eq!(change(records, delete("k", right)).await, Outcome::Changed);
    let right = Expected::Version(first + 9);
    assert_eq!(change(records, delete("k", right)).await, Outcome::Done);
    assert_eq!(found(records, "k").await, None);
    assert_eq!(change(records, delete("k", right)).await, Outcome::Changed);
}

/// By any number; and the versions of one id are nothing to another.
pub async fn a_version_is_greater_than_the_one_before(records: &Arc<dyn Records>) {
    let first = place(records, "k").await.first_version;
    let hundred = first + 100;
    let put_hundred = put("k", Expected::Absent, record(hundred));
    assert_eq!(change(records, put_hundred).await, Outcome::Done);
    for version in [0, first, hundred - 1, hundred] {
        let lower = put("k", Expected::Version(hundred), record(version));
        assert_eq!(change(records, lower).await, Outcome::Changed, "{version}");
        assert_eq!(found(records, "k").await, Some(record(hundred)));
    }
    // It was replaced, not removed.
    let greater = put("k", Expected::Version(hundred), record(hundred + 1_000));
    assert_eq!(change(records, greater).await, Outcome::Done);
    put_next(records, tenant("a"), "l").await;
}

/// Neither under its id nor under another of the tenant.
pub async fn a_deleted_version_is_never_put_again(records: &Arc<dyn Records>) {
    let other = tenant("ab");
    let before = records.get(other, &id("k")).await.unwrap();
    let first = place(records, "k").await.first_version;
    for (at, version) in [("k", 70), ("l", 50), ("m", 60), ("kept", 0)] {
        let there = put(at, Expected::Absent, record(first + version));
        assert_eq!(change(records, there).await, Outcome::Done);
    }
    // The last is lower than the one before, and no reason to go back.
    for (at, version, greatest) in [("l", 50, 50), ("k", 70, 70), ("m", 60, 70)] {
        let gone = delete(at, Expected::Version(first + version));
        assert_eq!(change(records, gone).await, Outcome::Done);
        is_taken(records, at, first + greatest).await;
        is_taken(records, "never there", first + greatest).await;
    }
    // What was there all the while goes on from its own version, and is removed at a lower one.
    let next = put("kept", Expected::Version(first), record(first + 1));
    assert_eq!(change(records, next).await, Outcome::Done);
    let gone = delete("kept", Expected::Version(first + 1));
    assert_eq!(change(records, gone).await, Outcome::Done);
    for at in ["k", "l", "m", "kept", "never there"] {
        is_taken(records, at, first + 70).await;
    }
    assert_eq!(records.get(other, &id("k")).await.unwrap(), before, "another tenant's");
    let there = put("k", Expected::Absent, record(before.first_version));
    let there = Change { tenant: other, ..there };
    assert_eq!(change(records, there).await, Outcome::Done);
    for at in ["k", "l", "m", "kept", "never there"] {
        put_next(records, tenant("a"), at).await;
    }
}

/// No version up to this one can be put at an empty place of the tenant `a`.
pub(super) async fn is_taken(records: &Arc<dyn Records>, at: &str, version: u64) {
    let Place { found, first_version } = place(records, at).await;
    assert_eq!(found, None, "{at}");
    assert!(version < first_version, "{at}: {version} was removed, {first_version} is the first");
    for version in [0, 1, version, first_version - 1] {
        let refused = put(at, Expected::Absent, record(version));
        assert_eq!(change(records, refused).await, Outcome::Changed, "{at} {version}");
    }
    assert_eq!(super::found(records, at).await, None, "{at}");
}
