//! What queues hold, as it is read and written.

use std::collections::BTreeMap;

use switchboard_core::{
    Millis,
    bus::{Event, QueueId, QueueName},
};

use super::{
    count, number, place,
    queue::{GONE, Held, LAST, Queue},
    search, tenant, unreadable,
};
use crate::{lane::Fault, link::Link};

/// Of what is at the end of its deliveries, so much is looked at in one transaction.
pub(super) const OVER_MAX: usize = 1_000;

/// Those that can be delivered again at a time, in that order.
const DUE: &str = "SELECT p.place, h.sequence, h.attempts, h.at, h.leased, h.kind, e.at, e.body \
     FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY \
     p (tenant, name, now, place) \
     CROSS JOIN LATERAL (SELECT number, first_at FROM bus_queue q \
     WHERE q.tenant = p.tenant AND q.name = p.name LIMIT 1) q \
     CROSS JOIN LATERAL (SELECT sequence, attempts, at, leased, kind FROM bus_held h \
     WHERE h.tenant = p.tenant AND h.number = q.number AND h.kind = 0 \
     AND h.at >= q.first_at AND h.at <= p.now ORDER BY h.at, h.sequence LIMIT $4) h \
     LEFT JOIN LATERAL (SELECT at, body FROM bus_event e \
     WHERE e.tenant = p.tenant AND e.sequence = h.sequence LIMIT 1) e ON true";

/// Those that can't be, and whose time is up, in that order.
const OVER: &str = "SELECT p.place, h.sequence, h.attempts, h.at, h.leased, h.kind \
     FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY \
     p (tenant, name, now, place) \
     CROSS JOIN LATERAL (SELECT number, first_at FROM bus_queue q \
     WHERE q.tenant = p.tenant AND q.name = p.name LIMIT 1) q \
     CROSS JOIN unnest(ARRAY[1, 2]::smallint[]) k (kind) \
     CROSS JOIN LATERAL (SELECT sequence, attempts, at, leased, kind FROM bus_held h \
     WHERE h.tenant = p.tenant AND h.number = q.number AND h.kind = k.kind \
     AND h.at >= q.first_at AND h.at <= p.now ORDER BY h.at, h.sequence LIMIT $4) h";

/// These.
const THESE: &str = "SELECT p.place, h.sequence, h.attempts, h.at, h.leased, h.kind \
     FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY \
     p (tenant, name, sequence, place) \
     CROSS JOIN LATERAL (SELECT number FROM bus_queue q \
     WHERE q.tenant = p.tenant AND q.name = p.name LIMIT 1) q \
     CROSS JOIN LATERAL (SELECT sequence, attempts, at, leased, kind FROM bus_held h \
     WHERE h.tenant = p.tenant AND h.number = q.number AND h.sequence = p.sequence LIMIT 1) h";

const HOLD: &str = "INSERT INTO bus_held (tenant, number, sequence, attempts, at, leased, kind) \
     SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], \
     $6::boolean[], $7::smallint[]) ON CONFLICT (tenant, number, sequence) DO UPDATE \
     SET attempts = excluded.attempts, at = excluded.at, leased = excluded.leased, \
     kind = excluded.kind";

const RELEASE: &str = "DELETE FROM bus_held h \
     USING unnest($1::text[], $2::bigint[], $3::bigint[]) d (tenant, number, sequence) \
     WHERE h.tenant = d.tenant AND h.number = d.number AND h.sequence = d.sequence";

/// What comes next is found by a look from where it was before, or was put since: so what was held
/// there in between is passed over once. Where nobody asks, the times before are good enough.
const QUEUES: &str = "UPDATE bus_queue q SET cursor = d.cursor, swept = d.swept, \
     held = d.held, leased = d.leased, dead_lettered = d.dead_lettered, \
     acknowledged = d.acknowledged, redelivered = d.redelivered, busy = d.busy, \
     first_at = CASE WHEN d.look THEN (SELECT min(m.at) \
     FROM unnest(ARRAY[0, 1, 2]::smallint[]) k (kind) CROSS JOIN LATERAL (SELECT h.at \
     FROM bus_held h WHERE h.tenant = q.tenant AND h.number = q.number AND h.kind = k.kind \
     AND h.at >= d.first_at ORDER BY h.at LIMIT 1) m) ELSE d.first_at END, \
     next_at = CASE WHEN d.look THEN (SELECT min(m.at) \
     FROM unnest(ARRAY[0, 1, 2]::smallint[]) k (kind) CROSS JOIN LATERAL (SELECT h.at \
     FROM bus_held h WHERE h.tenant = q.tenant AND h.number = q.number AND h.kind = k.kind \
     AND h.at >= d.next_at ORDER BY h.at LIMIT 1) m) ELSE d.next_at END \
     FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], \
     $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::boolean[], \
     $13::boolean[]) d (tenant, name, cursor, swept, held, leased, dead_lettered, acknowledged, \
     redelivered, first_at, next_at, look, busy) \
     WHERE q.tenant = d.tenant AND q.name = d.name \
     RETURNING q.tenant, q.name, q.first_at, q.next_at";

/// Queues whose rows are held.
pub(super) type Queues = BTreeMap<QueueId, Queue>;

/// A queue at a time, or with a sequence.
pub(super) type At<'a> = (&'a QueueId, i64);

fn columns<'a>(these: &[At<'a>]) -> (Vec<&'a str>, Vec<&'a str>, Vec<i64>) {
    (
        these.iter().map(|(queue, _)| queue.tenant.as_str()).collect(),
        these.iter().map(|(queue, _)| queue.name.as_str()).collect(),
        these.iter().map(|(_, number)| *number).collect(),
    )
}

/// What one of the statements above found: of which of those asked for.
pub(super) struct Rows(Vec<tokio_postgres::Row>);

async fn query(
    link: &Link,
    sql: &'static str,
    these: &[At<'_>],
    max: Option<usize>,
) -> Result<Rows, tokio_postgres::Error> {
    if these.is_empty() {
        return Ok(Rows(Vec::new()));
    }
    let (tenants, names, numbers) = columns(these);
    let statement = link.statement(sql).await?;
    let rows = match max.map(|max| number(max as u64)) {
        Some(max) => link.client.query(&statement, &[&tenants, &names, &numbers, &max]).await,
        None => link.client.query(&statement, &[&tenants, &names, &numbers]).await,
    };
    rows.map(Rows)
}

/// Reads what can be delivered again.
pub(super) async fn due(
    link: &Link,
    these: &[At<'_>],
    max: usize,
) -> Result<Rows, tokio_postgres::Error> {
    query(link, DUE, these, Some(max)).await
}

/// Reads what is at the end of its deliveries.
pub(super) async fn over(link: &Link, these: &[At<'_>]) -> Result<Rows, tokio_postgres::Error> {
    query(link, OVER, these, Some(OVER_MAX)).await
}

/// Reads these.
pub(super) async fn these(link: &Link, these: &[At<'_>]) -> Result<Rows, tokio_postgres::Error> {
    query(link, THESE, these, None).await
}

impl Rows {
    /// Puts what was read where it belongs. What can be delivered again comes with its event.
    pub(super) fn put(
        &self,
        queues: &mut Queues,
        asked: &[At<'_>],
        with_events: bool,
    ) -> Result<(), Fault> {
        for row in &self.0 {
            let asked = asked.get(place(row, 0));
            let Some(queue) = asked.and_then(|(queue, _)| queues.get_mut(queue)) else { continue };
            let sequence = count(row.get(1));
            let held = Held {
                attempts: u32::try_from(row.get::<_, i64>(2)).unwrap_or(u32::MAX),
                at: row.get(3),
                leased: row.get(4),
                kind: row.get(5),
            };
            let held = *queue.rows.entry(sequence).or_insert(held);
            if !with_events {
                continue;
            }
            match row.get::<_, Option<&[u8]>>(7) {
                Some(bytes) => {
                    let event = (Millis(row.get(6)), search::body(bytes)?);
                    let event = Event { sequence, at: event.0, body: event.1 };
                    queue.due.push_back((held.at, event));
                }
                // It expired just when it was delivered.
                None => queue.remove(sequence),
            }
        }
        Ok(())
    }
}

impl Queue {
    /// How many are at the end of their deliveries, of those that are known.
    pub(super) fn over(&self, now: i64) -> impl Iterator<Item = (i64, u64)> {
        let over = self.rows.iter().filter(move |(_, held)| {
            held.leased && held.at <= now && matches!(held.kind, LAST | GONE)
        });
        over.map(|(sequence, held)| (held.at, *sequence))
    }
}

/// Writes what has changed of queues. Says whether anything was.
pub(super) async fn write(link: &Link, queues: &mut Queues) -> Result<bool, Fault> {
    let dirty = |(_, queue): &(&QueueId, &Queue)| {
        queue.dirty || queue.look.is_some() && (0 < queue.held || queue.first_at.is_some())
    };
    let changed: Vec<(&QueueId, &Queue)> = queues.iter().filter(dirty).collect();
    if changed.is_empty() {
        return Ok(false);
    }
    let (held, released, updated) = tokio::join!(biased;
        hold(link, &changed),
        release(link, &changed),
        update(link, &changed),
    );
    held?;
    released?;
    for row in updated? {
        let name = QueueName::new(row.get(1)).map_err(|_| unreadable("a queue"))?;
        if let Some(queue) = queues.get_mut(&QueueId { tenant: tenant(&row, 0)?, name }) {
            (queue.first_at, queue.next_at) = (row.get(2), row.get(3));
        }
    }
    for queue in queues.values_mut() {
        (queue.dirty, queue.look) = (false, None);
        queue.changed.clear();
        queue.rows.clear();
        queue.due.clear();
        queue.others.clear();
    }
    Ok(true)
}

async fn hold(link: &Link, queues: &[(&QueueId, &Queue)]) -> Result<(), tokio_postgres::Error> {
    let rows: Vec<(&str, i64, u64, Held)> = queues
        .iter()
        .flat_map(|(id, queue)| {
            let rows = queue.changed.iter();
            let rows = rows.filter_map(|it| Some((*it, *queue.rows.get(it)?)));
            rows.map(|(it, held)| (id.tenant.as_str(), queue.number, it, held))
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let tenants: Vec<&str> = rows.iter().map(|row| row.0).collect();
    let numbers: Vec<i64> = rows.iter().map(|row| row.1).collect();
    let sequences: Vec<i64> = rows.iter().map(|row| number(row.2)).collect();
    let attempts: Vec<i64> = rows.iter().map(|row| row.3.attempts.into()).collect();
    let times: Vec<i64> = rows.iter().map(|row| row.3.at).collect();
    let leased: Vec<bool> = rows.iter().map(|row| row.3.leased).collect();
    let kinds: Vec<i16> = rows.iter().map(|row| row.3.kind).collect();
    let hold = link.statement(HOLD).await?;
    link.client
        .execute(&hold, &[&tenants, &numbers, &sequences, &attempts, &times, &leased, &kinds])
        .await?;
    Ok(())
}

async fn release(link: &Link, queues: &[(&QueueId, &Queue)]) -> Result<(), tokio_postgres::Error> {
    let rows: Vec<(&str, i64, i64)> = queues
        .iter()
        .flat_map(|(id, queue)| {
            let gone = queue.changed.iter().filter(|it| !queue.rows.contains_key(it));
            gone.map(|it| (id.tenant.as_str(), queue.number, number(*it)))
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let tenants: Vec<&str> = rows.iter().map(|row| row.0).collect();
    let numbers: Vec<i64> = rows.iter().map(|row| row.1).collect();
    let sequences: Vec<i64> = rows.iter().map(|row| row.2).collect();
    let release = link.statement(RELEASE).await?;
    link.client.execute(&release, &[&tenants, &numbers, &sequences]).await?;
    Ok(())
}

async fn update(
    link: &Link,
    queues: &[(&QueueId, &Queue)],
) -> Result<Vec<tokio_postgres::Row>, tokio_postgres::Error> {
    let each = |value: fn(&Queue) -> i64| -> Vec<i64> {
        queues.iter().map(|(_, queue)| value(queue)).collect()
    };
    let tenants: Vec<&str> = queues.iter().map(|(id, _)| id.tenant.as_str()).collect();
    let names: Vec<&str> = queues.iter().map(|(id, _)| id.name.as_str()).collect();
    let from = |queue: &Queue, at: Option<i64>| match (queue.look, queue.held) {
        (_, 0) => None,
        (Some(_), _) => Some(at.unwrap_or(i64::MAX)),
        (None, _) => at,
    };
    let first: Vec<Option<i64>> =
        queues.iter().map(|(_, queue)| from(queue, queue.first_at)).collect();
    let next = queues.iter().map(|(_, queue)| {
        let behind = queue.look.map(|now| now.saturating_add(1));
        let at = from(queue, queue.next_at)?;
        Some(behind.map_or(at, |behind| at.max(behind)))
    });
    let next: Vec<Option<i64>> = next.collect();
    let look: Vec<bool> =
        queues.iter().map(|(_, queue)| queue.look.is_some() && 0 < queue.held).collect();
    let busy: Vec<bool> = queues.iter().map(|(_, queue)| queue.busy || 0 < queue.held).collect();
    let update = link.statement(QUEUES).await?;
    link.client
        .query(
            &update,
            &[
                &tenants,
                &names,
                &each(|queue| number(queue.cursor)),
                &each(|queue| queue.swept),
                &each(|queue| queue.held),
                &each(|queue| queue.leased),
                &each(|queue| queue.dead_lettered),
                &each(|queue| queue.acknowledged),
                &each(|queue| queue.redelivered),
                &first,
                &next,
                &look,
                &busy,
            ],
        )
        .await
}
