//! How the database is, as far as the node knows.

use std::{
    pin::Pin,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use switchboard_core::{
    Error,
    store::{Condition, Store, Vitals},
};
use tokio_util::sync::CancellationToken;

/// What lanes and readers tell of the database.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Why nothing is taken now, by who says so.
    refusing: Mutex<Vec<(&'static str, String)>>,
    /// Batches that wait.
    pub(crate) waiting: AtomicU64,
    /// Keys recorded by ingest, as far as is known.
    pub(crate) keys: AtomicU64,
    closing: CancellationToken,
}

impl Health {
    /// A part can't do its work now.
    pub(crate) fn refuse(&self, part: &'static str, why: String) {
        let mut refusing = self.refusing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(said) = refusing.iter_mut().find(|(it, _)| *it == part) {
            said.1 = why;
            return;
        }
        tracing::warn!(part, why, "the database can't be used");
        refusing.push((part, why));
    }

    /// A part works.
    pub(crate) fn work(&self, part: &'static str) {
        let mut refusing = self.refusing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = refusing.len();
        refusing.retain(|(it, _)| *it != part);
        if refusing.len() < before {
            tracing::info!(part, "the database can be used again");
        }
    }

    /// Nothing more is to be done.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }

    /// Cancelled when nothing more is to be done.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }
}

impl Store for Health {
    fn vitals(&self) -> Vitals {
        let refusing = self.refusing.lock().unwrap_or_else(PoisonError::into_inner);
        let condition = match refusing.first() {
            None => Condition::Writable,
            Some((part, why)) => Condition::Refusing(format!("{part}: {why}")),
        };
        Vitals {
            condition,
            commits_waiting: self.waiting.load(Ordering::Relaxed),
            ingest_keys: self.keys.load(Ordering::Relaxed),
            ingest_index_bytes: 0,
            size_bytes: 0,
            free_bytes: None,
        }
    }

    fn failed(&self) -> Pin<Box<dyn Future<Output = Error> + Send>> {
        // A database that is gone may come back.
        Box::pin(std::future::pending())
    }
}
