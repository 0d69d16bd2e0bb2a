//! Rows, and what they say.

use std::sync::Arc;

use switchboard_core::{
    Code, Error, Millis, Result,
    chat::{ClientMessageId, Listed, Marks, Message, Name, PhoneNumber, Text},
};
use tokio_postgres::{
    Row, Statement,
    types::{FromSql, ToSql},
};

use super::{
    keys::{ChatKey, Head, Side, bigint, digits},
    written::read_trace,
};
use crate::{error::unavailable, link::Link};

/// A value that is handed to a statement.
pub(crate) type Value<'a> = &'a (dyn ToSql + Sync);

/// The columns that [`message`] reads.
macro_rules! message_columns {
    ($table:literal) => {
        concat!(
            $table,
            ".id, ",
            $table,
            ".low, ",
            $table,
            ".high, ",
            $table,
            ".sender, ",
            $table,
            ".sent_at, ",
            $table,
            ".client_message_id, ",
            $table,
            ".trace, ",
            $table,
            ".body"
        )
    };
}

/// How many they are.
pub(super) const MESSAGE_COLUMNS: usize = 8;

/// The columns that [`head`] reads.
macro_rules! head_columns {
    ($table:literal) => {
        concat!(
            $table,
            ".last_id, ",
            $table,
            ".by_low, ",
            $table,
            ".low_unread, ",
            $table,
            ".high_unread, ",
            $table,
            ".low_delivered, ",
            $table,
            ".low_read, ",
            $table,
            ".high_delivered, ",
            $table,
            ".high_read, ",
            $table,
            ".low_activity, ",
            $table,
            ".high_activity"
        )
    };
}

/// How many they are.
pub(super) const HEAD_COLUMNS: usize = 10;

pub(super) use {head_columns, message_columns};

/// Runs a statement, where there is anything to run it for.
pub(super) async fn rows(
    link: &Link,
    statement: &Statement,
    count: usize,
    values: &[Value<'_>],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    if count == 0 { Ok(Vec::new()) } else { link.client.query(statement, values).await }
}

/// A value of a row.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T> {
    row.try_get(at).map_err(unavailable)
}

/// A number that counts something.
pub(super) fn number(row: &Row, at: usize) -> Result<u64> {
    u64::try_from(get::<i64>(row, at)?).map_err(|_| damaged())
}

pub(super) fn phone(row: &Row, at: usize) -> Result<PhoneNumber> {
    PhoneNumber::from_digits(number(row, at)?).ok_or_else(damaged)
}

pub(super) fn name(row: &Row, at: usize) -> Result<Option<Name>> {
    let name: Option<&[u8]> = get(row, at)?;
    name.map(|name| Name::new(text(name)?).map_err(|_| damaged())).transpose()
}

/// How a chat is, from its columns.
pub(super) fn head(row: &Row, at: usize) -> Result<Head> {
    let marks = |at| {
        let (delivered_up_to, read_up_to) = (number(row, at)?, number(row, at + 1)?);
        Ok::<_, Error>(Marks { delivered_up_to, read_up_to })
    };
    Ok(Head {
        last_id: number(row, at)?,
        by_low: number(row, at + 1)?,
        unread: [number(row, at + 2)?, number(row, at + 3)?],
        marks: [marks(at + 4)?, marks(at + 6)?],
        activity: [number(row, at + 8)?, number(row, at + 9)?],
    })
}

/// A message, from its columns.
pub(super) fn message(row: &Row, at: usize) -> Result<Arc<Message>> {
    let users = [phone(row, at + 1)?, phone(row, at + 2)?];
    let from = phone(row, at + 3)?;
    let to = users[usize::from(from == users[0])];
    let client_message_id: &[u8] = get(row, at + 5)?;
    let trace: Option<&[u8]> = get(row, at + 6)?;
    let body: &[u8] = get(row, at + 7)?;
    Ok(Arc::new(Message {
        id: number(row, at)?,
        from,
        to,
        text: Text::new(text(body)?).map_err(|_| damaged())?,
        client_message_id: ClientMessageId::new(text(client_message_id)?).map_err(|_| damaged())?,
        sent_at: Millis(get(row, at + 4)?),
        trace: trace.map(|it| read_trace(it).ok_or_else(damaged)).transpose()?,
    }))
}

/// A message, and how far it has come.
pub(super) fn listed(message: Arc<Message>, head: &Head) -> Listed {
    let status = head.marks[recipient(&message)].status(message.id);
    Listed { message, status }
}

/// The side of whom a message was written to.
fn recipient(message: &Message) -> Side {
    usize::from(message.from < message.to)
}

fn text(bytes: &[u8]) -> Result<&str> {
    str::from_utf8(bytes).map_err(|_| damaged())
}

/// The keys of chats, column by column.
pub(crate) fn chat_columns<'a>(
    keys: impl Iterator<Item = &'a ChatKey>,
) -> (Vec<&'a str>, Vec<i64>, Vec<i64>) {
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for ChatKey { tenant, users: [low, high] } in keys {
        columns.0.push(tenant.as_str());
        columns.1.push(digits(*low));
        columns.2.push(digits(*high));
    }
    columns
}

/// Numbers that count something, as a column.
pub(super) fn counts(numbers: impl Iterator<Item = u64>) -> Vec<i64> {
    numbers.map(bigint).collect()
}

pub(super) fn damaged() -> Error {
    Error::new(Code::Internal, "what stands in the database is not what was written there")
}
