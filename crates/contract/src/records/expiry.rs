//! Records whose time is up: the port has no clock, it is told the time.

use std::sync::Arc;

use switchboard_core::{
    Millis,
    vault::{Change, Expected, Found, Listed, Outcome, Records},
};

use super::{
    change, delete, expiring, found, id, pages, place, put, put_next, record, tenant,
    versions::is_taken,
};

/// Neither under its id nor under another of the tenant.
pub async fn an_expired_version_is_never_put_again(records: &Arc<dyn Records>) {
    let other = tenant("ab");
    let before = records.get(other, &id("k")).await.unwrap();
    let first = place(records, "k").await.first_version;
    for (at, version, expires_at) in [("k", 50, 100), ("l", 70, 200), ("m", 60, 300)] {
        let there = put(at, Expected::Absent, expiring(first + version, expires_at));
        assert_eq!(change(records, there).await, Outcome::Done);
    }
    for (at, now, greatest) in [("k", 100, 50), ("l", 200, 70), ("m", 300, 70)] {
        assert_eq!(records.expire(Millis(now)).await.unwrap(), 1);
        is_taken(records, at, first + greatest).await;
        is_taken(records, "never there", first + greatest).await;
    }
    assert_eq!(records.get(other, &id("k")).await.unwrap(), before, "another tenant's");
    let there = put("k", Expected::Absent, record(before.first_version));
    let there = Change { tenant: other, ..there };
    assert_eq!(change(records, there).await, Outcome::Done);
    for at in ["k", "l", "m", "never there"] {
        put_next(records, tenant("a"), at).await;
    }
}

/// It is read, listed, expected and replaced as any other.
pub async fn what_has_expired_stays_until_it_is_removed(records: &Arc<dyn Records>) {
    let first = place(records, "k").await.first_version;
    let past = expiring(first, 1);
    for at in ["k", "l", "m"] {
        let there = put(at, Expected::Absent, past.clone());
        assert_eq!(change(records, there).await, Outcome::Done);
        assert_eq!(found(records, at).await.as_ref(), Some(&past));
    }
    let listed = |at| Listed { id: id(at), found: Found::Whole(past.clone()) };
    let all = ["k", "l", "m"].map(listed);
    pages::check(records, tenant("a"), &pages::range("", 2, usize::MAX), &all).await;
    let absent = put("k", Expected::Absent, record(first + 1));
    assert_eq!(change(records, absent).await, Outcome::Changed);
    let there = put("k", Expected::Version(first), expiring(first + 1, 2));
    assert_eq!(change(records, there).await, Outcome::Done);
    assert_eq!(change(records, delete("l", Expected::Version(first))).await, Outcome::Done);
    assert_eq!(records.expire(Millis(2)).await.unwrap(), 2, "one of three was deleted");
}

/// Those of all tenants, and each once.
pub async fn removing_takes_what_has_expired_and_nothing_else(records: &Arc<dyn Records>) {
    const NOW: i64 = 1_700_000_000_000;
    assert_eq!(records.expire(Millis(NOW)).await.unwrap(), 0);
    let first = place(records, "k").await.first_version;
    let times = [("a", 1), ("b", NOW - 1), ("c", NOW), ("d", NOW + 1), ("e", i64::MAX - 1)];
    let tenants = ["a", "ab", "z"].map(tenant);
    for of in tenants {
        let mut changes = vec![put("f", Expected::Absent, record(first))];
        let there = |(at, time)| put(at, Expected::Absent, expiring(first, time));
        changes.extend(times.map(there));
        for change in &mut changes {
            change.tenant = of;
        }
        assert_eq!(records.change(changes).await.unwrap(), [Outcome::Done; 6]);
    }
    let mut left: Vec<Listed> = times
        .into_iter()
        .map(|(at, time)| Listed { id: id(at), found: Found::Whole(expiring(first, time)) })
        .collect();
    left.push(Listed { id: id("f"), found: Found::Whole(record(first)) });
    for (now, gone) in [(0, 0), (NOW, 3), (NOW, 0), (1, 0), (NOW + 1, 1), (i64::MAX - 2, 0)] {
        assert_eq!(records.expire(Millis(now)).await.unwrap(), 3 * gone as u64, "{now}");
        left.drain(..gone);
        for of in tenants {
            pages::check(records, of, &pages::range("", 100, usize::MAX), &left).await;
            for at in ["a", "b", "c", "d", "e", "f"].map(id) {
                let found = records.get(of, &at).await.unwrap().found;
                let listed = left.iter().find(|listed| listed.id == at);
                assert_eq!(found.as_ref(), listed.map(|it| &it.found), "{of} {at} {now}");
            }
        }
    }
}

/// Later, earlier or none: the one before is forgotten, also that of what was deleted.
pub async fn another_expiry_takes_the_place_of_the_first(records: &Arc<dyn Records>) {
    let first = place(records, "k").await.first_version;
    for at in ["later", "never", "earlier", "deleted"] {
        let there = put(at, Expected::Absent, expiring(first, 100));
        assert_eq!(change(records, there).await, Outcome::Done);
    }
    for (at, next) in [
        ("later", expiring(first + 1, 200)),
        ("never", record(first + 1)),
        ("earlier", expiring(first + 1, 50)),
    ] {
        let there = put(at, Expected::Version(first), next);
        assert_eq!(change(records, there).await, Outcome::Done);
    }
    let gone = delete("deleted", Expected::Version(first));
    assert_eq!(change(records, gone).await, Outcome::Done);
    put_next(records, tenant("a"), "deleted").await;
    for (now, gone) in [(50, 1), (100, 0), (199, 0)] {
        assert_eq!(records.expire(Millis(now)).await.unwrap(), gone, "{now}");
        assert_eq!(found(records, "earlier").await, None);
        for at in ["later", "never", "deleted"] {
            assert!(found(records, at).await.is_some(), "{at} {now}");
        }
    }
    assert_eq!(records.expire(Millis(i64::MAX)).await.unwrap(), 1);
    assert_eq!(found(records, "later").await, None);
    for at in ["never", "deleted"] {
        assert!(found(records, at).await.is_some(), "{at}");
    }
}
