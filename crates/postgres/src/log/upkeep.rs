//! What is done for all tenants, one after the other.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{StreamExt as _, stream};
use switchboard_core::{
    Millis, Result, Tenant,
    bus::{Gone, Retention},
    presence::GatewayId,
};

use super::{
    Front, attend, expire, mistaken, sweep,
    work::{Done, Task},
};
use crate::{lane::Fault, link::Link};

/// Of so many tenants at once.
const TOGETHER: usize = 8;

/// So many tenants are looked up at once.
const PAGE: i64 = 1_000;

const TENANTS: &str = "SELECT tenant FROM bus_head WHERE tenant > $1 ORDER BY tenant LIMIT $2";

/// Whoever has the duty keeps it; another takes it once its time is up.
const TAKE: &str = "INSERT INTO bus_lease AS l (duty, holder, until) \
     VALUES ('expire', $1, now() + interval '1 minute') ON CONFLICT (duty) DO UPDATE \
     SET holder = excluded.holder, until = excluded.until \
     WHERE l.holder = excluded.holder OR l.until < now()";
const RELEASE: &str = "UPDATE bus_lease SET until = now() - interval '1 second' \
     WHERE duty = 'expire' AND holder = $1";

impl Front {
    /// Looks after all queues of which something is due.
    pub(super) async fn sweep_all(&self, now: Millis) -> Result<()> {
        let tenants = async move |link: Arc<Link>| sweep::tenants(&link, now).await;
        let tenants = self.read_by(tenants).await?;
        let swept = stream::iter(tenants).map(async |tenant| {
            loop {
                let swept = self.ask(self.lane(tenant), Task::Sweep { tenant, now }).await?;
                let Done::Swept(more) = swept else { return Err(mistaken()) };
                if !more {
                    return Ok(());
                }
            }
        });
        let swept: Vec<Result<()>> = swept.buffer_unordered(TOGETHER).collect().await;
        swept.into_iter().collect()
    }

    /// Lets all leave who are at gateways that are no more.
    pub(super) async fn abandon_all(&self, gone: Gone, now: Millis) -> Result<u64> {
        let there = self.read_by(async |link: Arc<Link>| attend::gateways(&link).await).await?;
        let mut tenants: BTreeMap<Tenant, Vec<GatewayId>> = BTreeMap::new();
        for (tenant, gateway) in there {
            if gone.includes(gateway) {
                tenants.entry(tenant).or_default().push(gateway);
            }
        }
        let mut notes = 0;
        for (tenant, gateways) in tenants {
            let mut behind = None;
            loop {
                let gateways = gateways.clone();
                let task = Task::Abandon { tenant, gateways, behind, now };
                let Done::Abandoned(some, next) = self.ask(self.lane(tenant), task).await? else {
                    return Err(mistaken());
                };
                notes += some;
                behind = next;
                if behind.is_none() {
                    break;
                }
            }
        }
        Ok(notes)
    }

    /// Lets go of what rules do not keep, unless another node does.
    pub(super) async fn expire_all(&self, rules: Arc<[Retention]>, now: Millis) -> Result<u64> {
        if !self.duty(TAKE).await? {
            return Ok(0);
        }
        let expired = self.expire_each(&rules, now).await;
        self.duty(RELEASE).await?;
        expired
    }

    async fn expire_each(&self, rules: &Arc<[Retention]>, now: Millis) -> Result<u64> {
        let (mut behind, mut count) = (String::new(), 0);
        loop {
            let tenants = self.tenants(behind).await?;
            let Some(last) = tenants.last() else { return Ok(count) };
            behind = last.as_str().to_owned();
            for tenant in tenants {
                if self.expires(tenant, rules, now).await? {
                    count += self.expire_of(tenant, rules, now).await?;
                }
            }
            if !self.duty(TAKE).await? {
                return Ok(count);
            }
        }
    }

    /// Lets go of what is one tenant's.
    async fn expire_of(
        &self,
        tenant: Tenant,
        rules: &Arc<[Retention]>,
        now: Millis,
    ) -> Result<u64> {
        let mut count = 0;
        loop {
            let task = Task::Expire { tenant, rules: Arc::clone(rules), now };
            let Done::Expired(some, more) = self.ask(self.lane(tenant), task).await? else {
                return Err(mistaken());
            };
            count += some;
            if !more {
                return Ok(count);
            }
        }
    }

    /// Whether there is something to let go of: nobody waits for whoever only looks.
    async fn expires(&self, tenant: Tenant, rules: &Arc<[Retention]>, now: Millis) -> Result<bool> {
        let (labels, rules) = (Arc::clone(&self.labels), Arc::clone(rules));
        let going = self.read_by(async move |link: Arc<Link>| {
            expire::going(&link, &labels, tenant, (&rules, now)).await
        });
        Ok(!going.await?.is_empty())
    }

    /// The next tenants, by their names.
    async fn tenants(&self, behind: String) -> Result<Vec<Tenant>> {
        let next = self.read_by(async move |link: Arc<Link>| {
            let statement = link.statement(TENANTS).await?;
            let rows = link.client.query(&statement, &[&behind, &PAGE]).await?;
            rows.iter().map(|row| super::tenant(row, 0)).collect::<Result<Vec<_>, Fault>>()
        });
        next.await
    }

    /// Takes a duty, or gives it back. Says whether that was this node's.
    async fn duty(&self, sql: &'static str) -> Result<bool> {
        let node = self.node;
        let done = self.read_by(async move |link: Arc<Link>| {
            let statement = link.statement(sql).await?;
            Ok(link.client.execute(&statement, &[&node]).await? == 1)
        });
        done.await
    }
}
