//! What the bus costs, beside NATS, Redis, RabbitMQ and Mosquitto, on 127.0.0.1.
//!
//! `cargo run --release -p switchboard-bus-bench --
//! fan-out|latency|publish|queue|replay|matching|crowd` after `cargo build --release`. Peers are
//! started by the benchmark on free ports, but for RabbitMQ, which must be running. Client and
//! server share the machine's cores: read ratios and medians.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark, run by hand")]

mod crowd;
#[cfg(test)]
mod fake;
mod fan_out;
mod latency;
mod link;
mod matching;
mod producer;
mod publish;
mod queue;
mod replay;
mod rows;
mod server;
mod wire;

use std::{env, path::PathBuf, time::Duration};

use switchboard_peers::Error;

use crate::server::System;

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is asked of a benchmark.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    rounds: usize,
    length: Duration,
    program: PathBuf,
    /// The program of NATS.
    nats: PathBuf,
    /// Where RabbitMQ listens.
    rabbitmq: String,
    subscribers: usize,
    /// Messages on the way at once in `fan-out`, if not as many as suit the subscribers.
    window: Option<u64>,
    /// Events a second of `latency`.
    rate: u32,
    /// Events under way on each connection of `publish` and `queue`.
    in_flight: usize,
    /// Events of `replay`.
    events: u64,
    /// Whether those are measured that take part only when asked.
    all_peers: bool,
    /// Whether Switchboard is left out.
    peers_only: bool,
}

impl Options {
    /// The systems that are measured, in their order.
    fn systems(&self, always: &[System], extra: &[System]) -> Vec<System> {
        let extra = if self.all_peers { extra } else { &[] };
        let all = always.iter().chain(extra).copied();
        all.filter(|system| !(self.peers_only && *system == System::Switchboard)).collect()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut arguments = env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    if what == "matching-memory" {
        let case = arguments.next().ok_or("matching-memory needs a number")?;
        return matching::memory(case.parse()?);
    }
    let mut options = Options {
        rounds: 5,
        length: Duration::from_secs(3),
        program: env::current_exe()?.with_file_name("switchboard"),
        nats: "nats-server".into(),
        rabbitmq: "127.0.0.1:5672".to_owned(),
        subscribers: if what == "fan-out" { 100 } else { 1 },
        window: None,
        rate: 1_000,
        in_flight: 64,
        events: 10_000_000,
        all_peers: false,
        peers_only: false,
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--rounds" => options.rounds = value()?.parse()?,
            "--seconds" => options.length = Duration::from_secs(value()?.parse()?),
            "--switchboard" => options.program = value()?.into(),
            "--nats" => options.nats = value()?.into(),
            "--rabbitmq" => options.rabbitmq = value()?,
            "--subscribers" => options.subscribers = value()?.parse()?,
            "--window" => options.window = Some(value()?.parse()?),
            "--rate" => options.rate = value()?.parse()?,
            "--in-flight" => options.in_flight = value()?.parse()?,
            "--events" => options.events = value()?.parse()?,
            "--all-peers" => options.all_peers = true,
            "--peers-only" => options.peers_only = true,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    match what.as_str() {
        "fan-out" => fan_out::run(&options).await,
        "latency" => latency::run(&options).await,
        "publish" => publish::run(&options).await,
        "queue" => queue::run(&options).await,
        "replay" => replay::run(&options).await,
        "matching" => matching::run(&options),
        "crowd" => crowd::run(&options).await,
        other => Err(format!(
            "fan-out, latency, publish, queue, replay, matching or crowd, not {other:?}"
        )
        .into()),
    }
}
