//! `switchboard import`: from a database to a directory.

use std::path::PathBuf;

use clap::Args;
use switchboard_embedded::transfer::AtRest;

use crate::Failure;

/// Carry everything from PostgreSQL to a new data directory.
///
/// No node may run on either side. What is cut off goes on where it was when it is run again. The
/// database stays as it is. In the end both sides are counted and compared.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The database to carry from: `postgres://user@host/name`
    #[arg(long, env = "SWITCHBOARD_STORE")]
    store: String,

    /// The directory to carry to, which is made, or is empty.
    #[arg(long, env = "SWITCHBOARD_DATA_DIR")]
    data_dir: PathBuf,

    /// Answer in JSON.
    #[arg(long, env = "SWITCHBOARD_JSON")]
    json: bool,
}

/// Carries everything, and compares.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    super::check_address(&options.store)?;
    super::super::block_on(async {
        let origin = super::database(&options.store, true).await?;
        let destination = AtRest::to_be_filled(super::take(&options.data_dir)?, super::layout()?);
        super::run(&origin, &destination, options.json).await
    })
}
