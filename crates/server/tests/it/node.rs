//! A server to be tested, and the ports it stands on.

use std::{
    fmt,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use switchboard_contract::Model;
use switchboard_core::{
    Code, Error, Millis,
    ingest::{Entry, Ledger, Recording},
    presence::{Answer, Appended, Journal, Page, Place, Report},
    signals::Alone,
    store::{Condition, Store, Vitals},
    time::Clock,
};
use switchboard_proto::v1::ingest_service_client::IngestServiceClient;
use switchboard_server::{
    Limits, Listeners, Ports, Server, Stopped, VaultOptions, telemetry::Metrics,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

/// How long anything may take before a test gives up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A running server. Stops with the test.
pub(crate) struct Node {
    pub(crate) main: SocketAddr,
    pub(crate) tcp: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) world: Arc<World>,
    pub(crate) stop: CancellationToken,
    running: JoinSet<Result<(), Stopped>>,
}

/// The ports beneath, which a test can turn.
#[derive(Default)]
pub(crate) struct World {
    model: Model,
    /// Where events and queues are kept.
    pub(crate) log: Arc<Model>,
    condition: Mutex<Option<Condition>>,
    failed: Notify,
    /// While set, answers wait.
    gate: Mutex<Option<CancellationToken>>,
    time: AtomicI64,
    recorded: AtomicU64,
    /// While set, the journal neither takes nor gives reports.
    pub(crate) journal_fails: AtomicBool,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

impl World {
    /// Sets how the store says it is.
    pub(crate) fn set(&self, condition: Condition) {
        if matches!(condition, Condition::Failed(_)) {
            self.failed.notify_one();
        }
        *self.condition.lock().unwrap() = Some(condition);
    }

    /// How many keys were recorded.
    pub(crate) fn recorded(&self) -> u64 {
        self.recorded.load(Ordering::Relaxed)
    }

    /// What the clock tells, in milliseconds.
    pub(crate) fn time(&self) -> i64 {
        self.now().0
    }

    /// Turns the clock.
    pub(crate) fn turn(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap();
        self.time.fetch_add(ms, Ordering::Relaxed);
    }

    /// Lets answers wait until the token is cancelled.
    pub(crate) fn hold(&self) -> CancellationToken {
        let gate = CancellationToken::new();
        *self.gate.lock().unwrap() = Some(gate.clone());
        gate
    }
}

/// A key that makes the ledger panic.
pub(crate) const PANIC: &str = "K-panic-P";

impl Ledger for World {
    fn record(&self, entries: Vec<Entry>) -> Recording {
        assert!(entries.iter().all(|entry| entry.key.to_string() != PANIC), "asked to");
        let fresh = entries.len() as u64;
        let recording = self.model.record(entries);
        self.recorded.fetch_add(fresh, Ordering::Relaxed);
        let gate = self.gate.lock().unwrap().clone();
        Box::pin(async move {
            if let Some(gate) = gate {
                gate.cancelled().await;
            }
            recording.await
        })
    }
}

impl Journal for World {
    fn append(&self, report: &Report) -> Answer<Appended> {
        if self.journal_fails.load(Ordering::Relaxed) {
            let failed = || Err(Error::new(Code::Unavailable, "the journal is full"));
            return Box::pin(async move { failed() });
        }
        self.model.append(report)
    }

    fn read(&self, from: u64) -> Answer<Page> {
        if self.journal_fails.load(Ordering::Relaxed) {
            return Box::pin(async { Err(Error::new(Code::Unavailable, "it can't be read")) });
        }
        self.model.read(from)
    }

    fn others(&self, behind: Vec<Place>) -> Answer<Vec<(Place, Report)>> {
        self.model.others(behind)
    }

    fn prune(&self, before: Millis) -> Answer<()> {
        self.model.prune(before)
    }
}

impl Store for World {
    fn vitals(&self) -> Vitals {
        let condition = self.condition.lock().unwrap().clone();
        Vitals {
            condition: condition.unwrap_or(Condition::Writable),
            commits_waiting: 0,
            ingest_keys: 0,
            ingest_index_bytes: 0,
            size_bytes: 0,
            free_bytes: Some(1 << 30),
        }
    }

    fn failed(&self) -> Pin<Box<dyn Future<Output = Error> + Send>> {
        // A test's world outlives its server; the notification is kept until it is taken.
        let failed = &self.failed;
        let permit = failed.notified();
        tokio::pin!(permit);
        if permit.as_mut().enable() {
            return Box::pin(async { Error::new(Code::Unavailable, "the disk is gone") });
        }
        Box::pin(std::future::pending())
    }
}

impl Clock for World {
    fn now(&self) -> Millis {
        Millis(1_790_000_000_000 + self.time.fetch_add(1, Ordering::Relaxed))
    }
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        Self::on(Arc::new(World::default()), limits).await
    }

    pub(crate) async fn on(world: Arc<World>, limits: Limits) -> Self {
        Self::serving(world, limits, VaultOptions::default()).await
    }

    pub(crate) async fn with_vault(options: VaultOptions) -> Self {
        Self::serving(Arc::new(World::default()), Limits::default(), options).await
    }

    async fn serving(world: Arc<World>, limits: Limits, vault: VaultOptions) -> Self {
        let ports = Ports {
            chats: Arc::new(Model::default()),
            records: Arc::new(Model::default()),
            log: Arc::clone(&world.log) as _,
            ledger: Arc::clone(&world) as _,
            journal: Arc::clone(&world) as _,
            store: Arc::clone(&world) as _,
            clock: Arc::clone(&world) as _,
            signals: Arc::new(Alone),
        };
        Self::of(&world, ports, limits, |server| server.with_vault(vault).unwrap()).await
    }

    /// A node on these ports.
    pub(crate) async fn of(
        world: &Arc<World>,
        ports: Ports,
        limits: Limits,
        setup: impl FnOnce(Server) -> Server,
    ) -> Self {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let listeners = Listeners::bind(free, free, free).await.unwrap();
        let addresses = listeners.addresses();
        let server = setup(Server::new(ports, Metrics::new(), limits, listeners));
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(server.run(stop.clone(), DEADLINE));
        Self {
            main: addresses.main,
            tcp: addresses.tcp,
            admin: addresses.admin,
            world: Arc::clone(world),
            stop,
            running,
        }
    }

    /// How the server ended.
    pub(crate) async fn ended(&mut self) -> Result<(), Stopped> {
        let ended = tokio::time::timeout(DEADLINE, self.running.join_next()).await;
        ended.expect("the server ends in time").unwrap().unwrap()
    }

    /// A gRPC client on a connection of its own.
    pub(crate) async fn grpc(&self) -> IngestServiceClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.main)).unwrap();
        IngestServiceClient::new(endpoint.connect().await.unwrap())
    }

    /// A connection for gRPC clients.
    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.main)).unwrap();
        endpoint.connect().await.unwrap()
    }

    /// Posts JSON and returns the status and the body.
    pub(crate) async fn post(&self, path: &str, body: impl AsRef<[u8]>) -> (u16, String) {
        self.send("POST", path, "application/json", body.as_ref()).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> (u16, String) {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
             content-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
        );
        let answer = exchange(self.main, &[head.as_bytes(), body].concat()).await;
        split(&answer)
    }

    /// What the admin listener answers.
    pub(crate) async fn admin(&self, path: &str) -> (u16, String) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        split(&exchange(self.admin, request.as_bytes()).await)
    }
}

/// Sends bytes on a new connection and returns all that comes until it is closed.
pub(crate) async fn exchange(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that has heard enough may close before everything is sent.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the connection is closed in time");
    answer
}

fn split(answer: &[u8]) -> (u16, String) {
    let answer = String::from_utf8_lossy(answer);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    (status.expect("an HTTP answer"), body.unwrap_or_default())
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}
