//! `switchboard export` and `switchboard import`: everything from one machine's directory to a
//! database, and back.

pub(crate) mod export;
pub(crate) mod import;
mod table;
mod watch;

use std::{path::Path, sync::Arc};

use switchboard_core::transfer::{Archive, Destination, carry};
use switchboard_embedded::disk::LocalDisk;
use switchboard_postgres::transfer::AtRest;

use self::watch::Bar;
use crate::{Failure, output};

/// Carries everything, shows how far that has come, and prints what is there then on both sides.
async fn run(
    origin: &dyn Archive,
    destination: &dyn Destination,
    json: bool,
) -> Result<(), Failure> {
    let bar = Bar::new();
    let carried = carry(origin, destination, &bar).await;
    bar.clear();
    let moved = carried.map_err(|error| {
        Failure::failed(format!("{error}. Run it again: it goes on with what is missing"))
    })?;
    table::print(&moved, json)?;
    if !moved.is_equal() {
        let what = if moved.before {
            "everything was carried before, and something has changed on one side since"
        } else {
            "the two sides are not equal: something ran on one of them meanwhile"
        };
        return Err(Failure::failed(what));
    }
    if !json {
        output::note(format_args!(
            "{}",
            if moved.before {
                "everything was carried before: both sides are equal"
            } else {
                "everything is there: both sides are equal"
            }
        ));
    }
    Ok(())
}

/// How a directory is laid out that nobody serves.
fn layout() -> Result<switchboard_embedded::Options, Failure> {
    let mut entropy = [0; 8];
    getrandom::fill(&mut entropy)
        .map_err(|error| Failure::failed(format!("the machine gives no random number: {error}")))?;
    let entropy = u64::from_le_bytes(entropy);
    Ok(switchboard_embedded::Options { entropy, ..switchboard_embedded::Options::default() })
}

/// Takes a directory for this process alone.
fn take(folder: &Path) -> Result<Arc<LocalDisk>, Failure> {
    let disk = LocalDisk::open(folder).map_err(|error| Failure::failed(error.to_string()))?;
    Ok(Arc::new(disk))
}

/// Refuses what is no address of a database.
fn check_address(store: &str) -> Result<(), Failure> {
    let is_one = ["postgres://", "postgresql://"].iter().any(|scheme| store.starts_with(scheme));
    if is_one {
        return Ok(());
    }
    let what = "--store is the database: postgres://user@host/name";
    Err(Failure::usage(what))
}

/// A database that nobody else uses.
async fn database(store: &str, is_origin: bool) -> Result<AtRest, Failure> {
    let opened =
        if is_origin { AtRest::open_whole(store).await } else { AtRest::open(store).await };
    opened.map_err(|error| Failure::failed(error.to_string()))
}
