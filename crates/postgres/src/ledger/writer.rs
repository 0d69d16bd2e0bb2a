//! Records a group in one statement.

use std::sync::{Arc, atomic::Ordering};

use switchboard_core::{self as core, ingest::Receipt, store::Commit};
use tokio_postgres::{error::SqlState, types::ToSql};

use super::{
    Record,
    asked::{Asked, Found},
};
use crate::{
    health::Health,
    lane::{Fault, Writer, Writing, Written},
    link::Link,
};

/// Looks for every key, takes ids for those that are not there in the order in which they were
/// asked for, and writes these in the order of the keys: so two that write the same ones never wait
/// for each other in a circle.
///
/// A look is a query of its own within the statement: no statistics can make it anything but a look
/// into the index. One row comes back, since rows cost more than what is in them.
macro_rules! record {
    ($conflict:literal) => {
        concat!(
            "WITH asked AS MATERIALIZED (\
                 SELECT tenant, key, place, (SELECT id FROM ledger \
                     WHERE ledger.tenant = given.tenant AND ledger.key = given.key) AS id \
                 FROM unnest($1::text[], $2::int[]) WITH ORDINALITY \
                     AS given (tenant, key, place)), \
             fresh AS (\
                 INSERT INTO ledger (tenant, key, id) \
                 SELECT tenant, key, id FROM (\
                     SELECT tenant, key, nextval('ledger_id') AS id FROM (\
                         SELECT tenant, key FROM asked WHERE id IS NULL ORDER BY place) \
                         AS missing) AS named \
                 ORDER BY tenant, key ",
            $conflict,
            " RETURNING id) \
             SELECT (SELECT array_agg(id ORDER BY place) FROM asked), \
                 (SELECT array_agg(id) FROM fresh)"
        )
    };
}

/// Refused whole where another writes one of the keys at the same time. A third of the work of an
/// insert is to be ready for that, and it hardly ever happens.
const RECORD: &str = record!("");

/// Leaves to others what they write at the same time.
const RECORD_BESIDE: &str = record!("ON CONFLICT DO NOTHING");

/// How many groups are written beside others once one was refused: who writes the same keys at the
/// same time does so again.
const BESIDE: u32 = 64;

/// Looks for keys that others may have written a moment ago.
const LOOK: &str = "SELECT array_agg((SELECT id FROM ledger \
         WHERE ledger.tenant = given.tenant AND ledger.key = given.key) ORDER BY place) \
     FROM unnest($1::text[], $2::int[]) WITH ORDINALITY AS given (tenant, key, place)";

#[derive(Debug)]
pub(super) struct Recorder {
    /// Where the number of keys is told.
    health: Arc<Health>,
    /// How many groups more are written beside others.
    beside: u32,
}

impl Recorder {
    pub(super) fn new(health: Arc<Health>) -> Self {
        Self { health, beside: 0 }
    }
}

impl Writer for Recorder {
    type Work = Record;

    fn write<'a>(&'a mut self, link: &'a Link, works: &'a [Record]) -> Writing<'a, Vec<Receipt>> {
        Box::pin(async move {
            let asked = Asked::new(works);
            let parameters: [&(dyn ToSql + Sync); 2] = [&asked.tenants, &asked.keys];
            let record = if self.beside == 0 { RECORD } else { RECORD_BESIDE };
            self.beside = self.beside.saturating_sub(1);
            let statement = link.statement(record).await?;
            let recorded = link.client.query_one(&statement, &parameters).await;
            if recorded.as_ref().is_err_and(has_raced) {
                self.beside = BESIDE;
            }
            let row = recorded?;
            let known: Vec<Option<i64>> = row.try_get(0)?;
            let fresh: Option<Vec<i64>> = row.try_get(1)?;
            let mut fresh = fresh.unwrap_or_default();
            fresh.sort_unstable();
            let missing = known.iter().filter(|id| id.is_none()).count();
            let found = if fresh.len() == missing {
                numbered(&known, &fresh)
            } else {
                let statement = link.statement(LOOK).await?;
                let row = link.client.query_one(&statement, &parameters).await?;
                looked(row.try_get(0)?, &fresh)
            };
            let found = found.filter(|found| found.len() == asked.keys.len()).ok_or_else(odd)?;
            let done = asked.receipts(works, &found);
            Ok(Written { done, wrote: !fresh.is_empty(), signal: None })
        })
    }

    fn measure(&self, done: &[Vec<Receipt>]) -> Commit {
        let receipts = done.iter().flatten();
        let (mut keys_new, mut keys_repeated, mut last) = (0, 0, 0);
        for receipt in receipts {
            last = last.max(receipt.id);
            if receipt.new {
                keys_new += 1;
            } else {
                keys_repeated += 1;
            }
        }
        // Ids have no gaps but rare ones.
        self.health.keys.fetch_max(last, Ordering::Relaxed);
        Commit { keys_new, keys_repeated, ..Commit::default() }
    }
}

fn has_raced(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::UNIQUE_VIOLATION)
}

/// All that were not known are new: their ids were taken in the order in which they were asked for.
fn numbered(known: &[Option<i64>], fresh: &[i64]) -> Option<Vec<Found>> {
    let mut fresh = fresh.iter();
    let found = |known: &Option<i64>| match *known {
        Some(id) => Some(Found { id, new: false }),
        None => Some(Found { id: *fresh.next()?, new: true }),
    };
    known.iter().map(found).collect()
}

/// Others wrote some at the same time: what is new is what was written here.
fn looked(known: Vec<Option<i64>>, fresh: &[i64]) -> Option<Vec<Found>> {
    let found = |id| Found { id, new: fresh.binary_search(&id).is_ok() };
    known.into_iter().map(|id| id.map(found)).collect()
}

/// Nothing is ever taken out of the ledger.
fn odd() -> Fault {
    let what = "the ledger does not have what was recorded";
    Fault::Refused(core::Error::new(core::Code::Unavailable, what))
}
