//! What many nodes do together, over PostgreSQL and NATS that this starts on the same machine.
//!
//! `cargo run --release -p switchboard-cluster-bench -- ingest|chat|presence|join` after `cargo
//! build --release`. Clients, nodes, PostgreSQL and NATS share the machine's cores: read ratios
//! and medians.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark, run by hand")]

mod chat;
mod cluster;
mod ingest;
mod join;
mod presence;
mod thin;

use std::{env, path::PathBuf, time::Duration};

use switchboard_peers::Error;

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is asked of a benchmark.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    rounds: usize,
    length: Option<Duration>,
    /// Clients at each gateway.
    clients: usize,
    /// Messages a second, of all senders together.
    rate: u32,
    /// Connections to each node, and requests in flight on each.
    connections: usize,
    in_flight: usize,
    program: PathBuf,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let program = env::current_exe()?.with_file_name("switchboard");
    let mut options = Options {
        rounds: 3,
        length: None,
        clients: 5_000,
        rate: 500,
        connections: 6,
        in_flight: 64,
        program,
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--rounds" => options.rounds = value()?.parse()?,
            "--seconds" => options.length = Some(Duration::from_secs(value()?.parse()?)),
            "--clients" => options.clients = value()?.parse()?,
            "--rate" => options.rate = value()?.parse()?,
            "--connections" => options.connections = value()?.parse()?,
            "--in-flight" => options.in_flight = value()?.parse()?,
            "--switchboard" => options.program = value()?.into(),
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    match what.as_str() {
        "ingest" => ingest::run(&options).await,
        "chat" => chat::run(&options).await,
        "presence" => presence::run(&options).await,
        "join" => join::run(&options).await,
        other => Err(format!("ingest, chat, presence or join, not {other:?}").into()),
    }
}
