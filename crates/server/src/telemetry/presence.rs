//! The metrics of the status service.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use switchboard_core::{Tenant, presence::Count};

use super::{
    histogram::{Histogram, REQUEST_NANOS, SYNC_NANOS},
    metrics::{Registrar, nanos},
};

/// The metrics of the status service.
#[derive(Debug)]
pub(crate) struct Presence {
    online: Gauge,
    connected: Gauge,
    by_tenant: Family<Vec<(&'static str, String)>, Gauge>,
    reports: Counter,
    lag: Histogram,
    fold: Histogram,
    replay: Gauge<f64, AtomicU64>,
    skew: Gauge<f64, AtomicU64>,
}

impl Presence {
    pub(super) fn new(r: &mut Registrar) -> Self {
        Self {
            online: r.gauge("switchboard_presence_online", "Unique clients online, of all tenants"),
            connected: r.gauge(
                "switchboard_presence_connected",
                "Sessions open, as the gateways last reported",
            ),
            by_tenant: r.add(
                "switchboard_presence_tenant_online",
                "Unique clients online of the 20 largest tenants, and of all others; only with \
                 --metrics-per-tenant",
                Family::default(),
            ),
            reports: r.counter("switchboard_presence_reports_received", "Reports folded"),
            lag: r.durations(
                "switchboard_presence_report_lag_seconds",
                "How old reports were when they came, by the gateway's clock",
                REQUEST_NANOS,
            ),
            fold: r.durations(
                "switchboard_presence_fold_duration_seconds",
                "How long folding a report took",
                SYNC_NANOS,
            ),
            replay: r.add(
                "switchboard_presence_journal_replay_seconds",
                "How long folding the journal took at the last start",
                Gauge::default(),
            ),
            skew: r.add(
                "switchboard_presence_clock_skew_seconds",
                "The greatest difference of a gateway's clock; positive where it is behind",
                Gauge::default(),
            ),
        }
    }

    /// A report was folded.
    pub(crate) fn folded(&self, lag: Duration, took: Duration) {
        self.reports.inc();
        self.lag.observe(nanos(lag), 1);
        self.fold.observe(nanos(took), 1);
    }

    /// The journal was folded.
    pub(crate) fn replayed(&self, took: Duration) {
        self.replay.set(took.as_secs_f64());
    }

    /// How many are online now; `largest` tenants are told apart.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a difference of clocks")]
    pub(crate) fn tell(&self, count: Count, skew_ms: i64, largest: &[(Tenant, u64)]) {
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.online.set(whole(count.online));
        self.connected.set(whole(count.connected));
        self.skew.set(skew_ms as f64 / 1e3);
        if largest.is_empty() {
            return;
        }
        self.by_tenant.clear();
        let mut others = count.online;
        for (tenant, online) in largest {
            others = others.saturating_sub(*online);
            let label = vec![("tenant", tenant.to_string())];
            self.by_tenant.get_or_create(&label).set(whole(*online));
        }
        // No tenant has such a name.
        let label = vec![("tenant", "(other)".to_owned())];
        self.by_tenant.get_or_create(&label).set(whole(others));
    }
}
