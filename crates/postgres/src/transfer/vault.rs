//! The records of the vault.

use switchboard_core::{
    transfer::{Row, Section},
    vault::{Found, RecordId},
};

use super::{
    Done, check, damaged,
    place::{Shelf, Value},
    tenant,
};
use crate::{link::Link, records::row};

const PROFILES: &str = "INSERT INTO vault_profile \
     (tenant, number, memory_kib, passes, lanes, salt, checks) \
     SELECT * FROM unnest($1::text[], $2::smallint[], $3::bigint[], $4::bigint[], $5::bigint[], \
     $6::bytea[], $7::bigint[]) ON CONFLICT DO NOTHING";

const VERSIONS: &str = "INSERT INTO vault_tenant (tenant, removed) \
     SELECT * FROM unnest($1::text[], $2::bigint[]) ON CONFLICT DO NOTHING";

const RECORDS: &str = "INSERT INTO vault_record \
     (tenant, id, version, updated_at, expires_at, checks, sealed) \
     SELECT * FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], \
     $6::bigint[], $7::bytea[]) ON CONFLICT DO NOTHING";

/// Whoever has something that expires has a row.
const EXPIRING: &str = "INSERT INTO vault_tenant (tenant, removed) \
     SELECT DISTINCT tenant, 0 FROM vault_record WHERE expires_at IS NOT NULL \
     ON CONFLICT DO NOTHING";

pub(super) fn profiles() -> Shelf {
    Shelf {
        behind: "SELECT number, memory_kib, passes, lanes, salt, checks, tenant FROM vault_profile \
                 WHERE (tenant, number) > ($1, $2) ORDER BY tenant, number LIMIT $3",
        one: "SELECT number, memory_kib, passes, lanes, salt, checks, tenant FROM vault_profile \
              WHERE tenant = $1 AND number = $2",
        sizes: None,
        first: vec![Value::Text(String::new()), Value::Small(i16::MIN)],
        key: |row| match row {
            Row::Profile { tenant, profile } => {
                vec![Value::Text(tenant.to_string()), Value::Small(profile.number.into())]
            }
            _ => Vec::new(),
        },
        row: |row| {
            let tenant = tenant(row, 6)?;
            let profile = row::profile(row, &tenant).ok_or_else(|| damaged("a profile"))?;
            Ok(Row::Profile { tenant, profile })
        },
    }
}

pub(super) fn versions() -> Shelf {
    Shelf {
        behind: "SELECT tenant, removed FROM vault_tenant WHERE tenant > $1 AND removed <> 0 \
                 ORDER BY tenant LIMIT $2",
        one: "SELECT tenant, removed FROM vault_tenant WHERE tenant = $1",
        sizes: None,
        first: vec![Value::Text(String::new())],
        key: |row| match row {
            Row::Version { tenant, .. } => vec![Value::Text(tenant.to_string())],
            _ => Vec::new(),
        },
        row: |row| {
            let first = row.try_get::<_, i64>(1)?.cast_unsigned().saturating_add(1);
            Ok(Row::Version { tenant: tenant(row, 0)?, first })
        },
    }
}

pub(super) fn records() -> Shelf {
    Shelf {
        behind: "SELECT tenant, id, version, updated_at, expires_at, checks, sealed \
                 FROM vault_record WHERE (tenant, id) > ($1, $2) ORDER BY tenant, id LIMIT $3",
        one: "SELECT tenant, id, version, updated_at, expires_at, checks, sealed \
              FROM vault_record WHERE tenant = $1 AND id = $2",
        sizes: Some(
            "SELECT octet_length(sealed) FROM vault_record WHERE (tenant, id) > ($1, $2) \
             ORDER BY tenant, id LIMIT $3",
        ),
        first: vec![Value::Text(String::new()), Value::Bytes(Vec::new())],
        key: |row| match row {
            Row::Record { tenant, id, .. } => {
                let id = id.as_str().as_bytes().to_vec();
                vec![Value::Text(tenant.to_string()), Value::Bytes(id)]
            }
            _ => Vec::new(),
        },
        row: |row| {
            let (tenant, id): (_, &[u8]) = (tenant(row, 0)?, row.try_get(1)?);
            let place = (tenant.as_str(), id);
            let found = row::found(place, row::head(row, 2)?, Some(row.try_get(6)?));
            let id = str::from_utf8(id).ok().and_then(|id| RecordId::new(id).ok());
            let id = id.ok_or_else(|| damaged("the id of a record"))?;
            let Found::Whole(record) = found else {
                return Err(damaged(&format!("the record {id} of {tenant}")));
            };
            Ok(Row::Record { tenant, id, record })
        },
    }
}

pub(super) async fn put(link: &Link, rows: &[Row]) -> Done<()> {
    let new = match rows.first().map(Row::section) {
        Some(Section::Profiles) => put_profiles(link, rows).await?,
        Some(Section::Versions) => put_versions(link, rows).await?,
        _ => put_records(link, rows).await?,
    };
    check(link, rows, new).await
}

async fn put_profiles(link: &Link, rows: &[Row]) -> Done<u64> {
    let all = rows.iter().filter_map(|row| match row {
        Row::Profile { tenant, profile } => Some((tenant, profile)),
        _ => None,
    });
    let all: Vec<_> = all.collect();
    let tenants: Vec<&str> = all.iter().map(|(tenant, _)| tenant.as_str()).collect();
    let numbers: Vec<i16> = all.iter().map(|(_, it)| it.number.into()).collect();
    let memory: Vec<i64> = all.iter().map(|(_, it)| it.work.memory_kib.into()).collect();
    let passes: Vec<i64> = all.iter().map(|(_, it)| it.work.passes.into()).collect();
    let lanes: Vec<i64> = all.iter().map(|(_, it)| it.work.lanes.into()).collect();
    let salts: Vec<&[u8]> = all.iter().map(|(_, it)| &it.salt[..]).collect();
    let checks: Vec<i64> = all.iter().map(|(tenant, it)| row::profile_checks(tenant, it)).collect();
    let statement = link.statement(PROFILES).await?;
    let values: super::Values<'_> =
        &[&tenants, &numbers, &memory, &passes, &lanes, &salts, &checks];
    Ok(link.client.execute(&statement, values).await?)
}

async fn put_versions(link: &Link, rows: &[Row]) -> Done<u64> {
    let (mut tenants, mut removed) = (Vec::new(), Vec::new());
    for row in rows {
        if let Row::Version { tenant, first } = row {
            tenants.push(tenant.as_str());
            removed.push((first - 1).cast_signed());
        }
    }
    let statement = link.statement(VERSIONS).await?;
    Ok(link.client.execute(&statement, &[&tenants, &removed]).await?)
}

async fn put_records(link: &Link, rows: &[Row]) -> Done<u64> {
    let all = rows.iter().filter_map(|row| match row {
        Row::Record { tenant, id, record } => Some((tenant.as_str(), id.as_str(), record)),
        _ => None,
    });
    let all: Vec<_> = all.collect();
    let tenants: Vec<&str> = all.iter().map(|(tenant, ..)| *tenant).collect();
    let ids: Vec<&[u8]> = all.iter().map(|(_, id, _)| id.as_bytes()).collect();
    let versions: Vec<i64> = all.iter().map(|(.., it)| it.version.cast_signed()).collect();
    let updated: Vec<i64> = all.iter().map(|(.., it)| it.updated_at.0).collect();
    let expires: Vec<Option<i64>> =
        all.iter().map(|(.., it)| it.expires_at.map(|at| at.0)).collect();
    let sealed: Vec<&[u8]> = all.iter().map(|(.., it)| it.sealed.as_bytes()).collect();
    let checks = all.iter().map(|(tenant, id, it)| {
        row::Head::of(it).checks(tenant, id.as_bytes(), it.sealed.as_bytes())
    });
    let checks: Vec<i64> = checks.collect();
    let statement = link.statement(RECORDS).await?;
    let values: super::Values<'_> =
        &[&tenants, &ids, &versions, &updated, &expires, &checks, &sealed];
    Ok(link.client.execute(&statement, values).await?)
}

pub(super) async fn finish(link: &Link) -> Done<()> {
    link.client.batch_execute(EXPIRING).await?;
    Ok(())
}
