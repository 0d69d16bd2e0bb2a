//! A server that is killed, frozen, too old, somebody else's, or not there.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

use std::{
    io::Write as _,
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use switchboard_core::{
    Code,
    signals::{Listener, Signals, Subject},
};
use switchboard_nats::Nats;
use switchboard_servers::{Nats as Server, free_port};
use tokio::time::sleep;

/// How long anything may take before a test gives up.
const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct Heard {
    payloads: Mutex<Vec<Vec<u8>>>,
    missed: AtomicU64,
}

impl Listener for Heard {
    fn heard(&self, payload: &[u8]) {
        self.payloads.lock().unwrap().push(payload.to_vec());
    }

    fn missed(&self) {
        self.missed.fetch_add(1, Ordering::SeqCst);
    }
}

impl Heard {
    fn has(&self, payload: &[u8]) -> bool {
        self.payloads.lock().unwrap().iter().any(|heard| heard == payload)
    }

    fn missed(&self) -> u64 {
        self.missed.load(Ordering::SeqCst)
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "never: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// A node of the cluster `a`.
async fn connect(urls: &str) -> switchboard_core::Result<Nats> {
    Nats::connect(urls, "a").await
}

/// Two nodes, of which the second hears what the first tells.
struct Pair {
    server: Server,
    teller: Nats,
    hearer: Nats,
    heard: Arc<Heard>,
    subject: Subject,
}

impl Pair {
    async fn start() -> Self {
        let server = Server::start().unwrap();
        let [teller, hearer] = [server.url(), server.url()];
        let (teller, hearer) = (connect(&teller).await.unwrap(), connect(&hearer).await.unwrap());
        let heard = Arc::new(Heard::default());
        hearer.listen(Arc::clone(&heard) as _);
        let subject = Subject::of_all("news");
        hearer.hear(&subject);
        let pair = Self { server, teller, hearer, heard, subject };
        pair.reaches("at first").await;
        pair
    }

    /// Live again by itself.
    async fn reaches(&self, what: &str) {
        let mut number = 0_u32;
        until("a signal is heard again", || {
            let heard = self.heard.has(format!("{what} {number}").as_bytes());
            number += 1;
            self.teller.tell(&self.subject, format!("{what} {number}").into_bytes());
            heard || (1..number).any(|n| self.heard.has(format!("{what} {n}").as_bytes()))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hears_is_told_when_a_killed_server_is_back() {
    let mut pair = Pair::start().await;
    for round in 0..2 {
        pair.server.kill();
        until("both know", || !pair.teller.is_connected() && !pair.hearer.is_connected()).await;
        let before = pair.heard.missed();
        let unsent = pair.teller.counts().unsent;
        pair.teller.tell(&pair.subject, b"into nothing".to_vec());
        assert_eq!(pair.teller.counts().unsent, unsent + 1);
        pair.server.start_again().unwrap();
        until("it is told", || before < pair.heard.missed()).await;
        assert!(pair.hearer.is_connected());
        pair.reaches(&format!("round {round}")).await;
        assert!(!pair.heard.has(b"into nothing"));
        assert_eq!(pair.hearer.counts().reconnects, round + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_holds_nobody_up_and_fills_no_memory() {
    let pair = Pair::start().await;
    let before = pair.heard.missed();
    pair.server.freeze();
    let began = Instant::now();
    // As long as it is not known: more than all that is kept.
    for _ in 0..4_000 {
        pair.teller.tell(&pair.subject, vec![7; 100_000]);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let unsent = pair.teller.counts().unsent;
    assert!(3_000 < unsent, "{unsent} of 4,000 are let go of");
    until("both know", || !pair.teller.is_connected() && !pair.hearer.is_connected()).await;
    let waited = began.elapsed();
    assert!(waited < Duration::from_secs(10), "{waited:?}");
    pair.server.thaw();
    until("it is told", || before < pair.heard.missed()).await;
    pair.reaches("thawed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_tell_of_our_subjects_is_counted_and_passed_over() {
    let pair = Pair::start().await;
    let stranger = async_nats::connect(pair.server.url()).await.unwrap();
    for bytes in [&b""[..], b"hello", &[1; 21], &[0xff; 4_000]] {
        stranger.publish("switchboard.1.a.news", bytes.to_vec().into()).await.unwrap();
    }
    stranger.flush().await.unwrap();
    until("they are counted", || pair.hearer.counts().foreign == 4).await;
    pair.reaches("afterwards").await;
    let payloads = pair.heard.payloads.lock().unwrap();
    assert!(payloads.iter().all(|it| it.starts_with(b"at first") || it.starts_with(b"afterwards")));
}

/// Staging and production on one server, say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_two_clusters_do_not_hear_each_other() {
    let pair = Pair::start().await;
    let other = Nats::connect(&pair.server.url(), "b").await.unwrap();
    let heard = Arc::new(Heard::default());
    other.listen(Arc::clone(&heard) as _);
    other.hear(&pair.subject);
    until("the other hears", || 0 < heard.missed()).await;
    other.tell(&pair.subject, b"of the other".to_vec());
    until("it is sent", || other.counts().sent == 1).await;
    pair.reaches("after both").await;
    // What was sent later has come: so would have what was sent before.
    pair.reaches("later").await;
    assert!(!pair.heard.has(b"of the other"));
    assert!(heard.payloads.lock().unwrap().is_empty(), "nothing of the first is heard");
    assert_eq!((pair.hearer.counts().foreign, other.counts().foreign), (0, 0));
}

#[track_caller]
fn refused(connected: switchboard_core::Result<Nats>, code: Code, what: &str) {
    let error = connected.err().unwrap();
    assert!(error.code() == code && error.to_string().contains(what), "{}", error.chain());
}

#[tokio::test]
async fn what_is_no_address_is_refused_at_once() {
    let named = Nats::connect("nats://127.0.0.1:1", "a.b").await;
    refused(named, Code::InvalidRequest, "a cluster's name is");
    for wrong in ["", "nats", "127.0.0.1:4222", "http://a", "nats://", "nats://a,", "nats://a:b"] {
        refused(connect(wrong).await, Code::InvalidRequest, "no address of a NATS server");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_within_seconds() {
    let began = Instant::now();
    let url = format!("nats://u:secret@127.0.0.1:{}", free_port().unwrap());
    let connected = connect(&url).await;
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    assert!(!format!("{connected:?}").contains("secret"));
    refused(connected, Code::Unavailable, "is not reached");
}

#[tokio::test]
async fn one_that_comes_a_moment_late_is_waited_for() {
    let mut server = Server::start().unwrap();
    server.kill();
    let url = server.url();
    let connecting = connect(&url);
    let starting = async {
        sleep(Duration::from_millis(700)).await;
        server.start_again().unwrap();
    };
    let (connected, ()) = tokio::join!(connecting, starting);
    assert!(connected.unwrap().is_connected());
}

#[tokio::test]
async fn one_that_is_too_old_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let info = r#"INFO {"server_id":"x","version":"1.4.1","max_payload":1048576}"#;
            stream.write_all(format!("{info}\r\nPONG\r\n").as_bytes()).unwrap();
            thread::spawn(move || {
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
            });
        }
    });
    let url = format!("nats://127.0.0.1:{port}");
    refused(connect(&url).await, Code::Unavailable, "at least 2.2.0");
}

/// A server with a user for each right.
const USERS: &str = r#"
authorization: { users: [
  { user: "all", password: "secr@t" },
  { user: "ours", password: "secret",
    permissions: { publish: "switchboard.1.>", subscribe: "switchboard.1.>" } },
  { user: "none", password: "secret", permissions: { publish: "a.>", subscribe: "a.>" } }
  { user: "deaf", password: "secret", permissions: { publish: ">", subscribe: "a.>" } }
] }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_that_are_missing_are_told_at_once() {
    let server = Server::with(USERS).unwrap();
    let as_user =
        async |user: &str| connect(&format!("nats://{user}@127.0.0.1:{}", server.port())).await;
    for user in ["all:secr%40t", "ours:secret"] {
        assert!(as_user(user).await.unwrap().is_connected(), "{user}");
    }
    for user in ["all:wrong", "nobody:secret"] {
        refused(as_user(user).await, Code::Unavailable, "does not let this node in");
    }
    for user in ["none:secret", "deaf:secret"] {
        refused(as_user(user).await, Code::Unavailable, "must publish and subscribe to");
    }
    refused(connect(&server.url()).await, Code::Unavailable, "does not let this node in");
}
