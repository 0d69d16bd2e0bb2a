//! A server in this process, on free ports, over the simplest ledger: what its transports promise.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a suite of tests")]

mod bus;
mod chat;
mod cluster;
mod connections;
mod drain;
mod grpc;
mod line;
mod metrics;
mod node;
mod presence;
mod rest;
mod sessions;
mod stream;
mod vault;
