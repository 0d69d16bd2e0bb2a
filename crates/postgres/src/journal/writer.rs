//! Appends a group of reports in one statement.

use std::collections::BTreeMap;

use tokio_postgres::types::ToSql;

use super::{Append, Job};
use crate::{
    lane::{Fault, Writer, Writing, Written},
    link::Link,
};

/// Takes numbers for each gateway, which holds it until the commit, then writes the reports with
/// them. Gateways are taken in order, so that two that append for the same ones never wait for
/// each other in a circle. A report's place is taken when its gateway is held: the places of a
/// gateway are in the order of its numbers.
const APPEND: &str = "WITH numbered AS (\
         INSERT INTO gateway (gateway, last_number, at) \
         SELECT gateway, count, at FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) \
             AS adding (gateway, count, at) ORDER BY gateway \
         ON CONFLICT (gateway) DO UPDATE SET \
             last_number = gateway.last_number + excluded.last_number, \
             at = greatest(gateway.at, excluded.at) \
         RETURNING gateway, last_number), \
     kept AS (\
         INSERT INTO report (gateway, number, at, bytes) \
         SELECT gateway, (SELECT last_number FROM numbered \
             WHERE numbered.gateway = appended.gateway) - left_over, at, bytes \
         FROM unnest($4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[]) WITH ORDINALITY \
             AS appended (gateway, left_over, at, bytes, nth) ORDER BY nth) \
     SELECT gateway, last_number FROM numbered";

const PRUNE: &str = "DELETE FROM report WHERE at < $1";

/// A gateway that says nothing more is forgotten after a day: should one that was cut off for so
/// long come back, it counts from 1 again, and nobody is left who knows how far it had come.
const FORGET: &str = "DELETE FROM gateway WHERE at < $1";
const DAY_MS: i64 = 86_400_000;

#[derive(Debug)]
pub(super) struct Appender;

impl Writer for Appender {
    type Work = Job;

    fn write<'a>(&'a mut self, link: &'a Link, works: &'a [Job]) -> Writing<'a, i64> {
        Box::pin(async move {
            let appends: Vec<&Append> = works.iter().filter_map(appended).collect();
            let mut wrote = false;
            let mut done = vec![0; works.len()];
            if !appends.is_empty() {
                let numbers = append(link, &appends).await?;
                let places = done.iter_mut().zip(works).filter(|(_, job)| appended(job).is_some());
                places.zip(numbers).for_each(|((place, _), number)| *place = number);
                wrote = true;
            }
            let until = works.iter().filter_map(|job| match job {
                Job::Append(_) => None,
                Job::Prune { before, .. } => Some(*before),
            });
            if let Some(before) = until.max() {
                wrote |= 0 < prune(link, before).await?;
            }
            Ok(Written { done, wrote, signal: None })
        })
    }
}

fn appended(job: &Job) -> Option<&Append> {
    match job {
        Job::Append(append) => Some(append),
        Job::Prune { .. } => None,
    }
}

/// Appends, and gives the number of each.
async fn append(link: &Link, appends: &[&Append]) -> Result<Vec<i64>, Fault> {
    // By gateway: how many, and the latest time.
    let mut adding: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    let mut nth = Vec::with_capacity(appends.len());
    for append in appends {
        let (count, at) = adding.entry(append.gateway).or_insert((0, append.at));
        *count += 1;
        *at = append.at.max(*at);
        nth.push(*count);
    }
    let left_over: Vec<i64> =
        appends.iter().zip(&nth).map(|(append, nth)| adding[&append.gateway].0 - nth).collect();
    let gateways: Vec<i64> = adding.keys().copied().collect();
    let (counts, latest): (Vec<i64>, Vec<i64>) = adding.values().copied().unzip();
    let of: Vec<i64> = appends.iter().map(|append| append.gateway).collect();
    let at: Vec<i64> = appends.iter().map(|append| append.at).collect();
    let bytes: Vec<&[u8]> = appends.iter().map(|append| append.bytes.as_slice()).collect();
    let parameters: [&(dyn ToSql + Sync); 7] =
        [&gateways, &counts, &latest, &of, &left_over, &at, &bytes];
    let statement = link.statement(APPEND).await?;
    let mut last = BTreeMap::new();
    for row in link.client.query(&statement, &parameters).await? {
        last.insert(row.try_get::<_, i64>(0)?, row.try_get::<_, i64>(1)?);
    }
    let number =
        |(append, left): (&&Append, i64)| last.get(&append.gateway).map_or(0, |last| last - left);
    Ok(appends.iter().zip(left_over).map(number).collect())
}

async fn prune(link: &Link, before: i64) -> Result<u64, Fault> {
    let (prune, forget) = (link.statement(PRUNE).await?, link.statement(FORGET).await?);
    let long_before = before.saturating_sub(DAY_MS);
    let (pruned, forgotten): ([&(dyn ToSql + Sync); 1], [&(dyn ToSql + Sync); 1]) =
        ([&before], [&long_before]);
    let (pruned, forgotten) = tokio::join!(
        link.client.execute(&prune, &pruned),
        link.client.execute(&forget, &forgotten)
    );
    Ok(pruned? + forgotten?)
}
