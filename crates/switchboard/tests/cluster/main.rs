//! Many nodes over PostgreSQL and NATS, and everything that can befall them, under load.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a suite of tests, which says how long each fault took"
)]

mod alone;
mod cluster;
mod failover;
mod faults;
mod load;
mod roles;
