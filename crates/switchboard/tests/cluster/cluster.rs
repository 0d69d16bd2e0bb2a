//! A cluster of its own: PostgreSQL, NATS, nodes with their gates, and a balancer in front.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use switchboard_servers::{Balancer, Gate, Nats, Node, Postgres};
use tempfile::TempDir;

/// How long anything may take before a test gives up.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// The program.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_switchboard"))
}

/// What runs. Dropped from the first to the last: nodes go before what they stand on.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    /// Between each node and NATS.
    pub(crate) gates: Vec<Gate>,
    main: Balancer,
    tcp: Balancer,
    pub(crate) nats: Option<Nats>,
    pub(crate) postgres: Vec<Postgres>,
    folder: TempDir,
}

impl Cluster {
    /// Nodes with these roles, on a server with its defaults.
    pub(crate) fn start(roles: &[&str]) -> Self {
        let postgres = Postgres::start().unwrap();
        let store = postgres.url("postgres");
        Self::on(vec![postgres], &store, roles)
    }

    /// Nodes with these roles, on a store at this address.
    pub(crate) fn on(postgres: Vec<Postgres>, store: &str, roles: &[&str]) -> Self {
        let nats = Nats::start().unwrap();
        let mut cluster = Self::empty();
        for roles in roles {
            let gate = Gate::start(nats.port()).unwrap();
            let options = ["--store", store, "--signals", &gate.url(), "--roles", roles];
            cluster.add(&options);
            cluster.gates.push(gate);
        }
        cluster.nats = Some(nats);
        cluster.postgres = postgres;
        cluster
    }

    /// One node with the embedded store, as a measure of the checks themselves.
    pub(crate) fn alone() -> Self {
        let mut cluster = Self::empty();
        cluster.add(&["--log-segment-mib", "1"]);
        cluster
    }

    fn empty() -> Self {
        let (main, tcp) = (Balancer::start(0).unwrap(), Balancer::start(0).unwrap());
        let (nodes, gates, nats, postgres) = (Vec::new(), Vec::new(), None, Vec::new());
        Self { nodes, gates, main, tcp, nats, postgres, folder: TempDir::new().unwrap() }
    }

    fn add(&mut self, options: &[&str]) {
        let options: Vec<String> = options.iter().map(|&it| it.to_owned()).collect();
        let folder = self.folder.path().join(format!("node-{}", self.nodes.len()));
        let node = Node::start(program(), &folder, &options).unwrap();
        node.ready().unwrap();
        self.main.add(&node.main(), &node.admin()).unwrap();
        self.tcp.add(&node.tcp(), &node.admin()).unwrap();
        self.nodes.push(node);
    }

    /// The URL of any node, for calls.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.main.address())
    }

    /// The URL of any node, for sessions over TCP.
    pub(crate) fn tcp_url(&self) -> String {
        format!("tcp://{}", self.tcp.address())
    }

    /// Stops a node in good order and starts it again.
    pub(crate) fn restart(&mut self, node: usize) {
        assert_eq!(self.nodes[node].stop(), Some(0), "{}", self.nodes[node].log());
        self.nodes[node].start_again().unwrap();
        self.nodes[node].ready().unwrap();
    }

    pub(crate) fn nats(&mut self) -> &mut Nats {
        self.nats.as_mut().unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let logs = self.nodes.iter().map(Node::log);
        if thread::panicking() {
            for (number, log) in logs.enumerate() {
                let tail: Vec<&str> = log.lines().rev().take(60).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                let text = format!("--- node {number}\n{}\n", tail.join("\n"));
                let _ = std::io::stderr().write_all(text.as_bytes());
            }
            return;
        }
        for log in logs {
            assert!(!log.contains("panicked"), "a node panicked:\n{log}");
        }
    }
}

/// Posts JSON to a listener: the status and how long the answer took; no status where none came.
pub(crate) fn post(address: &str, path: &str, body: &str) -> (Option<u16>, Duration) {
    let begun = Instant::now();
    let ask = || {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).ok()?;
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.split(' ').nth(1)?.parse().ok()
    };
    (ask(), begun.elapsed())
}

/// Waits until a condition holds.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
