//! Load of all capabilities at once, what was answered, and whether that was right.
//!
//! Every operation is noted; the checks take time in proportion to their number. What no answer
//! came for is unknown: it may have happened, or happen later.

pub(crate) mod bus;
pub(crate) mod chat;
pub(crate) mod ingest;
pub(crate) mod presence;
pub(crate) mod vault;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use switchboard_client::{Client, Error};
use tokio::{runtime::Runtime, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, DEADLINE};

/// What everybody who makes load knows.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    /// Any node, by way of the balancer.
    url: String,
    tcp_url: String,
    /// Each node, by itself.
    pub(crate) nodes: Vec<String>,
    stop: CancellationToken,
    /// What was found to be wrong while it happened.
    wrong: Arc<Mutex<Vec<String>>>,
    /// Errors that a caller has seen, although it would repeat the call.
    errors: Arc<Mutex<Vec<String>>>,
}

impl Ground {
    /// A client with connections of its own, to a node that the balancer chooses.
    fn client(&self, tenant: &str) -> Client {
        Client::new(&self.url).unwrap().with_tenant(tenant)
    }

    fn tcp_client(&self, tenant: &str) -> Client {
        Client::new(&self.tcp_url).unwrap().with_tenant(tenant)
    }

    fn wrong(&self, what: String) {
        locked(&self.wrong).push(what);
    }

    fn saw(&self, what: &str, error: &Error) {
        locked(&self.errors).push(format!("{what}: {}: {error}", error.code()));
    }

    fn stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits, unless it is time to stop.
    async fn pause(&self, length: Duration) {
        let _ = tokio::time::timeout(length, self.stop.cancelled()).await;
    }
}

pub(crate) fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts what was acknowledged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count(Arc<AtomicU64>);

impl Count {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The load, running.
pub(crate) struct Load {
    pub(crate) ground: Ground,
    pub(crate) ingest: Arc<ingest::History>,
    pub(crate) chat: Arc<chat::History>,
    pub(crate) bus: Arc<bus::History>,
    pub(crate) vault: Arc<vault::History>,
    pub(crate) presence: Arc<presence::History>,
    tasks: JoinSet<()>,
    runtime: Runtime,
}

/// Lets what is under way run on.
pub(crate) fn runs(length: Duration) {
    thread::sleep(length);
}

impl Load {
    /// Starts all of it, and waits until all of it gets through.
    pub(crate) fn start(cluster: &Cluster, status: &[usize]) -> Self {
        let ground = Ground {
            url: cluster.url(),
            tcp_url: cluster.tcp_url(),
            nodes: cluster.nodes.iter().map(switchboard_servers::Node::url).collect(),
            stop: CancellationToken::new(),
            wrong: Arc::default(),
            errors: Arc::default(),
        };
        let runtime = Runtime::new().unwrap();
        let mut tasks = JoinSet::new();
        let entered = runtime.enter();
        let ingest = ingest::start(&ground, &mut tasks);
        let chat = chat::start(&ground, &mut tasks);
        let bus = bus::start(&ground, &mut tasks);
        let vault = vault::start(&ground, &mut tasks);
        let readers = status.iter().map(|&node| ground.nodes[node].clone()).collect();
        let presence = presence::start(&ground, readers, &mut tasks);
        drop(entered);
        let load = Self { ground, ingest, chat, bus, vault, presence, tasks, runtime };
        load.moves();
        load
    }

    fn counts(&self) -> [(&'static str, u64); 5] {
        [
            ("ingest", self.ingest.acknowledged.get()),
            ("chat", self.chat.acknowledged.get()),
            ("bus", self.bus.acknowledged.get()),
            ("queue", self.bus.settled.get()),
            ("vault", self.vault.acknowledged.get()),
        ]
    }

    /// Waits until every capability has acknowledged something that was begun from now on.
    #[track_caller]
    pub(crate) fn moves(&self) {
        let (before, begun) = (self.counts(), Instant::now());
        loop {
            let now = self.counts();
            // More than what may have been in flight.
            let stands = before.iter().zip(&now).filter(|(before, now)| now.1 < before.1 + 20);
            let stands: Vec<&str> = stands.map(|(before, _)| before.0).collect();
            if stands.is_empty() {
                return;
            }
            let errors = locked(&self.ground.errors);
            let last = errors.iter().rev().take(5).cloned().collect::<Vec<_>>();
            drop(errors);
            assert!(begun.elapsed() < DEADLINE, "{stands:?} do not get through: {last:#?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The errors that callers have seen since they were asked for last.
    pub(crate) fn errors(&self) -> Vec<String> {
        std::mem::take(&mut locked(&self.ground.errors))
    }

    /// Ends the load, and looks at everything that was answered.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        self.moves();
        let counts = self.counts();
        self.ground.stop.cancel();
        self.runtime.block_on(async {
            let ended = async { while self.tasks.join_next().await.is_some() {} };
            tokio::time::timeout(DEADLINE, ended).await.expect("the load ends");
            let ground = &self.ground;
            ingest::check(ground, &self.ingest).await;
            chat::check(ground, &self.chat).await;
            bus::check(ground, &self.bus).await;
            vault::check(ground, &self.vault).await;
            presence::check(ground, &self.presence);
        });
        let wrong = locked(&self.ground.wrong).clone();
        let first = wrong.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
        assert!(wrong.is_empty(), "{} answers are wrong, of {counts:?}:\n{first}", wrong.len());
    }
}
