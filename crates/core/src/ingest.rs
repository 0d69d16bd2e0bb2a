//! Ingest: record a (tenant, key) once.

mod key;

use std::{fmt, pin::Pin};

pub use self::key::Key;
use crate::{Code, Error, Result, Tenant};

/// The most keys in one batch.
pub const BATCH_KEYS_MAX: usize = 10_000;

/// What to record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// Whose key it is.
    pub tenant: Tenant,
    /// The key itself.
    pub key: Key,
}

/// What the ledger says of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The number of the entry, over all tenants, from 1.
    pub id: u64,
    /// Whether this request recorded it, rather than an earlier one.
    pub new: bool,
}

/// A batch on its way to being durable: ready with one receipt for each entry, in order.
pub type Recording = Pin<Box<dyn Future<Output = Result<Vec<Receipt>>> + Send>>;

/// The record of every key ever ingested.
///
/// # What an implementation promises
///
/// - A receipt is given only after its entry is durable. A repeat of an entry that is not yet
///   durable waits for it.
/// - Receipts come in the order of the entries, one for each.
/// - Of equal entries, in one batch or over all time, exactly one receipt is `new`; all carry its
///   id. Ids are never given twice.
/// - A batch is recorded whole or not at all. An error means that nothing was recorded, or (when
///   the machine fails) that it is not known; recording again is always safe.
/// - Ids grow in the order of the calls of one caller. The embedded store's have no gaps.
///
/// The suite in `switchboard-contract` holds an implementation to each of these.
pub trait Ledger: fmt::Debug + Send + Sync {
    /// Records the entries, in order.
    ///
    /// The batch takes its place when this is called, not when the answer is first polled; dropping
    /// the answer does not take it back.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the store can't write.
    fn record(&self, entries: Vec<Entry>) -> Recording;
}

/// Checks the number of keys in a batch.
///
/// # Errors
///
/// [`Code::InvalidRequest`] for none, [`Code::TooLarge`] for more than [`BATCH_KEYS_MAX`].
pub fn check_batch(keys: usize) -> Result<()> {
    match keys {
        0 => Err(Error::new(Code::InvalidRequest, "a batch holds at least one key")),
        1..=BATCH_KEYS_MAX => Ok(()),
        _ => Err(Error::new(
            Code::TooLarge,
            format!("a batch holds at most {BATCH_KEYS_MAX} keys, this one {keys}"),
        )),
    }
}

/// The entries of a batch: as many as there are keys, or the first error with the key's index.
///
/// # Errors
///
/// Those of [`check_batch`]; [`Code::InvalidKey`] with the index of the first malformed key.
pub fn entries<K: AsRef<str>>(tenant: Tenant, keys: &[K]) -> Result<Vec<Entry>> {
    check_batch(keys.len())?;
    let entry = |(index, key): (usize, &K)| match key.as_ref().parse() {
        Ok(key) => Ok(Entry { tenant, key }),
        Err(error) => Err(Error::at(error, format_args!("key at index {index}"))),
    };
    keys.iter().enumerate().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(keys: &[&str], expected: Result<usize, &str>) {
        let entries = entries("a".parse().unwrap(), keys);
        match expected {
            Ok(len) => assert_eq!(entries.unwrap().len(), len),
            Err(sentence) => assert!(entries.unwrap_err().to_string().contains(sentence)),
        }
    }

    #[test]
    fn batches() {
        check(&["K-4bbf1-P"], Ok(1));
        check(&vec!["K-4bbf1-P"; 10_000], Ok(10_000));
        check(&vec!["K-4bbf1-P"; 10_001], Err("at most 10000 keys, this one 10001"));
        check(&[], Err("at least one key"));
        check(&["K-4bbf1-P", "K-4bbf1-p"], Err("key at index 1: a key is K-"));
    }
}
