//! A node is added under load: it takes its share, and no client notices.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use switchboard_client::{Client, session::Event};
use switchboard_peers::{Error, figures::percentile};
use switchboard_servers::{Balancer, Node};
use tokio::{task::JoinSet, time};

use crate::{
    Options,
    cluster::{ALL, Cluster},
};

/// Callers, and how many calls each makes over one connection before it opens another.
const CALLERS: u64 = 32;
const CALLS: u64 = 200;

/// Sessions that are held all the time.
const SESSIONS: u64 = 200;

/// What all callers know.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    next: AtomicU64,
    errors: Mutex<Vec<String>>,
    took: Mutex<Vec<Duration>>,
}

pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let mut cluster = Cluster::start(&options.program, &[ALL; 2])?;
    let (main, tcp) = (Balancer::start(0)?, Balancer::start(0)?);
    for node in &cluster.nodes {
        main.add(&node.main(), &node.admin())?;
        tcp.add(&node.tcp(), &node.admin())?;
    }
    let length = options.length.unwrap_or(Duration::from_secs(10));
    let shared: Arc<Shared> = Arc::default();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(call(format!("http://{}", main.address()), Arc::clone(&shared)));
    }
    let mut sessions = Vec::new();
    for number in 0..SESSIONS {
        let told = Arc::clone(&shared);
        let client = Client::new(&format!("tcp://{}", tcp.address()))?;
        let session = client.connect(format!("client-{number}")).with_events(move |event| {
            if let Event::Disconnected { error, .. } = event {
                told.note(format!("a session: {error}"));
            }
        });
        sessions.push(session.start()?);
    }
    time::sleep(Duration::from_secs(2)).await;
    report("two nodes", &cluster, &shared, length).await;
    let begun = Instant::now();
    let mut adding = cluster;
    cluster = tokio::task::spawn_blocking(move || adding.add(ALL).map(|()| adding)).await??;
    let node = &cluster.nodes[2];
    main.add(&node.main(), &node.admin())?;
    tcp.add(&node.tcp(), &node.admin())?;
    println!("the third was ready {:.1} s after it was started", begun.elapsed().as_secs_f64());
    report("while it joins", &cluster, &shared, Duration::from_secs(3)).await;
    report("three nodes", &cluster, &shared, length).await;
    shared.stop.store(true, Ordering::Relaxed);
    while callers.join_next().await.is_some() {}
    let errors = shared.errors.lock().unwrap_or_else(PoisonError::into_inner);
    println!("errors seen by {CALLERS} callers and {SESSIONS} sessions: {}", errors.len());
    errors.iter().take(10).for_each(|error| println!("{error}"));
    Ok(())
}

impl Shared {
    fn note(&self, error: String) {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).push(error);
    }
}

/// Records keys one after the other; every so many calls over another connection, as behind any
/// balancer.
async fn call(url: String, shared: Arc<Shared>) -> Result<(), switchboard_client::Error> {
    loop {
        // Tried again by itself, as by any client of this library: a key that a try before has
        // recorded is not new, which is noted.
        let client = Client::new(&url)?.with_timeout(Duration::from_secs(10));
        for _ in 0..CALLS {
            if shared.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let key = key(shared.next.fetch_add(1, Ordering::Relaxed));
            let begun = Instant::now();
            match client.ingest(&key).await {
                Ok(receipt) if receipt.new => {}
                Ok(_) => shared.note(format!("{key} was not new: a call was repeated")),
                Err(error) => shared.note(error.to_string()),
            }
            let took = begun.elapsed();
            shared.took.lock().unwrap_or_else(PoisonError::into_inner).push(took);
        }
    }
}

fn key(number: u64) -> String {
    let digit = |place: u32| {
        let digit = u32::try_from(number / 36_u64.pow(place) % 36).unwrap_or_default();
        char::from_digit(digit, 36).unwrap_or_default()
    };
    let digits: String = (0..5).rev().map(digit).collect();
    format!("K-{digits}-A")
}

/// Calls a second of each node, and how long they took.
async fn report(when: &str, cluster: &Cluster, shared: &Shared, length: Duration) {
    let count = |node: &Node| {
        let metrics = node.get_admin("/metrics").unwrap_or_default().1;
        let name = "switchboard_ingest_keys_total{result=\"new\"} ";
        let told = metrics.lines().find_map(|line| line.strip_prefix(name)?.parse::<f64>().ok());
        told.unwrap_or_default()
    };
    shared.took.lock().unwrap_or_else(PoisonError::into_inner).clear();
    let before: Vec<f64> = cluster.nodes.iter().map(count).collect();
    let begun = Instant::now();
    time::sleep(length).await;
    let seconds = begun.elapsed().as_secs_f64();
    let after = cluster.nodes.iter().map(count);
    let rates: Vec<f64> =
        after.zip(before).map(|(after, before)| (after - before) / seconds).collect();
    let mut took = shared.took.lock().unwrap_or_else(PoisonError::into_inner).clone();
    took.sort_unstable();
    let [p50, p99] = [50.0, 99.0].map(|of| percentile(&took, of).as_secs_f64() * 1e3);
    let all: f64 = rates.iter().sum();
    let parts: Vec<String> =
        rates.iter().map(|rate| format!("{:.0} %", rate / all * 100.0)).collect();
    println!("{when}: {all:.0} calls/s, {}; p50 {p50:.1} ms, p99 {p99:.1} ms", parts.join(", "));
}
