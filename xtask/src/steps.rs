//! What must hold before a change is merged, cheapest first.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Instant,
};

use crate::tally::Tally;

/// One call of cargo.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    arguments: &'static str,
    /// A variable that the call needs.
    environment: Option<(&'static str, &'static str)>,
    /// The subcommand that must be installed, and how to get it; the step is left out without it.
    subcommand: Option<(&'static str, &'static str)>,
}

const fn step(arguments: &'static str) -> Step {
    Step { arguments, environment: None, subcommand: None }
}

pub(crate) const LINTS: &[Step] = &[
    step("fmt --all --check"),
    Step {
        arguments: "deny --locked check bans licenses sources",
        environment: None,
        subcommand: Some(("deny", "cargo install --locked cargo-deny")),
    },
    step("clippy --workspace --all-targets --locked -- -D warnings"),
    Step {
        arguments: "doc --workspace --no-deps --locked",
        environment: Some(("RUSTDOCFLAGS", "-D warnings")),
        subcommand: None,
    },
];

pub(crate) const TESTS: &[Step] = &[step("test --workspace --locked --no-fail-fast")];

/// Runs the steps in order, to the first that fails. Returns what to say at the end.
pub(crate) fn run(steps: &[Step]) -> Result<String, String> {
    let mut tally = Tally::default();
    let mut left_out = Vec::new();
    for step in steps {
        if let Some((name, install)) = step.subcommand
            && !is_installed(name)
        {
            left_out.push(format!("left out: cargo {}; to have it: {install}", step.arguments));
            continue;
        }
        let began = Instant::now();
        eprintln!("cargo {}", step.arguments);
        let succeeded = cargo(step, &mut tally)?;
        eprintln!("cargo {}: {:.0?}", step.arguments, began.elapsed());
        if !succeeded {
            return Err(format!("failed: cargo {}\n{tally}", step.arguments));
        }
    }
    left_out.push(tally.to_string());
    Ok(left_out.join("\n"))
}

fn is_installed(subcommand: &str) -> bool {
    let version = Command::new(env!("CARGO")).args([subcommand, "--version"]).output();
    version.is_ok_and(|output| output.status.success())
}

/// Runs one call, passing on what it prints and counting the tests in it.
fn cargo(step: &Step, tally: &mut Tally) -> Result<bool, String> {
    let failed = |error| format!("can't run cargo: {error}");
    let mut command = Command::new(env!("CARGO"));
    command.args(step.arguments.split(' ')).envs(step.environment).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            tally.count(&line);
            println!("{line}");
        }
    }
    child.wait().map(|status| status.success()).map_err(failed)
}
