//! A database tells everything that it holds, and takes everything that another store tells.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

#[path = "it/server.rs"]
mod server;

use std::sync::Arc;

use switchboard_contract::transfer::{Ports, Vessel};
use switchboard_core::{
    store::Unobserved,
    transfer::{Archive, Destination},
};
use switchboard_postgres::{Options, Postgres, transfer::AtRest};
use tokio::sync::Mutex;

use self::server::{server, store_at};

struct Database {
    url: String,
    served: Mutex<Option<Postgres>>,
}

impl Database {
    async fn stop(&self) {
        if let Some(store) = self.served.lock().await.take() {
            store.close().await;
        }
    }
}

impl Vessel for Database {
    async fn empty() -> Self {
        Self { url: server().database().unwrap(), served: Mutex::default() }
    }

    async fn destination(&self) -> Arc<dyn Destination> {
        self.stop().await;
        Arc::new(AtRest::open(&self.url).await.unwrap())
    }

    async fn archive(&self) -> Arc<dyn Archive> {
        self.stop().await;
        Arc::new(AtRest::open_whole(&self.url).await.unwrap())
    }

    async fn serve(&self) -> Ports {
        let store = store_at(&self.url).await;
        let ports = Ports {
            ledger: Arc::clone(&store.ledger) as _,
            chats: Arc::clone(&store.chats) as _,
            records: Arc::clone(&store.records) as _,
            log: Arc::clone(&store.log) as _,
        };
        *self.served.lock().await = Some(store);
        ports
    }
}

switchboard_contract::transfer!(Database);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_finished_is_not_served() {
    let database = Database::empty().await;
    let destination = database.destination().await;
    destination.begin("another store").await.unwrap();
    drop(destination);
    let served = Postgres::open(&database.url, Options::default(), Arc::new(Unobserved)).await;
    assert!(served.unwrap_err().to_string().contains("does not hold everything yet"));
    let told = AtRest::open_whole(&database.url).await;
    assert!(told.unwrap_err().to_string().contains("does not hold everything yet"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_a_node_uses_is_refused() {
    let database = Database::empty().await;
    let _ports = database.serve().await;
    let refused = AtRest::open(&database.url).await.unwrap_err();
    assert!(refused.to_string().contains("a node uses the database"), "{refused}");
}
