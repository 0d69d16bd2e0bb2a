//! The contract of events and queues, and what holds where two nodes share a database.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

mod log {
    mod nodes;
}

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use switchboard_core::{bus::Log, store::Unobserved};
use switchboard_postgres::{Options, Postgres};

/// One server for all tests of this file; each has a database of its own.
fn server() -> &'static switchboard_servers::Postgres {
    static SERVER: OnceLock<switchboard_servers::Postgres> = OnceLock::new();
    SERVER.get_or_init(|| switchboard_servers::Postgres::start().unwrap())
}

/// A node's store.
struct Node {
    log: Arc<dyn Log>,
    store: Postgres,
    url: String,
}

impl AsRef<Arc<dyn Log>> for Node {
    fn as_ref(&self) -> &Arc<dyn Log> {
        &self.log
    }
}

impl Node {
    async fn at(url: &str) -> Self {
        // Many tests share the machine.
        let options = Options { answer: Duration::from_mins(1), ..Options::default() };
        let store = Postgres::open(url, options, Arc::new(Unobserved)).await.unwrap();
        Self { log: Arc::clone(&store.log) as Arc<dyn Log>, store, url: url.to_owned() }
    }

    /// Another node at the same database.
    async fn another(&self) -> Self {
        Self::at(&self.url).await
    }
}

async fn open() -> Node {
    Node::at(&server().database().unwrap()).await
}

switchboard_contract::log!(open);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interleavings_over_restarts() {
    for seed in 1..=3 {
        let again = |before: Option<Node>| async {
            let Some(before) = before else { return open().await };
            before.store.close().await;
            before.another().await
        };
        switchboard_contract::log::interleavings_over_restarts(seed, again).await;
    }
}

/// What one node answers the other has, step by step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interleavings_over_two_nodes() {
    for seed in 4..=6 {
        let other = tokio::sync::Mutex::new(None);
        let again = |before: Option<Node>| async {
            let Some(before) = before else { return open().await };
            let mut other = other.lock().await;
            let next = match other.take() {
                Some(next) => next,
                None => before.another().await,
            };
            *other = Some(before);
            next
        };
        switchboard_contract::log::interleavings_over_restarts(seed, again).await;
    }
}
