//! Conversations.
//!
//! What was said is told nearly in the order in which it happened, so that whoever has to put it in
//! order has little to keep meanwhile: by the times at which it was accepted. No index has that
//! order; it is made once, and read on by a cursor.

use std::collections::{HashMap, HashSet};

use switchboard_core::{
    Millis,
    chat::{ClientMessageId, Message, Name, PhoneNumber, Text, User},
    transfer::{BYTES_MAX, Page, Place, Receipt, Row, Said, Sequences},
};

use super::{
    Done, State, Values, bigint, check, conflict, damaged, number,
    place::{self, Shelf, Value},
    tenant,
};
use crate::{
    chats::{
        keys::{ChatKey, Side, digits},
        rows::chat_columns,
        written::{MessageColumns, MessageRow, insert_messages, read_trace},
    },
    link::Link,
};

/// Both kinds of what is told, with the key by which they are ordered first.
macro_rules! said {
    ($rest:literal) => {
        concat!(
            "SELECT tenant, sent_at AS at, 0 AS kind, low AS a, high AS b, id AS c, sender, \
             low_sequence, high_sequence, stored_at, client_message_id, trace, body, \
             false AS read, 0::bigint AS up_to FROM chat_message ",
            $rest
        )
    };
}

macro_rules! receipts {
    ($rest:literal) => {
        concat!(
            "SELECT tenant, at, 1 AS kind, phone AS a, peer AS b, sequence AS c, 0::bigint, \
             0::bigint, 0::bigint, 0::bigint, ''::bytea, NULL::bytea, ''::bytea, read, up_to \
             FROM chat_receipt ",
            $rest
        )
    };
}

const USERS: &str = "INSERT INTO chat_user (tenant, phone, created_at, name) \
     SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bytea[]) \
     ON CONFLICT DO NOTHING";

/// How many messages are by the lower number before those with these ids.
const BEFORE: &str = "SELECT d.place, m.by_low \
     FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) WITH ORDINALITY \
     d (tenant, low, high, id, place) \
     CROSS JOIN LATERAL (SELECT by_low FROM chat_message m WHERE m.tenant = d.tenant \
     AND m.low = d.low AND m.high = d.high AND m.id = d.id LIMIT 1) m";

const MESSAGES: &str = insert_messages!(" ON CONFLICT DO NOTHING");

const RECEIPTS: &str = "INSERT INTO chat_receipt (tenant, phone, sequence, peer, read, up_to, at) \
     SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::boolean[], \
     $6::bigint[], $7::bigint[]) ON CONFLICT DO NOTHING";

/// How every chat is after its last message and receipt.
const CHATS: &str = "INSERT INTO chat (tenant, low, high, last_id, by_low, low_unread, \
     high_unread, low_delivered, low_read, high_delivered, high_read, low_activity, high_activity, \
     low_step, high_step) \
     SELECT l.tenant, l.low, l.high, l.id, l.by_low, \
     (l.id - l.by_low) - (lr.up_to - coalesce(lm.by_low, 0)), \
     l.by_low - coalesce(hm.by_low, 0), ld.up_to, lr.up_to, hd.up_to, hr.up_to, \
     l.low_sequence, l.high_sequence, l.low_sequence >> 6, l.high_sequence >> 6 \
     FROM (SELECT DISTINCT ON (tenant, low, high) * FROM chat_message \
     ORDER BY tenant, low, high, id DESC) l \
     CROSS JOIN LATERAL (SELECT coalesce(max(up_to), 0) AS up_to FROM chat_receipt r \
     WHERE r.tenant = l.tenant AND -r.phone = -l.high AND r.peer = l.low) ld \
     CROSS JOIN LATERAL (SELECT coalesce(max(up_to), 0) AS up_to FROM chat_receipt r \
     WHERE r.tenant = l.tenant AND -r.phone = -l.high AND r.peer = l.low AND r.read) lr \
     CROSS JOIN LATERAL (SELECT coalesce(max(up_to), 0) AS up_to FROM chat_receipt r \
     WHERE r.tenant = l.tenant AND -r.phone = -l.low AND r.peer = l.high) hd \
     CROSS JOIN LATERAL (SELECT coalesce(max(up_to), 0) AS up_to FROM chat_receipt r \
     WHERE r.tenant = l.tenant AND -r.phone = -l.low AND r.peer = l.high AND r.read) hr \
     LEFT JOIN chat_message lm ON lm.tenant = l.tenant AND lm.low = l.low AND lm.high = l.high \
     AND lm.id = lr.up_to \
     LEFT JOIN chat_message hm ON hm.tenant = l.tenant AND hm.low = l.low AND hm.high = l.high \
     AND hm.id = hr.up_to";

/// How far every inbox has come.
const INBOXES: &str = "INSERT INTO chat_user (tenant, phone, newest) \
     SELECT tenant, phone, max(sequence) FROM (\
     SELECT tenant, low AS phone, low_sequence AS sequence FROM chat_message UNION ALL \
     SELECT tenant, high, high_sequence FROM chat_message UNION ALL \
     SELECT tenant, phone, sequence FROM chat_receipt) e GROUP BY tenant, phone \
     ON CONFLICT (tenant, phone) DO UPDATE SET newest = excluded.newest";

/// Whether anything is missing: ids and sequences have no gaps.
const MISSING: &str = "SELECT EXISTS (SELECT 1 FROM chat_message GROUP BY tenant, low, high \
     HAVING count(*) <> max(id)) \
     OR (SELECT coalesce(sum(newest), 0) FROM chat_user) <> \
     (SELECT 2 * count(*) FROM chat_message) + (SELECT count(*) FROM chat_receipt)";

/// The order in which what was said is told, from a key on.
const CURSOR: &str = concat!(
    "DECLARE said NO SCROLL CURSOR FOR SELECT * FROM (",
    said!("UNION ALL "),
    receipts!(""),
    ") e WHERE (tenant, at, kind, a, b, c) > ($1, $2, $3, $4, $5, $6) \
     ORDER BY tenant, at, kind, a, b, c"
);

pub(super) fn users() -> Shelf {
    Shelf {
        behind: "SELECT tenant, phone, name, created_at FROM chat_user \
                 WHERE (tenant, phone) > ($1, $2) AND created_at IS NOT NULL \
                 ORDER BY tenant, phone LIMIT $3",
        one: "SELECT tenant, phone, name, created_at FROM chat_user \
              WHERE tenant = $1 AND phone = $2 AND created_at IS NOT NULL",
        sizes: None,
        first: vec![Value::Text(String::new()), Value::Big(i64::MIN)],
        key: |row| match row {
            Row::User { user, .. } => {
                vec![Value::Text(user.tenant.to_string()), Value::Big(digits(user.phone))]
            }
            _ => Vec::new(),
        },
        row: |row| {
            let user = User { tenant: tenant(row, 0)?, phone: phone(row, 1)? };
            let name: Option<&[u8]> = row.try_get(2)?;
            let named = |name| Name::new(text(name)?).map_err(|_| damaged("a name"));
            let name = name.map(named).transpose()?;
            Ok(Row::User { user, name, created_at: Millis(row.try_get(3)?) })
        },
    }
}

pub(super) fn said() -> Shelf {
    Shelf {
        behind: "",
        one: said!("WHERE tenant = $1 AND low = $2 AND high = $3 AND id = $4"),
        sizes: None,
        first: Vec::new(),
        key: |row| match row {
            Row::Said(it) => {
                let [low, high] = chat(it).0.users.map(digits);
                let numbers = [low, high, bigint(it.message.id)].map(Value::Big);
                [vec![Value::Text(it.tenant.to_string())], numbers.to_vec()].concat()
            }
            _ => Vec::new(),
        },
        row,
    }
}

pub(super) fn receipts() -> Shelf {
    Shelf {
        behind: "",
        one: receipts!("WHERE tenant = $1 AND phone = $2 AND sequence = $3"),
        sizes: None,
        first: Vec::new(),
        key: |row| match row {
            Row::Receipt(it) => vec![
                Value::Text(it.user.tenant.to_string()),
                Value::Big(digits(it.peer)),
                Value::Big(bigint(it.sequence)),
            ],
            _ => Vec::new(),
        },
        row,
    }
}

/// The chat in which something was said, and which of its two users said it.
fn chat(it: &Said) -> (ChatKey, Side) {
    ChatKey::of(&User { tenant: it.tenant, phone: it.message.from }, it.message.to)
}

fn phone(row: &tokio_postgres::Row, at: usize) -> Done<PhoneNumber> {
    PhoneNumber::from_digits(number(row, at)?).ok_or_else(|| damaged("a phone number"))
}

fn text(bytes: &[u8]) -> Done<&str> {
    str::from_utf8(bytes).map_err(|_| damaged("a text"))
}

fn row(row: &tokio_postgres::Row) -> Done<Row> {
    let (tenant, a, b) = (tenant(row, 0)?, phone(row, 3)?, phone(row, 4)?);
    if row.try_get::<_, i32>(2)? == 1 {
        return Ok(Row::Receipt(Receipt {
            user: User { tenant, phone: b },
            peer: a,
            read: row.try_get(13)?,
            up_to: number(row, 14)?,
            sequence: number(row, 5)?,
            at: Millis(row.try_get(1)?),
        }));
    }
    let (from, low, high) = (phone(row, 6)?, number(row, 7)?, number(row, 8)?);
    let by_low = from == a;
    let wrong = |_| damaged("a message");
    let trace: Option<&[u8]> = row.try_get(11)?;
    Ok(Row::Said(Said {
        tenant,
        message: Message {
            id: number(row, 5)?,
            from,
            to: if by_low { b } else { a },
            text: Text::new(text(row.try_get(12)?)?).map_err(wrong)?,
            client_message_id: ClientMessageId::new(text(row.try_get(10)?)?).map_err(wrong)?,
            sent_at: Millis(row.try_get(1)?),
            trace: trace.map(|it| read_trace(it).ok_or_else(|| damaged("a trace"))).transpose()?,
        },
        sequences: if by_low {
            Sequences { from: low, to: high }
        } else {
            Sequences { from: high, to: low }
        },
        stored: Millis(row.try_get(9)?),
    }))
}

impl State {
    /// What was said, on from where the cursor stands, or from where it is made to stand.
    pub(super) async fn read_messages(&mut self, from: Option<Place>, max: usize) -> Done<Page> {
        if self.cursor.is_none() || self.cursor != from {
            self.close().await?;
            self.declare(from.as_ref()).await?;
        }
        let (mut page, mut bytes, mut last) = (Page::default(), 0, None);
        while page.rows.len() < max && bytes < BYTES_MAX {
            let some = (max - page.rows.len()).min(500);
            let found = self.link.client.query(&format!("FETCH {some} FROM said"), &[]).await?;
            let is_end = found.len() < some;
            for found in &found {
                let row = row(found)?;
                bytes += row.size();
                page.rows.push(row);
            }
            if let Some(found) = found.last() {
                last = Some(key(found)?);
            }
            if is_end {
                last = None;
                break;
            }
        }
        page.next = last;
        self.cursor.clone_from(&page.next);
        if page.next.is_none() {
            self.link.client.batch_execute("CLOSE said").await?;
        }
        Ok(page)
    }

    async fn close(&mut self) -> Done<()> {
        if self.cursor.take().is_some() {
            self.link.client.batch_execute("CLOSE said").await?;
        }
        Ok(())
    }

    async fn declare(&mut self, from: Option<&Place>) -> Done<()> {
        let first = vec![
            Value::Text(String::new()),
            Value::Big(i64::MIN),
            Value::Int(0),
            Value::Big(0),
            Value::Big(0),
            Value::Big(0),
        ];
        let key = from.map_or(Some(first), place::read).filter(|key| key.len() == 6);
        let key = key.ok_or_else(|| damaged("a place"))?;
        // A cursor's statement takes no parameters by itself.
        let literal = |value: &Value| match value {
            Value::Text(tenant) => format!("'{}'", tenant.replace('\'', "''")),
            Value::Big(number) => format!("({number})::bigint"),
            Value::Int(number) => format!("({number})"),
            _ => "NULL".to_owned(),
        };
        let mut sql = CURSOR.to_owned();
        for (place, value) in (1..).zip(&key) {
            sql = sql.replace(&format!("${place}"), &literal(value));
        }
        self.link.client.batch_execute(&sql).await?;
        Ok(())
    }
}

/// The key of a row of the cursor.
fn key(row: &tokio_postgres::Row) -> Done<Place> {
    let tenant: &str = row.try_get(0)?;
    Ok(place::write(&vec![
        Value::Text(tenant.to_owned()),
        Value::Big(row.try_get(1)?),
        Value::Int(row.try_get(2)?),
        Value::Big(row.try_get(3)?),
        Value::Big(row.try_get(4)?),
        Value::Big(row.try_get(5)?),
    ]))
}

pub(super) async fn put(link: &Link, rows: &[Row]) -> Done<()> {
    let mut new = put_users(link, rows).await?;
    let said: Vec<&Said> = rows
        .iter()
        .filter_map(|row| if let Row::Said(said) = row { Some(said) } else { None })
        .collect();
    if !said.is_empty() {
        new += put_said(link, &said).await?;
    }
    new += put_receipts(link, rows).await?;
    check(link, rows, new).await
}

async fn put_users(link: &Link, rows: &[Row]) -> Done<u64> {
    let (mut tenants, mut phones, mut times) = (Vec::new(), Vec::new(), Vec::new());
    let mut names = Vec::new();
    for row in rows {
        if let Row::User { user, name, created_at } = row {
            tenants.push(user.tenant.as_str());
            phones.push(digits(user.phone));
            times.push(created_at.0);
            names.push(name.as_ref().map(|name| name.as_str().as_bytes()));
        }
    }
    if tenants.is_empty() {
        return Ok(0);
    }
    let statement = link.statement(USERS).await?;
    Ok(link.client.execute(&statement, &[&tenants, &phones, &times, &names]).await?)
}

/// How many messages of its chat are by the lower number, up to each of these.
async fn by_low(link: &Link, said: &[&Said]) -> Done<Vec<u64>> {
    let here: HashSet<_> = said.iter().map(|it| (chat(it).0, it.message.id)).collect();
    let is_first =
        |it: &&&Said| 1 < it.message.id && !here.contains(&(chat(it).0, it.message.id - 1));
    let first: Vec<&Said> = said.iter().filter(is_first).copied().collect();
    let mut known: HashMap<_, u64> = HashMap::new();
    let keys: Vec<ChatKey> = first.iter().map(|it| chat(it).0).collect();
    let (tenants, lows, highs) = chat_columns(keys.iter());
    let ids: Vec<i64> = first.iter().map(|it| bigint(it.message.id - 1)).collect();
    if !first.is_empty() {
        let statement = link.statement(BEFORE).await?;
        let found = link.client.query(&statement, &[&tenants, &lows, &highs, &ids]).await?;
        for row in &found {
            let place = usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or_default();
            if let Some(it) = place.checked_sub(1).and_then(|place| first.get(place)) {
                known.insert((chat(it).0, it.message.id - 1), number(row, 1)?);
            }
        }
    }
    let mut all = Vec::with_capacity(said.len());
    for it in said {
        let ((of, side), id) = (chat(it), it.message.id);
        let before = if id == 1 { Some(0) } else { known.get(&(of, id - 1)).copied() };
        let before = before.ok_or_else(|| conflict("what stands before a message"))?;
        let so_many = before + u64::from(side == 0);
        known.insert((of, id), so_many);
        all.push(so_many);
    }
    Ok(all)
}

async fn put_said(link: &Link, said: &[&Said]) -> Done<u64> {
    let by_low = by_low(link, said).await?;
    let rows = said.iter().zip(by_low).map(|(&it, by_low)| {
        let (chat, side) = chat(it);
        let Sequences { from, to } = it.sequences;
        let sequences = if side == 0 { [from, to] } else { [to, from] };
        MessageRow { chat, message: &it.message, by_low, sequences, stored_at: it.stored }
    });
    let rows: Vec<MessageRow<'_>> = rows.collect();
    let statement = link.statement(MESSAGES).await?;
    Ok(link.client.execute(&statement, &MessageColumns::of(&rows).values()).await?)
}

async fn put_receipts(link: &Link, rows: &[Row]) -> Done<u64> {
    let all = rows.iter().filter_map(|row| match row {
        Row::Receipt(receipt) => Some(receipt),
        _ => None,
    });
    let all: Vec<&Receipt> = all.collect();
    if all.is_empty() {
        return Ok(0);
    }
    let tenants: Vec<&str> = all.iter().map(|it| it.user.tenant.as_str()).collect();
    let phones: Vec<i64> = all.iter().map(|it| digits(it.peer)).collect();
    let sequences: Vec<i64> = all.iter().map(|it| bigint(it.sequence)).collect();
    let peers: Vec<i64> = all.iter().map(|it| digits(it.user.phone)).collect();
    let read: Vec<bool> = all.iter().map(|it| it.read).collect();
    let up_to: Vec<i64> = all.iter().map(|it| bigint(it.up_to)).collect();
    let times: Vec<i64> = all.iter().map(|it| it.at.0).collect();
    let statement = link.statement(RECEIPTS).await?;
    let values: Values<'_> = &[&tenants, &phones, &sequences, &peers, &read, &up_to, &times];
    Ok(link.client.execute(&statement, values).await?)
}

pub(super) async fn finish(link: &Link) -> Done<()> {
    link.client.batch_execute(INBOXES).await?;
    if link.client.query_one(MISSING, &[]).await?.try_get(0)? {
        return Err(conflict(
            "something that was said or acknowledged is missing, so what is there",
        ));
    }
    link.client.batch_execute(CHATS).await?;
    Ok(())
}
