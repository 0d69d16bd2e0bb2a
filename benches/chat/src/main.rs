//! What chats cost, measured on the real program on free ports of 127.0.0.1.
//!
//! `cargo run --release -p switchboard-chat-bench -- sends|latency|lists|catch-up` after `cargo
//! build --release`. Client and server share the machine's cores: read ratios and medians.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark, run by hand")]

mod catch_up;
mod database;
mod disk;
mod latency;
mod lists;
mod node;
mod sends;
mod session;

use std::{env, path::PathBuf, time::Duration};

pub(crate) use switchboard_peers::figures::{median, percentile};
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
    let mut options = Options { rounds: 3, length: Duration::from_secs(5), program };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--rounds" => options.rounds = value()?.parse()?,
            "--seconds" => options.length = Duration::from_secs(value()?.parse()?),
            "--switchboard" => options.program = value()?.into(),
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    match what.as_str() {
        "sends" => sends::run(&options).await,
        "latency" => latency::run(&options).await,
        "lists" => lists::run(&options).await,
        "catch-up" => catch_up::run(&options).await,
        other => Err(format!("sends, latency, lists or catch-up, not {other:?}").into()),
    }
}
