//! Ingest: every key once.
//!
//! # Ids
//!
//! Ids come from one sequence of the database, in the order of the entries. A repeat takes none: it
//! is looked for first. So ids are without gaps, but for these:
//!
//! - Two nodes record the same key at the same moment: both have looked before either had written.
//!   What the later one has taken for that group is not used, and it writes the next ones beside
//!   others: of those only the ids of keys that others were quicker with are not used.
//! - A group is written and not committed: the connection ends, the node or the server is killed,
//!   or the database refuses it (no room). Its ids are not used. The server's own start after a
//!   crash skips up to 32 more.

mod asked;
mod writer;

use std::sync::{Arc, atomic::Ordering};

use switchboard_core::{
    Result,
    ingest::{Entry, Ledger, Receipt, Recording},
};
use tokio::sync::oneshot;

use self::writer::Recorder;
use crate::{
    Ground,
    health::Health,
    lane::{Lane, Work},
    link::Link,
};

/// Where keys are recorded.
#[derive(Debug)]
pub struct Front {
    lane: Lane<Record>,
}

impl Front {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self { lane: ground.lane("ledger", Recorder::new(Arc::clone(&ground.health))) }
    }
}

impl Ledger for Front {
    fn record(&self, entries: Vec<Entry>) -> Recording {
        if entries.is_empty() {
            return Box::pin(std::future::ready(Ok(Vec::new())));
        }
        Box::pin(self.lane.ask(|answer| Record { entries, answer }))
    }
}

/// Tells how many keys there are, as the last id says it.
pub(crate) async fn count(
    link: &Link,
    health: &Health,
) -> std::result::Result<(), tokio_postgres::Error> {
    let last = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM ledger_id";
    let last: i64 = link.client.query_one(last, &[]).await?.try_get(0)?;
    health.keys.fetch_max(last.unsigned_abs(), Ordering::Relaxed);
    Ok(())
}

/// A batch to be recorded.
#[derive(Debug)]
struct Record {
    entries: Vec<Entry>,
    answer: oneshot::Sender<Result<Vec<Receipt>>>,
}

impl Work for Record {
    type Done = Vec<Receipt>;

    fn weight(&self) -> usize {
        self.entries.len()
    }

    fn answer(self, done: Result<Vec<Receipt>>) {
        // Who does not wait any more need not be told.
        let _ = self.answer.send(done);
    }
}
