//! What is due of a tenant's queues.

use std::collections::BTreeSet;

use switchboard_core::{Millis, Tenant, bus::QueueId};

use super::{
    append::Heads,
    group::Group,
    held::{self, At, OVER_MAX},
    queues,
};
use crate::{lane::Fault, link::Link};

/// Tenants of whose queues something is due, or was removed.
const TENANTS: &str = "SELECT tenant FROM bus_queue \
     WHERE busy AND (first_at <= $1 OR held = 0) UNION SELECT tenant FROM bus_removed";

/// What removed queues held, a part of it.
const COLLECT: &str = "DELETE FROM bus_held h USING (SELECT b.tenant, b.number, b.sequence \
     FROM bus_removed r CROSS JOIN LATERAL (SELECT tenant, number, sequence FROM bus_held b \
     WHERE b.tenant = r.tenant AND b.number = r.number LIMIT 1000) b \
     WHERE r.tenant = $1 LIMIT 5000) d \
     WHERE h.tenant = d.tenant AND h.number = d.number AND h.sequence = d.sequence";

/// Those that hold nothing any more.
const COLLECTED: &str = "DELETE FROM bus_removed r WHERE r.tenant = $1 AND NOT EXISTS (\
     SELECT 1 FROM bus_held h WHERE h.tenant = r.tenant AND h.number = r.number)";

/// Tenants that are to be swept at a time.
pub(super) async fn tenants(link: &Link, now: Millis) -> Result<Vec<Tenant>, Fault> {
    let statement = link.statement(TENANTS).await?;
    let rows = link.client.query(&statement, &[&now.0]).await?;
    rows.iter().map(|row| super::tenant(row, 0)).collect()
}

impl Group<'_> {
    /// Sweeps a tenant's queues. Says whether there is more.
    pub(super) async fn sweep(
        &mut self,
        known: &mut Heads,
        tenant: Tenant,
        now: i64,
    ) -> Result<bool, Fault> {
        self.queues = queues::lock_due(self.link, tenant, now).await?;
        let mut more = false;
        if !self.queues.is_empty() {
            more = self.end_all(known, tenant, now).await?;
            let due = self.queues.iter().filter(|(_, queue)| queue.is_due(now));
            let due: Vec<QueueId> = due.map(|(id, _)| id.clone()).collect();
            self.ready.extend(due);
        }
        let collect = self.link.statement(COLLECT).await?;
        let collected = self.link.client.execute(&collect, &[&tenant.as_str()]).await?;
        if collected == 0 {
            let statement = self.link.statement(COLLECTED).await?;
            let ended = self.link.client.execute(&statement, &[&tenant.as_str()]).await?;
            self.wrote |= 0 < ended;
        }
        self.wrote |= 0 < collected;
        Ok(more || 0 < collected)
    }

    /// Ends what is over, by when it was, then by queue, and no more than goes into a transaction.
    async fn end_all(
        &mut self,
        known: &mut Heads,
        tenant: Tenant,
        now: i64,
    ) -> Result<bool, Fault> {
        let ids: Vec<QueueId> = self.queues.keys().cloned().collect();
        let times: Vec<At<'_>> = ids.iter().map(|id| (id, now)).collect();
        held::over(self.link, &times).await?.put(&mut self.queues, &times, false)?;
        let over = self.queues.iter().flat_map(|(id, queue)| {
            queue.over(now).map(move |(at, sequence)| (at, id.clone(), sequence))
        });
        let mut over: Vec<(i64, QueueId, u64)> = over.collect();
        over.sort_unstable();
        let mut up_to = now;
        let more = OVER_MAX <= over.len();
        if more {
            let later: BTreeSet<_> = over.split_off(OVER_MAX).into_iter().collect();
            for (_, id, sequence) in later {
                if let Some(queue) = self.queues.get_mut(&id) {
                    queue.rows.remove(&sequence);
                }
            }
            up_to = over.last().map_or(now, |(at, ..)| at.saturating_sub(1));
        }
        let mut letters = Vec::new();
        for (id, queue) in &mut self.queues {
            let given_up = queue.end(now);
            queue.sweep_to(up_to);
            queue.busy = 0 < queue.held;
            letters.extend(given_up.into_iter().map(|letter| (id.clone(), letter, Millis(now))));
        }
        letters.sort_by(|(a, one, _), (b, other, _)| {
            (one.at, a, one.sequence).cmp(&(other.at, b, other.sequence))
        });
        if !letters.is_empty() {
            self.hold(known, tenant).await?;
        }
        self.give_up(letters).await?;
        self.write().await?;
        Ok(more)
    }
}
