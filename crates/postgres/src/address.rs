//! Where a database is, and whether it can be trusted with the truth.

use std::str::FromStr;

use tokio_postgres::config::{Config, TargetSessionAttrs};

use crate::{Error, link::Link};

/// The oldest version that is known to do, as `server_version_num` says it.
const VERSION_MIN: i32 = 150_000;

/// How to reach a database: `postgres://user@host:port/name`, with several hosts where one of them
/// is the primary. `?sslmode=require` speaks TLS with it; without, nothing is encrypted.
#[derive(Clone, Debug)]
pub(crate) struct Address(pub(crate) Config);

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut config: Config = text
            .parse()
            .map_err(|error| Error::new(format!("this is no address of a database: {error}")))?;
        // What decides is read from the primary alone: a standby may show what is not to stay.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        Ok(Self(config))
    }
}

/// Checks that the server keeps what it has acknowledged.
///
/// # Errors
///
/// It is too old, or set to lose what it has acknowledged.
pub(crate) async fn check(link: &Link) -> Result<(), Error> {
    let row = link.client.query_one("SHOW server_version_num", &[]).await?;
    let version: i32 = row.get::<_, &str>(0).parse().unwrap_or_default();
    if version < VERSION_MIN {
        return Err(Error::new(format!(
            "the database is of version {version}: it must be {VERSION_MIN} or newer"
        )));
    }
    let unsafe_settings = "SELECT name, reset_val FROM pg_settings WHERE \
         (name IN ('fsync', 'full_page_writes') AND reset_val = 'off') OR \
         (name = 'synchronous_commit' AND reset_val IN ('off', 'local'))";
    if let Some(row) = link.client.query(unsafe_settings, &[]).await?.first() {
        let (name, value): (&str, &str) = (row.get(0), row.get(1));
        return Err(Error::new(format!(
            "the database has {name} = {value}: it would lose what was acknowledged; turn it on"
        )));
    }
    Ok(())
}
