//! The program.

mod clock;
mod command;
mod output;
mod store;

use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why a command did not do what it should, and what the process ends with.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: u8,
}
impl Failure {
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }
}

#[derive(Parser)]
enum Cli {
    Serve(command::serve::Options),
}

fn main() -> ExitCode {
    let Cli::Serve(options) = Cli::parse();
    match command::serve::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}
