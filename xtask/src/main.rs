//! Everything a developer runs: `cargo xtask test` is every test and every lint, and what CI runs.
#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a tool for developers")]

mod cluster;
mod needs;
mod steps;
mod tally;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask test     every test and lint; installs what the tests need where it can
       cargo xtask lint     the lints alone
       cargo xtask cluster  PostgreSQL, NATS and nodes behind a balancer, until Ctrl-C
           --nodes N            how many nodes (3)
           --port PORT          where the balancer listens: REST and gRPC here, TCP one above (7500)
           --program FILE       the program, instead of building it
           --keep DIR           where the data of PostgreSQL stays, instead of going with it";

fn main() -> ExitCode {
    let steps = match std::env::args().nth(1).as_deref() {
        Some("test") => match needs::meet() {
            Ok(()) => [steps::LINTS, steps::TESTS].concat(),
            Err(missing) => {
                eprintln!("{missing}");
                return ExitCode::FAILURE;
            }
        },
        Some("lint") => steps::LINTS.to_vec(),
        Some("cluster") => return cluster::main(std::env::args().skip(2)),
        Some("help") => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match steps::run(&steps) {
        Ok(closing) => {
            println!("{closing}");
            ExitCode::SUCCESS
        }
        Err(failed) => {
            eprintln!("{failed}");
            ExitCode::FAILURE
        }
    }
}
