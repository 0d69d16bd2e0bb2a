//! Appends events to the logs of tenants whose heads are held.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use switchboard_core::{
    Millis, Tenant,
    bus::{Body, Event},
};

use super::{count, number, tenant};
use crate::{lane::Fault, link::Link};

/// So many tenants are known to have a head at the most.
const KNOWN_MAX: usize = 100_000;

/// Makes what is not there.
const ENSURE: &str = "INSERT INTO bus_head (tenant) SELECT unnest($1::text[]) \
     ON CONFLICT (tenant) DO NOTHING";

/// In the order of tenants, so that nobody waits for whoever waits for him. The second list is of
/// queues of which something may be given up at a time: of those of which something will be.
const LOCK: &str = "SELECT tenant, newest, newest_at, labels, queues FROM bus_head \
     WHERE tenant = ANY (ARRAY(SELECT unnest($1::text[]) UNION SELECT p.tenant \
     FROM unnest($2::text[], $3::text[], $4::bigint[]) p (tenant, name, now) \
     CROSS JOIN LATERAL (SELECT number, first_at FROM bus_queue q \
     WHERE q.tenant = p.tenant AND q.name = p.name LIMIT 1) q \
     CROSS JOIN LATERAL (SELECT 1 FROM bus_held h WHERE h.tenant = p.tenant \
     AND h.number = q.number AND h.kind = 1 AND h.at >= q.first_at AND h.at <= p.now LIMIT 1) h)) \
     ORDER BY tenant FOR UPDATE";

/// Topics and types, with the last of their events.
pub(crate) const LABELS: &str = "SELECT d.place, l.number, e.ordinal, e.volume \
     FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY \
     d (tenant, topic, type, place) \
     CROSS JOIN LATERAL (SELECT number FROM bus_label l \
     WHERE l.tenant = d.tenant AND l.topic = d.topic AND l.type = d.type LIMIT 1) l \
     LEFT JOIN LATERAL (SELECT ordinal, volume FROM bus_event e \
     WHERE e.tenant = d.tenant AND e.label = l.number ORDER BY e.sequence DESC LIMIT 1) e ON true";

pub(crate) const NEW_LABELS: &str = "INSERT INTO bus_label (tenant, number, topic, type) \
     SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::text[])";

pub(crate) const EVENTS: &str = "INSERT INTO bus_event \
     (tenant, sequence, at, label, ordinal, volume, key, body) \
     SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::int[], $5::bigint[], \
     $6::bigint[], $7::bytea[], $8::bytea[])";

const HEADS: &str = "UPDATE bus_head h \
     SET newest = d.newest, newest_at = d.newest_at, labels = d.labels \
     FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::int[]) \
     d (tenant, newest, newest_at, labels) WHERE h.tenant = d.tenant";

/// Tenants that are known to have a head: a head is never removed.
#[derive(Debug, Default)]
pub(super) struct Heads(HashSet<Tenant>);

/// A head that is held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) newest: i64,
    pub(super) at: i64,
    labels: i32,
    /// How often a queue was made or removed.
    pub(super) queues: i64,
}

/// The last event of a label.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    label: i32,
    ordinal: i64,
    volume: i64,
}

/// An event that is to be written.
#[derive(Debug)]
struct Fresh {
    tenant: Tenant,
    event: Event,
    last: Last,
}

/// A topic and a type of a tenant.
pub(super) type Label = (Tenant, String, String);

/// What is appended in one transaction.
#[derive(Debug, Default)]
pub(super) struct Appending {
    pub(super) heads: BTreeMap<Tenant, Head>,
    /// Those that were looked for.
    labels: HashMap<Label, Last>,
    new_labels: Vec<(Label, i32)>,
    /// What is not written yet.
    fresh: Vec<Fresh>,
    /// All of them, by whose they are.
    pub(super) events: BTreeMap<Tenant, Vec<Event>>,
}

/// A queue of which something may be given up at a time.
pub(super) type Perhaps = (Tenant, String, i64);

pub(super) fn label(tenant: Tenant, body: &Body) -> Label {
    (tenant, body.topic().to_owned(), body.kind().to_owned())
}

impl Appending {
    /// Holds the heads of these tenants, and of those of these queues of which something will be
    /// given up.
    pub(super) async fn lock(
        &mut self,
        link: &Link,
        known: &mut Heads,
        (tenants, perhaps): (&BTreeSet<Tenant>, &[Perhaps]),
    ) -> Result<(), Fault> {
        let names: Vec<&str> = tenants.iter().map(Tenant::as_str).collect();
        let of: Vec<&str> = perhaps.iter().map(|(tenant, ..)| tenant.as_str()).collect();
        let queues: Vec<&str> = perhaps.iter().map(|(_, name, _)| name.as_str()).collect();
        let times: Vec<i64> = perhaps.iter().map(|(.., now)| *now).collect();
        if names.is_empty() && of.is_empty() {
            return Ok(());
        }
        let ensuring = known.ensure(link, tenants);
        let locking = async {
            let lock = link.statement(LOCK).await?;
            link.client.query(&lock, &[&names, &of, &queues, &times]).await
        };
        let (ensured, locked) = tokio::join!(biased; ensuring, locking);
        ensured?;
        for row in locked? {
            let head =
                Head { newest: row.get(1), at: row.get(2), labels: row.get(3), queues: row.get(4) };
            self.heads.insert(tenant(&row, 0)?, head);
        }
        Ok(())
    }

    /// Holds those of these heads that are not held yet.
    pub(super) async fn hold(
        &mut self,
        link: &Link,
        tenants: &BTreeSet<Tenant>,
    ) -> Result<(), Fault> {
        let missing: BTreeSet<Tenant> =
            tenants.iter().filter(|tenant| !self.heads.contains_key(tenant)).copied().collect();
        // Whoever has a queue has a head.
        self.lock(link, &mut Heads(missing.iter().copied().collect()), (&missing, &[])).await
    }

    /// Takes what another has found out.
    pub(super) fn know(&mut self, other: Self) {
        for (label, last) in other.labels {
            self.labels.entry(label).or_insert(last);
        }
    }

    /// How often the queues have changed of those to whose logs something was added.
    pub(super) fn changes(&self) -> impl Iterator<Item = (Tenant, i64)> {
        self.events.keys().filter_map(|tenant| Some((*tenant, self.heads.get(tenant)?.queues)))
    }

    /// A queue of a tenant was made or removed.
    pub(super) fn queues_changed(&mut self, tenant: Tenant) {
        if let Some(head) = self.heads.get_mut(&tenant) {
            head.queues += 1;
        }
    }

    /// Looks for labels that events to come have.
    pub(super) async fn find_labels(
        &mut self,
        link: &Link,
        wanted: BTreeSet<Label>,
    ) -> Result<(), Fault> {
        let wanted: Vec<Label> =
            wanted.into_iter().filter(|label| !self.labels.contains_key(label)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let tenants: Vec<&str> = wanted.iter().map(|(tenant, ..)| tenant.as_str()).collect();
        let topics: Vec<&str> = wanted.iter().map(|(_, topic, _)| topic.as_str()).collect();
        let types: Vec<&str> = wanted.iter().map(|(.., kind)| kind.as_str()).collect();
        let statement = link.statement(LABELS).await?;
        let rows = link.client.query(&statement, &[&tenants, &topics, &types]).await?;
        for row in rows {
            let last = Last {
                label: row.get(1),
                ordinal: row.get::<_, Option<i64>>(2).unwrap_or_default(),
                volume: row.get::<_, Option<i64>>(3).unwrap_or_default(),
            };
            if let Some(label) = wanted.get(super::place(&row, 0)) {
                self.labels.insert(label.clone(), last);
            }
        }
        Ok(())
    }

    /// Adds an event to a log whose head is held, and of whose label it is known whether it is
    /// there. None where the head is not held.
    pub(super) fn append(&mut self, tenant: Tenant, body: Body, at: Millis) -> Option<u64> {
        let head = self.heads.get_mut(&tenant)?;
        let label = label(tenant, &body);
        let last = self.labels.entry(label).or_insert_with_key(|label| {
            head.labels += 1;
            self.new_labels.push((label.clone(), head.labels));
            Last { label: head.labels, ..Last::default() }
        });
        head.newest += 1;
        head.at = at.0.max(head.at);
        last.ordinal += 1;
        last.volume += number(body.as_bytes().len() as u64);
        let sequence = count(head.newest);
        let event = Event { sequence, at: Millis(head.at), body };
        self.events.entry(tenant).or_default().push(event.clone());
        self.fresh.push(Fresh { tenant, event, last: *last });
        Some(sequence)
    }

    /// Whether there is something to write.
    pub(super) fn is_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Writes what was added.
    pub(super) async fn write(&mut self, link: &Link) -> Result<(), Fault> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        let fresh = std::mem::take(&mut self.fresh);
        let new_labels = std::mem::take(&mut self.new_labels);
        let tenants: BTreeSet<Tenant> = fresh.iter().map(|fresh| fresh.tenant).collect();
        let heads = tenants.iter().filter_map(|it| Some((it.as_str(), self.heads.get(it)?)));
        let (labels, events, heads) = tokio::join!(biased;
            write_labels(link, &new_labels),
            write_events(link, &fresh),
            write_heads(link, heads.collect()),
        );
        labels?;
        events?;
        Ok(heads?)
    }
}

async fn write_labels(link: &Link, new: &[(Label, i32)]) -> Result<(), tokio_postgres::Error> {
    if new.is_empty() {
        return Ok(());
    }
    let tenants: Vec<&str> = new.iter().map(|((tenant, ..), _)| tenant.as_str()).collect();
    let numbers: Vec<i32> = new.iter().map(|(_, number)| *number).collect();
    let topics: Vec<&str> = new.iter().map(|((_, topic, _), _)| topic.as_str()).collect();
    let types: Vec<&str> = new.iter().map(|((.., kind), _)| kind.as_str()).collect();
    let statement = link.statement(NEW_LABELS).await?;
    link.client.execute(&statement, &[&tenants, &numbers, &topics, &types]).await?;
    Ok(())
}

async fn write_events(link: &Link, fresh: &[Fresh]) -> Result<(), tokio_postgres::Error> {
    let tenants: Vec<&str> = fresh.iter().map(|it| it.tenant.as_str()).collect();
    let sequences: Vec<i64> = fresh.iter().map(|it| number(it.event.sequence)).collect();
    let times: Vec<i64> = fresh.iter().map(|it| it.event.at.0).collect();
    let labels: Vec<i32> = fresh.iter().map(|it| it.last.label).collect();
    let ordinals: Vec<i64> = fresh.iter().map(|it| it.last.ordinal).collect();
    let volumes: Vec<i64> = fresh.iter().map(|it| it.last.volume).collect();
    let key = |it: &Fresh| Some(it.event.body.key()).filter(|key| !key.is_empty()).map(Vec::from);
    let keys: Vec<Option<Vec<u8>>> = fresh.iter().map(key).collect();
    let bodies: Vec<&[u8]> = fresh.iter().map(|it| it.event.body.as_bytes()).collect();
    let statement = link.statement(EVENTS).await?;
    link.client
        .execute(
            &statement,
            &[&tenants, &sequences, &times, &labels, &ordinals, &volumes, &keys, &bodies],
        )
        .await?;
    Ok(())
}

async fn write_heads(link: &Link, heads: Vec<(&str, &Head)>) -> Result<(), tokio_postgres::Error> {
    let tenants: Vec<&str> = heads.iter().map(|(tenant, _)| *tenant).collect();
    let newest: Vec<i64> = heads.iter().map(|(_, head)| head.newest).collect();
    let times: Vec<i64> = heads.iter().map(|(_, head)| head.at).collect();
    let labels: Vec<i32> = heads.iter().map(|(_, head)| head.labels).collect();
    let statement = link.statement(HEADS).await?;
    link.client.execute(&statement, &[&tenants, &newest, &times, &labels]).await?;
    Ok(())
}

impl Heads {
    /// Makes those heads that may not be there.
    async fn ensure(
        &mut self,
        link: &Link,
        tenants: &BTreeSet<Tenant>,
    ) -> Result<(), tokio_postgres::Error> {
        let unknown: Vec<Tenant> =
            tenants.iter().filter(|tenant| !self.0.contains(tenant)).copied().collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = unknown.iter().map(Tenant::as_str).collect();
        let statement = link.statement(ENSURE).await?;
        // What this transaction makes is not there before it is committed.
        if link.client.execute(&statement, &[&names]).await? == 0 {
            if KNOWN_MAX < self.0.len() + unknown.len() {
                self.0.clear();
            }
            self.0.extend(unknown);
        }
        Ok(())
    }
}
