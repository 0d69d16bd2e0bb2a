//! What reaches those who are there right now.

use std::fmt;

use super::{Entry, PhoneNumber, User};

/// Something for a user's sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// This was just added to his inbox.
    Happened {
        /// Whose inbox.
        user: User,
        /// What.
        entry: Entry,
    },
    /// Somebody is writing to him, or has stopped. Never stored.
    Typing {
        /// Who is to know.
        user: User,
        /// Who writes.
        from: PhoneNumber,
        /// Whether he does, or has stopped.
        typing: bool,
    },
}

/// Carries signals to whoever listens, at most once.
///
/// A hint: whoever needs to know everything reads the inbox, and takes a signal for the news that
/// there is more. A signal of an entry carries all of it, so that whoever stands just before it has
/// nothing to read.
pub trait Signals: fmt::Debug + Send + Sync {
    /// Tells whoever listens. Called on the store's own threads: it must not wait.
    fn tell(&self, signals: Vec<Signal>);
}
