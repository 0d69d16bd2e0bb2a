//! `switchboard bench`: drives a running node and says how fast it answers.
//!
//! Closed loop: each connection keeps a number of requests in flight, and sends the next when an
//! answer comes. While it measures it checks the promises: a first-sent key must be new, a repeat
//! must get the first id, and answers come in order.

mod keys;
mod lanes;
mod report;
mod stream;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::{task::JoinSet, time};
use tonic::transport::{Channel, Endpoint};

use self::report::{Measured, Report};
use super::Target;
use crate::{Failure, output};

/// What is driven.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Bench {
    /// Record keys, and check while measuring that each is recorded once.
    Ingest(Options),
}

/// How a node is driven.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,

    /// Whose keys are recorded; a new, random name by default, so that runs do not meet.
    #[arg(long, env = "SWITCHBOARD_TENANT")]
    tenant: Option<String>,

    /// How requests are sent.
    #[arg(long, default_value = "grpc-stream")]
    transport: Transport,

    /// Connections; with REST one for each request in flight.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,

    /// Requests in flight on each connection.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    in_flight: u32,

    /// The share of requests that repeat a key already answered, from 0 to 1.
    #[arg(long, default_value_t = 0.5)]
    duplicates: f64,

    /// Keys in each request of grpc-batch.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,

    /// How long to measure, for example 10s or 500ms.
    #[arg(long, default_value = "10s", value_parser = super::duration)]
    duration: Duration,

    /// How long to run before measuring.
    #[arg(long, default_value = "2s", value_parser = super::duration)]
    warmup: Duration,

    /// Chooses which keys are repeated.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// How requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Transport {
    /// The pipelined stream of gRPC.
    GrpcStream,
    /// A unary call of gRPC for each key.
    Grpc,
    /// Batches of gRPC.
    GrpcBatch,
    /// A request of REST for each key.
    Rest,
}

/// What every connection of a run shares.
#[derive(Debug)]
struct Run {
    options: Options,
    tenant: String,
    /// Whether nobody else records keys of the tenant: then a first-sent key must be new.
    alone: bool,
    measure_from: Instant,
    end: Instant,
    /// Answers so far, for the progress bar.
    answers: AtomicU64,
}

/// Runs the load and prints what came of it.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if !(0.0..=1.0).contains(&options.duplicates) {
        return Err(Failure::usage("--duplicates is a share, from 0 to 1"));
    }
    super::block_on(drive(options.clone()))
}

async fn drive(options: Options) -> Result<(), Failure> {
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|error| Failure::failed(error.to_string()))?;
    let fresh = format!("bench-{:08x}", u32::from_le_bytes(random));
    let now = Instant::now();
    let measure_from = now + options.warmup;
    let run = Arc::new(Run {
        alone: options.tenant.is_none(),
        tenant: options.tenant.clone().unwrap_or(fresh),
        measure_from,
        end: measure_from + options.duration,
        answers: AtomicU64::new(0),
        options,
    });
    let mut connections = JoinSet::new();
    match run.options.transport {
        Transport::GrpcStream => {
            for place in 0..run.options.connections {
                let channel = connect(&run.options.target.url).await?;
                connections.spawn(stream::drive(Arc::clone(&run), channel, place));
            }
        }
        _ => lanes::start(&run, &mut connections).await?,
    }
    let progress = progress(&run);
    let mut measured = Measured::new();
    loop {
        tokio::select! {
            ended = connections.join_next() => match ended {
                Some(Ok(ended)) => measured.add(&ended?),
                Some(Err(_)) => return Err(Failure::failed("a defect: a connection panicked")),
                None => break,
            },
            () = tick(&run, &progress) => {}
        }
    }
    progress.finish_and_clear();
    let report = Report::new(&run, &measured);
    output::line(format_args!("{}", report.show(run.options.target.json)))?;
    if 0 < measured.errors {
        return Err(Failure::failed(format!(
            "{} answers were not what was promised, or none; the first: {}",
            measured.errors,
            measured.first_error.unwrap_or_default()
        )));
    }
    Ok(())
}

impl Run {
    /// Counts answers for the progress bar, and says whether they are measured.
    fn counts(&self, answers: u64, now: Instant) -> bool {
        self.answers.fetch_add(answers, Ordering::Relaxed);
        self.measure_from <= now && now < self.end
    }
}

/// A gRPC connection of its own.
async fn connect(url: &str) -> Result<Channel, Failure> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| Failure::usage(format!("{url} is no URL: {error}")))?
        .tcp_nodelay(true);
    endpoint
        .connect()
        .await
        .map_err(|_| Failure::failed(format!("can't reach a node at {url}: is one running?")))
}

fn progress(run: &Run) -> ProgressBar {
    let length = run.end.saturating_duration_since(Instant::now());
    let bar = ProgressBar::new(u64::try_from(length.as_millis()).unwrap_or_default());
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar
}

async fn tick(run: &Run, progress: &ProgressBar) {
    let before = run.answers.load(Ordering::Relaxed);
    time::sleep(Duration::from_millis(200)).await;
    let answers = run.answers.load(Ordering::Relaxed) - before;
    progress.set_message(format!("{} requests/s", answers * 5));
    progress.inc(200);
}
