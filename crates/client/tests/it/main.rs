//! The client against nodes that misbehave: small servers in this process, which do as each test
//! says.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a suite of tests")]

mod bus;
mod calls;
mod gateway;
mod heard;
mod requests;
mod service;
mod sessions;
mod vault;
