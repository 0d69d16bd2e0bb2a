//! A port of a store on a database of its own.

use std::sync::Arc;

use switchboard_postgres::Postgres;

use super::server::{server, store_at};

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

/// A store on a new database.
pub(crate) async fn store() -> Postgres {
    store_at(&server().database().unwrap()).await
}
