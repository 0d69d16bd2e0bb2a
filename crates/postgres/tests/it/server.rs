//! One server for all tests of a file; each has a database of its own.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use switchboard_core::store::Unobserved;
use switchboard_postgres::{Options, Postgres};

pub(crate) fn server() -> &'static switchboard_servers::Postgres {
    static SERVER: OnceLock<switchboard_servers::Postgres> = OnceLock::new();
    SERVER.get_or_init(|| switchboard_servers::Postgres::start().unwrap())
}

/// A store on a database that others may have opened too.
pub(crate) async fn store_at(url: &str) -> Postgres {
    // Many tests at once may be slow.
    let options = Options { answer: Duration::from_mins(1), ..Options::default() };
    Postgres::open(url, options, Arc::new(Unobserved)).await.unwrap()
}
