//! Events and queues.

use std::collections::{BTreeSet, HashMap};

use switchboard_core::{
    ClientId, Millis, Tenant,
    bus::{
        Body, DeliveryId, Event, EventType, Interest, QueueId, QueueName, QueueSettings, Topic,
        TopicFilter,
    },
    presence::GatewayId,
    transfer::{Expiry, Held, Progress, Row, Section, Stay},
};

use super::{
    Done, Values, bigint, check, conflict, damaged, number,
    place::{self, Shelf, Value},
    tenant,
};
use crate::{
    link::Link,
    log::append::{EVENTS, LABELS, NEW_LABELS},
};

const HEADS: &str = "INSERT INTO bus_head (tenant) SELECT DISTINCT unnest($1::text[]) \
     ON CONFLICT DO NOTHING";

const EXPIRY: &str = "UPDATE bus_head SET expiries = greatest(expiries, $4), \
     mark_filters = mark_filters || $2::text, mark_sequences = mark_sequences || $3::bigint, \
     mark_expiries = mark_expiries || $4::bigint \
     WHERE tenant = $1 AND NOT $2::text = ANY (mark_filters)";

/// How far each tenant has come here.
const THERE: &str = "SELECT h.tenant, h.labels, coalesce(e.sequence, 0) FROM bus_head h \
     LEFT JOIN LATERAL (SELECT sequence FROM bus_event e WHERE e.tenant = h.tenant \
     ORDER BY e.sequence DESC LIMIT 1) e ON true WHERE h.tenant = ANY ($1::text[])";

const LABELLED: &str = "UPDATE bus_head h SET labels = d.labels \
     FROM (SELECT tenant, max(number) AS labels FROM unnest($1::text[], $2::int[]) \
     d (tenant, number) GROUP BY tenant) d WHERE h.tenant = d.tenant";

const NEWEST: &str = "UPDATE bus_head h SET newest = d.newest, newest_at = d.at \
     FROM unnest($1::text[], $2::bigint[], $3::bigint[]) d (tenant, newest, at) \
     WHERE h.tenant = d.tenant AND h.newest = 0";

/// Queues are numbered by how often one was made or removed.
const QUEUE: &str = "WITH made AS (UPDATE bus_head SET queues = queues + 1 WHERE tenant = $1 \
     AND NOT EXISTS (SELECT 1 FROM bus_queue q WHERE q.tenant = $1 AND q.name = $2) \
     RETURNING queues) \
     INSERT INTO bus_queue (tenant, name, number, filters, types, ack_timeout_ms, max_deliveries, \
     dead_letter_topic, cursor, dead_lettered, acknowledged, redelivered) \
     SELECT $1, $2, made.queues, $3, $4, $5, $6, $7, $8, $9, $10, $11 FROM made";

/// What has expired is only to be settled by whoever has it; what was delivered often enough is
/// given up when its time is up.
const HELD: &str = "INSERT INTO bus_held (tenant, number, sequence, attempts, at, leased, kind) \
     SELECT d.tenant, q.number, d.sequence, d.attempts, d.at, d.leased, \
     CASE WHEN NOT d.leased THEN 0 WHEN e.sequence IS NULL THEN 2 \
     WHEN q.max_deliveries <= d.attempts THEN 1 ELSE 0 END \
     FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::boolean[]) \
     d (tenant, name, sequence, attempts, at, leased) \
     CROSS JOIN LATERAL (SELECT number, max_deliveries FROM bus_queue q \
     WHERE q.tenant = d.tenant AND q.name = d.name LIMIT 1) q \
     LEFT JOIN LATERAL (SELECT sequence FROM bus_event e \
     WHERE e.tenant = d.tenant AND e.sequence = d.sequence LIMIT 1) e ON true \
     ON CONFLICT DO NOTHING";

const STAY: &str = "INSERT INTO bus_stay (tenant, client, gateway, session, newest) \
     SELECT $1, $2, d.gateway, d.session, $5 FROM unnest($3::bigint[], $4::bigint[]) \
     d (gateway, session) \
     WHERE NOT EXISTS (SELECT 1 FROM bus_stay s WHERE s.tenant = $1 AND s.client = $2)";

/// What follows from events and deliveries.
const FINISH: &str = "UPDATE bus_head h SET oldest = coalesce((SELECT e.sequence FROM bus_event e \
     WHERE e.tenant = h.tenant ORDER BY e.sequence LIMIT 1), h.newest + 1); \
     UPDATE bus_queue q SET held = d.held, leased = d.leased, first_at = d.first, \
     next_at = d.first, busy = true FROM (SELECT tenant, number, count(*) AS held, \
     count(*) FILTER (WHERE leased) AS leased, min(at) AS first FROM bus_held \
     GROUP BY tenant, number) d WHERE q.tenant = d.tenant AND q.number = d.number";

fn name(row: &Row) -> Vec<Value> {
    let of = |tenant: &Tenant| Value::Text(tenant.to_string());
    match row {
        Row::Expiry(it) => vec![of(&it.tenant), Value::Text(it.filter.as_str().to_owned())],
        Row::Event { tenant, event } => vec![of(tenant), Value::Big(bigint(event.sequence))],
        Row::Head { tenant, .. } => vec![of(tenant)],
        Row::Queue { queue, .. } => {
            vec![of(&queue.tenant), Value::Text(queue.name.as_str().to_owned())]
        }
        Row::Delivery { queue, id, .. } => vec![
            of(&queue.tenant),
            Value::Text(queue.name.as_str().to_owned()),
            Value::Big(bigint(id.sequence)),
        ],
        Row::Stay(it) => {
            vec![of(&it.tenant), Value::Bytes(it.client.as_str().as_bytes().to_vec())]
        }
        _ => Vec::new(),
    }
}

fn nothing() -> Value {
    Value::Text(String::new())
}

pub(super) fn expiries() -> Shelf {
    Shelf {
        behind: "SELECT h.tenant, m.filter, m.sequence, m.expiry FROM bus_head h \
                 CROSS JOIN LATERAL unnest(h.mark_filters, h.mark_sequences, h.mark_expiries) \
                 m (filter, sequence, expiry) WHERE h.tenant >= $1 \
                 AND (h.tenant, m.filter COLLATE \"C\") > ($1, $2) \
                 ORDER BY h.tenant, m.filter COLLATE \"C\" LIMIT $3",
        one: "SELECT h.tenant, m.filter, m.sequence, m.expiry FROM bus_head h \
              CROSS JOIN LATERAL unnest(h.mark_filters, h.mark_sequences, h.mark_expiries) \
              m (filter, sequence, expiry) WHERE h.tenant = $1 AND m.filter = $2",
        sizes: None,
        first: vec![nothing(), nothing()],
        key: name,
        row: |row| {
            let filter = TopicFilter::new(row.try_get(1)?).map_err(|_| damaged("a filter"))?;
            let (sequence, count) = (number(row, 2)?, number(row, 3)?);
            Ok(Row::Expiry(Expiry { tenant: tenant(row, 0)?, filter, sequence, count }))
        },
    }
}

pub(super) fn events() -> Shelf {
    Shelf {
        behind: "SELECT tenant, sequence, at, body FROM bus_event \
                 WHERE (tenant, sequence) > ($1, $2) ORDER BY tenant, sequence LIMIT $3",
        one: "SELECT tenant, sequence, at, body FROM bus_event \
              WHERE tenant = $1 AND sequence = $2",
        sizes: Some(
            "SELECT octet_length(body) FROM bus_event WHERE (tenant, sequence) > ($1, $2) \
             ORDER BY tenant, sequence LIMIT $3",
        ),
        first: vec![nothing(), Value::Big(i64::MIN)],
        key: name,
        row: |row| {
            let bytes: &[u8] = row.try_get(3)?;
            let len = bytes.len();
            let body =
                Body::from_bytes(&bytes.into(), 0, len).ok_or_else(|| damaged("an event"))?;
            let event = Event { sequence: number(row, 1)?, at: Millis(row.try_get(2)?), body };
            Ok(Row::Event { tenant: tenant(row, 0)?, event })
        },
    }
}

pub(super) fn heads() -> Shelf {
    Shelf {
        behind: "SELECT tenant, newest, newest_at FROM bus_head WHERE tenant > $1 AND newest > 0 \
                 ORDER BY tenant LIMIT $2",
        one: "SELECT tenant, newest, newest_at FROM bus_head WHERE tenant = $1",
        sizes: None,
        first: vec![nothing()],
        key: name,
        row: |row| {
            let (newest, at) = (number(row, 1)?, Millis(row.try_get(2)?));
            Ok(Row::Head { tenant: tenant(row, 0)?, newest, at })
        },
    }
}

pub(super) fn queues() -> Shelf {
    Shelf {
        behind: "SELECT tenant, name, filters, types, ack_timeout_ms, max_deliveries, \
                 dead_letter_topic, cursor, dead_lettered, acknowledged, redelivered \
                 FROM bus_queue WHERE (tenant, name) > ($1, $2) ORDER BY tenant, name LIMIT $3",
        one: "SELECT tenant, name, filters, types, ack_timeout_ms, max_deliveries, \
              dead_letter_topic, cursor, dead_lettered, acknowledged, redelivered \
              FROM bus_queue WHERE tenant = $1 AND name = $2",
        sizes: None,
        first: vec![nothing(), nothing()],
        key: name,
        row: queue,
    }
}

fn queue_id(row: &tokio_postgres::Row) -> Done<QueueId> {
    let name = QueueName::new(row.try_get(1)?).map_err(|_| damaged("a queue"))?;
    Ok(QueueId { tenant: tenant(row, 0)?, name })
}

fn queue(row: &tokio_postgres::Row) -> Done<Row> {
    let wrong = |_| damaged("a queue");
    let (filters, types): (Vec<&str>, Vec<&str>) = (row.try_get(2)?, row.try_get(3)?);
    let short = |at| u32::try_from(number(row, at)?).map_err(|_| damaged("a queue"));
    Ok(Row::Queue {
        queue: queue_id(row)?,
        settings: QueueSettings {
            interest: Interest::new(filters, types).map_err(wrong)?,
            ack_timeout_ms: short(4)?,
            max_deliveries: short(5)?,
            dead_letter_topic: Topic::new(row.try_get(6)?).map_err(wrong)?,
        },
        progress: Progress {
            cursor: number(row, 7)?,
            dead_lettered: number(row, 8)?,
            acknowledged: number(row, 9)?,
            redelivered: number(row, 10)?,
        },
    })
}

/// What is leased and was looked after when its time was up waits, though nobody has written so.
pub(super) fn deliveries() -> Shelf {
    Shelf {
        behind: "SELECT q.tenant, q.name, h.sequence, h.attempts, h.at, \
                 h.leased AND NOT (h.kind = 0 AND h.at <= q.swept) FROM bus_queue q \
                 JOIN bus_held h ON h.tenant = q.tenant AND h.number = q.number \
                 WHERE (q.tenant, q.name, h.sequence) > ($1, $2, $3) \
                 ORDER BY q.tenant, q.name, h.sequence LIMIT $4",
        one: "SELECT q.tenant, q.name, h.sequence, h.attempts, h.at, \
              h.leased AND NOT (h.kind = 0 AND h.at <= q.swept) FROM bus_queue q \
              JOIN bus_held h ON h.tenant = q.tenant AND h.number = q.number \
              WHERE q.tenant = $1 AND q.name = $2 AND h.sequence = $3",
        sizes: None,
        first: vec![nothing(), nothing(), Value::Big(i64::MIN)],
        key: name,
        row: |row| {
            let attempt = u32::try_from(number(row, 3)?).map_err(|_| damaged("a delivery"))?;
            let at = Millis(row.try_get(4)?);
            Ok(Row::Delivery {
                queue: queue_id(row)?,
                id: DeliveryId { sequence: number(row, 2)?, attempt },
                held: if row.try_get(5)? { Held::Until(at) } else { Held::Again(at) },
            })
        },
    }
}

pub(super) fn stays() -> Shelf {
    Shelf {
        behind: "SELECT tenant, client, max(newest), array_agg(gateway), \
                 array_agg(session), array_agg(newest) FROM bus_stay \
                 WHERE (tenant, client) > ($1, $2) \
                 GROUP BY tenant, client ORDER BY tenant, client LIMIT $3",
        one: "SELECT tenant, client, max(newest), array_agg(gateway), array_agg(session), \
              array_agg(newest) FROM bus_stay WHERE tenant = $1 AND client = $2 \
              GROUP BY tenant, client",
        sizes: None,
        first: vec![nothing(), Value::Bytes(Vec::new())],
        key: name,
        row: |row| {
            let client: &[u8] = row.try_get(1)?;
            let client = str::from_utf8(client).ok().and_then(|id| ClientId::new(id).ok());
            let client = client.ok_or_else(|| damaged("a client"))?;
            let (gateways, sessions): (Vec<i64>, Vec<i64>) = (row.try_get(3)?, row.try_get(4)?);
            // Patterns of bits: their order is not that of the database.
            let all = gateways.into_iter().zip(sessions);
            let all =
                all.map(|(it, session)| (GatewayId(it.cast_unsigned()), session.cast_unsigned()));
            let mut gateways: Vec<_> = all.collect();
            gateways.sort_unstable();
            let newest: Vec<i64> = row.try_get(5)?;
            let newest = newest.into_iter().map(i64::cast_unsigned).max().unwrap_or_default();
            Ok(Row::Stay(Stay { tenant: tenant(row, 0)?, client, newest, gateways }))
        },
    }
}

fn owner(row: &Row) -> Option<&Tenant> {
    match row {
        Row::Expiry(Expiry { tenant, .. })
        | Row::Event { tenant, .. }
        | Row::Head { tenant, .. }
        | Row::Queue { queue: QueueId { tenant, .. }, .. } => Some(tenant),
        _ => None,
    }
}

pub(super) async fn put(link: &Link, section: Section, rows: &[Row]) -> Done<()> {
    let tenants: BTreeSet<&str> = rows.iter().filter_map(owner).map(Tenant::as_str).collect();
    let tenants: Vec<&str> = tenants.into_iter().collect();
    if !tenants.is_empty() {
        let heads = link.statement(HEADS).await?;
        link.client.execute(&heads, &[&tenants]).await?;
    }
    if section == Section::Events {
        return put_events(link, &tenants, rows).await;
    }
    let new = match section {
        Section::Heads => put_heads(link, rows).await?,
        Section::Deliveries => put_deliveries(link, rows).await?,
        _ => {
            let mut new = 0;
            for row in rows {
                new += put_one(link, row).await?;
            }
            new
        }
    };
    check(link, rows, new).await
}

/// Of these there are few.
async fn put_one(link: &Link, row: &Row) -> Done<u64> {
    Ok(match row {
        Row::Expiry(Expiry { tenant, filter, sequence, count }) => {
            let (sequence, count) = (bigint(*sequence), bigint(*count));
            let values: Values<'_> = &[&tenant.as_str(), &filter.as_str(), &sequence, &count];
            link.client.execute(&link.statement(EXPIRY).await?, values).await?
        }
        Row::Queue { queue, settings, progress } => {
            let filters: Vec<&str> =
                settings.interest.filters().iter().map(TopicFilter::as_str).collect();
            let types: Vec<&str> =
                settings.interest.types().iter().map(EventType::as_str).collect();
            let Progress { cursor, dead_lettered, acknowledged, redelivered } = *progress;
            let values: Values<'_> = &[
                &queue.tenant.as_str(),
                &queue.name.as_str(),
                &filters,
                &types,
                &i64::from(settings.ack_timeout_ms),
                &i64::from(settings.max_deliveries),
                &settings.dead_letter_topic.as_str(),
                &bigint(cursor),
                &bigint(dead_lettered),
                &bigint(acknowledged),
                &bigint(redelivered),
            ];
            link.client.execute(&link.statement(QUEUE).await?, values).await?
        }
        Row::Stay(Stay { tenant, client, newest, gateways }) => {
            let sessions: Vec<i64> = gateways.iter().map(|it| it.1.cast_signed()).collect();
            let gateways: Vec<i64> = gateways.iter().map(|it| it.0.0.cast_signed()).collect();
            let client = client.as_str().as_bytes();
            let newest = newest.cast_signed();
            let values: Values<'_> = &[&tenant.as_str(), &client, &gateways, &sessions, &newest];
            u64::from(0 < link.client.execute(&link.statement(STAY).await?, values).await?)
        }
        _ => 0,
    })
}

async fn put_heads(link: &Link, rows: &[Row]) -> Done<u64> {
    let (mut tenants, mut newest, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        if let Row::Head { tenant, newest: sequence, at } = row {
            tenants.push(tenant.as_str());
            newest.push(bigint(*sequence));
            times.push(at.0);
        }
    }
    let statement = link.statement(NEWEST).await?;
    Ok(link.client.execute(&statement, &[&tenants, &newest, &times]).await?)
}

async fn put_deliveries(link: &Link, rows: &[Row]) -> Done<u64> {
    let all = rows.iter().filter_map(|row| match row {
        Row::Delivery { queue, id, held } => Some((queue, id, held)),
        _ => None,
    });
    let all: Vec<_> = all.collect();
    let tenants: Vec<&str> = all.iter().map(|(queue, ..)| queue.tenant.as_str()).collect();
    let names: Vec<&str> = all.iter().map(|(queue, ..)| queue.name.as_str()).collect();
    let sequences: Vec<i64> = all.iter().map(|(_, id, _)| bigint(id.sequence)).collect();
    let attempts: Vec<i64> = all.iter().map(|(_, id, _)| id.attempt.into()).collect();
    let at = |held: &Held| match held {
        Held::Until(at) | Held::Again(at) => at.0,
    };
    let times: Vec<i64> = all.iter().map(|(.., held)| at(held)).collect();
    let leased: Vec<bool> = all.iter().map(|(.., held)| matches!(held, Held::Until(_))).collect();
    let statement = link.statement(HELD).await?;
    let values: Values<'_> = &[&tenants, &names, &sequences, &attempts, &times, &leased];
    Ok(link.client.execute(&statement, values).await?)
}

/// The last event of a topic and type: which of these it is, and how many bytes all have.
#[derive(Clone, Copy, Default)]
struct Last {
    label: i32,
    ordinal: i64,
    volume: i64,
}

type Label<'a> = (Tenant, &'a str, &'a str);

async fn put_events(link: &Link, tenants: &[&str], rows: &[Row]) -> Done<()> {
    let mut there: HashMap<Tenant, (i32, u64)> = HashMap::new();
    for row in link.client.query(&link.statement(THERE).await?, &[&tenants]).await? {
        there.insert(tenant(&row, 0)?, (row.try_get(1)?, number(&row, 2)?));
    }
    let mut fresh: Vec<(Tenant, &Event)> = Vec::with_capacity(rows.len());
    for row in rows {
        let Row::Event { tenant, event } = row else { continue };
        let newest = there.get(tenant).map_or(0, |(_, newest)| *newest);
        if newest < event.sequence {
            fresh.push((*tenant, event));
        } else if place::one(link, &events(), row).await?.as_ref() != Some(row) {
            return Err(conflict(&format!("the event {} of {tenant}", event.sequence)));
        }
    }
    let mut labels = last_of_labels(link, &fresh).await?;
    let mut made: Vec<(Label<'_>, i32)> = Vec::new();
    let mut last: Vec<Last> = Vec::with_capacity(fresh.len());
    for (tenant, event) in &fresh {
        let label = (*tenant, event.body.topic(), event.body.kind());
        let known = labels.entry(label).or_insert_with(|| {
            let (count, _) = there.entry(*tenant).or_default();
            *count += 1;
            made.push((label, *count));
            Last { label: *count, ..Last::default() }
        });
        known.ordinal += 1;
        known.volume += bigint(event.body.as_bytes().len() as u64);
        last.push(*known);
    }
    write_labels(link, &made).await?;
    write_events(link, &fresh, &last).await
}

async fn last_of_labels<'a>(
    link: &Link,
    fresh: &[(Tenant, &'a Event)],
) -> Done<HashMap<Label<'a>, Last>> {
    let wanted: BTreeSet<Label<'a>> =
        fresh.iter().map(|(tenant, it)| (*tenant, it.body.topic(), it.body.kind())).collect();
    let wanted: Vec<Label<'a>> = wanted.into_iter().collect();
    let tenants: Vec<&str> = wanted.iter().map(|(tenant, ..)| tenant.as_str()).collect();
    let topics: Vec<&str> = wanted.iter().map(|(_, topic, _)| *topic).collect();
    let types: Vec<&str> = wanted.iter().map(|(.., kind)| *kind).collect();
    let statement = link.statement(LABELS).await?;
    let mut labels = HashMap::new();
    for row in link.client.query(&statement, &[&tenants, &topics, &types]).await? {
        let place = usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or_default();
        let ordinal = row.try_get::<_, Option<i64>>(2)?.unwrap_or_default();
        let volume = row.try_get::<_, Option<i64>>(3)?.unwrap_or_default();
        if let Some(label) = place.checked_sub(1).and_then(|place| wanted.get(place)) {
            labels.insert(*label, Last { label: row.try_get(1)?, ordinal, volume });
        }
    }
    Ok(labels)
}

async fn write_labels(link: &Link, made: &[(Label<'_>, i32)]) -> Done<()> {
    if made.is_empty() {
        return Ok(());
    }
    let tenants: Vec<&str> = made.iter().map(|((tenant, ..), _)| tenant.as_str()).collect();
    let numbers: Vec<i32> = made.iter().map(|(_, number)| *number).collect();
    let topics: Vec<&str> = made.iter().map(|((_, topic, _), _)| *topic).collect();
    let types: Vec<&str> = made.iter().map(|((.., kind), _)| *kind).collect();
    let new = link.statement(NEW_LABELS).await?;
    link.client.execute(&new, &[&tenants, &numbers, &topics, &types]).await?;
    let labelled = link.statement(LABELLED).await?;
    link.client.execute(&labelled, &[&tenants, &numbers]).await?;
    Ok(())
}

async fn write_events(link: &Link, fresh: &[(Tenant, &Event)], last: &[Last]) -> Done<()> {
    let tenants: Vec<&str> = fresh.iter().map(|(tenant, _)| tenant.as_str()).collect();
    let sequences: Vec<i64> = fresh.iter().map(|(_, it)| bigint(it.sequence)).collect();
    let times: Vec<i64> = fresh.iter().map(|(_, it)| it.at.0).collect();
    let labels: Vec<i32> = last.iter().map(|it| it.label).collect();
    let ordinals: Vec<i64> = last.iter().map(|it| it.ordinal).collect();
    let volumes: Vec<i64> = last.iter().map(|it| it.volume).collect();
    let key = |it: &Event| Some(it.body.key()).filter(|key| !key.is_empty()).map(Vec::from);
    let keys: Vec<Option<Vec<u8>>> = fresh.iter().map(|(_, it)| key(it)).collect();
    let bodies: Vec<&[u8]> = fresh.iter().map(|(_, it)| it.body.as_bytes()).collect();
    let statement = link.statement(EVENTS).await?;
    let values: Values<'_> =
        &[&tenants, &sequences, &times, &labels, &ordinals, &volumes, &keys, &bodies];
    link.client.execute(&statement, values).await?;
    Ok(())
}

pub(super) async fn finish(link: &Link) -> Done<()> {
    link.client.batch_execute(FINISH).await?;
    Ok(())
}
