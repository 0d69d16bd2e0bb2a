//! Queues, as they are made, held and removed.

use std::collections::{BTreeSet, VecDeque};

use switchboard_core::{
    Code, Error, Result as Answer, Tenant,
    bus::{EventType, Interest, QueueId, QueueName, QueueSettings, Since, Topic, TopicFilter},
};
use tokio_postgres::{Row, types::ToSql};

use super::{
    count, held::Queues, labels::Labels, number, queue::Queue, reader, tenant, unreadable,
};
use crate::{lane::Fault, link::Link};

/// The columns of a queue.
macro_rules! queues {
    ($which:literal) => {
        concat!(
            "SELECT q.tenant, q.name, q.number, q.filters, q.types, q.ack_timeout_ms, \
             q.max_deliveries, q.dead_letter_topic, q.cursor, q.swept, q.first_at, q.next_at, \
             q.held, q.leased, q.dead_lettered, q.acknowledged, q.redelivered, q.busy \
             FROM bus_queue q WHERE ",
            $which
        )
    };
}

/// In order, so that nobody waits for whoever waits for him.
const LOCK: &str = queues!(
    "(q.tenant, q.name) IN (SELECT * FROM unnest($1::text[], $2::text[])) \
     ORDER BY q.tenant, q.name FOR UPDATE OF q"
);
const LOCK_ALL: &str = queues!("q.tenant = $1 ORDER BY q.name FOR UPDATE OF q");
const LOCK_DUE: &str = queues!(
    "q.tenant = $1 AND q.busy AND (q.first_at <= $2 OR q.held = 0) ORDER BY q.name FOR UPDATE OF q"
);
pub(super) const ONE: &str = queues!("q.tenant = $1 AND q.name = $2");
pub(super) const ALL: &str = queues!("q.tenant = $1 ORDER BY q.name");

const CREATE: &str = "INSERT INTO bus_queue (tenant, name, number, filters, types, \
     ack_timeout_ms, max_deliveries, dead_letter_topic, cursor) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

const REMOVE: &str = "DELETE FROM bus_queue WHERE tenant = $1 AND name = $2";

/// What it holds is let go of later.
const REMOVED: &str = "INSERT INTO bus_removed (tenant, number) VALUES ($1, $2)";

const CHANGED: &str = "UPDATE bus_head SET queues = queues + 1 WHERE tenant = $1 RETURNING queues";

/// Holds these, as far as they are there.
pub(super) async fn lock(link: &Link, these: &BTreeSet<QueueId>) -> Result<Queues, Fault> {
    if these.is_empty() {
        return Ok(Queues::new());
    }
    let tenants: Vec<&str> = these.iter().map(|queue| queue.tenant.as_str()).collect();
    let names: Vec<&str> = these.iter().map(|queue| queue.name.as_str()).collect();
    read(link, LOCK, &[&tenants, &names]).await
}

/// Holds all of a tenant's.
pub(super) async fn lock_all(link: &Link, tenant: Tenant) -> Result<Queues, Fault> {
    read(link, LOCK_ALL, &[&tenant.as_str()]).await
}

/// Holds those of a tenant's of which something is due.
pub(super) async fn lock_due(link: &Link, tenant: Tenant, now: i64) -> Result<Queues, Fault> {
    read(link, LOCK_DUE, &[&tenant.as_str(), &now]).await
}

/// Reads queues.
pub(super) async fn read(
    link: &Link,
    sql: &'static str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Queues, Fault> {
    let statement = link.statement(sql).await?;
    link.client.query(&statement, params).await?.iter().map(queue).collect()
}

fn queue(row: &Row) -> Result<(QueueId, Queue), Fault> {
    let name = QueueName::new(row.get(1)).map_err(|_| unreadable("a queue"))?;
    let id = QueueId { tenant: tenant(row, 0)?, name };
    let (filters, types): (Vec<&str>, Vec<&str>) = (row.get(3), row.get(4));
    let interest = Interest::new(filters, types).map_err(|_| unreadable("a queue"))?;
    let small = |column| u32::try_from(row.get::<_, i64>(column)).unwrap_or(u32::MAX);
    let settings = QueueSettings {
        interest,
        ack_timeout_ms: small(5),
        max_deliveries: small(6),
        dead_letter_topic: Topic::new(row.get(7)).map_err(|_| unreadable("a queue"))?,
    };
    let queue = Queue {
        number: row.get(2),
        settings,
        cursor: count(row.get(8)),
        swept: row.get(9),
        first_at: row.get(10),
        next_at: row.get(11),
        held: row.get(12),
        leased: row.get(13),
        dead_lettered: row.get(14),
        acknowledged: row.get(15),
        redelivered: row.get(16),
        busy: row.get(17),
        rows: std::collections::BTreeMap::new(),
        due: VecDeque::new(),
        others: VecDeque::new(),
        others_more: false,
        changed: BTreeSet::new(),
        dirty: false,
        look: None,
    };
    Ok((id, queue))
}

/// Makes a queue of a tenant whose head is held, or finds it. Says whether it is new.
pub(super) async fn create(
    link: &Link,
    labels: &Labels,
    (id, settings, since): (&QueueId, &QueueSettings, Since),
) -> Result<Answer<bool>, Fault> {
    // Whoever made it meanwhile held the head.
    let (tenant, name) = (id.tenant.as_str(), id.name.as_str());
    if let Some(queue) = read(link, ONE, &[&tenant, &name]).await?.get(id) {
        if queue.settings == *settings {
            return Ok(Ok(false));
        }
        let what = format!("there is a queue {name} with other settings");
        return Ok(Err(Error::new(Code::Conflict, what)));
    }
    let of = (id.tenant, &settings.interest);
    let place = match reader::beginning(link, labels, of, since).await? {
        Ok(place) => place,
        Err(refused) => return Ok(Err(refused)),
    };
    let changes = change(link, id.tenant).await?;
    let interest = &settings.interest;
    let filters: Vec<&str> = interest.filters().iter().map(TopicFilter::as_str).collect();
    let types: Vec<&str> = interest.types().iter().map(EventType::as_str).collect();
    let create = link.statement(CREATE).await?;
    link.client
        .execute(
            &create,
            &[
                &tenant,
                &name,
                &changes,
                &filters,
                &types,
                &i64::from(settings.ack_timeout_ms),
                &i64::from(settings.max_deliveries),
                &settings.dead_letter_topic.as_str(),
                &number(place),
            ],
        )
        .await?;
    Ok(Ok(true))
}

/// Removes a queue that is held, of a tenant whose head is.
pub(super) async fn remove(link: &Link, id: &QueueId, queue: &Queue) -> Result<(), Fault> {
    let (tenant, name) = (id.tenant.as_str(), id.name.as_str());
    let remove = link.statement(REMOVE).await?;
    let removed = link.statement(REMOVED).await?;
    link.client.execute(&remove, &[&tenant, &name]).await?;
    link.client.execute(&removed, &[&tenant, &queue.number]).await?;
    change(link, id.tenant).await?;
    Ok(())
}

/// The queues of a tenant change. Says how often they have.
async fn change(link: &Link, tenant: Tenant) -> Result<i64, Fault> {
    let changed = link.statement(CHANGED).await?;
    Ok(link.client.query_one(&changed, &[&tenant.as_str()]).await?.get(0))
}
