//! The contracts of the ports, on a PostgreSQL that the tests start for themselves.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

use std::sync::{Arc, OnceLock};

use switchboard_core::store::Unobserved;
use switchboard_postgres::{Options, Postgres};

/// One server for all tests of this file; each has a database of its own.
fn server() -> &'static switchboard_servers::Postgres {
    static SERVER: OnceLock<switchboard_servers::Postgres> = OnceLock::new();
    SERVER.get_or_init(|| switchboard_servers::Postgres::start().unwrap())
}

async fn store() -> Postgres {
    let url = server().database().unwrap();
    Postgres::open(&url, Options::default(), Arc::new(Unobserved)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_database_is_opened_and_again() {
    let url = server().database().unwrap();
    for _ in 0..2 {
        Postgres::open(&url, Options::default(), Arc::new(Unobserved)).await.unwrap().close().await;
    }
    store().await.close().await;
}
