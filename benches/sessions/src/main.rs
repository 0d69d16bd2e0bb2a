//! What sessions cost, measured on the real program on a free port of 127.0.0.1.
//!
//! Client and server share the machine's cores: read ratios and medians.
#![expect(clippy::print_stdout, reason = "a benchmark, run by hand")]

mod client;
mod echo;
mod hold;
mod million;
mod node;

use std::{env, error, path::PathBuf};

use clap::{Parser, Subcommand};

/// The allocator of the program, whose memory is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whatever went wrong.
type Error = Box<dyn error::Error + Send + Sync>;

/// Measures sessions.
#[derive(Debug, Parser)]
struct Options {
    /// The program; by default the one beside this benchmark.
    #[arg(long, global = true)]
    switchboard: Option<PathBuf>,

    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Echo over TCP beside a bare server that sends back what it reads, in the same rounds.
    Echo(echo::Options),
    /// Many idle sessions, each pinged every second: memory, CPU, lateness of the pings.
    Hold(hold::Options),
    /// A million sessions in this process, carried by nothing: their memory, and a round of pings.
    Million(million::Options),
    /// Sends back what it reads; started by `echo`.
    #[command(hide = true)]
    BareServer,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let Options { switchboard, what } = Options::parse();
    let beside = || env::current_exe().map(|path| path.with_file_name("switchboard"));
    let program = switchboard.map_or_else(beside, Ok)?;
    match what {
        What::Echo(options) => echo::run(&program, &options).await,
        What::Hold(options) => hold::run(&program, &options).await,
        What::Million(options) => million::run(&options).await,
        What::BareServer => echo::serve().await,
    }
}
