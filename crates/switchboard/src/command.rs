//! The commands, one file each.

pub(crate) mod bench;
pub(crate) mod call;
pub(crate) mod chat;
pub(crate) mod connect;
pub(crate) mod ingest;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod vault;

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
