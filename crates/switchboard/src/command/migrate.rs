//! `switchboard migrate`: the tables of a database.

use clap::Args;

use super::block_on;
use crate::{Failure, output, store};

/// Bring the tables of a database up to what this program needs.
///
/// A node does so by itself when it starts. Nodes of the version before may run meanwhile.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The database, such as `postgres://switchboard@127.0.0.1/switchboard`.
    #[arg(long, env = "SWITCHBOARD_STORE", hide_env_values = true)]
    store: String,
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if !store::is_shared(&options.store) {
        return Err(Failure::usage("--store: only a database, postgres://\u{2026}, is migrated"));
    }
    block_on(async {
        switchboard_postgres::migrate(&options.store)
            .await
            .map_err(|error| Failure::failed(error.to_string()))?;
        output::line(format_args!("the tables are up to date"))
    })
}
