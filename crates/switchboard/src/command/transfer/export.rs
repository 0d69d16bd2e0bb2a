//! `switchboard export`: from a directory to a database.

use std::path::PathBuf;

use clap::Args;
use switchboard_embedded::{Error, transfer::AtRest};

use crate::Failure;

/// Carry everything from a data directory to PostgreSQL.
///
/// No node may run on either side. What is cut off goes on where it was when it is run again. The
/// directory stays as it is. In the end both sides are counted and compared.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The directory to carry from.
    #[arg(long, env = "SWITCHBOARD_DATA_DIR", default_value = "./switchboard-data")]
    data_dir: PathBuf,

    /// The database to carry to, which holds nothing yet: `postgres://user@host/name`
    #[arg(long, env = "SWITCHBOARD_STORE")]
    store: String,

    /// Answer in JSON.
    #[arg(long, env = "SWITCHBOARD_JSON")]
    json: bool,
}

/// Carries everything, and compares.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    super::check_address(&options.store)?;
    super::super::block_on(async {
        let folder = &options.data_dir;
        let none = || Failure::failed(format!("there is no store in {}", folder.display()));
        // A directory that is not there is not to be made.
        if !folder.is_dir() {
            return Err(none());
        }
        let origin = AtRest::open(super::take(folder)?, super::layout()?);
        let origin = origin.map_err(|error| match error {
            Error::Missing => none(),
            error => Failure::failed(error.chain()),
        })?;
        let destination = super::database(&options.store, false).await?;
        super::run(&origin, &destination, options.json).await
    })
}
