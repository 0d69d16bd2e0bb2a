//! How far the clocks of gateways differ from this one.

use std::collections::HashMap;

use crate::{
    Millis,
    presence::{GatewayId, Report},
};

/// From where on a difference of clocks is one, in milliseconds: below it is the time that reports
/// take to come.
const SKEW_MS: u64 = 250;

/// For how long the smallest difference counts, in milliseconds; up to twice that.
const KEPT_MS: i64 = 30_000;

/// After how long without a report a clock is forgotten, in milliseconds.
const FORGOTTEN_MS: i64 = 60_000;

/// The clocks of the gateways that have reported of late.
#[derive(Debug, Default)]
pub(super) struct Clocks(HashMap<GatewayId, Clock>);

#[derive(Debug)]
struct Clock {
    /// The least that it seemed to be behind, in this span and in the one before: a report takes
    /// time to come, so the least is the nearest to the truth.
    behind: [i64; 2],
    /// When this span began.
    since: Millis,
    heard: Millis,
    /// The time of its newest report, by its own clock and as it was corrected.
    newest: (Millis, Millis),
}

impl Clocks {
    /// Tells the times of a report that has just come by this clock. Their order stays.
    pub(super) fn correct(&mut self, report: &mut Report, now: Millis) {
        let at = report.at;
        let clock = self.0.entry(report.gateway).or_insert(Clock {
            behind: [i64::MAX; 2],
            since: now,
            heard: now,
            newest: (Millis(i64::MIN), Millis(i64::MIN)),
        });
        clock.heard = now;
        if KEPT_MS <= now.since(clock.since) {
            clock.behind = [clock.behind[1], i64::MAX];
            clock.since = now;
        }
        clock.behind[1] = clock.behind[1].min(now.since(at));
        let corrected = at.plus(clock.skew());
        let (newest, told) = clock.newest;
        // The estimate moves; what is newer stays newer all the same.
        let corrected = if newest <= at { corrected.max(told) } else { corrected.min(told) };
        if newest <= at {
            clock.newest = (at, corrected);
        }
        if corrected != at {
            report.shift(corrected.since(at));
        }
    }

    /// The greatest difference, in milliseconds; positive where a gateway's clock is behind.
    pub(super) fn skew_ms(&self) -> i64 {
        let skews = self.0.values().map(Clock::skew);
        skews.max_by_key(|skew| (skew.unsigned_abs(), *skew)).unwrap_or_default()
    }

    /// Forgets the clocks of gateways that no longer report.
    pub(super) fn tidy(&mut self, now: Millis) {
        self.0.retain(|_, clock| now.since(clock.heard) < FORGOTTEN_MS);
    }
}

impl Clock {
    fn skew(&self) -> i64 {
        let least = self.behind[0].min(self.behind[1]);
        if SKEW_MS <= least.unsigned_abs() { least } else { 0 }
    }
}
