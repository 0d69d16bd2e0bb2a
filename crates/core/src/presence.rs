//! Presence: who is online, exactly.
//!
//! Gateways state whom they saw in a [`Report`]; the status service folds the reports into a
//! [`Window`], which knows at any moment how many unique clients were seen in the last three
//! minutes, and keeps them in a [`Journal`], from which it knows it again after a restart.

mod bytes;
mod window;

use std::{fmt, pin::Pin};

pub use self::window::{Count, Point, Seen, Window};
use crate::{ClientId, Millis, Result, Tenant};

/// For how long a client counts as online after it was last seen, in milliseconds. Seen exactly so
/// long ago no longer counts.
pub const WINDOW_MS: i64 = 180_000;

/// How old what a gateway reported of a client that goes on answering may get, in milliseconds.
pub const REPORT_INTERVAL_MS: i64 = 5_000;

/// For how long the journal is needed: what was seen in the window, reported late.
pub const JOURNAL_MS: i64 = WINDOW_MS + REPORT_INTERVAL_MS;

/// What a client reports of itself with each pong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Status {
    /// Connected, not online.
    #[default]
    Unknown,
    /// Online; its clock showed an even millisecond.
    Even,
    /// Online; its clock showed an odd millisecond.
    Odd,
}

impl Status {
    /// Whether a client that reports this is online.
    pub const fn is_online(self) -> bool {
        matches!(self, Self::Even | Self::Odd)
    }

    /// The name on the wire, without its prefix.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Even => "EVEN",
            Self::Odd => "ODD",
        }
    }
}

/// A gateway, by a random number that is another with each start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayId(pub u64);

/// A gateway's statement: these clients were seen, at these times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which gateway states it.
    pub gateway: GatewayId,
    /// When it does, by the clock by which the sightings are told.
    pub at: Millis,
    /// By tenant; each at most once.
    pub tenants: Vec<TenantReport>,
}

/// The part of a report that is about one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantReport {
    /// Whose clients they are.
    pub tenant: Tenant,
    /// The sessions open now at this gateway.
    pub connected: u32,
    /// What is new of clients; each at most once.
    pub sightings: Vec<Sighting>,
}

/// What a gateway knows of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Which client.
    pub client: ClientId,
    /// When it last reported that it is online; none if it never did.
    pub seen: Option<Millis>,
    /// What it reported last.
    pub status: Status,
    /// Its sessions at this gateway.
    pub sessions: u16,
}

impl Report {
    /// Tells all times of the report by another clock, which is `ahead_ms` ahead of its own.
    pub fn shift(&mut self, ahead_ms: i64) {
        self.at = self.at.plus(ahead_ms);
        let sightings = self.tenants.iter_mut().flat_map(|tenant| &mut tenant.sightings);
        for seen in sightings.filter_map(|sighting| sighting.seen.as_mut()) {
            *seen = seen.plus(ahead_ms);
        }
    }
}

/// A report's place among those of its gateway, where several nodes append to one journal: they
/// count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whose report it is.
    pub gateway: GatewayId,
    /// Its number.
    pub number: u64,
}

/// Reports read back, in the order in which they were appended.
#[derive(Debug, Default)]
pub struct Page {
    /// The reports.
    pub reports: Vec<Report>,
    /// Up to where the reports of each gateway were read by now, where several nodes append to one
    /// journal; else nothing.
    pub places: Vec<Place>,
    /// Where to read on; none when these were the last.
    pub next: Option<u64>,
}

/// Something on its way to being durable.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// Where a report stands that is durable; none where nobody else appends to the journal.
pub type Appended = Option<Place>;

/// The reports of the last [`JOURNAL_MS`].
///
/// # What an implementation promises
///
/// - A report is durable when its append is answered.
/// - Every report that was answered and whose `at` is not before the last prune is read back, in
///   the order of the appends, whole and unchanged, also after a crash.
/// - Pruning forgets in time what is older, and nothing that is younger.
/// - What was not answered may be read back or not.
///
/// The suite in `switchboard-contract` holds an implementation to each of these.
pub trait Journal: fmt::Debug + Send + Sync {
    /// Appends a report. It takes its place when this is called.
    ///
    /// # Errors
    ///
    /// [`crate::Code::Unavailable`] when the store can't write.
    fn append(&self, report: &Report) -> Answer<Appended>;

    /// Reads reports on from a place, from the oldest at 0. A page is bounded; it may hold none
    /// and still have a next.
    ///
    /// # Errors
    ///
    /// [`crate::Code::Unavailable`] when the store can't be read.
    fn read(&self, from: u64) -> Answer<Page>;

    /// What others appended to the same journal behind these places, and all of gateways that have
    /// none: in the order of each gateway. Bounded like a page: to be asked again, with the new
    /// places, until there is nothing. Nothing where nobody else can append.
    ///
    /// # Errors
    ///
    /// [`crate::Code::Unavailable`] when the store can't be read.
    fn others(&self, behind: Vec<Place>) -> Answer<Vec<(Place, Report)>>;

    /// Lets go of reports whose `at` is before a time. May keep them for longer.
    ///
    /// # Errors
    ///
    /// [`crate::Code::Unavailable`] when the store can't write.
    fn prune(&self, before: Millis) -> Answer<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_told_by_another_clock() {
        let report = |at, seen| Report {
            gateway: GatewayId(1),
            at: Millis(at),
            tenants: vec![TenantReport {
                tenant: "a".parse().unwrap(),
                connected: 1,
                sightings: vec![
                    Sighting {
                        client: ClientId::new("x").unwrap(),
                        seen: Some(Millis(seen)),
                        status: Status::Odd,
                        sessions: 1,
                    },
                    Sighting {
                        client: ClientId::new("y").unwrap(),
                        seen: None,
                        status: Status::Unknown,
                        sessions: 1,
                    },
                ],
            }],
        };
        let mut told = report(10_000, 9_000);
        told.shift(-3_000);
        assert_eq!(told, report(7_000, 6_000));
    }
}
