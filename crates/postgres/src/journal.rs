//! The reports of gateways, appended by any of the nodes that fold them, read by all.
//!
//! # Nothing is missed
//!
//! A report has a number among those of its gateway, which the database gives: the transaction that
//! appends it adds to the row of its gateway, and holds that row until it is committed. So the next
//! number of a gateway is given only when all before it can be seen by everyone, whichever stores
//! append: to have read up to a number is to have read all.
//!
//! The order of all appends ([`Journal::read`]) has no such promise: of two gateways the later
//! report may be seen before the earlier one. So whoever begins to read is held to what each
//! gateway had reported at that moment, all of which can be seen from then on; what comes after
//! that are the reports of [`Journal::others`].

mod reading;
mod writer;

use std::sync::Arc;

use switchboard_core::{
    Code, Error, Millis, Result,
    presence::{Answer, Appended, GatewayId, Journal, Page, Place, Report},
};
use tokio::sync::oneshot;

use self::{reading::Readings, writer::Appender};
use crate::{
    Ground,
    lane::{Lane, Work},
    readers::Readers,
};

/// Where the reports of gateways are kept.
#[derive(Debug)]
pub struct Front {
    lane: Lane<Job>,
    readers: Arc<Readers>,
    readings: Arc<Readings>,
}

impl Front {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self {
            lane: ground.lane("journal", Appender),
            readers: Arc::clone(&ground.readers),
            readings: Arc::default(),
        }
    }
}

impl Journal for Front {
    fn append(&self, report: &Report) -> Answer<Appended> {
        let (gateway, at) = (number_of(report.gateway), report.at.0);
        let bytes = report.to_bytes();
        let append = |answer| Job::Append(Append { gateway, at, bytes, answer });
        Box::pin(self.lane.ask(append))
    }

    fn read(&self, from: u64) -> Answer<Page> {
        let (readers, readings) = (Arc::clone(&self.readers), Arc::clone(&self.readings));
        Box::pin(async move { readings.page(&readers, from).await })
    }

    fn others(&self, behind: Vec<Place>) -> Answer<Vec<(Place, Report)>> {
        let readers = Arc::clone(&self.readers);
        Box::pin(async move { reading::others(&readers, &behind).await })
    }

    fn prune(&self, before: Millis) -> Answer<()> {
        let prune = |answer| Job::Prune { before: before.0, answer };
        Box::pin(self.lane.ask(prune))
    }
}

/// What the lane does.
#[derive(Debug)]
enum Job {
    Append(Append),
    Prune { before: i64, answer: oneshot::Sender<Result<()>> },
}

/// A report to be appended.
#[derive(Debug)]
struct Append {
    gateway: i64,
    at: i64,
    bytes: Vec<u8>,
    answer: oneshot::Sender<Result<Appended>>,
}

impl Work for Job {
    /// The number that a report got.
    type Done = i64;

    /// In KiB: reports may be long.
    fn weight(&self) -> usize {
        match self {
            Self::Append(append) => 1 + append.bytes.len() / 1_024,
            Self::Prune { .. } => 1,
        }
    }

    fn answer(self, done: Result<i64>) {
        // Who does not wait any more need not be told.
        match self {
            Self::Append(Append { gateway, answer, .. }) => {
                let _ = answer.send(done.map(|number| Some(place_of(gateway, number))));
            }
            Self::Prune { answer, .. } => {
                let _ = answer.send(done.map(|_| ()));
            }
        }
    }
}

/// A gateway, as the database has it.
fn number_of(gateway: GatewayId) -> i64 {
    gateway.0.cast_signed()
}

fn place_of(gateway: i64, number: i64) -> Place {
    let number = u64::try_from(number).unwrap_or_default();
    Place { gateway: GatewayId(gateway.cast_unsigned()), number }
}

/// A report as it was kept; an error if it is none, which says that somebody else wrote it.
fn report(bytes: &[u8]) -> Result<Report> {
    let odd = || Error::new(Code::Internal, "the journal has a report that can't be read");
    Report::from_bytes(bytes).ok_or_else(odd)
}
