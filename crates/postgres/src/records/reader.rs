//! Reads records, each answer with one statement: what is told is all of one moment.
//!
//! Where the database itself finds that a value is damaged it refuses the whole statement. What can
//! still be read is then read without the values, and those one by one.

use std::sync::Arc;

use switchboard_core::{
    Code, Error, Millis, Result, Tenant,
    vault::{Listed, Page, Place, Profile, Range, RecordId},
};
use tokio_postgres::{Row, Statement};

use super::row::{self, Head};
use crate::{link::Link, readers::Readers};

type Read<T> = std::result::Result<T, tokio_postgres::Error>;

/// How many tenants are looked up at once that have something due.
const TENANTS: i64 = 256;

pub(super) const PROFILES: &str = "SELECT number, memory_kib, passes, lanes, salt, checks \
     FROM vault_profile WHERE tenant = $1 ORDER BY number";

/// What is at a place, with this for what is sealed.
macro_rules! get {
    ($sealed:literal) => {
        concat!(
            "SELECT t.removed, r.version, r.updated_at, r.expires_at, r.checks, ",
            $sealed,
            " FROM (SELECT $1::text AS tenant, $2::bytea AS id) AS p \
             LEFT JOIN vault_tenant AS t ON t.tenant = p.tenant \
             LEFT JOIN vault_record AS r ON r.tenant = p.tenant AND r.id = p.id"
        )
    };
}

/// A page of a list, with this for what is sealed. How long a value is stands beside where it is:
/// of those that are not told none is read.
macro_rules! list {
    ($sealed:literal) => {
        concat!(
            "SELECT id, version, updated_at, expires_at, checks, ",
            $sealed,
            ", found FROM (SELECT *, row_number() OVER (ORDER BY id) AS number, \
                 count(*) OVER () AS found, \
                 sum(octet_length(sealed)) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) \
                     - octet_length(sealed) AS before \
                 FROM (SELECT * FROM vault_record WHERE tenant = $1 AND id >= $2 AND id < $3 \
                     ORDER BY id LIMIT $4::bigint + 1) AS page) AS page \
             WHERE number <= $4::bigint AND before < $5::bigint ORDER BY id"
        )
    };
}

const GET: &str = get!("r.sealed");
const GET_HEAD: &str = get!("NULL::bytea");

const LIST: &str = list!("sealed");
const LIST_HEADS: &str = list!("NULL::bytea");

const SEALED: &str =
    "SELECT sealed FROM vault_record WHERE tenant = $1 AND id = $2 AND version = $3";

/// One look into the index of times for each tenant that ever had something to expire.
const TENANTS_WITH_DUE: &str = "SELECT t.tenant FROM vault_tenant AS t, LATERAL ( \
         SELECT 1 FROM vault_record AS r WHERE r.tenant = t.tenant AND r.expires_at <= $2 \
         ORDER BY r.expires_at LIMIT 1) AS due \
     WHERE t.tenant > $1 ORDER BY t.tenant LIMIT $3";

/// The profiles of a tenant, by number.
pub(super) async fn profiles(readers: &Arc<Readers>, tenant: Tenant) -> Result<Arc<[Profile]>> {
    let reading = |link: Arc<Link>| async move {
        let statement = link.statement(PROFILES).await?;
        link.client.query(&statement, &[&tenant.as_str()]).await
    };
    as_profiles(&readers.read(reading).await?, &tenant)
}

/// The profiles of these rows. A damaged one would seal what nobody could open again.
pub(super) fn as_profiles(rows: &[Row], tenant: &Tenant) -> Result<Arc<[Profile]>> {
    let profiles: Option<Arc<[Profile]>> =
        rows.iter().map(|row| row::profile(row, tenant)).collect();
    profiles.ok_or_else(|| {
        tracing::error!(%tenant, "a profile of the vault is damaged: its tenant has no vault now");
        let what = "how the tenant's keys are derived can't be read: it is damaged in the store";
        Error::new(Code::Unavailable, what)
    })
}

/// What is at a place. A record is not seen to be gone before its version is known not to come
/// again.
pub(super) async fn get(readers: &Arc<Readers>, tenant: Tenant, id: &RecordId) -> Result<Place> {
    let place = (tenant.as_str(), id.as_str().as_bytes());
    let reading = |link: Arc<Link>| async move {
        match read_place(&link, GET, place).await {
            Err(error) if is_damage(&error) => read_place(&link, GET_HEAD, place).await,
            read => read,
        }
    };
    readers.read(reading).await
}

async fn read_place(link: &Link, sql: &'static str, place: (&str, &[u8])) -> Read<Place> {
    let statement = link.statement(sql).await?;
    let row = link.client.query_one(&statement, &[&place.0, &place.1]).await?;
    let removed: Option<i64> = row.try_get(0)?;
    let found = match row.try_get::<_, Option<i64>>(1)? {
        Some(_) => Some(row::found(place, row::head(&row, 1)?, row.try_get(5)?)),
        None => None,
    };
    let first_version = removed.map_or(0, i64::cast_unsigned).saturating_add(1);
    Ok(Place { found, first_version })
}

/// Part of a list.
pub(super) async fn list(readers: &Arc<Readers>, tenant: Tenant, range: &Range) -> Result<Page> {
    let (mut from, to) = bounds(range);
    loop {
        let bounds = (&from[..], &to[..]);
        let reading = |link: Arc<Link>| async move {
            match read_page(&link, LIST, &tenant, bounds, range).await {
                Err(error) if is_damage(&error) => {
                    let mut page = read_page(&link, LIST_HEADS, &tenant, bounds, range).await?;
                    fill(&link, &tenant, &mut page.rows).await?;
                    Ok(page)
                }
                read => read,
            }
        };
        let Raw { rows, more } = readers.read(reading).await?;
        let Some(last) = rows.last() else { return Ok(Page::default()) };
        from = behind(&last.id);
        let listed: Vec<Listed> = rows.into_iter().filter_map(|row| row.listed(&tenant)).collect();
        // Where no id of a page can be read it is no end.
        if more && listed.is_empty() {
            continue;
        }
        let next = listed.last().filter(|_| more).map(|last| last.id.clone());
        return Ok(Page { listed, next });
    }
}

/// A page as it was read.
struct Raw {
    rows: Vec<RawRow>,
    /// Whether there are more behind it.
    more: bool,
}

struct RawRow {
    id: Vec<u8>,
    head: (Head, i64),
    sealed: Option<Vec<u8>>,
}

impl RawRow {
    fn listed(self, tenant: &Tenant) -> Option<Listed> {
        let id = str::from_utf8(&self.id).ok().and_then(|id| RecordId::new(id).ok());
        let Some(id) = id else {
            tracing::error!(%tenant, "an id of the vault is damaged: its record is left out");
            return None;
        };
        let found = row::found((tenant.as_str(), &self.id), self.head, self.sealed);
        Some(Listed { id, found })
    }
}

async fn read_page(
    link: &Link,
    sql: &'static str,
    tenant: &Tenant,
    (from, to): (&[u8], &[u8]),
    range: &Range,
) -> Read<Raw> {
    // A page has at least one.
    let records_max =
        i64::try_from(range.records_max).unwrap_or(i64::MAX - 1).clamp(1, i64::MAX - 1);
    let bytes_max = i64::try_from(range.bytes_max).unwrap_or(i64::MAX).max(1);
    let statement = link.statement(sql).await?;
    let tenant = tenant.as_str();
    let read =
        link.client.query(&statement, &[&tenant, &from, &to, &records_max, &bytes_max]).await?;
    let found: i64 = read.first().map_or(Ok(0), |row| row.try_get(6))?;
    let more = read.len() < usize::try_from(found).unwrap_or(usize::MAX);
    let rows = read.iter().map(|row| {
        Ok(RawRow { id: row.try_get(0)?, head: row::head(row, 1)?, sealed: row.try_get(5)? })
    });
    Ok(Raw { rows: rows.collect::<Read<_>>()?, more })
}

/// Reads what is sealed one by one, as far as it can be.
async fn fill(link: &Link, tenant: &Tenant, rows: &mut Vec<RawRow>) -> Read<()> {
    let statement = link.statement(SEALED).await?;
    let mut filled = Vec::with_capacity(rows.len());
    for mut row in rows.drain(..) {
        let version = row.head.0.version.cast_signed();
        match sealed(link, &statement, tenant, (&row.id, version)).await {
            // It was changed or removed meanwhile.
            Ok(None) => continue,
            Ok(sealed) => row.sealed = sealed,
            Err(error) if is_damage(&error) => {
                let id = String::from_utf8_lossy(&row.id);
                tracing::error!(%tenant, %id, %error, "the database can't read a record");
            }
            Err(error) => return Err(error),
        }
        filled.push(row);
    }
    *rows = filled;
    Ok(())
}

async fn sealed(
    link: &Link,
    statement: &Statement,
    tenant: &Tenant,
    (id, version): (&[u8], i64),
) -> Read<Option<Vec<u8>>> {
    let row = link.client.query_opt(statement, &[&tenant.as_str(), &id, &version]).await?;
    row.map(|row| row.try_get(0)).transpose()
}

/// Tenants behind this one of which a record is due, in order.
pub(super) async fn tenants_with_due(
    readers: &Arc<Readers>,
    behind: String,
    now: Millis,
) -> Result<Vec<String>> {
    let reading = |link: Arc<Link>| async move {
        let statement = link.statement(TENANTS_WITH_DUE).await?;
        let rows = link.client.query(&statement, &[&behind, &now.0, &TENANTS]).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    };
    readers.read(reading).await
}

/// From which id on a list is read, and up to which.
fn bounds(range: &Range) -> (Vec<u8>, Vec<u8>) {
    let first = range.prefix.as_bytes().to_vec();
    let mut end = first.clone();
    match end.last_mut() {
        // No byte of UTF-8 is 255.
        Some(last) => *last += 1,
        None => end.push(u8::MAX),
    }
    let behind = range.after.as_ref().map(|after| behind(after.as_str().as_bytes()));
    (behind.map_or(first.clone(), |behind| behind.max(first)), end)
}

/// The first bytes behind these.
fn behind(id: &[u8]) -> Vec<u8> {
    [id, &[0]].concat()
}

/// Whether the database says that what it has is damaged (class XX of its errors).
fn is_damage(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| code.code().starts_with("XX"))
}
