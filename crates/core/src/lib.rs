//! The rules of Switchboard, and the ports they need.
//!
//! Nothing here opens a socket, touches a disk, reads a clock or starts a task. What the rules need
//! from the world they name as a port, for example [`ingest::Ledger`]; the time comes in as an
//! argument, or through [`time::Clock`]. No type here can be serialized: what is on the wire or on
//! disk is the business of those who put it there.

pub mod bus;
pub mod chat;
pub mod client;
pub mod error;
pub mod ingest;
pub mod presence;
pub mod session;
pub mod signals;
pub mod store;
pub mod tenant;
pub mod time;
pub mod transfer;
pub mod vault;

pub use client::{ClientId, Identity};
pub use error::{Code, Error, Result};
pub use tenant::Tenant;
pub use time::Millis;
