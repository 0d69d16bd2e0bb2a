//! The vault on a PostgreSQL that the tests start for themselves.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

use std::sync::{Arc, OnceLock};

use switchboard_contract::records;
use switchboard_core::{store::Unobserved, vault::Records};
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
