//! Which queues take an event, as far as this node knows: whom it tells that there is something.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use switchboard_core::{
    Tenant,
    bus::{Event, Interest, QueueId, QueueName},
};

use crate::link::Link;

/// Of so many tenants it is known which queues they have.
const TENANTS_MAX: usize = 10_000;

const LIST: &str = "SELECT q.tenant, q.name, q.filters, q.types FROM bus_queue q \
     WHERE q.tenant = ANY ($1::text[])";

/// The queues of tenants, and how often they had changed by then.
#[derive(Debug, Default)]
pub(super) struct Takers(HashMap<Tenant, (i64, List)>);

type List = Vec<(QueueName, Interest)>;

impl Takers {
    /// Reads the queues of those tenants whose queues have changed since.
    pub(super) async fn learn(
        &mut self,
        link: &Link,
        changes: impl Iterator<Item = (Tenant, i64)>,
    ) -> Result<(), tokio_postgres::Error> {
        let known = |tenant: &Tenant| self.0.get(tenant).map_or(0, |(changes, _)| *changes);
        let stale: BTreeMap<Tenant, i64> =
            changes.filter(|(tenant, changes)| known(tenant) != *changes).collect();
        if stale.is_empty() {
            return Ok(());
        }
        let statement = link.statement(LIST).await?;
        let names: Vec<&str> = stale.keys().map(Tenant::as_str).collect();
        let mut lists: BTreeMap<Tenant, List> = BTreeMap::new();
        for row in link.client.query(&statement, &[&names]).await? {
            let (filters, types): (Vec<&str>, Vec<&str>) = (row.get(2), row.get(3));
            let (tenant, name) = (row.get::<_, &str>(0).parse(), QueueName::new(row.get(1)));
            // It is a hint: one that can't be read is told of nothing.
            if let (Ok(tenant), Ok(name), Ok(interest)) =
                (tenant, name, Interest::new(filters, types))
            {
                lists.entry(tenant).or_default().push((name, interest));
            }
        }
        if TENANTS_MAX < self.0.len() + stale.len() {
            self.0.clear();
        }
        for (tenant, changes) in stale {
            let list = lists.remove(&tenant).unwrap_or_default();
            self.0.insert(tenant, (changes, list));
        }
        Ok(())
    }

    /// What was learnt of a tenant may come to nothing: it is learnt again.
    pub(super) fn forget(&mut self, tenant: Tenant) {
        self.0.remove(&tenant);
    }

    /// Adds the queues that take some of a tenant's events.
    pub(super) fn ready(&self, tenant: Tenant, events: &[Event], ready: &mut BTreeSet<QueueId>) {
        let Some((_, list)) = self.0.get(&tenant) else { return };
        let labels: BTreeSet<_> =
            events.iter().map(|event| (event.body.topic(), event.body.kind())).collect();
        let wants =
            |interest: &Interest| labels.iter().any(|(topic, kind)| interest.wants(topic, kind));
        let takers = list.iter().filter(|(_, interest)| wants(interest));
        ready.extend(takers.map(|(name, _)| QueueId { tenant, name: name.clone() }));
    }
}
