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

#[cfg(test)]
mod tests {
    use super::*;

    /// Reports by when each was made, by the gateway's clock, and when it came: how they are told.
    #[track_caller]
    fn check(reports: &[(i64, i64)], expected: &[i64]) {
        let mut clocks = Clocks::default();
        let told = reports.iter().map(|&(at, now)| {
            let tenants = Vec::new();
            let mut report = Report { gateway: GatewayId(1), at: Millis(at), tenants };
            clocks.correct(&mut report, Millis(now));
            report.at.0
        });
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_may_be_the_way_of_a_report_is_left_alone() {
        check(&[(1_000, 1_249), (2_000, 2_100)], &[1_000, 2_000]);
        check(&[(1_000, 751)], &[1_000]);
    }

    #[test]
    fn a_clock_that_differs_is_told_by_the_fastest_report() {
        check(&[(1_000, 4_020), (2_000, 5_500), (3_000, 6_010)], &[4_020, 5_020, 6_010]);
        check(&[(5_000, 1_000), (6_000, 2_300), (7_000, 3_100)], &[1_000, 2_000, 3_000]);
    }

    #[test]
    fn the_order_of_reports_stays_when_the_estimate_falls() {
        // All waited for the first, which took five seconds.
        let reports = [(0, 5_000), (1_000, 5_001), (2_000, 5_002), (5_000, 5_010), (6_000, 6_010)];
        check(&reports, &[5_000, 5_001, 5_002, 5_002, 6_000]);
        let (late, again) = ((0, 5_000), (4_000, 9_000));
        check(&[late, (4_900, 5_010), again, (5_500, 5_510)], &[5_000, 5_000, 4_000, 5_500]);
    }

    #[test]
    fn a_clock_that_is_set_is_told_anew_within_a_minute() {
        let ahead = |second: i64| if second < 100 { -3_000 } else { 0 };
        let reports: Vec<_> =
            (0..200).map(|second| (second * 1_000 - ahead(second), second * 1_000)).collect();
        let mut clocks = Clocks::default();
        for (at, now) in reports {
            let (gateway, at) = (GatewayId(1), Millis(at));
            let mut report = Report { gateway, at, tenants: Vec::new() };
            clocks.correct(&mut report, Millis(now));
            if !(100_000..160_000).contains(&now) {
                assert_eq!(report.at, Millis(now));
            }
        }
        assert_eq!(clocks.skew_ms(), 0);
        clocks.tidy(Millis(300_000));
        assert!(clocks.0.is_empty());
    }
}
