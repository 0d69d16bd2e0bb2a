//! Records of the vault that somebody wrote to: whatever was done, nothing opens as another value,
//! and what was left alone is as it was.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

use std::{fs, path::Path, sync::Arc};

use redb::{Database, TableDefinition};
use switchboard_core::{
    Millis, Tenant,
    store::Unobserved,
    vault::{
        Change, ClientKey, Content, Context, EncryptionKey, Expected, Found, Opening, Outcome,
        Profile, Range, Record, RecordId, Records as _, Sealed, Then, Value, Work, open, opens,
        seal,
    },
};
use switchboard_embedded::{Embedded, Options, disk::LocalDisk};
use tempfile::TempDir;

/// As the store keeps them: by the length of the tenant, the tenant and the id.
const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("vault_records");

const IDS: [&str; 4] = ["a", "b", "c", "d"];

/// Before what is sealed: version, updated at, expires at. In that: version, profile, salt and
/// commitment before what is encrypted.
const HEADER: usize = 3 * 8;
const SEALED_HEADER: usize = 50;

fn embedded(folder: &Path) -> Embedded {
    let disk = Arc::new(LocalDisk::open(folder).unwrap());
    let options = Options {
        segment_bytes: 64 * 1024,
        reports_segment_bytes: 64 * 1024,
        chat_segment_bytes: 128 * 1024,
        vault_segment_bytes: 64 * 1024,
        ..Options::default()
    };
    Embedded::open(disk, &options, Arc::new(Unobserved)).unwrap()
}

fn tenant() -> Tenant {
    "acme".parse().unwrap()
}

fn profile() -> Profile {
    let work = Work { memory_kib: 8, passes: 1, lanes: 1 };
    Profile { number: 1, salt: [7; 16], work }
}

fn key(number: u8) -> ClientKey {
    let key = EncryptionKey::generated(&[number; 32]);
    key.derive_generated(&profile()).unwrap().unwrap()
}

fn text(id: &str, version: u64) -> String {
    format!("\"version {version} of {id}\"")
}

/// Puts a version of a record, sealed under a key.
async fn put(store: &Embedded, id: &str, version: u64, key: &ClientKey) {
    let (tenant, id) = (tenant(), RecordId::new(id).unwrap());
    let updated_at = Millis(1_790_000_000_000 + i64::try_from(version).unwrap());
    let context = Context { tenant: &tenant, id: &id, version, updated_at, expires_at: None };
    let value = Value::json(text(id.as_str(), version)).unwrap();
    let salt = std::array::from_fn(|at| {
        id.as_str().as_bytes()[0] ^ u8::try_from(at).unwrap() ^ u8::try_from(version).unwrap()
    });
    let sealed = seal(key, 1, &context, &value, &salt).unwrap();
    let expected = match version {
        1 => Expected::Absent,
        _ => Expected::Version(version - 1),
    };
    let then = Then::Put(Record { version, updated_at, expires_at: None, sealed });
    let done = store.change(vec![Change { tenant, id, expected, then }]).await.unwrap();
    assert_eq!(done, [Outcome::Done]);
}

/// A folder with records, put away: version 2 of each, and what version 1 was.
async fn begin() -> (TempDir, Vec<Vec<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    let mut old = Vec::new();
    for version in 1..=2 {
        let store = embedded(folder.path());
        store.add_profile(tenant(), profile()).await.unwrap();
        for id in IDS {
            put(&store, id, version, &key(1)).await;
        }
        drop(store);
        if version == 1 {
            old = IDS.map(|id| row(folder.path(), id)).into();
        }
    }
    (folder, old)
}

fn place(id: &str) -> Vec<u8> {
    [b"\x04acme", id.as_bytes()].concat()
}

fn engine(folder: &Path) -> Database {
    Database::open(folder.join("vault/engine.redb")).unwrap()
}

/// What is kept of a record.
fn row(folder: &Path, id: &str) -> Vec<u8> {
    use redb::ReadableDatabase as _;
    let transaction = engine(folder).begin_read().unwrap();
    let table = transaction.open_table(RECORDS).unwrap();
    table.get(&*place(id)).unwrap().unwrap().value().to_vec()
}

/// Keeps something else.
fn write(folder: &Path, id: &str, row: &[u8]) {
    let database = engine(folder);
    let transaction = database.begin_write().unwrap();
    transaction.open_table(RECORDS).unwrap().insert(&*place(id), row).unwrap();
    transaction.commit().unwrap();
}

/// With a checksum that fits: who writes to the disk can do that too.
fn with_checksum(id: &str, mut row: Vec<u8>) -> Vec<u8> {
    let body = row.len() - 4;
    let sum = crc32c::crc32c_append(crc32c::crc32c(&place(id)), &row[..body]);
    row[body..].copy_from_slice(&sum.to_be_bytes());
    row
}

/// What has become of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Value(String),
    WrongKey,
    Damaged,
}

fn seen(id: &RecordId, found: &Found) -> Seen {
    let record = match found {
        Found::Whole(record) => record,
        Found::Damaged(_) => return Seen::Damaged,
    };
    let &Record { version, updated_at, expires_at, .. } = record;
    let context = Context { tenant: &tenant(), id, version, updated_at, expires_at };
    match open(&key(1), &context, record.sealed.clone()) {
        Opening::Opened(value) => match value.content() {
            Content::Json(text) => Seen::Value(text.to_owned()),
            Content::Bytes(..) => panic!("no bytes were stored"),
        },
        Opening::WrongKey => Seen::WrongKey,
        Opening::Damaged => Seen::Damaged,
    }
}

/// What has become of all records, listed and looked at one by one.
async fn look(folder: &Path) -> Vec<Seen> {
    let store = embedded(folder);
    assert_eq!(store.profiles(tenant()).await.unwrap()[..], [profile()]);
    let range = Range { prefix: "".into(), after: None, records_max: 9, bytes_max: 1 << 20 };
    let page = store.list(tenant(), range).await.unwrap();
    let ids: Vec<&str> = page.listed.iter().map(|listed| listed.id.as_str()).collect();
    assert_eq!(ids, IDS, "each has its place, whatever is there");
    let mut all = Vec::new();
    for listed in &page.listed {
        let place = store.get(tenant(), &listed.id).await.unwrap();
        let found = place.found.unwrap();
        assert_eq!(found, listed.found);
        all.push(seen(&listed.id, &found));
    }
    all
}

fn as_it_was(id: &str) -> Seen {
    Seen::Value(text(id, 2))
}

/// Changes what is kept of `b`, and looks at what has become of it. All others are as they were.
async fn tried(folder: &Path, row: &[u8]) -> Seen {
    write(folder, "b", row);
    let all = look(folder).await;
    for (id, seen) in IDS.iter().zip(&all).filter(|(id, _)| **id != "b") {
        assert_eq!(*seen, as_it_was(id), "left alone");
    }
    all[1].clone()
}

#[tokio::test]
async fn a_record_of_another_place_opens_nowhere_else() {
    let (folder, _) = begin().await;
    let folder = folder.path();
    let rows = IDS.map(|id| row(folder, id));
    write(folder, "a", &rows[1]);
    write(folder, "b", &rows[0]);
    let swapped = [Seen::Damaged, Seen::Damaged, as_it_was("c"), as_it_was("d")];
    assert_eq!(look(folder).await, swapped);
    // Nor where the checksum was made to fit: what is sealed holds the id.
    write(folder, "a", &with_checksum("a", rows[1].clone()));
    write(folder, "b", &with_checksum("b", rows[0].clone()));
    assert_eq!(look(folder).await, swapped);
    // Half of one and half of another.
    let mixed = [&rows[1][..HEADER], &rows[0][HEADER..]].concat();
    write(folder, "a", &rows[0]);
    assert_eq!(tried(folder, &with_checksum("b", mixed)).await, Seen::Damaged);
    write(folder, "b", &rows[1]);
    assert_eq!(look(folder).await, IDS.map(as_it_was), "put back, all is as it was");
}

#[tokio::test]
async fn a_record_that_is_changed_anywhere_is_damaged() {
    let (folder, _) = begin().await;
    let folder = folder.path();
    let whole = row(folder, "b");
    let (salt, body) = (HEADER + 2, HEADER + SEALED_HEADER);
    for at in [0, 7, 8, 15, 16, 23, HEADER, HEADER + 1, salt, salt + 32, body, body + 20] {
        let mut row = whole.clone();
        row[at] ^= 0x40;
        assert_eq!(tried(folder, &row).await, Seen::Damaged, "byte {at}");
        // Somebody who makes the checksum fit gets no further. What tells one key from another is
        // not held by what is sealed: changed, it looks like that of another key.
        let expected = if (salt..body).contains(&at) { Seen::WrongKey } else { Seen::Damaged };
        let seen = tried(folder, &with_checksum("b", row)).await;
        assert_eq!(seen, expected, "byte {at}, with its checksum");
    }
    for len in [0, 1, 4, HEADER, HEADER + 4, body, body + 4, body + 20, whole.len() - 1] {
        assert_eq!(tried(folder, &whole[..len]).await, Seen::Damaged, "cut at {len}");
        if 4 <= len {
            let cut = with_checksum("b", whole[..len].to_vec());
            assert_eq!(tried(folder, &cut).await, Seen::Damaged, "cut at {len}");
        }
    }
    let longer = [&whole[..], &[0; 8]].concat();
    assert_eq!(tried(folder, &longer).await, Seen::Damaged);
    assert_eq!(tried(folder, &with_checksum("b", longer)).await, Seen::Damaged);
    assert_eq!(tried(folder, &whole).await, as_it_was("b"), "put back");
}

#[tokio::test]
async fn an_older_record_in_its_own_place_is_what_it_was_and_no_other() {
    let (folder, old) = begin().await;
    let folder = folder.path();
    let now = row(folder, "b");
    assert_eq!(tried(folder, &old[1]).await, Seen::Value(text("b", 1)));
    // What is old under the version of now, and what is now under the old one.
    for (times, rest) in [(&now, &old[1]), (&old[1], &now)] {
        let mixed = [&times[..HEADER], &rest[HEADER..]].concat();
        assert_eq!(tried(folder, &with_checksum("b", mixed)).await, Seen::Damaged);
    }
    // It has a lower version, and what is stored over it a greater one than it.
    write(folder, "b", &old[1]);
    let store = embedded(folder);
    let id = RecordId::new("b").unwrap();
    let place = store.get(tenant(), &id).await.unwrap();
    assert_eq!(place.found.unwrap().record().version, 1);
    put(&store, "b", 2, &key(1)).await;
    drop(store);
    assert_eq!(look(folder).await, IDS.map(as_it_was));
}

#[tokio::test]
async fn what_is_left_of_a_damaged_record_can_be_stored_over_and_deleted() {
    let (folder, _) = begin().await;
    let folder = folder.path();
    let mut damaged = row(folder, "b");
    damaged[HEADER + SEALED_HEADER + 9] ^= 1;
    write(folder, "b", &damaged);
    let store = embedded(folder);
    let id = RecordId::new("b").unwrap();
    let found = store.get(tenant(), &id).await.unwrap().found.unwrap();
    assert!(matches!(found, Found::Damaged(_)));
    let record = found.record();
    assert_eq!(record.version, 2, "what stands in clear is told");
    assert!(opens(&key(1), &record.sealed) && !opens(&key(2), &record.sealed), "whose it was");
    put(&store, "b", 3, &key(1)).await;
    let found = store.get(tenant(), &id).await.unwrap().found.unwrap();
    assert_eq!(seen(&id, &found), Seen::Value(text("b", 3)));
    drop(store);
    // A version that damage has made the last of all gives way to one that can have been there.
    let mut last = row(folder, "b");
    last[..8].fill(0xff);
    write(folder, "b", &last);
    let store = embedded(folder);
    let expected = Expected::Version(u64::MAX);
    let sealed = Sealed::new(vec![1; 100]);
    let record = Record { version: 4, updated_at: Millis(1), expires_at: None, sealed };
    let then = Then::Put(record);
    let change = Change { tenant: tenant(), id: id.clone(), expected, then };
    assert_eq!(store.change(vec![change]).await.unwrap(), [Outcome::Done]);
    drop(store);
    // Damaged down to nothing it has version 0, and still gives way.
    write(folder, "b", b"");
    let store = embedded(folder);
    let (expected, then) = (Expected::Version(0), Then::Delete);
    let change = Change { tenant: tenant(), id: id.clone(), expected, then };
    assert_eq!(store.change(vec![change]).await.unwrap(), [Outcome::Done]);
    assert_eq!(store.get(tenant(), &id).await.unwrap().found, None);
}

#[tokio::test]
async fn nothing_of_a_value_is_in_any_file() {
    let (folder, _) = begin().await;
    for name in ["vault/engine.redb", "engine.redb", "chat/engine.redb"] {
        let bytes = fs::read(folder.path().join(name)).unwrap();
        let holds = |text: &[u8]| bytes.windows(text.len()).any(|at| at == text);
        assert!(!holds(b"version 2 of") && !holds(&[1; 32]), "{name}");
        assert_eq!(holds(b"acme"), name.starts_with("vault"), "{name}");
    }
}
