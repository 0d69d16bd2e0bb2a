//! The whole program as a user meets it: the real executable, on free ports, in its own folder.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a suite of tests")]

mod bus;
mod chat;
mod commands;
mod connect;
mod crash;
mod deploy;
mod full_disk;
mod healthcheck;
mod ingest;
mod node;
mod presence;
mod shared;
mod start;
mod transfer;
mod vault;
