//! Carrying everything from one store to another.
//!
//! What a store holds is told in [`Section`]s, one after the other, each of [`Row`]s in the words
//! of the domain: so stores need not know of each other. [`carry`] reads what an [`Archive`] tells
//! and writes it to a [`Destination`], goes on where it was when it is begun again, and in the end
//! has both tell all once more and compares.
//!
//! **What is deliberately not carried**: the reports of gateways of the last minutes. They matter
//! for three minutes; meanwhile no node runs, and clients that connect again are counted at once.
//! When a message was told is not carried either: it is told as the moment when it was durable.

mod carry;
mod row;
mod waiting;

use std::{fmt, pin::Pin};

pub use self::{
    carry::{Compared, Moved, Watch, carry},
    row::{Expiry, Held, Progress, Receipt, Row, Said, Sequences, Stay, Tally},
    waiting::{Happened, Waiting},
};
use crate::Result;

/// An answer on its way.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// How much is read at once.
pub const ROWS_MAX: usize = 5_000;

/// No more is read at once when rows are so many bytes.
pub const BYTES_MAX: usize = 4 * 1024 * 1024;

/// A part of what a store holds. They are carried in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// The keys of ingest, with their ids. The next id is one behind the greatest.
    Keys,
    /// Users, with their names.
    Users,
    /// Everything that was said and acknowledged, with its places in inboxes.
    Messages,
    /// How the keys of the vault are derived.
    Profiles,
    /// Which versions of records are not used again.
    Versions,
    /// The records of the vault.
    Records,
    /// Which events have expired.
    Expiries,
    /// The events that are kept.
    Events,
    /// How far the events of tenants have come.
    Heads,
    /// Queues, and how far they have come.
    Queues,
    /// What queues have delivered and is not done with.
    Deliveries,
    /// Which clients are announced as online.
    Stays,
}

impl Section {
    /// All, in their order: `section as usize` is the index.
    pub const ALL: [Self; 12] = [
        Self::Keys,
        Self::Users,
        Self::Messages,
        Self::Profiles,
        Self::Versions,
        Self::Records,
        Self::Expiries,
        Self::Events,
        Self::Heads,
        Self::Queues,
        Self::Deliveries,
        Self::Stays,
    ];

    /// What it is called, here and where it is noted how far one has come.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Users => "users",
            Self::Messages => "messages",
            Self::Profiles => "profiles",
            Self::Versions => "versions",
            Self::Records => "records",
            Self::Expiries => "expiries",
            Self::Events => "events",
            Self::Heads => "heads",
            Self::Queues => "queues",
            Self::Deliveries => "deliveries",
            Self::Stays => "stays",
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A place among the rows of a section, in the words of the store that tells them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub Vec<u8>);

/// Some rows of a section.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Row>,
    /// Where to read on; none when these were the last.
    pub next: Option<Place>,
}

/// How far one has come with a section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reached {
    /// Nothing is there yet.
    #[default]
    Nothing,
    /// All before this place.
    Place(Place),
    /// All.
    End,
}

/// How a destination is when one begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It has what was carried so far, of each section: to be gone on with.
    Open(Vec<(Section, Reached)>),
    /// Everything was carried before, from the same store.
    Finished,
}

/// A store that tells everything that it holds, while nobody changes it.
///
/// # What an implementation promises
///
/// - All pages of a section, each read on from where the one before ended, have every row once.
///   The order is the store's own, and the same each time.
/// - Rows of [`Section::Events`] come in the order of their sequences within a tenant.
/// - A page has at most so many rows as are asked for, and ends early once they are
///   [`BYTES_MAX`] bytes.
///
/// The suite in `switchboard-contract` holds an implementation to each of these.
pub trait Archive: fmt::Debug + Send + Sync {
    /// What this store is known by: the same for as long as it lives, and another one's is another.
    fn identity(&self) -> Answer<'_, String>;

    /// About how many rows a section has, for whoever shows how far one has come.
    fn count(&self, section: Section) -> Answer<'_, u64>;

    /// Rows of a section, on from a place.
    ///
    /// # Errors
    ///
    /// [`crate::Code::InvalidCursor`] for a place of another store;
    /// [`crate::Code::Unavailable`] when the store can't be read, or something in it is damaged.
    fn read(&self, section: Section, from: Option<Place>, rows_max: usize) -> Answer<'_, Page>;
}

/// A store that takes everything that another one tells.
///
/// # What an implementation promises
///
/// - It takes nothing where something is that was not carried from the same store, and says so
///   before anything is written.
/// - Rows that are there already and are equal are no error; others of the same name are, and
///   change nothing.
/// - What it says was reached is durable, whatever happens; more may be.
/// - Once finished it is as the origin was: every port answers alike.
/// - Nothing is served from it before it is finished.
///
/// The suite in `switchboard-contract` holds an implementation to each of these.
pub trait Destination: Archive {
    /// Begins to take what a store of this identity tells, or goes on with it.
    ///
    /// # Errors
    ///
    /// [`crate::Code::Conflict`] where something else is; [`crate::Code::Unavailable`].
    fn begin<'a>(&'a self, origin: &'a str) -> Answer<'a, Begun>;

    /// Takes rows of a section, up to where it was then reached.
    ///
    /// # Errors
    ///
    /// [`crate::Code::Conflict`] for a row of a name that is another's, or that can't follow what
    /// is there; [`crate::Code::Unavailable`] when the store can't write.
    fn write(&self, section: Section, rows: Vec<Row>, reached: Reached) -> Answer<'_, ()>;

    /// Makes of what was taken a store that can be served.
    ///
    /// # Errors
    ///
    /// [`crate::Code::Conflict`] where something is missing; [`crate::Code::Unavailable`].
    fn finish(&self) -> Answer<'_, ()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_their_places() {
        for (index, section) in Section::ALL.into_iter().enumerate() {
            assert_eq!(section as usize, index);
        }
    }
}
