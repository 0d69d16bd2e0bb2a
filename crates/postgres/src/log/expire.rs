//! What rules do not keep any more.

use switchboard_core::{
    Millis, Tenant,
    bus::{QueueId, Retention},
};

use super::{
    append::Heads, count, group::Group, labels::Labels, marks::Marks, queue::Held, queues,
};
use crate::{lane::Fault, link::Link};

/// So many events go in one transaction.
const PIECE: usize = 1_000;

/// The oldest event of some labels.
const OLDEST: &str = "SELECT min(e.sequence) FROM unnest($2::int[]) AS l (label) \
     CROSS JOIN LATERAL (SELECT sequence FROM bus_event e WHERE e.tenant = $1 \
     AND e.label = l.label AND e.sequence >= \
     (SELECT oldest FROM bus_head h WHERE h.tenant = $1) ORDER BY e.sequence LIMIT 1) e";

/// Those of some labels in a stretch of the log.
const NEXT: &str = "SELECT sequence, at, octet_length(body) FROM (\
     SELECT sequence, at, label, body FROM bus_event \
     WHERE tenant = $1 AND sequence >= $3 AND sequence < $3 + 4096 \
     ORDER BY sequence OFFSET 0) e WHERE label = ANY ($2::int[]) ORDER BY sequence LIMIT 1000";

/// How many bytes those of some labels have: what the last of each has more than the first.
const TOTAL: &str = "SELECT coalesce(sum(z.volume - a.volume + a.len), 0)::bigint \
     FROM unnest($2::int[]) AS l (label) \
     CROSS JOIN LATERAL (SELECT volume, octet_length(body) AS len FROM bus_event e \
     WHERE e.tenant = $1 AND e.label = l.label ORDER BY e.sequence LIMIT 1) a \
     CROSS JOIN LATERAL (SELECT volume FROM bus_event e WHERE e.tenant = $1 \
     AND e.label = l.label ORDER BY e.sequence DESC LIMIT 1) z";

const DELETE: &str = "DELETE FROM bus_event WHERE tenant = $1 AND sequence = ANY ($2::bigint[])";

const HELD: &str = "SELECT q.number, h.sequence, h.attempts, h.at, h.leased, h.kind \
     FROM unnest($2::bigint[]) AS q (number) CROSS JOIN LATERAL (\
     SELECT sequence, attempts, at, leased, kind FROM bus_held h WHERE h.tenant = $1 \
     AND h.number = q.number AND h.sequence >= $3 AND h.sequence <= $4 OFFSET 0) h \
     WHERE h.kind <> 2 AND h.sequence = ANY ($5::bigint[])";

const HEAD: &str = "SELECT expiries, mark_filters, mark_sequences, mark_expiries, \
     (SELECT count(*) FROM bus_queue q WHERE q.tenant = h.tenant) \
     FROM bus_head h WHERE h.tenant = $1";

const MARK: &str = "UPDATE bus_head h SET expiries = $2, mark_filters = $3, \
     mark_sequences = $4, mark_expiries = $5, oldest = coalesce((SELECT e.sequence \
     FROM bus_event e WHERE e.tenant = $1 AND e.sequence >= h.oldest \
     ORDER BY e.sequence LIMIT 1), h.newest + 1) WHERE h.tenant = $1";

/// Events of one rule that are to go.
#[derive(Debug)]
pub(super) struct Going {
    /// The place of the rule.
    rule: usize,
    sequences: Vec<i64>,
    /// Whether more may have to go.
    more: bool,
}

/// What of a tenant's events rules do not keep at a time: as much of it as goes in one transaction.
pub(super) async fn going(
    link: &Link,
    labels: &Labels,
    tenant: Tenant,
    (rules, now): (&[Retention], Millis),
) -> Result<Vec<Going>, Fault> {
    labels.learn(link, tenant, labels.known(tenant)).await?;
    let (mut all, mut room) = (Vec::new(), PIECE);
    for (rule, labels) in labels.under(tenant, rules).into_iter().enumerate() {
        let is_unlimited = rules[rule].age_ms.is_none() && rules[rule].bytes.is_none();
        if labels.is_empty() || is_unlimited || room == 0 {
            continue;
        }
        let (sequences, more) = going_by(link, tenant, (&rules[rule], now), &labels, room).await?;
        room -= sequences.len();
        if !sequences.is_empty() {
            all.push(Going { rule, sequences, more });
        }
    }
    if let Some(last) = all.last_mut() {
        last.more |= room == 0;
    }
    Ok(all)
}

/// Those of one rule, and whether there may be more.
async fn going_by(
    link: &Link,
    tenant: Tenant,
    (rule, now): (&Retention, Millis),
    labels: &[i32],
    room: usize,
) -> Result<(Vec<i64>, bool), Fault> {
    let tenant = tenant.as_str();
    let (oldest, total) = (link.statement(OLDEST).await?, link.statement(TOTAL).await?);
    let oldest = link.client.query_one(&oldest, &[&tenant, &labels]).await?;
    let Some(oldest) = oldest.get::<_, Option<i64>>(0) else { return Ok((Vec::new(), false)) };
    let mut kept = match rule.bytes {
        None => 0,
        Some(_) => count(link.client.query_one(&total, &[&tenant, &labels]).await?.get(0)),
    };
    let next = link.statement(NEXT).await?;
    let rows = link.client.query(&next, &[&tenant, &labels, &oldest]).await?;
    let mut sequences = Vec::new();
    for row in &rows {
        let (sequence, at, len): (i64, i64, i32) = (row.get(0), row.get(1), row.get(2));
        let too_old = rule.age_ms.is_some_and(|age_ms| age_ms < now.since(Millis(at)));
        if !too_old && rule.bytes.is_none_or(|max| kept <= max) {
            return Ok((sequences, false));
        }
        if sequences.len() == room {
            break;
        }
        kept = kept.saturating_sub(u64::try_from(len).unwrap_or_default());
        sequences.push(sequence);
    }
    Ok((sequences, true))
}

impl Group<'_> {
    /// Lets go of some of what rules do not keep. Says how many those are, and whether there may be
    /// more.
    pub(super) async fn expire(
        &mut self,
        known: &mut Heads,
        tenant: Tenant,
        (rules, now): (&[Retention], Millis),
    ) -> Result<(u64, bool), Fault> {
        self.queues = queues::lock_all(self.link, tenant).await?;
        self.hold(known, tenant).await?;
        let statement = self.link.statement(HEAD).await?;
        let head = self.link.client.query_one(&statement, &[&tenant.as_str()]).await?;
        let (expiry, mut marks) = (head.get::<_, i64>(0) + 1, Marks::of(&head, 1));
        if count(head.get(4)) != self.queues.len() as u64 {
            // One was made meanwhile that is not held: it may be pulled at this moment.
            return Ok((0, true));
        }
        let going = going(self.link, self.labels, tenant, (rules, now)).await?;
        let sequences: Vec<i64> = going.iter().flat_map(|it| it.sequences.clone()).collect();
        if sequences.is_empty() {
            return Ok((0, false));
        }
        for Going { rule, sequences, .. } in &going {
            if let Some(newest) = sequences.last() {
                marks.set(&rules[*rule].filter, *newest, expiry);
            }
        }
        self.let_go(tenant, &sequences).await?;
        let (filters, newest, expiries) = marks.columns();
        let statement = self.link.statement(MARK).await?;
        self.link
            .client
            .execute(&statement, &[&tenant.as_str(), &expiry, &filters, &newest, &expiries])
            .await?;
        self.wrote = true;
        Ok((sequences.len() as u64, going.iter().any(|it| it.more)))
    }

    /// Deletes events, and tells the queues that hold them.
    async fn let_go(&mut self, tenant: Tenant, sequences: &[i64]) -> Result<(), Fault> {
        let (link, tenant) = (self.link, tenant.as_str());
        let delete = link.statement(DELETE).await?;
        link.client.execute(&delete, &[&tenant, &sequences]).await?;
        let holding = self.queues.iter().filter(|(_, queue)| 0 < queue.held);
        let holding: Vec<(i64, QueueId)> =
            holding.map(|(id, queue)| (queue.number, id.clone())).collect();
        if holding.is_empty() {
            return Ok(());
        }
        let numbers: Vec<i64> = holding.iter().map(|(number, _)| *number).collect();
        let (first, last) = (sequences.iter().min(), sequences.iter().max());
        let held = link.statement(HELD).await?;
        let rows =
            link.client.query(&held, &[&tenant, &numbers, &first, &last, &sequences]).await?;
        for row in rows {
            let number: i64 = row.get(0);
            let id = holding.iter().find(|(other, _)| *other == number).map(|(_, id)| id);
            let Some(queue) = id.and_then(|id| self.queues.get_mut(id)) else { continue };
            let sequence = count(row.get(1));
            let held = Held {
                attempts: u32::try_from(row.get::<_, i64>(2)).unwrap_or(u32::MAX),
                at: row.get(3),
                leased: row.get(4),
                kind: row.get(5),
            };
            queue.rows.insert(sequence, held);
            queue.expire(sequence);
        }
        self.write().await
    }
}
