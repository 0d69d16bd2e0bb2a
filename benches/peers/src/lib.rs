//! Peers as processes, for every benchmark that is run beside one.

pub mod database;
pub mod figures;
pub mod node;
pub mod postgres;
pub mod process;
pub mod rest;
pub mod work;

/// Whatever went wrong.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
