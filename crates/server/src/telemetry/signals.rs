//! The metrics of signals between nodes.

use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::{counter::Counter, family::Family};
use switchboard_core::signals::Counts;

use super::{
    known::Known,
    metrics::{Labels, Registrar},
};

/// The metrics of signals between nodes. A node that is alone has none to tell.
#[derive(Debug)]
pub(crate) struct Signals {
    sent: Counter,
    received: Counter,
    unsent: Counter,
    spilt: Counter,
    foreign: Counter,
    not_understood: Counter,
    connected: Known,
    reconnects: Counter,
    gaps: Counter,
    nothing: Counter,
    /// What was told of those that are counted elsewhere.
    told: Mutex<Counts>,
}

impl Signals {
    pub(super) fn new(r: &mut Registrar) -> Self {
        let dropped: Family<Labels, Counter> = r.add(
            "switchboard_signals_dropped",
            "Signals that did not arrive, by where they were let go of: sending (not connected, or \
             no more room), receiving (no room, or not all of it came), foreign (none of ours, or \
             broken), unknown (of another version)",
            Family::default(),
        );
        let reconcile: Family<Labels, Counter> = r.add(
            "switchboard_reconcile",
            "Looks in the store for what was not told, by result: nothing, gap (a lost signal was \
             found)",
            Family::default(),
        );
        let dropped = |at| dropped.get_or_create(&vec![("where", at)]).clone();
        let reconciled = |result| reconcile.get_or_create(&vec![("result", result)]).clone();
        Self {
            sent: r.counter("switchboard_signals_sent", "Signals sent to other nodes"),
            received: r.counter("switchboard_signals_received", "Signals of other nodes"),
            unsent: dropped("sending"),
            spilt: dropped("receiving"),
            foreign: dropped("foreign"),
            not_understood: dropped("unknown"),
            connected: r.add(
                "switchboard_signals_connected",
                "Whether signals reach other nodes now; left out where a node is alone",
                Known::default(),
            ),
            reconnects: r.counter(
                "switchboard_signals_reconnects",
                "How often the connection for signals was there again",
            ),
            gaps: reconciled("gap"),
            nothing: reconciled("nothing"),
            told: Mutex::default(),
        }
    }

    /// It was looked for what was missed.
    pub(crate) fn reconciled(&self, found: bool) {
        (if found { &self.gaps } else { &self.nothing }).inc();
    }

    /// A signal came that this version does not know.
    pub(crate) fn not_understood(&self) {
        self.not_understood.inc();
    }

    /// What is counted elsewhere, since the start, and whether there is a connection.
    pub(crate) fn tell(&self, counts: &Counts, connected: bool) {
        self.connected.set(Some(i64::from(connected)));
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for (counter, now, before) in [
            (&self.sent, counts.sent, told.sent),
            (&self.received, counts.received, told.received),
            (&self.unsent, counts.unsent, told.unsent),
            (&self.spilt, counts.spilt, told.spilt),
            (&self.foreign, counts.foreign, told.foreign),
            (&self.reconnects, counts.reconnects, told.reconnects),
        ] {
            counter.inc_by(now.saturating_sub(before));
        }
        *told = *counts;
    }
}
