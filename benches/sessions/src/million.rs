//! A million sessions in one process, carried by nothing.

use std::{
    fs,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Args;
use prost::Message as _;
use switchboard_contract::Model;
use switchboard_core::{
    Error as Refusal, Millis,
    signals::Alone,
    store::{Condition, Store, Vitals},
    time::Clock,
};
use switchboard_proto::v1::{ClientFrame, Hello, client_frame};
use switchboard_server::{Limits, Ports, memory::Memory, telemetry::Metrics};
use tokio::{task::JoinSet, time};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::Error;

/// How many sessions.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many.
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    /// Rounds of pings.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
}

#[derive(Debug)]
struct World(Instant);

impl Clock for World {
    fn now(&self) -> Millis {
        let since = i64::try_from(self.0.elapsed().as_millis()).unwrap_or(i64::MAX);
        Millis(1_790_000_000_000 + since)
    }
}

impl Store for World {
    fn vitals(&self) -> Vitals {
        Vitals {
            condition: Condition::Writable,
            commits_waiting: 0,
            ingest_keys: 0,
            ingest_index_bytes: 0,
            size_bytes: 0,
            free_bytes: None,
        }
    }

    fn failed(&self) -> Pin<Box<dyn Future<Output = Refusal> + Send>> {
        Box::pin(std::future::pending())
    }
}

/// A pong that says `EVEN`.
const PONG: &[u8] = b"\x22\x02\x08\x01";

fn encoded(frame: client_frame::Frame) -> Vec<u8> {
    ClientFrame { frame: Some(frame) }.encode_to_vec()
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let Options { count, rounds } = *options;
    let model = Arc::new(Model::default());
    let ports = Ports {
        chats: Arc::clone(&model) as _,
        records: Arc::clone(&model) as _,
        log: Arc::clone(&model) as _,
        ledger: Arc::clone(&model) as _,
        journal: Arc::clone(&model) as _,
        signals: Arc::new(Alone),
        store: Arc::new(World(Instant::now())),
        clock: Arc::new(World(Instant::now())),
    };
    let tenant_max = u32::try_from(count)?;
    let limits = Limits { sessions_per_tenant_max: tenant_max, ..Limits::default() };
    let memory = Memory::new(ports, Metrics::new(), limits);
    let stop = CancellationToken::new();
    let (mut tasks, sessions) = (JoinSet::new(), TaskTracker::new());
    tasks.spawn(memory.clone().report(stop.clone()));
    time::sleep(Duration::from_millis(100)).await;

    let pongs = Arc::new(AtomicU64::new(0));
    let (before, begun) = (resident(), Instant::now());
    for number in 0..count {
        // Over some seconds, as clients come.
        if number % 10_000 == 0 {
            until(&pongs, number).await?;
            time::sleep(Duration::from_millis(50)).await;
        }
        let pongs = Arc::clone(&pongs);
        sessions.spawn(memory.open(move |frames: &[u8], answers: &mut Vec<u8>| {
            if frames.is_empty() {
                answers.extend(encoded(client_frame::Frame::Hello(Hello {
                    tenant: "default".to_owned(),
                    client: format!("client-{number}"),
                    ..Hello::default()
                })));
            }
            // A ping is the frame with the number 5: a welcome may stand before the first.
            if frames.windows(2).any(|pair| pair[0] == 5 << 3 | 2) {
                pongs.fetch_add(1, Ordering::Relaxed);
                answers.extend_from_slice(PONG);
            }
        }));
    }
    until(&pongs, count).await?;
    let opened = begun.elapsed().as_secs_f64();
    let mut times = Vec::new();
    for _ in 0..rounds {
        time::sleep(Duration::from_millis(1_100)).await;
        let (before, begun) = (pongs.load(Ordering::Relaxed), Instant::now());
        // On a worker, as the wheel of a node is.
        let memory = memory.clone();
        tasks.spawn(async move { memory.ping_all() });
        until(&pongs, before + count).await?;
        times.push(begun.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    // What was noted for the last report has gone then.
    time::sleep(Duration::from_secs(3)).await;
    let each = (resident() - before) / count as f64;
    println!("{count} sessions opened in {opened:.2} s, {each:.0} bytes of resident memory each,");
    println!("its task and its place among the clients included");
    println!(
        "a round of pings and pongs: {:.3} s, median [{:.3}..{:.3}]",
        times[rounds / 2],
        times[0],
        times[rounds - 1]
    );
    stop.cancel();
    tasks.shutdown().await;
    Ok(())
}

/// Waits until so many pongs have been sent.
async fn until(pongs: &AtomicU64, count: u64) -> Result<(), Error> {
    let deadline = Instant::now() + Duration::from_mins(1);
    while pongs.load(Ordering::Relaxed) < count {
        if deadline < Instant::now() {
            return Err(format!("only {} pongs came", pongs.load(Ordering::Relaxed)).into());
        }
        time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Resident memory of this process, in bytes.
fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() * 1024.0
}
