//! What a store says of itself: to whoever asks whether it is well, and to whoever measures it.

use std::{fmt, pin::Pin, time::Duration};

use crate::Error;

/// A store as the node that runs on it sees it.
pub trait Store: fmt::Debug + Send + Sync {
    /// How the store is now. Cheap: may be asked many times a second.
    fn vitals(&self) -> Vitals;

    /// Ready once the store has failed for good: from then on nothing more is acknowledged, and the
    /// node is to end. Never ready otherwise.
    fn failed(&self) -> Pin<Box<dyn Future<Output = Error> + Send>>;
}

/// How a store is at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vitals {
    /// Whether it takes writes.
    pub condition: Condition,
    /// Batches that wait for their commit.
    pub commits_waiting: u64,
    /// Keys recorded by ingest, ever.
    pub ingest_keys: u64,
    /// Memory that the ledger's index holds, in bytes.
    pub ingest_index_bytes: u64,
    /// What the store takes on disk, in bytes; 0 where that is not its own affair.
    pub size_bytes: u64,
    /// Free room where the store lives, in bytes, if that is known.
    pub free_bytes: Option<u64>,
}

/// Whether a store takes writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It does.
    Writable,
    /// It refuses writes until there is room again, and answers reads. The text says what is full.
    Full(String),
    /// It refuses writes for an error of the disk that may pass, tries again by itself, and answers
    /// reads. The text says which error.
    Refusing(String),
    /// It does nothing any more. The text says why.
    Failed(String),
}

/// Is told what a store does. Called on the store's own threads: it must not wait.
pub trait Observer: fmt::Debug + Send + Sync {
    /// One group of batches was made durable, or found to need no write.
    fn committed(&self, commit: &Commit);

    /// One part of the start has ended: `snapshot` (what was kept was read) or `replay` (the log
    /// behind it was applied).
    fn recovered(&self, phase: &'static str, took: Duration);

    /// What the log holds was written to the tables behind it, and the log was cut.
    fn checkpointed(&self, took: Duration);
}

/// One group commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// Batches that were answered together.
    pub batches: u64,
    /// Keys of ingest that were new.
    pub keys_new: u64,
    /// Keys of ingest that were repeats.
    pub keys_repeated: u64,
    /// Bytes appended to the log.
    pub bytes: u64,
    /// How long the oldest batch waited for its turn.
    pub waited: Duration,
    /// How long the write and the sync took; zero when nothing was written.
    pub synced: Duration,
}

/// An observer that looks away.
#[derive(Clone, Copy, Debug)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn committed(&self, _commit: &Commit) {}

    fn recovered(&self, _phase: &'static str, _took: Duration) {}

    fn checkpointed(&self, _took: Duration) {}
}
