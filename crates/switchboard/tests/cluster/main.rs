//! Many nodes over PostgreSQL and NATS, and everything that can befall them, under load.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a suite of tests")]

mod alone;
mod cluster;
mod failover;
mod faults;
mod load;
mod roles;
