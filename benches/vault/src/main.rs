//! What the vault costs: in the process, and on the real program on free ports of 127.0.0.1.
//!
//! `cargo run --release -p switchboard-vault-bench --
//! seal|wrong-key|store|retrieve|pattern|passphrase|overhead` after `cargo build --release`. Client
//! and server share the machine's cores: read ratios and medians.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark, run by hand")]

mod client;
mod passphrase;
mod pattern;
mod retrieve;
mod sealing;
mod store;
mod values;

use std::{env, path::PathBuf, time::Duration};

use switchboard_peers::{Error, rest};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is asked of a benchmark.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    rounds: usize,
    length: Duration,
    program: PathBuf,
    connections: usize,
    /// Requests at once on each connection of `store`.
    in_flight: usize,
    /// Whether `store` goes through the ids in their order, rather than here and there.
    ordered: bool,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    if what == rest::BARE_SERVER {
        let bytes = arguments.next().ok_or("bare-server needs a number")?;
        return rest::serve(bytes.parse()?).await;
    }
    let program = env::current_exe()?.with_file_name("switchboard");
    let length = Duration::from_secs(3);
    let (rounds, connections, in_flight, ordered) = (5, 8, 64, false);
    let mut options = Options { rounds, length, program, connections, in_flight, ordered };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--rounds" => options.rounds = value()?.parse()?,
            "--seconds" => options.length = Duration::from_secs(value()?.parse()?),
            "--switchboard" => options.program = value()?.into(),
            "--connections" => options.connections = value()?.parse()?,
            "--ordered" => options.ordered = true,
            "--in-flight" => options.in_flight = value()?.parse()?,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    match what.as_str() {
        "seal" => sealing::seal_and_open(&options),
        "wrong-key" => sealing::wrong_key(&options),
        "store" => store::run(&options).await,
        "retrieve" => retrieve::run(&options).await,
        "pattern" => pattern::run(&options).await,
        "passphrase" => passphrase::run(&options).await,
        "overhead" => sealing::overhead(),
        other => Err(format!(
            "seal, wrong-key, store, retrieve, pattern, passphrase or overhead, not {other:?}"
        )
        .into()),
    }
}

/// How long something takes in the middle and at its worst but for one in a hundred, in
/// milliseconds.
pub(crate) fn told(times: &mut [Duration]) -> [f64; 2] {
    times.sort_unstable();
    [50.0, 99.0].map(|of| switchboard_peers::figures::percentile(times, of).as_secs_f64() * 1e3)
}
