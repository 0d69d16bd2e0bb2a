//! The transports of Switchboard, and what they share.
//!
//! A [`Server`] takes sockets and ports and serves until it is told to stop. Every request of every
//! transport enters through one door (`door`), which says who calls and for which tenant, measures,
//! and catches panics; core and wire types meet in one place (`wire`); one table turns an error's
//! code into a status (`status`).

mod accept;
mod bus;
mod caller;
mod chat;
mod connection;
mod door;
mod gateway;
mod grpc;
mod http;
pub mod limits;
mod listeners;
pub mod memory;
mod node;
mod presence;
mod relay;
mod roles;
mod server;
mod socket;
mod status;
pub mod tasks;
mod tcp;
pub mod telemetry;
mod vault;
mod wire;

pub use self::{
    limits::Limits,
    listeners::{Addresses, Listeners},
    node::Ports,
    relay::Looks,
    roles::Roles,
    server::{Server, Stopped},
    vault::VaultOptions,
};
