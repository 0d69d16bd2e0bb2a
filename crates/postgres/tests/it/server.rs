//! One server for all tests of a file; each has a database of its own.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use switchboard_core::store::Unobserved;
use switchboard_postgres::{Options, Postgres};

/// A port, with the store that it is of.
pub(crate) struct Opened<P: ?Sized> {
    port: Arc<P>,
    _store: Postgres,
}

impl<P: ?Sized> Opened<P> {
    pub(crate) fn new(port: Arc<P>, store: Postgres) -> Self {
        Self { port, _store: store }
    }
}

impl<P: ?Sized> AsRef<Arc<P>> for Opened<P> {
    fn as_ref(&self) -> &Arc<P> {
        &self.port
    }
}

pub(crate) fn server() -> &'static switchboard_servers::Postgres {
    static SERVER: OnceLock<switchboard_servers::Postgres> = OnceLock::new();
    SERVER.get_or_init(|| switchboard_servers::Postgres::start().unwrap())
}

/// A store on a new database.
pub(crate) async fn store() -> Postgres {
    store_at(&server().database().unwrap()).await
}

/// A store on a database that others may have opened too.
pub(crate) async fn store_at(url: &str) -> Postgres {
    // Many tests at once may be slow.
    let options = Options { answer: Duration::from_mins(1), ..Options::default() };
    Postgres::open(url, options, Arc::new(Unobserved)).await.unwrap()
}
