//! The vault on a PostgreSQL that the tests start for themselves.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

use std::sync::{Arc, OnceLock};

use switchboard_contract::records;
use switchboard_core::{
    Millis, Tenant,
    store::Unobserved,
    vault::{
        Change, Expected, Found, Listed, Outcome, Range, Record, RecordId, Records, Sealed, Then,
    },
};
use switchboard_postgres::{Options, Postgres};

/// One server for all tests of this file; each has a database of its own.
fn server() -> &'static switchboard_servers::Postgres {
    static SERVER: OnceLock<switchboard_servers::Postgres> = OnceLock::new();
    SERVER.get_or_init(|| switchboard_servers::Postgres::start().unwrap())
}

async fn store(url: &str) -> Postgres {
    Postgres::open(url, Options::default(), Arc::new(Unobserved)).await.unwrap()
}

/// The vault of a store, and where that is.
struct Opened {
    records: Arc<dyn Records>,
    store: Postgres,
    url: String,
}

impl AsRef<Arc<dyn Records>> for Opened {
    fn as_ref(&self) -> &Arc<dyn Records> {
        &self.records
    }
}

async fn opened(url: String) -> Opened {
    let store = store(&url).await;
    Opened { records: Arc::clone(&store.records) as _, store, url }
}

async fn open() -> Opened {
    opened(server().database().unwrap()).await
}

switchboard_contract::records!(open);

/// What was opened before is closed, its database stays.
async fn open_again(before: Option<Opened>) -> Opened {
    match before {
        Some(before) => {
            before.store.close().await;
            opened(before.url).await
        }
        None => open().await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_interleaving_survives_restarts() {
    for seed in [1, 2, 3] {
        records::interleavings_over_restarts(seed, open_again).await;
    }
}

#[path = "records/damage.rs"]
mod damage;
#[path = "records/nodes.rs"]
mod nodes;
#[path = "records/plans.rs"]
mod plans;

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

/// A record that never expires; what is sealed is of this length, and can't be made shorter.
fn record(version: u64, len: usize) -> Record {
    let mut state = 0x9e37_79b9_u32;
    let bytes = (0..len).map(|_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_be_bytes()[0]
    });
    let sealed = Sealed::new(bytes.collect());
    Record { version, updated_at: Millis(1_000), expires_at: None, sealed }
}

fn expiring(version: u64, at: i64) -> Record {
    Record { expires_at: Some(Millis(at)), ..record(version, 100) }
}

fn put(of: &str, at: &str, expected: Expected, record: Record) -> Change {
    Change { tenant: tenant(of), id: id(at), expected, then: Then::Put(record) }
}

fn delete(of: &str, at: &str, version: u64) -> Change {
    let expected = Expected::Version(version);
    Change { tenant: tenant(of), id: id(at), expected, then: Then::Delete }
}

async fn change(records: &Arc<dyn Records>, change: Change) -> Outcome {
    records.change(vec![change]).await.unwrap()[0]
}

async fn found(records: &Arc<dyn Records>, of: &str, at: &str) -> Option<Found> {
    records.get(tenant(of), &id(at)).await.unwrap().found
}

/// A whole list.
async fn all(records: &Arc<dyn Records>, of: &str) -> Vec<Listed> {
    let range = Range { prefix: "".into(), after: None, records_max: 7, bytes_max: usize::MAX };
    let (mut range, mut all) = (range, Vec::new());
    loop {
        let mut page = records.list(tenant(of), range.clone()).await.unwrap();
        all.append(&mut page.listed);
        match page.next {
            Some(next) => range.after = Some(next),
            None => return all,
        }
    }
}
