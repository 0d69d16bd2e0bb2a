//! The one that writes: decides a group of changes, and writes what has come of it.

use std::collections::BTreeMap;

use futures_util::future::{try_join, try_join_all};
use switchboard_core::{
    Code, Error, Tenant,
    vault::{Outcome, Record},
};

use super::{
    decide::{Before, Now, Part},
    expiry, profiles, row,
    work::{Done, Work},
};
use crate::{
    lane::{self, Fault, Writing, Written},
    link::Link,
};

/// How often a group is decided that another node was in the way of. Each time the other has put
/// what was to be put here, or removed it.
const TRIES: usize = 16;

/// Locks what is there, in the order of the ids.
const LOCK: &str = "SELECT p.number, r.version, r.updated_at, r.expires_at, r.checks \
     FROM unnest($2::bytea[]) WITH ORDINALITY AS p (id, number), LATERAL ( \
         SELECT version, updated_at, expires_at, checks FROM vault_record \
         WHERE tenant = $1 AND id = p.id FOR UPDATE) AS r";

const REMOVED: &str = "SELECT removed FROM vault_tenant WHERE tenant = $1";

const INSERT: &str = "INSERT INTO vault_record \
         (tenant, id, version, updated_at, expires_at, checks, sealed) \
     SELECT $1::text, id, version, updated_at, expires_at, checks, sealed FROM unnest( \
         $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[]) \
         AS p (id, version, updated_at, expires_at, checks, sealed) \
     ON CONFLICT (tenant, id) DO NOTHING";

/// Of rows that are there, and locked.
const REPLACE: &str = "INSERT INTO vault_record \
         (tenant, id, version, updated_at, expires_at, checks, sealed) \
     SELECT $1::text, id, version, updated_at, expires_at, checks, sealed FROM unnest( \
         $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[]) \
         AS p (id, version, updated_at, expires_at, checks, sealed) \
     ON CONFLICT (tenant, id) DO UPDATE SET version = EXCLUDED.version, \
         updated_at = EXCLUDED.updated_at, expires_at = EXCLUDED.expires_at, \
         checks = EXCLUDED.checks, sealed = EXCLUDED.sealed";

pub(super) const DELETE: &str = "DELETE FROM vault_record WHERE tenant = $1 AND id = $2";

/// What has no sign is compared by flipping the highest bit.
const REMOVE: &str = "INSERT INTO vault_tenant (tenant, removed) VALUES ($1, $2) \
     ON CONFLICT (tenant) DO UPDATE SET removed = EXCLUDED.removed \
     WHERE vault_tenant.removed # (1::bigint << 63) < EXCLUDED.removed # (1::bigint << 63)";

const KNOW: &str =
    "INSERT INTO vault_tenant (tenant, removed) VALUES ($1, 0) ON CONFLICT (tenant) DO NOTHING";

/// Has no memory: all that decides is read in the transaction that writes.
#[derive(Debug)]
pub(super) struct Writer;

impl lane::Writer for Writer {
    type Work = Work;

    fn write<'a>(&'a mut self, link: &'a Link, works: &'a [Work]) -> Writing<'a, Done> {
        Box::pin(async move {
            for _ in 0..TRIES {
                if let Some(written) = try_once(link, works).await? {
                    return Ok(written);
                }
                link.client.batch_execute("ROLLBACK; BEGIN").await?;
            }
            let what = "others change the same records all the time: nothing was changed";
            Err(Fault::Refused(Error::new(Code::Unavailable, what)))
        })
    }
}

/// Writes a group; none if another node was in the way: all of it is to be undone then.
async fn try_once(link: &Link, works: &[Work]) -> Result<Option<Written<Done>>, Fault> {
    let added = profiles::add(link, works).await?;
    let mut group = Group::of(works);
    group.lock(link).await?;
    let outcomes = group.decide(works);
    let Some(mut rows) = group.write(link).await? else { return Ok(None) };
    rows += added.count;
    let mut ends = group.ends();
    let mut done = Vec::with_capacity(works.len());
    let mut outcomes = outcomes.into_iter();
    for work in works {
        done.push(match work {
            Work::Change { .. } => Done::Changed(outcomes.next().unwrap_or_default()),
            Work::AddProfile { tenant, .. } => Done::Profiles(added.of(tenant)),
            Work::Expire { due, .. } => {
                let (gone, greatest) = expiry::remove(link, due).await?;
                if 0 < gone.removed {
                    let end = ends.entry(&due.tenant).or_insert(0);
                    *end = greatest.max(*end);
                }
                rows += gone.removed;
                Done::Expired(gone)
            }
        });
    }
    write_ends(link, &ends).await?;
    Ok(Some(Written { done, wrote: 0 < rows, signal: None }))
}

/// What a group of changes has to do with, by tenant.
struct Group<'a>(BTreeMap<&'a Tenant, OfTenant<'a>>);

#[derive(Default)]
struct OfTenant<'a> {
    part: Part<'a>,
    /// What the table says was removed; none where it has no row.
    removed_before: Option<u64>,
}

/// Rows as columns.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<&'a [u8]>,
    versions: Vec<i64>,
    updated_at: Vec<i64>,
    expires_at: Vec<Option<i64>>,
    checks: Vec<i64>,
    sealed: Vec<&'a [u8]>,
    /// The least of the versions.
    least: Option<u64>,
}

/// What is to be written of a tenant.
struct Rows<'a> {
    tenant: &'a str,
    insert: Columns<'a>,
    replace: Columns<'a>,
    delete: Vec<&'a [u8]>,
}

impl<'a> Group<'a> {
    fn of(works: &'a [Work]) -> Self {
        let mut group = BTreeMap::<_, OfTenant<'_>>::new();
        for work in works {
            let Work::Change { changes, .. } = work else { continue };
            for change in changes {
                let of = group.entry(&change.tenant).or_default();
                of.part.places.entry(&change.id).or_default();
            }
        }
        Self(group)
    }

    /// Locks and reads what is there. What was removed is read after the rows were locked: whoever
    /// removed one of them meanwhile has said so.
    async fn lock(&mut self, link: &Link) -> Result<(), Fault> {
        let (lock, removed) = (link.statement(LOCK).await?, link.statement(REMOVED).await?);
        let locking = self.0.iter_mut().map(|(tenant, of)| {
            let (lock, removed, tenant) = (&lock, &removed, tenant.as_str());
            async move {
                let ids: Vec<&[u8]> = of.part.places.keys().map(|id| bytes(id)).collect();
                let (rows, removed) = try_join(
                    link.client.query(lock, &[&tenant, &ids]),
                    link.client.query_opt(removed, &[&tenant]),
                )
                .await?;
                let mut places: Vec<_> = of.part.places.values_mut().collect();
                for row in &rows {
                    let number = usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0);
                    let (head, checks) = row::head(row, 1)?;
                    // They are numbered from 1.
                    let at = number.wrapping_sub(1);
                    if let (Some(place), Some(id)) = (places.get_mut(at), ids.get(at)) {
                        let is_sound = head.is_sound(tenant, id, checks);
                        place.before = Some(Before::of(&head, is_sound));
                    }
                }
                let removed = removed.map(|row| row.try_get::<_, i64>(0)).transpose()?;
                of.removed_before = removed.map(i64::cast_unsigned);
                of.part.removed = of.removed_before.unwrap_or(0);
                Ok::<_, tokio_postgres::Error>(())
            }
        });
        try_join_all(locking).await?;
        Ok(())
    }

    /// Decides all changes, in order.
    fn decide(&mut self, works: &'a [Work]) -> Vec<Vec<Outcome>> {
        let mut decided = Vec::new();
        for work in works {
            let Work::Change { changes, .. } = work else { continue };
            let outcomes = changes.iter().map(|change| {
                let of = self.0.entry(&change.tenant).or_default();
                of.part.decide(change)
            });
            decided.push(outcomes.collect());
        }
        decided
    }

    /// Writes what the places have come to: how many rows; none if others were in the way.
    ///
    /// First what may have to wait for others, in order; nobody waits for what comes then.
    async fn write(&self, link: &Link) -> Result<Option<u64>, Fault> {
        let all: Vec<Rows<'_>> = self.0.iter().map(|(tenant, of)| of.rows(tenant)).collect();
        let (insert, replace) = (link.statement(INSERT).await?, link.statement(REPLACE).await?);
        let (delete, removed) = (link.statement(DELETE).await?, link.statement(REMOVED).await?);
        let inserts = all.iter().filter_map(|rows| {
            let least = rows.insert.least?;
            let (insert, removed) = (&insert, &removed);
            // What was removed is read once more after the rows are there.
            Some(async move {
                let (inserted, removed) = try_join(
                    rows.insert.execute(link, insert, rows.tenant),
                    link.client.query_opt(removed, &[&rows.tenant]),
                )
                .await?;
                let removed = removed.map(|row| row.try_get::<_, i64>(0)).transpose()?;
                let is_first = removed.is_none_or(|removed| removed.cast_unsigned() < least);
                Ok(is_first && inserted == rows.insert.ids.len() as u64)
            })
        });
        let replaces = all.iter().filter(|rows| rows.replace.least.is_some());
        let replaces = replaces.map(|rows| rows.replace.execute(link, &replace, rows.tenant));
        let gone = all.iter().flat_map(|rows| rows.delete.iter().map(move |id| (rows.tenant, *id)));
        let deletes = gone.map(|(tenant, id)| {
            let delete = &delete;
            async move { link.client.execute(delete, &[&tenant, &id]).await }
        });
        let deletes = try_join_all(deletes);
        let writing = try_join(try_join_all(inserts), try_join(try_join_all(replaces), deletes));
        let (are_first, _) = writing.await?;
        if are_first.contains(&false) {
            return Ok(None);
        }
        let count =
            |rows: &Rows<'_>| rows.insert.ids.len() + rows.replace.ids.len() + rows.delete.len();
        Ok(Some(all.iter().map(count).sum::<usize>() as u64))
    }

    /// What is to be noted of the tenants: the greatest version that was removed, or 0 for one that
    /// is only to be known, because a record of it will expire.
    fn ends(&self) -> BTreeMap<&'a str, u64> {
        let mut ends = BTreeMap::new();
        for (tenant, of) in &self.0 {
            let is_greater = of.removed_before.unwrap_or(0) < of.part.removed;
            let expires = || {
                let mut places = of.part.places.values();
                places.any(|it| matches!(it.now, Now::Put(put) if put.expires_at.is_some()))
            };
            if is_greater || of.removed_before.is_none() && expires() {
                ends.insert(tenant.as_str(), of.part.removed);
            }
        }
        ends
    }
}

impl<'a> OfTenant<'a> {
    fn rows(&self, tenant: &'a Tenant) -> Rows<'a> {
        let tenant = tenant.as_str();
        let mut rows = Rows {
            tenant,
            insert: Columns::default(),
            replace: Columns::default(),
            delete: Vec::new(),
        };
        for (id, place) in &self.part.places {
            let id = bytes(id);
            match (place.now, place.before) {
                (Now::Same, _) => {}
                (Now::Put(record), None) => rows.insert.push(tenant, id, record),
                (Now::Put(record), Some(_)) => rows.replace.push(tenant, id, record),
                (Now::Gone, _) => rows.delete.push(id),
                (Now::Passed(record), _) => {
                    rows.insert.push(tenant, id, record);
                    rows.delete.push(id);
                }
            }
        }
        rows
    }
}

impl<'a> Columns<'a> {
    fn push(&mut self, tenant: &str, id: &'a [u8], record: &'a Record) {
        let (head, sealed) = (row::Head::of(record), record.sealed.as_bytes());
        self.ids.push(id);
        self.versions.push(head.version.cast_signed());
        self.updated_at.push(head.updated_at);
        self.expires_at.push(head.expires_at);
        self.checks.push(head.checks(tenant, id, sealed));
        self.sealed.push(sealed);
        self.least = Some(self.least.map_or(head.version, |least| least.min(head.version)));
    }

    async fn execute(
        &self,
        link: &Link,
        statement: &tokio_postgres::Statement,
        tenant: &str,
    ) -> Result<u64, tokio_postgres::Error> {
        let Self { ids, versions, updated_at, expires_at, checks, sealed, .. } = self;
        link.client
            .execute(statement, &[&tenant, ids, versions, updated_at, expires_at, checks, sealed])
            .await
    }
}

/// Notes what was removed of tenants, and which there are; in order, and last: others wait for it.
async fn write_ends(link: &Link, ends: &BTreeMap<&str, u64>) -> Result<(), Fault> {
    if ends.is_empty() {
        return Ok(());
    }
    let (remove, know) = (link.statement(REMOVE).await?, link.statement(KNOW).await?);
    let writing = ends.iter().map(|(tenant, removed)| {
        let (remove, know) = (&remove, &know);
        async move {
            match removed {
                0 => link.client.execute(know, &[tenant]).await,
                _ => link.client.execute(remove, &[tenant, &removed.cast_signed()]).await,
            }
        }
    });
    try_join_all(writing).await?;
    Ok(())
}

fn bytes(id: &switchboard_core::vault::RecordId) -> &[u8] {
    id.as_str().as_bytes()
}
