//! Peers as processes, for every benchmark that is run beside one.

pub mod database;
pub mod figures;
pub mod node;
pub mod process;
pub mod rest;

/// Whatever went wrong.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
