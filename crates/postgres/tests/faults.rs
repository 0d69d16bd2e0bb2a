//! What becomes of requests when the database does not do as it should. Each test has a server of
//! its own.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use switchboard_core::{
    Code, Millis,
    ingest::{Entry, Key, Ledger, Receipt},
    presence::Journal,
    store::{Condition, Unobserved},
    time::Clock,
};
use switchboard_postgres::{DatabaseClock, Options, Postgres};
use switchboard_servers::Postgres as Server;
use tokio::{task::JoinSet, time::sleep};

/// How long anything may take that is waited for.
const DEADLINE: Duration = Duration::from_mins(1);

/// How long a request waits for its answer here.
const ANSWER: Duration = Duration::from_secs(1);

fn options() -> Options {
    Options { answer: ANSWER, ..Options::default() }
}

/// For where it is not asked how long something takes.
fn patient() -> Options {
    Options { answer: DEADLINE, ..Options::default() }
}

async fn open(url: &str) -> Postgres {
    Postgres::open(url, options(), Arc::new(Unobserved)).await.unwrap()
}

async fn refused(url: &str) -> String {
    let opened = Postgres::open(url, options(), Arc::new(Unobserved)).await;
    opened.map(|_| ()).unwrap_err().to_string()
}

fn key(number: u32) -> Entry {
    Entry { tenant: "a".parse().unwrap(), key: Key::from_number(number).unwrap() }
}

/// Waits until something is so.
async fn until(what: &str, so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !so().await {
        assert!(begun.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Programs that record keys one after the other, each its own, again and again until they are told
/// that they are recorded.
struct Load {
    recorded: Arc<Mutex<BTreeMap<u32, Receipt>>>,
    failed: Arc<AtomicI64>,
    stop: Arc<AtomicBool>,
    programs: JoinSet<()>,
}

impl Load {
    fn start(store: &Postgres) -> Self {
        let (recorded, failed) = (Arc::<Mutex<BTreeMap<_, _>>>::default(), Arc::default());
        let stop = Arc::new(AtomicBool::new(false));
        let mut programs = JoinSet::new();
        for program in 0..8 {
            let (ledger, recorded) = (Arc::clone(&store.ledger), Arc::clone(&recorded));
            let (failed, stop) = (Arc::<AtomicI64>::clone(&failed), Arc::clone(&stop));
            programs.spawn(async move {
                let mut next = program * 1_000_000;
                while !stop.load(Ordering::Relaxed) {
                    match ledger.record(vec![key(next)]).await {
                        Ok(receipts) => {
                            recorded.lock().unwrap().insert(next, receipts[0]);
                            next += 1;
                        }
                        Err(error) => {
                            assert_eq!(error.code(), Code::Unavailable, "{error}");
                            failed.fetch_add(1, Ordering::Relaxed);
                            sleep(Duration::from_millis(20)).await;
                        }
                    }
                }
            });
        }
        Self { recorded, failed, stop, programs }
    }

    fn count(&self) -> usize {
        self.recorded.lock().unwrap().len()
    }

    /// Waits until this many more are recorded.
    async fn goes_on(&self) {
        let before = self.count();
        until("it goes on by itself", async || before + 50 < self.count()).await;
    }

    /// Ends, and holds all that was told against the database.
    async fn end(mut self, server: &Server, url: &str) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(program) = self.programs.join_next().await {
            program.unwrap();
        }
        let rows = server.sql(url, "SELECT key, id FROM switchboard.ledger").unwrap();
        let mut kept = BTreeMap::new();
        for line in rows.lines() {
            let (key, id) = line.split_once('|').unwrap();
            kept.insert(key.parse::<u32>().unwrap(), id.parse::<u64>().unwrap());
        }
        let recorded = self.recorded.lock().unwrap();
        for (key, receipt) in &*recorded {
            assert_eq!(kept.get(key), Some(&receipt.id), "what was told of {key}");
        }
        let ids: BTreeSet<_> = kept.values().collect();
        assert_eq!(ids.len(), kept.len(), "an id was given twice");
    }
}

/// How many connections the store has.
fn connections(server: &Server, url: &str) -> usize {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'switchboard'";
    server.sql(url, count).unwrap().trim().parse().unwrap()
}

/// Waits until everything is taken again, and holds the connections to how many there were.
async fn is_well_again(store: &Postgres, server: &Server, (url, before): (&str, usize)) {
    until("it is well again", async || {
        store.journal.others(Vec::new()).await.is_ok()
            && store.store.vitals().condition == Condition::Writable
    })
    .await;
    let now = connections(server, url);
    assert!(now <= before + 3, "{now} connections, before {before}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_killed_is_waited_for_and_all_goes_on() {
    let mut server = Server::start().unwrap();
    let url = server.database().unwrap();
    let store = open(&url).await;
    let load = Load::start(&store);
    load.goes_on().await;
    until("it is read", async || store.journal.others(Vec::new()).await.is_ok()).await;
    let before = connections(&server, &url);
    for _ in 0..2 {
        server.kill();
        // Whoever asks is told so, in time.
        until("it is known to be away", async || {
            matches!(store.store.vitals().condition, Condition::Refusing(_))
        })
        .await;
        let begun = Instant::now();
        for number in 0..2_000 {
            let answer = store.ledger.record(vec![key(90_000_000 + number)]).await;
            assert_eq!(answer.unwrap_err().code(), Code::Unavailable);
        }
        let all = begun.elapsed();
        assert!(all < 2 * ANSWER, "2,000 were not told at once, but in {all:?}");
        assert_eq!(store.store.vitals().commits_waiting, 0, "nothing piles up");
        let read = Instant::now();
        let answers: Vec<_> = (0..500).map(|_| store.journal.others(Vec::new())).collect();
        for answer in answers {
            assert_eq!(answer.await.unwrap_err().code(), Code::Unavailable);
        }
        assert!(read.elapsed() < 3 * ANSWER, "reads were told in {:?}", read.elapsed());
        server.start_again().unwrap();
        load.goes_on().await;
        is_well_again(&store, &server, (&url, before)).await;
    }
    load.end(&server, &url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_is_waited_for_and_nothing_is_lost() {
    let server = Server::start().unwrap();
    let url = server.database().unwrap();
    let store = open(&url).await;
    let load = Load::start(&store);
    load.goes_on().await;
    until("it is read", async || store.journal.others(Vec::new()).await.is_ok()).await;
    let before = connections(&server, &url);
    server.freeze();
    let frozen = Instant::now();
    // What is under way is told so after a time, what comes then at once.
    let failed = load.failed.load(Ordering::Relaxed);
    until("it is told", async || failed < load.failed.load(Ordering::Relaxed)).await;
    let told = frozen.elapsed();
    assert!(told < 3 * ANSWER, "told after {told:?}");
    until("it is known", async || matches!(store.store.vitals().condition, Condition::Refusing(_)))
        .await;
    let begun = Instant::now();
    for number in 0..1_000 {
        let answer = store.ledger.record(vec![key(90_000_000 + number)]).await;
        assert_eq!(answer.unwrap_err().code(), Code::Unavailable);
    }
    assert!(begun.elapsed() < ANSWER, "1,000 were told in {:?}", begun.elapsed());
    assert_eq!(store.journal.others(Vec::new()).await.unwrap_err().code(), Code::Unavailable);
    let begun = Instant::now();
    assert_eq!(store.journal.others(Vec::new()).await.unwrap_err().code(), Code::Unavailable);
    assert!(begun.elapsed() < ANSWER, "a read was told in {:?}", begun.elapsed());
    until("5 s have passed", async || Duration::from_secs(5) < frozen.elapsed()).await;
    server.thaw();
    load.goes_on().await;
    is_well_again(&store, &server, (&url, before)).await;
    load.end(&server, &url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_can_not_be_used_is_refused_with_a_sentence() {
    let server = Server::start().unwrap();
    let url = server.database().unwrap();
    let closed = format!("127.0.0.1:{}", switchboard_servers::free_port().unwrap());
    let here = format!("127.0.0.1:{}", server.port());
    for (address, sentence) in [
        ("nonsense".to_owned(), "this is no address of a database"),
        (url.replace(&here, &closed), "the database is not reached"),
        (url.replace("test_0", "nobody"), "database \"nobody\" does not exist"),
    ] {
        let told = refused(&address).await;
        assert!(told.contains(sentence), "{address}: {told}");
    }
    server.sql(&url, "CREATE ROLE guest LOGIN").unwrap();
    let told = refused(&url.replace("postgres@", "guest@")).await;
    assert!(told.contains("refuses a right") && told.contains("permission denied"), "{told}");
    // Where the tables are there, rights on them are enough.
    open(&url).await.close().await;
    let rights = "GRANT USAGE ON SCHEMA switchboard TO guest; \
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA switchboard TO guest; \
        GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA switchboard TO guest";
    server.sql(&url, rights).unwrap();
    let guest = url.replace("postgres@", "guest@");
    let guest = Postgres::open(&guest, patient(), Arc::new(Unobserved)).await.unwrap();
    assert!(guest.ledger.record(vec![key(1)]).await.unwrap()[0].new);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_would_lose_what_it_acknowledged_is_refused() {
    let server = Server::start().unwrap();
    let url = server.database().unwrap();
    for (setting, value) in
        [("fsync", "off"), ("full_page_writes", "off"), ("synchronous_commit", "off")]
    {
        let set = |text: &str| {
            server.sql(&url, text).unwrap();
            server.sql(&url, "SELECT pg_reload_conf()").unwrap();
        };
        set(&format!("ALTER SYSTEM SET {setting} = {value}"));
        let show = format!("SHOW {setting}");
        until("it is set", async || server.sql(&url, &show).unwrap().trim() == value).await;
        let told = refused(&url).await;
        assert!(told.contains(&format!("{setting} = {value}")), "{told}");
        set(&format!("ALTER SYSTEM RESET {setting}"));
        until("it is set back", async || server.sql(&url, &show).unwrap().trim() == "on").await;
    }
    open(&url).await.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_open_an_empty_database_at_once() {
    let server = Server::start().unwrap();
    for _ in 0..3 {
        let url = server.database().unwrap();
        let mut opening = JoinSet::new();
        for node in 0..8 {
            let url = url.clone();
            opening.spawn(async move {
                let opening = Postgres::open(&url, patient(), Arc::new(Unobserved));
                let store = opening.await.unwrap();
                store.ledger.record(vec![key(node)]).await.unwrap();
            });
        }
        while let Some(opened) = opening.join_next().await {
            opened.unwrap();
        }
        let rows = server.sql(&url, "SELECT count(*) FROM switchboard.ledger").unwrap();
        assert_eq!(rows.trim(), "8");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_servers_the_one_that_can_be_written_is_taken() {
    let reads = Server::with(&["default_transaction_read_only=on"]).unwrap();
    let writes = Server::start().unwrap();
    let url = writes.database().unwrap();
    let here = format!("127.0.0.1:{}", writes.port());
    let both = format!("127.0.0.1:{},{here}", reads.port());
    // What it is set to is for whoever says nothing else.
    let writing = reads.url("postgres?options=-cdefault_transaction_read_only%3Doff");
    reads.sql(&writing, "CREATE DATABASE test_0").unwrap();
    let both = url.replace(&here, &both);
    let store = Postgres::open(&both, patient(), Arc::new(Unobserved)).await.unwrap();
    assert!(store.ledger.record(vec![key(1)]).await.unwrap()[0].new);
    let rows = writes.sql(&url, "SELECT count(*) FROM switchboard.ledger").unwrap();
    assert_eq!(rows.trim(), "1");
}

/// Who waits for other servers to have what was committed.
fn waiting(server: &Server, url: &str) -> Vec<String> {
    let waits = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    server.sql(url, waits).unwrap().lines().map(ToOwned::to_owned).collect()
}

/// A commit that was given up waiting for another server is told to the client as one that was
/// done, with a warning; and whoever does the same again finds it there, and writes nothing that
/// could be waited for. Neither is an acknowledgement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_other_server_has_is_not_acknowledged_and_not_when_it_is_repeated() {
    let server = Server::start().unwrap();
    let url = server.database().unwrap();
    let store = Postgres::open(&url, patient(), Arc::new(Unobserved)).await.unwrap();
    let mut asking = JoinSet::new();
    let record = |number| store.ledger.record(vec![key(number)]);
    assert!(record(1).await.unwrap()[0].new);
    server.sql(&url, "ALTER SYSTEM SET synchronous_standby_names = 'ghost'").unwrap();
    server.sql(&url, "SELECT pg_reload_conf()").unwrap();
    // The server may take a moment to know what it waits for.
    let mut number = 1;
    loop {
        number += 1;
        let asked = asking.spawn(record(number));
        until("it is answered, or waits", async || {
            asked.is_finished() || !waiting(&server, &url).is_empty()
        })
        .await;
        if !asked.is_finished() {
            break;
        }
        asking.join_next().await.unwrap().unwrap().unwrap();
    }
    for end in ["pg_cancel_backend", "pg_terminate_backend"] {
        let [pid] = waiting(&server, &url).try_into().unwrap();
        server.sql(&url, &format!("SELECT {end}({pid})")).unwrap();
        let error = asking.join_next().await.unwrap().unwrap().unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        // It is there, and everyone can see it.
        let there = format!("SELECT count(*) FROM switchboard.ledger WHERE key = {number}");
        assert_eq!(server.sql(&url, &there).unwrap().trim(), "1");
        let asked = asking.spawn(record(number));
        until("the repeat waits", async || !waiting(&server, &url).is_empty()).await;
        assert!(!asked.is_finished());
    }
    server.sql(&url, "ALTER SYSTEM RESET synchronous_standby_names").unwrap();
    server.sql(&url, "SELECT pg_reload_conf()").unwrap();
    let receipts = asking.join_next().await.unwrap().unwrap().unwrap();
    assert!(!receipts[0].new);
    let id = format!("SELECT id FROM switchboard.ledger WHERE key = {number}");
    assert_eq!(server.sql(&url, &id).unwrap().trim(), receipts[0].id.to_string());
}

/// The machine's clock, ahead of itself.
#[derive(Debug)]
struct Ahead(i64);

impl Clock for Ahead {
    #[expect(clippy::disallowed_methods, reason = "the database's clock is the machine's here")]
    fn now(&self) -> Millis {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Millis(i64::try_from(now.as_millis()).unwrap() + self.0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_go_by_the_clock_of_the_database() {
    let server = Server::start().unwrap();
    let url = server.database().unwrap();
    for (ahead, counts) in [(0, false), (5_000, true), (-60_000, true), (60, false)] {
        let clock = Some(Arc::new(Ahead(ahead)) as Arc<dyn Clock>);
        let options = Options { clock, ..options() };
        let store = Postgres::open(&url, options, Arc::new(Unobserved)).await.unwrap();
        let told = store.offset.ahead_ms();
        let difference =
            DatabaseClock::new(Ahead(ahead), Arc::clone(&store.offset)).now().since(Ahead(0).now());
        if counts {
            assert!((told - ahead).abs() < 250, "{told} and not {ahead}");
            assert!(difference.abs() < 250, "{difference}");
        } else {
            assert_eq!(told, 0, "a difference of {ahead} ms");
        }
        store.close().await;
    }
}
