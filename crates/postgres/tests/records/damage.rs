//! Records that somebody wrote to beside the store: whatever was done, it is told, and what was
//! left alone is as it was.

use std::{
    fs::OpenOptions,
    io::{Seek as _, SeekFrom, Write as _},
};

use switchboard_core::{
    Code,
    vault::{Place, Profile, SALT_BYTES, Work},
};

use super::*;

const IDS: [&str; 4] = ["a", "b", "c", "d"];

/// A store with four records, each as long as this.
async fn with_four(len: usize) -> Opened {
    let opened = open().await;
    for at in IDS {
        let there = put("acme", at, Expected::Absent, record(7, len));
        assert_eq!(change(&opened.records, there).await, Outcome::Done);
    }
    opened
}

impl Opened {
    fn sql(&self, statements: &str) {
        let statements = format!("SET search_path = switchboard; {statements}");
        server().sql(&self.url, &statements).unwrap();
    }
}

/// Does this to the tables, and expects these ids, and no others, to be damaged.
async fn check(len: usize, damage: &str, damaged: &[&str]) {
    let opened = with_four(len).await;
    opened.sql(damage);
    is_damaged(&opened, len, damaged, damage).await;
    // They can be put anew, as the server does it, and are whole then.
    for &at in damaged {
        let Place { found, first_version } =
            opened.records.get(tenant("acme"), &id(at)).await.unwrap();
        let there = found.unwrap().record().version;
        let next = record(there.checked_add(1).unwrap_or(first_version), len);
        let again = put("acme", at, Expected::Version(there), next.clone());
        assert_eq!(change(&opened.records, again).await, Outcome::Done, "{damage}");
        let found = found_at(&opened, at).await;
        assert_eq!(found, Some(Found::Whole(next)), "{damage}");
    }
    opened.store.close().await;
}

async fn found_at(opened: &Opened, at: &str) -> Option<Found> {
    found(&opened.records, "acme", at).await
}

async fn is_damaged(opened: &Opened, len: usize, damaged: &[&str], damage: &str) {
    let listed = all(&opened.records, "acme").await;
    let ids: Vec<&str> = listed.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, IDS, "{damage}");
    for Listed { id, found } in listed {
        assert_eq!(found_at(opened, id.as_str()).await.as_ref(), Some(&found), "{damage}");
        if damaged.contains(&id.as_str()) {
            assert!(matches!(found, Found::Damaged(_)), "{damage}: {id} {found:?}");
        } else {
            assert_eq!(found, Found::Whole(record(7, len)), "{damage}: {id}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_told_of_what_is_damaged_alone() {
    for set in [
        "version = 8",
        "version = 6",
        "version = -1",
        "updated_at = 1001",
        "updated_at = -1000",
        "expires_at = 5",
        "expires_at = 9223372036854775807",
        "sealed = set_byte(sealed, 0, get_byte(sealed, 0) # 1)",
        "sealed = set_byte(sealed, 299, get_byte(sealed, 299) # 128)",
        "sealed = substring(sealed from 1 for 299)",
        "sealed = sealed || '\\x00'",
        "sealed = ''",
        "sealed = (SELECT sealed || sealed FROM vault_record WHERE id = 'c')",
        "checks = checks # 1",
        "checks = checks # (1::bigint << 40)",
        "checks = 0",
    ] {
        check(300, &format!("UPDATE vault_record SET {set} WHERE id = 'b'"), &["b"]).await;
    }
    let long = "UPDATE vault_record SET sealed = set_byte(sealed, 99999, 0) WHERE id = 'd'";
    check(100_000, long, &["d"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_came_to_another_place_are_damaged() {
    let swap = "UPDATE vault_record SET id = 'x' WHERE id = 'b'; \
                UPDATE vault_record SET id = 'b' WHERE id = 'c'; \
                UPDATE vault_record SET id = 'c' WHERE id = 'x'";
    check(300, swap, &["b", "c"]).await;
    let copy = "UPDATE vault_record SET (version, updated_at, expires_at, checks, sealed) = \
                (SELECT version, updated_at, expires_at, checks, sealed FROM vault_record \
                WHERE id = 'a') WHERE id = 'd'";
    check(300, copy, &["d"]).await;
    let opened = with_four(300).await;
    opened.sql("UPDATE vault_record SET tenant = 'other' WHERE id = 'b'");
    assert!(matches!(found(&opened.records, "other", "b").await, Some(Found::Damaged(_))));
    assert_eq!(found_at(&opened, "b").await, None);
}

/// Nobody knows under which id it is: it is left out, and no list ends at it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_is_none_hides_no_other() {
    let opened = with_four(300).await;
    opened.sql(
        "UPDATE vault_record SET id = '\\x62ff' WHERE id = 'b'; \
         INSERT INTO vault_record SELECT tenant, id || set_byte('\\x80', 0, 128 + n), \
             version, updated_at, expires_at, checks, sealed \
         FROM vault_record, generate_series(1, 20) AS n WHERE id = 'c'",
    );
    let listed = all(&opened.records, "acme").await;
    let ids: Vec<&str> = listed.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["a", "c", "d"]);
    assert!(listed.iter().all(|it| it.found == Found::Whole(record(7, 300))));
}

/// When it is due is not known of a record whose time is damaged. One whose value is damaged goes
/// when its time is up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_by_damage_is_not_removed() {
    let opened = with_four(300).await;
    let more = (0..600).map(|number| {
        put("acme", &format!("e{number:03}"), Expected::Absent, expiring(7, 1_000 + number))
    });
    opened.records.change(more.collect()).await.unwrap();
    // More than are removed at once, and before all others.
    opened.sql(
        "UPDATE vault_record SET expires_at = 9 WHERE id = 'b'; \
         UPDATE vault_record SET expires_at = 8 WHERE id BETWEEN 'e100' AND 'e399'; \
         UPDATE vault_record SET sealed = '' WHERE id = 'e050'",
    );
    assert_eq!(opened.records.expire(Millis(999)).await.unwrap(), 0);
    assert!(matches!(found_at(&opened, "b").await, Some(Found::Damaged(_))));
    assert_eq!(opened.records.expire(Millis(1_599)).await.unwrap(), 300);
    let left = all(&opened.records, "acme").await;
    assert_eq!(left.len(), 304);
    let is_damaged = |it: &Listed| matches!(it.found, Found::Damaged(_));
    assert_eq!(left.iter().filter(|it| is_damaged(it)).count(), 301);
}

/// Whatever damage makes of a version: the tenant can go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_version_does_not_use_up_all_others() {
    for version in [-1_i64, i64::MIN, i64::MAX] {
        let opened = with_four(300).await;
        opened.sql(&format!("UPDATE vault_record SET version = {version} WHERE id = 'b'"));
        let gone = delete("acme", "b", version.cast_unsigned());
        assert_eq!(change(&opened.records, gone).await, Outcome::Done);
        for at in ["b", "new"] {
            let Place { found, first_version } =
                opened.records.get(tenant("acme"), &id(at)).await.unwrap();
            assert_eq!(found, None);
            let next = put("acme", at, Expected::Absent, record(first_version, 300));
            assert_eq!(change(&opened.records, next).await, Outcome::Done, "{version}");
            let gone = delete("acme", at, first_version);
            assert_eq!(change(&opened.records, gone).await, Outcome::Done);
        }
        opened.store.close().await;
    }
}

/// Values that are sealed under it could not be opened again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_profile_is_not_used() {
    let opened = open().await;
    let work = Work { memory_kib: 8, passes: 1, lanes: 1 };
    let profile = |number| Profile { number, salt: [number; SALT_BYTES], work };
    for number in [1, 2] {
        opened.records.add_profile(tenant("acme"), profile(number)).await.unwrap();
        opened.records.add_profile(tenant("other"), profile(number)).await.unwrap();
    }
    for set in [
        "salt = set_byte(salt, 3, 0)",
        "salt = ''",
        "memory_kib = 9",
        "memory_kib = -1",
        "passes = 2",
        "lanes = 2",
        "checks = 1",
        "number = 3",
        "number = 300",
        "tenant = 'third'",
    ] {
        opened.sql(&format!(
            "CREATE TABLE before AS TABLE vault_profile; \
             UPDATE vault_profile SET {set} WHERE tenant = 'acme' AND number = 2"
        ));
        let asked = if set.starts_with("tenant") { tenant("third") } else { tenant("acme") };
        let told = opened.records.profiles(asked).await.unwrap_err();
        assert_eq!(told.code(), Code::Unavailable, "{set}");
        let told = opened.records.add_profile(asked, profile(9)).await.unwrap_err();
        assert_eq!(told.code(), Code::Unavailable, "{set}");
        let other = opened.records.profiles(tenant("other")).await.unwrap();
        assert_eq!(*other, [profile(1), profile(2)], "{set}");
        opened.sql(
            "DELETE FROM vault_profile; INSERT INTO vault_profile TABLE before; DROP TABLE before",
        );
        let whole = opened.records.profiles(tenant("acme")).await.unwrap();
        assert_eq!(*whole, [profile(1), profile(2)], "nothing was added");
    }
}

/// A page of the disk that has lost what was on it: the database refuses to read the value that was
/// there, and only that one is damaged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_database_can_not_read_hides_no_other() {
    const LEN: usize = 20_000;
    const PAGE: u64 = 8_192;
    let mut server = switchboard_servers::Postgres::start().unwrap();
    let opened = opened(server.database().unwrap()).await;
    for at in IDS {
        let there = put("acme", at, Expected::Absent, record(7, LEN));
        assert_eq!(change(&opened.records, there).await, Outcome::Done);
    }
    let file = "SELECT pg_relation_filepath(reltoastrelid) FROM pg_class \
                WHERE oid = 'switchboard.vault_record'::regclass";
    let file = server.data().join(server.sql(&opened.url, file).unwrap().trim());
    server.sql(&opened.url, "CHECKPOINT").unwrap();
    opened.store.close().await;
    server.kill();
    // Four chunks of 1,996 bytes a page: all of it is of the first record.
    let mut pages = OpenOptions::new().write(true).open(file).unwrap();
    pages.seek(SeekFrom::Start(PAGE)).unwrap();
    pages.write_all(&[0; 8_192]).unwrap();
    drop(pages);
    server.start_again().unwrap();
    let opened = super::opened(opened.url).await;
    is_damaged(&opened, LEN, &["a"], "a page of zeros").await;
    let next = put("acme", "a", Expected::Version(7), record(8, LEN));
    assert_eq!(change(&opened.records, next).await, Outcome::Done);
    assert_eq!(found_at(&opened, "a").await, Some(Found::Whole(record(8, LEN))));
    opened.store.close().await;
}
