//! Reads reports: all that there are, and what is new.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use switchboard_core::{
    Result,
    presence::{Page, Place, Report},
};

use super::{number_of, place_of, report};
use crate::readers::Readers;

/// How much a page holds: reports, and bytes of them, of which the last report may be beyond.
const PAGE_REPORTS: i64 = 512;
const PAGE_BYTES: i64 = 4 << 20;

/// Who reads at once; of more, the one that began first begins anew.
const READINGS_MAX: usize = 16;

/// A place to read on from is a reading, and its place in the order of all appends.
const PLACE_BITS: u32 = 44;

/// What a gateway has reported by now.
const GATEWAYS: &str = "SELECT gateway, last_number FROM gateway WHERE 0 < last_number";

const PAGE: &str = "SELECT gateway, number, place, bytes FROM (\
         SELECT gateway, number, place, bytes, \
             sum(octet_length(bytes)) OVER (ORDER BY place) - octet_length(bytes) AS before \
         FROM (SELECT gateway, number, place, bytes FROM report WHERE $1 < place \
             ORDER BY place LIMIT $2) AS next) AS page \
     WHERE before < $3 ORDER BY place";

/// All gateways are looked at, and the reports of those only that have new ones.
const OTHERS: &str = "SELECT gateway, number, bytes FROM (\
         SELECT new.gateway, new.number, new.bytes, \
             sum(octet_length(new.bytes)) OVER (ORDER BY new.gateway, new.number) \
                 - octet_length(new.bytes) AS before \
         FROM (SELECT gateway, last_number, coalesce((SELECT max(known.number) \
                 FROM unnest($1::bigint[], $2::bigint[]) AS known (gateway, number) \
                 WHERE known.gateway = gateway.gateway), 0) AS number FROM gateway) AS has \
             CROSS JOIN LATERAL (SELECT gateway, number, bytes FROM report \
                 WHERE report.gateway = has.gateway AND has.number < report.number \
                 ORDER BY number LIMIT $3) AS new \
         WHERE has.number < has.last_number) AS page \
     WHERE before < $4 ORDER BY gateway, number LIMIT $3";

/// Those who read all.
#[derive(Debug, Default)]
pub(super) struct Readings {
    begun: AtomicU64,
    /// What each is held to, by its number.
    held: Mutex<BTreeMap<u64, Arc<Held>>>,
}

/// How far each gateway had come when a reading began, in the database's numbers.
type Held = HashMap<i64, i64>;

impl Readings {
    /// The reports from a place on.
    pub(super) async fn page(&self, readers: &Arc<Readers>, from: u64) -> Result<Page> {
        let (reading, place) = (from >> PLACE_BITS, from & ((1 << PLACE_BITS) - 1));
        let held = self.lock().get(&reading).cloned();
        let (reading, place, held) = match held {
            Some(held) if from != 0 => (reading, place, held),
            // Nothing is lost for who reads a report again.
            _ => self.begin(readers).await?,
        };
        let after = i64::try_from(place).unwrap_or(i64::MAX);
        let read = async |link: Arc<crate::link::Link>| {
            let statement = link.statement(PAGE).await?;
            link.client.query(&statement, &[&after, &PAGE_REPORTS, &PAGE_BYTES]).await
        };
        let rows = readers.read(read).await?;
        let mut page = Page::default();
        for row in &rows {
            let (gateway, number): (i64, i64) = (row.get(0), row.get(1));
            if held.get(&gateway).is_some_and(|&last| number <= last) {
                page.reports.push(report(row.get(3))?);
            }
        }
        page.next = rows.last().map(|row| {
            let place: i64 = row.get(2);
            reading << PLACE_BITS | place.unsigned_abs()
        });
        if page.next.is_none() {
            let place = |(&gateway, &number): (&i64, &i64)| place_of(gateway, number);
            page.places = held.iter().map(place).collect();
            self.lock().remove(&reading);
        }
        Ok(page)
    }

    async fn begin(&self, readers: &Arc<Readers>) -> Result<(u64, u64, Arc<Held>)> {
        let read = async |link: Arc<crate::link::Link>| {
            let statement = link.statement(GATEWAYS).await?;
            link.client.query(&statement, &[]).await
        };
        let rows = readers.read(read).await?;
        let held: Held = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let (held, reading) = (Arc::new(held), self.begun.fetch_add(1, Ordering::Relaxed) + 1);
        let mut all = self.lock();
        all.insert(reading, Arc::clone(&held));
        while READINGS_MAX < all.len() {
            all.pop_first();
        }
        Ok((reading, 0, held))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Arc<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is new behind places.
pub(super) async fn others(
    readers: &Arc<Readers>,
    behind: &[Place],
) -> Result<Vec<(Place, Report)>> {
    let gateways: Vec<i64> = behind.iter().map(|place| number_of(place.gateway)).collect();
    let number = |place: &Place| i64::try_from(place.number).unwrap_or(i64::MAX);
    let numbers: Vec<i64> = behind.iter().map(number).collect();
    let read = async |link: Arc<crate::link::Link>| {
        let statement = link.statement(OTHERS).await?;
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&gateways, &numbers, &PAGE_REPORTS, &PAGE_BYTES];
        link.client.query(&statement, &parameters).await
    };
    let rows = readers.read(read).await?;
    let one =
        |row: &tokio_postgres::Row| Ok((place_of(row.get(0), row.get(1)), report(row.get(2))?));
    rows.iter().map(one).collect()
}
