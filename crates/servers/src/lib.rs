//! PostgreSQL, NATS and nodes as processes of their own, in directories that go with them.
//!
//! For tests, benchmarks and developers; never shipped. Servers end with whoever has started them,
//! however that one ends. Between them and their clients may stand a [`Balancer`] or a [`Gate`].

mod balancer;
mod certified;
mod gate;
mod nats;
mod node;
mod postgres;
mod process;

pub use self::{
    balancer::Balancer, gate::Gate, nats::Nats, node::Node, postgres::Postgres, process::free_port,
};

/// Whatever went wrong, as a sentence.
pub type Result<T, E = String> = std::result::Result<T, E>;
