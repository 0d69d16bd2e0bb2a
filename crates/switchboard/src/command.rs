//! The commands, one file each.

pub(crate) mod bench;
pub(crate) mod bus;
pub(crate) mod call;
pub(crate) mod chat;
pub(crate) mod connect;
pub(crate) mod healthcheck;
pub(crate) mod ingest;
pub(crate) mod migrate;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod transfer;
pub(crate) mod vault;

use std::time::Duration;

use clap::Args;

use crate::Failure;

/// Which node a command talks to, and how it answers.
#[derive(Clone, Debug, Args)]
pub(crate) struct Target {
    /// The node.
    #[arg(long, env = "SWITCHBOARD_URL", default_value = "http://127.0.0.1:7400", global = true)]
    pub(crate) url: String,

    /// Answer in JSON.
    #[arg(long, env = "SWITCHBOARD_JSON", global = true)]
    pub(crate) json: bool,
}

/// Runs a command of a client to its end.
pub(crate) fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("can't start: {error}")))?;
    runtime.block_on(work)
}

/// A number with `ms`, `s` or `m`; without, seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[number.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        unit => return Err(format!("{unit:?} is no unit: ms, s or m")),
    };
    let number: f64 = number.parse().map_err(|_| format!("{text:?} is no duration"))?;
    Duration::try_from_secs_f64(number * unit).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("10s", Some(10_000)),
            ("500ms", Some(500)),
            ("1.5m", Some(90_000)),
            ("2", Some(2_000)),
            ("0s", Some(0)),
            ("1h", None),
            ("-1s", None),
            ("s", None),
            ("", None),
        ] {
            assert_eq!(duration(text).ok(), expected.map(Duration::from_millis), "{text:?}");
        }
    }
}
