//! What every implementation of a port must pass, and the simplest one that does.
//!
//! A store's whole test file is one line for each port:
//! `switchboard_contract::ledger!(open);`, where `open` is an async function that opens an empty
//! store. A clause is one public function; the macro makes a test of each.

pub mod chats;
pub mod journal;
pub mod ledger;
pub mod log;
mod model;
mod random;
pub mod records;
pub mod signals;
pub mod transfer;

pub use self::model::{End, Fate, Model, Wire};
