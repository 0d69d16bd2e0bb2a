//! Points in time, and where they come from.

use std::{
    fmt,
    sync::atomic::{AtomicI64, Ordering},
};

/// Milliseconds since the Unix epoch (UTC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub i64);

impl Millis {
    /// So many milliseconds later, or earlier; stops at the ends of time.
    #[must_use]
    pub const fn plus(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// The milliseconds from another time to this one.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Tells the time. The program has the only one that reads the machine's clock; tests turn theirs.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> Millis;
}

/// A clock that never runs backwards, whatever the one beneath it does.
///
/// When the clock beneath is set back, this one stands still until it has been caught up with.
#[derive(Debug)]
pub struct Forward<C> {
    clock: C,
    latest: AtomicI64,
}

impl<C: Clock> Forward<C> {
    /// A clock that is never before a time that it has told.
    pub fn new(clock: C) -> Self {
        Self { clock, latest: AtomicI64::new(i64::MIN) }
    }
}

impl<C: Clock> Clock for Forward<C> {
    fn now(&self) -> Millis {
        let Millis(now) = self.clock.now();
        // Nearly always another caller has told this millisecond already: no write, no contention.
        let latest = self.latest.load(Ordering::Acquire);
        if now <= latest {
            return Millis(latest);
        }
        Millis(now.max(self.latest.fetch_max(now, Ordering::AcqRel)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Turned(AtomicI64);

    impl Clock for Turned {
        fn now(&self) -> Millis {
            Millis(self.0.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn a_clock_that_is_set_back_stands_still() {
        let clock = Forward::new(Turned::default());
        let mut told = Vec::new();
        for set_to in [5, 9, 3, 8, 10] {
            clock.clock.0.store(set_to, Ordering::Relaxed);
            told.push(clock.now().0);
        }
        assert_eq!(told, [5, 9, 9, 9, 10]);
    }
}
