//! Peers as processes, for every benchmark that is run beside one.

pub mod database;
pub mod process;

/// Whatever went wrong.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
