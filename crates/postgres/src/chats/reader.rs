//! Reads a chat, an inbox, and what became of a message, each with one statement: what it sees is
//! of one moment.

use std::sync::Arc;

use switchboard_core::{
    Code, Error, Millis, Result,
    chat::{
        ClientMessageId, Entry, Happening, InboxPage, MessagesPage, PhoneNumber, Reach, Steps, User,
    },
};
use tokio_postgres::Row;

use super::{
    keys::{ChatKey, bigint, digits},
    rows::{
        HEAD_COLUMNS, MESSAGE_COLUMNS, Value, damaged, get, head, head_columns, listed, message,
        message_columns, number, phone,
    },
};
use crate::readers::Readers;

/// A chat with its messages before an id, the newest first; one row without a message where there
/// is none.
const BEFORE: &str = concat!(
    "SELECT ",
    head_columns!("chat"),
    ", ",
    message_columns!("it"),
    " FROM chat LEFT JOIN LATERAL (SELECT * FROM chat_message AS found \
         WHERE found.tenant = $1 AND found.low = $2 AND found.high = $3 AND found.id < $4 \
         ORDER BY found.id DESC LIMIT $5) AS it ON true \
     WHERE chat.tenant = $1 AND chat.low = $2 AND chat.high = $3 ORDER BY it.id DESC"
);

/// A chat with its messages behind an id: of those the oldest, and of these the newest first.
const BEHIND: &str = concat!(
    "SELECT ",
    head_columns!("chat"),
    ", ",
    message_columns!("it"),
    " FROM chat LEFT JOIN LATERAL (SELECT * FROM chat_message AS found \
         WHERE found.tenant = $1 AND found.low = $2 AND found.high = $3 AND $4 < found.id \
         ORDER BY found.id LIMIT $5) AS it ON true \
     WHERE chat.tenant = $1 AND chat.low = $2 AND chat.high = $3 ORDER BY it.id DESC"
);

/// The entries of an inbox between two sequences: those that are messages, where he has the lower
/// number and where he has the higher, and those that are receipts. They have no gaps, so that
/// there are just as many as the page takes.
const INBOX: &str = concat!(
    "SELECT own.newest, it.* FROM chat_user AS own LEFT JOIN (SELECT low_sequence AS sequence, ",
    message_columns!("chat_message"),
    ", null::bigint, null::boolean, null::bigint, null::bigint FROM chat_message \
         WHERE tenant = $1 AND -low = -$2::bigint AND $3 < low_sequence AND low_sequence <= $4 \
     UNION ALL SELECT high_sequence, ",
    message_columns!("chat_message"),
    ", null, null, null, null FROM chat_message \
         WHERE tenant = $1 AND -high = -$2 AND $3 < high_sequence AND high_sequence <= $4 \
     UNION ALL SELECT sequence, null, null, null, null, null, null, null, null, \
         peer, read, up_to, at FROM chat_receipt \
         WHERE tenant = $1 AND phone = $2 AND $3 < sequence AND sequence <= $4\
     ) AS it ON true WHERE own.tenant = $1 AND own.phone = $2 ORDER BY it.sequence"
);

const NEWEST: &str = "SELECT asked.place, found.newest FROM unnest($1::text[], $2::bigint[]) \
     WITH ORDINALITY AS asked(tenant, phone, place) CROSS JOIN LATERAL (\
         SELECT it.newest FROM chat_user AS it \
         WHERE it.tenant = asked.tenant AND it.phone = asked.phone LIMIT 1) AS found";

/// A message, when it was stored, and the receipts that first reached it.
const TRACE: &str = concat!(
    "SELECT it.stored_at, delivered.sequence, delivered.at, read.sequence, read.at, ",
    message_columns!("it"),
    " FROM chat_message AS it \
     LEFT JOIN LATERAL (SELECT * FROM chat_receipt AS of \
         WHERE of.tenant = $1 AND -of.phone = -$2::bigint \
         AND of.peer = it.low + it.high - it.sender AND NOT of.read AND it.id <= of.up_to \
         ORDER BY of.up_to LIMIT 1) AS delivered ON true \
     LEFT JOIN LATERAL (SELECT * FROM chat_receipt AS of \
         WHERE of.tenant = $1 AND -of.phone = -$2::bigint \
         AND of.peer = it.low + it.high - it.sender AND of.read AND it.id <= of.up_to \
         ORDER BY of.up_to LIMIT 1) AS read ON true \
     WHERE it.tenant = $1 AND it.sender = $2 AND it.client_message_id = $3"
);

pub(super) async fn messages(
    readers: Arc<Readers>,
    user: User,
    peer: PhoneNumber,
    reach: Reach,
    limit: u32,
) -> Result<MessagesPage> {
    let (ChatKey { tenant, users: [low, high] }, _) = ChatKey::of(&user, peer);
    let (sql, id) = match reach {
        Reach::Newest => (BEFORE, i64::MAX),
        Reach::Before(id) => (BEFORE, bigint(id)),
        Reach::After(id) => (BEHIND, bigint(id)),
    };
    let (low, high, limit) = (digits(low), digits(high), i64::from(limit));
    let rows = query(&readers, sql, &[&tenant.as_str(), &low, &high, &id, &limit]).await?;
    let Some(first) = rows.first() else { return Ok(MessagesPage::default()) };
    let head = head(first, 0)?;
    let mut messages = Vec::with_capacity(rows.len());
    for row in &rows {
        if get::<Option<i64>>(row, HEAD_COLUMNS)?.is_some() {
            messages.push(listed(message(row, HEAD_COLUMNS)?, &head));
        }
    }
    Ok(MessagesPage { messages, last_id: head.last_id })
}

pub(super) async fn inbox(
    readers: Arc<Readers>,
    user: User,
    after: u64,
    limit: u32,
) -> Result<InboxPage> {
    let (tenant, own) = (user.tenant.as_str(), digits(user.phone));
    let until = bigint(after.saturating_add(limit.into()));
    let rows = query(&readers, INBOX, &[&tenant, &own, &bigint(after), &until]).await?;
    let newest = rows.first().map_or(Ok(0), |row| number(row, 0))?;
    if newest < after {
        let what = "nothing of this cursor has happened yet: it is not of this inbox";
        return Err(Error::new(Code::InvalidCursor, what));
    }
    let mut entries = Vec::with_capacity(rows.len());
    for (row, sequence) in rows.iter().zip(after + 1..) {
        match get::<Option<i64>>(row, 1)? {
            // The only row, where there is none.
            None => {}
            Some(found) if u64::try_from(found) == Ok(sequence) => {
                entries.push(Entry { sequence, what: happening(row, 2)? });
            }
            Some(_) => return Err(damaged()),
        }
    }
    if entries.len() as u64 != u64::from(limit).min(newest - after) {
        return Err(damaged());
    }
    Ok(InboxPage { entries, newest })
}

/// What an entry tells: a message, or a receipt.
fn happening(row: &Row, at: usize) -> Result<Happening> {
    let receipt = at + MESSAGE_COLUMNS;
    let Some(read) = get::<Option<bool>>(row, receipt + 1)? else {
        return Ok(Happening::Message(message(row, at)?));
    };
    let (peer, up_to) = (phone(row, receipt)?, number(row, receipt + 2)?);
    let at = Millis(get(row, receipt + 3)?);
    Ok(if read {
        Happening::Read { peer, up_to, at }
    } else {
        Happening::Delivered { peer, up_to, at }
    })
}

pub(super) async fn newest(readers: Arc<Readers>, users: Vec<User>) -> Result<Vec<u64>> {
    let mut newest = vec![0; users.len()];
    if users.is_empty() {
        return Ok(newest);
    }
    let tenants: Vec<&str> = users.iter().map(|user| user.tenant.as_str()).collect();
    let phones: Vec<i64> = users.iter().map(|user| digits(user.phone)).collect();
    for row in query(&readers, NEWEST, &[&tenants, &phones]).await? {
        let place = usize::try_from(number(&row, 0)?).unwrap_or_default();
        let told = place.checked_sub(1).and_then(|at| newest.get_mut(at)).ok_or_else(damaged)?;
        *told = number(&row, 1)?;
    }
    Ok(newest)
}

pub(super) async fn trace(
    readers: Arc<Readers>,
    sender: User,
    id: ClientMessageId,
) -> Result<Steps> {
    let (tenant, own, name) =
        (sender.tenant.as_str(), digits(sender.phone), id.as_str().as_bytes());
    let rows = query(&readers, TRACE, &[&tenant, &own, &name]).await?;
    let row = rows.first().ok_or_else(|| {
        Error::new(Code::NotFound, "no message was sent with this client_message_id")
    })?;
    let receipt = |at| {
        let (sequence, at): (Option<i64>, Option<i64>) = (get(row, at)?, get(row, at + 1)?);
        Ok::<_, Error>(sequence.zip(at))
    };
    let read = receipt(3)?;
    // What was read has arrived. Of the two the one that was told first.
    let delivered = [receipt(1)?, read].into_iter().flatten().min();
    let stored = Millis(get(row, 0)?);
    Ok(Steps {
        message: message(row, 5)?,
        stored,
        signalled: stored,
        delivered: delivered.map(|(_, at)| Millis(at)),
        read: read.map(|(_, at)| Millis(at)),
    })
}

/// Runs a statement on one of the connections that are read over.
pub(super) async fn query(
    readers: &Arc<Readers>,
    sql: &'static str,
    values: &[Value<'_>],
) -> Result<Vec<Row>> {
    let read = |link: Arc<crate::link::Link>| async move {
        let statement = link.statement(sql).await?;
        link.client.query(&statement, values).await
    };
    readers.read(read).await
}
