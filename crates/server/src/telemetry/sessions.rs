//! The metrics of sessions.

use std::time::Duration;

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use switchboard_core::session::Reason;

use super::{
    histogram::{Histogram, REQUEST_NANOS},
    metrics::{Labels, Registrar, nanos},
};

/// What carries sessions.
const TRANSPORTS: [&str; 3] = ["tcp", "websocket", "grpc"];

/// The metrics of sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    open: Family<Labels, Gauge>,
    opened: Family<Labels, Counter>,
    closed: Family<Labels, Counter>,
    malformed: Family<Labels, Counter>,
    late: Histogram,
    missed: Counter,
    reports: Family<Labels, Counter>,
}

impl Sessions {
    pub(super) fn new(r: &mut Registrar) -> Self {
        let sessions = Self {
            open: r.add("switchboard_sessions", "Sessions open now", Family::default()),
            opened: r.add("switchboard_sessions_opened", "Sessions opened", Family::default()),
            closed: r.add(
                "switchboard_sessions_closed",
                "Sessions closed, by reason: client, malformed, no_hello, refused, timeout, \
                 slow_consumer, drain",
                Family::default(),
            ),
            malformed: r.add(
                "switchboard_frame_errors",
                "Streams that held what is no frame, or broke off within one",
                Family::default(),
            ),
            late: r.add(
                "switchboard_ping_lateness_seconds",
                "How much later than planned pings were sent",
                Histogram::of_durations(REQUEST_NANOS),
            ),
            missed: r.counter(
                "switchboard_pongs_missed",
                "Pings that were not answered before the next was due",
            ),
            reports: r.add(
                "switchboard_presence_reports_sent",
                "Reports of this gateway by how they ended: ok, error",
                Family::default(),
            ),
        };
        for transport in TRANSPORTS {
            let label = vec![("transport", transport)];
            drop(sessions.open.get_or_create(&label));
            drop(sessions.opened.get_or_create(&label));
            drop(sessions.malformed.get_or_create(&label));
        }
        for reason in Reason::ALL {
            drop(sessions.closed.get_or_create(&vec![("reason", reason.as_str())]));
        }
        for outcome in ["ok", "error"] {
            drop(sessions.reports.get_or_create(&vec![("outcome", outcome)]));
        }
        sessions
    }

    /// A session was opened; it counts until it is told to be closed.
    pub(crate) fn opened(&self, transport: &'static str) {
        let label = vec![("transport", transport)];
        self.opened.get_or_create(&label).inc();
        self.open.get_or_create(&label).inc();
    }

    /// A session was closed.
    pub(crate) fn closed(&self, transport: &'static str, reason: &'static str) {
        self.open.get_or_create(&vec![("transport", transport)]).dec();
        self.closed.get_or_create(&vec![("reason", reason)]).inc();
    }

    /// What came was no frame.
    pub(crate) fn malformed(&self, transport: &'static str) {
        self.malformed.get_or_create(&vec![("transport", transport)]).inc();
    }

    /// A ping was sent, so much later than planned.
    pub(crate) fn pinged(&self, late: Duration) {
        self.late.observe(nanos(late), 1);
    }

    /// A ping was not answered before the next.
    pub(crate) fn pong_missed(&self) {
        self.missed.inc();
    }

    /// A report was sent.
    pub(crate) fn report_sent(&self, taken: bool) {
        let outcome = if taken { "ok" } else { "error" };
        self.reports.get_or_create(&vec![("outcome", outcome)]).inc();
    }
}
