//! The keys of ingest.

use switchboard_core::{
    ingest::{Entry, Key as IngestKey},
    transfer::Row,
};

use super::{
    Done, bigint, check, damaged, number,
    place::{Shelf, Value},
    tenant,
};
use crate::link::Link;

const PUT: &str = "INSERT INTO ledger (tenant, key, id) \
     SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[]) ON CONFLICT DO NOTHING";

/// The next id is one behind the greatest.
const NEXT: &str =
    "SELECT setval('ledger_id', greatest(max(id), 1), max(id) IS NOT NULL) FROM ledger";

pub(super) fn shelf() -> Shelf {
    Shelf {
        behind: "SELECT tenant, key, id FROM ledger WHERE (tenant, key) > ($1, $2) \
                 ORDER BY tenant, key LIMIT $3",
        one: "SELECT tenant, key, id FROM ledger WHERE tenant = $1 AND key = $2",
        sizes: None,
        first: vec![Value::Text(String::new()), Value::Int(i32::MIN)],
        key: |row| match row {
            Row::Key { entry, .. } => {
                vec![Value::Text(entry.tenant.to_string()), Value::Int(int(entry.key))]
            }
            _ => Vec::new(),
        },
        row: |row| {
            let key =
                u32::try_from(row.try_get::<_, i32>(1)?).ok().and_then(IngestKey::from_number);
            let key = key.ok_or_else(|| damaged("a key"))?;
            Ok(Row::Key { entry: Entry { tenant: tenant(row, 0)?, key }, id: number(row, 2)? })
        },
    }
}

/// There are fewer keys than 2^31.
fn int(key: IngestKey) -> i32 {
    i32::try_from(key.number()).unwrap_or(i32::MAX)
}

pub(super) async fn put(link: &Link, rows: &[Row]) -> Done<()> {
    let (mut tenants, mut keys, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        if let Row::Key { entry, id } = row {
            tenants.push(entry.tenant.as_str());
            keys.push(int(entry.key));
            ids.push(bigint(*id));
        }
    }
    let statement = link.statement(PUT).await?;
    let new = link.client.execute(&statement, &[&tenants, &keys, &ids]).await?;
    check(link, rows, new).await
}

pub(super) async fn finish(link: &Link) -> Done<()> {
    link.client.query_one(NEXT, &[]).await?;
    Ok(())
}
