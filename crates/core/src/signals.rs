//! Signals between nodes: to whoever listens, at most once.

use std::{fmt, sync::Arc};

use crate::Tenant;

/// The longest payload of one signal, in bytes: the largest event has room.
pub const PAYLOAD_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What a signal is about: whoever listens names it. Words of printable ASCII with dots between
/// them; cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(Arc<str>);

impl Subject {
    /// A subject of all tenants.
    pub fn of_all(kind: &'static str) -> Self {
        Self(kind.into())
    }

    /// A subject of one tenant, or of a numbered part of what is its.
    pub fn of(kind: &'static str, tenant: &Tenant, part: Option<u32>) -> Self {
        // A tenant may have dots, and they may stand beside each other.
        let tenant = tenant.as_str().replace('.', "~");
        match part {
            None => Self(format!("{kind}.{tenant}").into()),
            Some(part) => Self(format!("{kind}.{tenant}.{part}").into()),
        }
    }

    /// The subject as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({})", self.0)
    }
}

/// Carries signals between nodes.
///
/// # What an implementation promises
///
/// - What one node tells of a subject is heard by each other node that hears the subject, whole, at
///   most once, in the order in which that node told it; by the node itself it is not.
/// - Telling never waits, whoever is there or not. What can't be sent is lost: there is a bound to
///   what is kept for later. Payloads are [`PAYLOAD_BYTES_MAX`] long at the most.
/// - Whenever something may have been lost that would have been heard, [`Listener::missed`] is
///   called once hearing goes on: when a subject begins to be heard, when the connection is there
///   again, and when there was no room for what came. But for what is lost in silence on the way:
///   whoever needs to know everything looks for himself now and then.
///
/// The suite in `switchboard-contract` holds an implementation to each of these.
pub trait Signals: fmt::Debug + Send + Sync {
    /// Tells other nodes.
    fn tell(&self, subject: &Subject, payload: Vec<u8>);

    /// From now on what others tell of a subject is heard, or from a moment later:
    /// [`Listener::missed`] is called when it is. Once is enough.
    fn hear(&self, subject: &Subject);

    /// From now on nothing of a subject is heard, but for what is just being told.
    fn ignore(&self, subject: &Subject);

    /// What is heard is told to this one; the last to be named is the one.
    fn listen(&self, listener: Arc<dyn Listener>);

    /// Whether what is told now can reach others.
    fn is_connected(&self) -> bool;

    /// Whether there is nobody else, ever: then nothing needs to be told.
    fn is_alone(&self) -> bool {
        false
    }

    /// What became of signals so far.
    fn counts(&self) -> Counts {
        Counts::default()
    }
}

/// What became of signals, since the node started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Signals on their way to others.
    pub sent: u64,
    /// Signals of others.
    pub received: u64,
    /// Signals that were not sent: nobody was connected, or there was no more room.
    pub unsent: u64,
    /// Signals of others that came, and for which there was no room; or parts of which were lost.
    pub spilt: u64,
    /// Messages that are no signals, or are broken.
    pub foreign: u64,
    /// How often the connection was there again.
    pub reconnects: u64,
}

/// Is told what is heard, on the tasks of whatever carries it: it must not wait.
pub trait Listener: fmt::Debug + Send + Sync {
    /// Another node told this.
    fn heard(&self, payload: &[u8]);

    /// Something may have been missed.
    fn missed(&self);
}

/// The signals of a node that is alone.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

impl Signals for Alone {
    fn tell(&self, _subject: &Subject, _payload: Vec<u8>) {}

    fn hear(&self, _subject: &Subject) {}

    fn ignore(&self, _subject: &Subject) {}

    fn listen(&self, _listener: Arc<dyn Listener>) {}

    fn is_connected(&self) -> bool {
        true
    }

    fn is_alone(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_of_tenants_are_two_words() {
        let of = |tenant: &str, part| Subject::of("bus", &tenant.parse().unwrap(), part);
        assert_eq!(of("a..b", None).as_str(), "bus.a~~b");
        assert_eq!(of(".", Some(7)).as_str(), "bus.~.7");
        assert_ne!(of("a.7", None), of("a", Some(7)));
    }
}
