//! How queues are, for whoever asks.

use futures_util::future::try_join_all;
use switchboard_core::{
    Millis, Tenant,
    bus::{QueueId, QueueState},
};

use super::{
    count,
    labels::Labels,
    number,
    queue::Queue,
    queues,
    search::{self, Search},
};
use crate::{lane::Fault, link::Link};

/// Those that are leased, and whose time was up when the queue was looked after last.
const LATE: &str = "SELECT count(*) FROM unnest(ARRAY[0, 1, 2]::smallint[]) k (kind) \
     CROSS JOIN LATERAL (SELECT leased FROM bus_held h WHERE h.tenant = $1 AND h.number = $2 \
     AND h.kind = k.kind AND h.at >= $3 AND h.at <= $4 OFFSET 0) h WHERE h.leased";

/// The oldest that is held.
const OLDEST: &str = "SELECT e.at FROM (SELECT sequence FROM bus_held h WHERE h.tenant = $1 \
     AND h.number = $2 AND h.kind <> 2 ORDER BY sequence LIMIT 1) h \
     CROSS JOIN LATERAL (SELECT at FROM bus_event e \
     WHERE e.tenant = $1 AND e.sequence = h.sequence LIMIT 1) e";

/// How many events of some labels are behind a place: what the last of each has more than the
/// first.
const OTHERS: &str = "SELECT coalesce(sum(z.ordinal - a.ordinal + 1), 0)::bigint \
     FROM unnest($2::int[]) AS l (label) \
     CROSS JOIN LATERAL (SELECT ordinal FROM bus_event e WHERE e.tenant = $1 \
     AND e.label = l.label AND e.sequence > $3 ORDER BY e.sequence LIMIT 1) a \
     CROSS JOIN LATERAL (SELECT ordinal FROM bus_event e WHERE e.tenant = $1 \
     AND e.label = l.label ORDER BY e.sequence DESC LIMIT 1) z";

/// How a queue is, if there is one.
pub(super) async fn queue(
    link: &Link,
    labels: &Labels,
    id: &QueueId,
) -> Result<Option<QueueState>, Fault> {
    let (tenant, name) = (id.tenant.as_str(), id.name.as_str());
    let queues = queues::read(link, queues::ONE, &[&tenant, &name]).await?;
    match queues.first_key_value() {
        None => Ok(None),
        Some((id, queue)) => state(link, labels, id, queue).await.map(Some),
    }
}

/// How all of a tenant's are, by name.
pub(super) async fn queues(
    link: &Link,
    labels: &Labels,
    tenant: Tenant,
) -> Result<Vec<QueueState>, Fault> {
    let queues = queues::read(link, queues::ALL, &[&tenant.as_str()]).await?;
    try_join_all(queues.iter().map(|(id, queue)| state(link, labels, id, queue))).await
}

/// How many of a queue's are counted as leased and are not.
pub(super) async fn late(link: &Link, tenant: Tenant, queue: &Queue) -> Result<u64, Fault> {
    let (Some(first), true) = (queue.first_at, 0 < queue.held) else { return Ok(0) };
    let statement = link.statement(LATE).await?;
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&tenant.as_str(), &queue.number, &first, &queue.swept];
    Ok(count(link.client.query_one(&statement, &params).await?.get(0)))
}

async fn state(
    link: &Link,
    labels: &Labels,
    id: &QueueId,
    queue: &Queue,
) -> Result<QueueState, Fault> {
    let (tenant, interest, after) = (id.tenant, &queue.settings.interest, queue.cursor);
    let oldest = async {
        if queue.held == 0 {
            return Ok::<_, Fault>(None);
        }
        let statement = link.statement(OLDEST).await?;
        let row = link.client.query_opt(&statement, &[&tenant.as_str(), &queue.number]).await?;
        Ok(row.map(|row| Millis(row.get(0))))
    };
    let first = async {
        // The first that comes next; and labels are known once it is.
        let search = Search { tenant, interest, after, max: 1, bytes_max: 0 };
        let found = search::find(link, labels, search).await?;
        let others = match found.events.first() {
            None => 0,
            Some(_) => others(link, labels, (id, queue)).await?,
        };
        Ok::<_, Fault>((found.events.first().map(|event| event.at), others))
    };
    let (late, oldest, first) = tokio::join!(late(link, tenant, queue), oldest, first);
    let (first, others) = first?;
    let in_flight = count(queue.leased).saturating_sub(late?);
    Ok(QueueState {
        name: id.name.clone(),
        settings: queue.settings.clone(),
        depth: count(queue.held).saturating_sub(in_flight) + others,
        in_flight,
        oldest_at: oldest?.into_iter().chain(first).min(),
        dead_lettered: count(queue.dead_lettered),
        acknowledged: count(queue.acknowledged),
        redelivered: count(queue.redelivered),
    })
}

/// How many were never delivered.
async fn others(
    link: &Link,
    labels: &Labels,
    (id, queue): (&QueueId, &Queue),
) -> Result<u64, Fault> {
    let statement = link.statement(OTHERS).await?;
    let wanted = labels.all_wanted(link, id.tenant, &queue.settings.interest).await?;
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&id.tenant.as_str(), &&*wanted, &number(queue.cursor)];
    Ok(count(link.client.query_one(&statement, &params).await?.get(0)))
}
