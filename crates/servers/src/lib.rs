//! PostgreSQL and NATS as processes of their own, on free ports, in directories that go with them.
//!
//! For tests, benchmarks and developers; never shipped. Servers end with whoever has started them,
//! however that one ends.

mod nats;
mod postgres;
mod process;

pub use self::{nats::Nats, postgres::Postgres, process::free_port};

/// Whatever went wrong, as a sentence.
pub type Result<T, E = String> = std::result::Result<T, E>;
