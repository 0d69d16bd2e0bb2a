//! `switchboard vault`: values that nobody reads but who holds their key.

mod key;
mod keygen;
mod retrieve;
mod store;
mod terminal;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use switchboard_client::Client;

use super::Target;
use crate::{Failure, output};

/// Keep values that nobody reads but who holds their key.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,

    /// Whose records they are.
    #[arg(long, env = "SWITCHBOARD_TENANT", default_value = "default", global = true)]
    tenant: String,

    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Store(store::Options),
    Retrieve(retrieve::Options),
    /// Remove the records that the key opens.
    Delete {
        /// An id, or a pattern: each * stands for any characters.
        pattern: String,
        #[command(flatten)]
        key: key::Given,
    },
    /// Seal the records that the old key opens under a new one.
    Rekey {
        /// An id, or a pattern: each * stands for any characters.
        pattern: String,
        #[command(flatten)]
        key: key::Given,
        /// A file with the new encryption key; without it, the variable
        /// `SWITCHBOARD_NEW_ENCRYPTION_KEY`, or else the terminal is asked.
        #[arg(long, value_name = "FILE")]
        new_key_file: Option<PathBuf>,
    },
    Keygen(keygen::Options),
}

/// Does what is asked.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let Options { target, what, .. } = options;
    match what {
        What::Store(store) => store::run(store, options),
        What::Retrieve(retrieve) => retrieve::run(retrieve, options),
        What::Delete { pattern, key } => {
            let key = key.read(false)?;
            options.ask(async |client, failed| {
                let deleted = client.delete(pattern, &key).await.map_err(failed)?;
                if target.json {
                    return output::line(format_args!("{}", json!({"deleted": deleted})));
                }
                output::line(format_args!("{deleted} deleted"))
            })
        }
        What::Rekey { pattern, key, new_key_file } => {
            let (old, new) = (key.read(false)?, key::new(new_key_file.as_deref())?);
            options.ask(async |client, failed| {
                let rekeyed = client.rekey(pattern, &old, &new).await.map_err(failed)?;
                if target.json {
                    return output::line(format_args!("{}", json!({"rekeyed": rekeyed})));
                }
                output::line(format_args!("{rekeyed} rekeyed"))
            })
        }
        What::Keygen(keygen) => keygen::run(keygen, target.json),
    }
}

impl Options {
    /// Asks the node, with what makes its errors into failures.
    fn ask(
        &self,
        work: impl AsyncFnOnce(
            Client,
            &dyn Fn(switchboard_client::Error) -> Failure,
        ) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let url = &self.target.url;
        let failed = |error: switchboard_client::Error| {
            Failure::failed(format!("{} from {url}: {error}", error.code()))
        };
        super::block_on(async {
            let client = Client::new(url).map_err(|error| Failure::usage(error.to_string()))?;
            work(client.with_tenant(self.tenant.as_str()), &failed).await
        })
    }
}
