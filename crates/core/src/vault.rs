//! The vault: values that nobody reads but who holds their key.
//!
//! A *record* is a value under an id, *sealed* under an *encryption key* that comes with each
//! request and stays nowhere. Sealing and opening are here ([`seal`]); a [`Records`] keeps what is
//! sealed and never sees a key or a value. The format is told in `docs/vault.md`.

mod cursor;
mod id;
mod json;
mod key;
mod padding;
mod pattern;
mod seal;
mod secret;
mod value;

use std::{fmt, pin::Pin, sync::Arc};

pub use self::{
    cursor::Cursor,
    id::RecordId,
    key::{Addressing, ClientKey, EncryptionKey, Kind, Profile, SALT_BYTES, Work, Workspace},
    padding::padded,
    pattern::Pattern,
    seal::{
        Context, OVERHEAD, Opening, SALT_BYTES as RECORD_SALT_BYTES, Sealed, open, opens, seal,
    },
    secret::Secret,
    value::{Content, ContentType, VALUE_BYTES_MAX, Value},
};
use crate::{Code, Error, Millis, Result, Tenant};

/// The most records of one page.
pub const PAGE_MAX: u32 = 1_000;

/// How many records a page has where the caller doesn't say.
pub const PAGE_DEFAULT: u32 = 100;

/// An answer on its way.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// A value under lock, and what is known of it without its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Greater with each change of the record; never used again for its id, not even after it was
    /// deleted.
    pub version: u64,
    /// When it was stored.
    pub updated_at: Millis,
    /// From when on it is gone.
    pub expires_at: Option<Millis>,
    /// The value under lock.
    pub sealed: Sealed,
}

impl Record {
    /// Whether its time is up.
    pub fn has_expired(&self, now: Millis) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// A record as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// As it was put.
    Whole(Record),
    /// Not as it was put: what is left of it.
    Damaged(Record),
}

impl Found {
    /// The record, whole or not.
    pub fn record(&self) -> &Record {
        match self {
            Self::Whole(record) | Self::Damaged(record) => record,
        }
    }

    /// Whether its time is up. Of a damaged one nobody knows that: it is to be told of.
    pub fn has_expired(&self, now: Millis) -> bool {
        matches!(self, Self::Whole(record) if record.has_expired(now))
    }
}

/// The place of one id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// What is there, expired or not.
    pub found: Option<Found>,
    /// The version that a record has at least to take the place while it is empty.
    pub first_version: u64,
}

/// A record in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Under which id.
    pub id: RecordId,
    /// The record.
    pub found: Found,
}

/// Which records to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Ids that begin so.
    pub prefix: Arc<str>,
    /// Ids behind this one.
    pub after: Option<RecordId>,
    /// So many at most.
    pub records_max: usize,
    /// No more once they are so many bytes; at least one.
    pub bytes_max: usize,
}

/// Part of a list, by the bytes of the ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The records, expired ones too.
    pub listed: Vec<Listed>,
    /// Behind which id to go on; none at the end.
    pub next: Option<RecordId>,
}

/// What must be at a place for a change to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// No record.
    Absent,
    /// The record of this version.
    Version(u64),
}

/// What is put at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// A record; its version is greater than that of the one before, or at least the first.
    Put(Record),
    /// Nothing.
    Delete,
}

/// A change of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose.
    pub tenant: Tenant,
    /// Under which id.
    pub id: RecordId,
    /// It happens only if this is there.
    pub expected: Expected,
    /// What happens.
    pub then: Then,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It happened.
    Done,
    /// Something else was there: nothing happened.
    Changed,
}

/// All records, sealed.
///
/// # What an implementation promises
///
/// - What was answered is durable. A change happens whole or not at all, and what is not durable is
///   not read.
/// - A change happens only if what it expects is there. Of changes that expect the same, exactly
///   one happens.
/// - Once a record was deleted, or removed because its time was up, its version is not put again:
///   [`Place::first_version`] is greater than every version that was ever removed of the tenant.
/// - Lists are ordered by the bytes of the ids, and have every record once that is there all the
///   while. A page reads what begins with the prefix, and no more.
/// - A record that is not as it was put is told as damaged, and is no reason for another not to be
///   told.
/// - A tenant sees only itself. A profile stays for ever as it was first added.
///
/// The suite in `switchboard-contract` holds an implementation to each of these.
pub trait Records: fmt::Debug + Send + Sync {
    /// How a tenant's keys are derived: by number, the newest last. Empty before its first record.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the store can't be read.
    fn profiles(&self, tenant: Tenant) -> Answer<Arc<[Profile]>>;

    /// Adds a profile unless there is one of its number, and answers all.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the store can't write.
    fn add_profile(&self, tenant: Tenant, profile: Profile) -> Answer<Arc<[Profile]>>;

    /// What is at a place.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the store can't be read.
    fn get(&self, tenant: Tenant, id: &RecordId) -> Answer<Place>;

    /// Part of a list.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the store can't be read.
    fn list(&self, tenant: Tenant, range: Range) -> Answer<Page>;

    /// Changes records, in order, each by itself. They take their places when this is called.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the store can't write: it is not known then what was done.
    fn change(&self, changes: Vec<Change>) -> Answer<Vec<Outcome>>;

    /// Removes the records of all tenants whose time is up, and answers how many. What was removed
    /// before, by whatever way, is then gone from where records are kept.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the store can't write.
    fn expire(&self, now: Millis) -> Answer<u64>;
}

/// Checks how many records are asked for: 0 stands for [`PAGE_DEFAULT`].
///
/// # Errors
///
/// [`Code::TooLarge`] for more than [`PAGE_MAX`].
pub fn page_limit(asked: u32) -> Result<usize> {
    match asked {
        0 => Ok(PAGE_DEFAULT as usize),
        1..=PAGE_MAX => Ok(asked as usize),
        _ => Err(Error::new(
            Code::TooLarge,
            format!("a page has at most {PAGE_MAX} records, {asked} were asked for"),
        )),
    }
}
