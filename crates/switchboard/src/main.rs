//! Switchboard: the program. Options, the only clock, wiring, and the command line.

mod clock;
mod command;
mod config;
mod output;
#[cfg(test)]
mod reference;
mod store;

use std::{fmt, process::ExitCode};

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use zeroizing_alloc::ZeroAlloc;

/// Allocates faster than the system's for many small requests on several threads; and what is freed
/// is wiped, wherever a library had it: a key or a value does not stay behind in a buffer of HTTP.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

/// The back end of a messaging product in one program.
#[derive(Debug, Parser)]
#[command(name = "switchboard", version, max_term_width = 100)]
struct Cli {
    /// A TOML file with options of the command, under the names of the flags with `_` for `-`.
    #[arg(long, env = "SWITCHBOARD_CONFIG", value_name = "FILE", global = true)]
    config: Option<std::path::PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<command::serve::Options>),
    Migrate(command::migrate::Options),
    Ingest(command::ingest::Options),
    Connect(command::connect::Options),
    Status(command::status::Options),
    Chat(command::chat::Options),
    Vault(command::vault::Options),
    Publish(command::bus::publish::Options),
    Subscribe(command::bus::subscribe::Options),
    Request(command::bus::request::Options),
    Respond(command::bus::respond::Options),
    Queue(command::bus::queue::Options),
    Call(command::call::Options),
    Export(command::transfer::export::Options),
    Import(command::transfer::import::Options),
    Healthcheck(command::healthcheck::Options),
    /// Drive a running node and print throughput and a latency histogram.
    #[command(subcommand)]
    Bench(command::bench::Bench),
}

/// Why a command did not do what it should, in one line that says what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// It failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// It was used wrongly; nothing was done.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

fn main() -> ExitCode {
    let cli = match config::load::<Cli>(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let outcome = match &cli.command {
        Command::Serve(options) => command::serve::run(options),
        Command::Migrate(options) => command::migrate::run(options),
        Command::Ingest(options) => command::ingest::run(options),
        Command::Connect(options) => command::connect::run(options),
        Command::Status(options) => command::status::run(options),
        Command::Chat(options) => command::chat::run(options),
        Command::Vault(options) => command::vault::run(options),
        Command::Publish(options) => command::bus::publish::run(options),
        Command::Subscribe(options) => command::bus::subscribe::run(options),
        Command::Request(options) => command::bus::request::run(options),
        Command::Respond(options) => command::bus::respond::run(options),
        Command::Queue(options) => command::bus::queue::run(options),
        Command::Call(options) => command::call::run(options),
        Command::Export(options) => command::transfer::export::run(options),
        Command::Import(options) => command::transfer::import::run(options),
        Command::Healthcheck(options) => command::healthcheck::run(options),
        Command::Bench(command::bench::Bench::Ingest(options)) => command::bench::run(options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure);
            ExitCode::from(failure.code)
        }
    }
}
