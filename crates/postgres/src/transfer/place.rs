//! How the rows of a section are read: by a key, in its order.

use std::fmt::Debug;

use switchboard_core::transfer::{BYTES_MAX, Page, Place, Row, Section};
use tokio_postgres::types::ToSql;

use super::{Done, bus, chats, damaged, keys, vault};
use crate::link::Link;

/// Where rows stand, and how they are read.
pub(super) struct Shelf {
    /// Those behind a key, in order, so many at most.
    pub(super) behind: &'static str,
    /// The one with a key.
    pub(super) one: &'static str,
    /// How many bytes each of those behind a key has, where they may have many.
    pub(super) sizes: Option<&'static str>,
    /// Comes before every key.
    pub(super) first: Key,
    /// The key of a row.
    pub(super) key: fn(&Row) -> Key,
    /// What a row of the database says.
    pub(super) row: fn(&tokio_postgres::Row) -> Done<Row>,
}

/// What a row is known by.
pub(super) type Key = Vec<Value>;

/// One part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Bytes(Vec<u8>),
    Small(i16),
    Int(i32),
    Big(i64),
}

impl Value {
    fn as_parameter(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Text(text) => text,
            Self::Bytes(bytes) => bytes,
            Self::Small(number) => number,
            Self::Int(number) => number,
            Self::Big(number) => number,
        }
    }
}

/// The shelf of a section.
pub(super) fn shelf(section: Section) -> Shelf {
    match section {
        Section::Keys => keys::shelf(),
        Section::Users => chats::users(),
        Section::Messages => chats::said(),
        Section::Profiles => vault::profiles(),
        Section::Versions => vault::versions(),
        Section::Records => vault::records(),
        Section::Expiries => bus::expiries(),
        Section::Events => bus::events(),
        Section::Heads => bus::heads(),
        Section::Queues => bus::queues(),
        Section::Deliveries => bus::deliveries(),
        Section::Stays => bus::stays(),
    }
}

/// The shelf of a row.
pub(super) fn shelf_of(row: &Row) -> Shelf {
    match row {
        Row::Receipt(_) => chats::receipts(),
        row => shelf(row.section()),
    }
}

/// How many rows a section has.
pub(super) fn count(section: Section) -> &'static str {
    match section {
        Section::Keys => "SELECT count(*) FROM ledger",
        Section::Users => "SELECT count(*) FROM chat_user WHERE created_at IS NOT NULL",
        Section::Messages => {
            "SELECT (SELECT count(*) FROM chat_message) + (SELECT count(*) FROM chat_receipt)"
        }
        Section::Profiles => "SELECT count(*) FROM vault_profile",
        Section::Versions => "SELECT count(*) FROM vault_tenant WHERE removed <> 0",
        Section::Records => "SELECT count(*) FROM vault_record",
        Section::Expiries => {
            "SELECT coalesce(sum(cardinality(mark_filters)), 0)::bigint FROM bus_head"
        }
        Section::Events => "SELECT count(*) FROM bus_event",
        Section::Heads => "SELECT count(*) FROM bus_head WHERE newest > 0",
        Section::Queues => "SELECT count(*) FROM bus_queue",
        Section::Deliveries => "SELECT coalesce(sum(held), 0)::bigint FROM bus_queue",
        Section::Stays => "SELECT count(DISTINCT (tenant, client)) FROM bus_stay",
    }
}

fn parameters(key: &Key) -> Vec<&(dyn ToSql + Sync)> {
    key.iter().map(Value::as_parameter).collect()
}

/// The row with the key of this one, if it is there.
pub(super) async fn one(link: &Link, shelf: &Shelf, row: &Row) -> Done<Option<Row>> {
    let (statement, key) = (link.statement(shelf.one).await?, (shelf.key)(row));
    let found = link.client.query_opt(&statement, &parameters(&key)).await?;
    found.as_ref().map(shelf.row).transpose()
}

/// Rows behind a place.
pub(super) async fn page(
    link: &Link,
    shelf: &Shelf,
    from: Option<Place>,
    max: usize,
) -> Done<Page> {
    let key = match from {
        None => shelf.first.clone(),
        Some(place) => read(&place).ok_or_else(|| damaged("a place"))?,
    };
    let mut limit = i64::try_from(max).unwrap_or(i64::MAX);
    let mut cut = false;
    if let Some(sizes) = shelf.sizes {
        let statement = link.statement(sizes).await?;
        let mut values = parameters(&key);
        values.push(&limit);
        let (mut bytes, mut fit) = (0, 0);
        for row in link.client.query(&statement, &values).await? {
            if BYTES_MAX <= bytes {
                cut = true;
                break;
            }
            bytes += usize::try_from(row.try_get::<_, i32>(0)?).unwrap_or_default();
            fit += 1;
        }
        limit = fit;
    }
    let statement = link.statement(shelf.behind).await?;
    let mut values = parameters(&key);
    values.push(&limit);
    let found = link.client.query(&statement, &values).await?;
    let rows = found.iter().map(shelf.row).collect::<Done<Vec<Row>>>()?;
    let next = rows.last().filter(|_| cut || rows.len() == max);
    let next = next.map(|last| write(&(shelf.key)(last)));
    Ok(Page { rows, next })
}

/// A key as a place.
pub(super) fn write(key: &Key) -> Place {
    let mut bytes = Vec::new();
    for value in key {
        let (kind, part) = match value {
            Value::Text(text) => (1, text.as_bytes().to_vec()),
            Value::Bytes(bytes) => (2, bytes.clone()),
            Value::Small(number) => (3, number.to_be_bytes().to_vec()),
            Value::Int(number) => (4, number.to_be_bytes().to_vec()),
            Value::Big(number) => (5, number.to_be_bytes().to_vec()),
        };
        bytes.push(kind);
        bytes.extend_from_slice(&u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend_from_slice(&part);
    }
    Place(bytes)
}

/// A place as a key.
pub(super) fn read(place: &Place) -> Option<Key> {
    let (mut key, mut rest) = (Vec::new(), &place.0[..]);
    while let Some((&kind, behind)) = rest.split_first() {
        let (&len, behind) = behind.split_first_chunk()?;
        let (part, behind) = behind.split_at_checked(u16::from_be_bytes(len).into())?;
        rest = behind;
        key.push(match kind {
            1 => Value::Text(str::from_utf8(part).ok()?.to_owned()),
            2 => Value::Bytes(part.to_vec()),
            3 => Value::Small(i16::from_be_bytes(part.try_into().ok()?)),
            4 => Value::Int(i32::from_be_bytes(part.try_into().ok()?)),
            5 => Value::Big(i64::from_be_bytes(part.try_into().ok()?)),
            _ => return None,
        });
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        let key = vec![
            Value::Text("a".to_owned()),
            Value::Bytes(vec![0, 255]),
            Value::Small(-1),
            Value::Int(7),
            Value::Big(i64::MIN),
        ];
        let place = write(&key);
        assert_eq!(read(&place), Some(key));
        for cut in 1..place.0.len() {
            let cut = read(&Place(place.0[..cut].to_vec()));
            assert!(cut.is_none_or(|cut| cut.len() < 5));
        }
    }
}
