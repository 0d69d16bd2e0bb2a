//! The only place that reads a clock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use switchboard_core::{Millis, time::Clock};

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    fn now(&self) -> Millis {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The machine's clock, told by that of the store: nodes that share one agree on the time, however
/// their own clocks are set.
#[derive(Clone, Debug)]
pub(crate) struct StoreClock {
    /// How far the store's clock is ahead, in milliseconds.
    pub(crate) ahead_ms: Arc<AtomicI64>,
}

impl Clock for StoreClock {
    fn now(&self) -> Millis {
        SystemClock.now().plus(self.ahead_ms.load(Ordering::Relaxed))
    }
}
