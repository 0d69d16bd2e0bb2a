//! Slots: numbers of 64 bits that stand for something longer, and the number that each has.
//!
//! They are kept in memory ([`index`]) up to a bound, and in sorted files ([`run`]), to which what
//! is new is written in the background and from which a restart loads them. Beyond the bound,
//! look-ups go to those files. The ledger keeps its keys so, chat the messages
//! that were sent, the bus the events that have keys ([`names`]).

mod filter;
mod index;
mod merge;
mod names;
mod run;
mod runs;

pub(crate) use self::{
    index::Index,
    names::{Hash, Names},
    runs::{Runs, size},
};

/// A slot and the number that it has. Ordered by slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pair {
    pub(crate) slot: u64,
    pub(crate) id: u64,
}
