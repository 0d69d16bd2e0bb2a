//! Writes what was decided of a group, in one round trip.

use std::collections::HashMap;

use switchboard_core::chat::{Name, User};

use super::{
    keys::{ChatKey, Head, bigint, digits},
    rows::{Value, chat_columns, counts, rows},
    state::{Card, NewMessage, NewReceipt, State},
    written::{MessageColumns, MessageRow, insert_messages},
};
use crate::{lane::Fault, link::Link};

const MESSAGES: &str = insert_messages!("");

const RECEIPTS: &str = "INSERT INTO chat_receipt (tenant, phone, sequence, peer, read, up_to, at) \
     SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::boolean[], \
         $6::bigint[], $7::bigint[])";

/// All that a row is. It is locked by its users' locks, whether it is there or not.
const CHATS: &str = "INSERT INTO chat (tenant, low, high, last_id, by_low, \
         low_unread, high_unread, low_delivered, low_read, high_delivered, high_read, \
         low_activity, high_activity, low_step, high_step) \
     SELECT it.*, it.low_activity >> 6, it.high_activity >> 6 FROM unnest($1::text[], \
         $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], \
         $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[]) \
         AS it(tenant, low, high, last_id, by_low, low_unread, high_unread, low_delivered, \
         low_read, high_delivered, high_read, low_activity, high_activity) \
     ON CONFLICT (tenant, low, high) DO UPDATE SET \
         last_id = excluded.last_id, by_low = excluded.by_low, \
         low_unread = excluded.low_unread, high_unread = excluded.high_unread, \
         low_delivered = excluded.low_delivered, low_read = excluded.low_read, \
         high_delivered = excluded.high_delivered, high_read = excluded.high_read, \
         low_activity = excluded.low_activity, high_activity = excluded.high_activity, \
         low_step = excluded.low_step, high_step = excluded.high_step";

/// They are there already: an insert that meets them finds each by the primary key, which a join
/// may not.
const USERS: &str = "INSERT INTO chat_user (tenant, phone, newest, created_at, name) \
     SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[]) \
     ON CONFLICT (tenant, phone) DO UPDATE SET newest = excluded.newest, \
         created_at = excluded.created_at, name = excluded.name";

impl State {
    /// Writes all that has changed.
    pub(super) async fn put(&self, link: &Link) -> Result<(), Fault> {
        let (messages, receipts, chats, users) = tokio::join!(
            biased;
            put_messages(link, &self.changes.messages),
            put_receipts(link, &self.changes.receipts),
            put_chats(link, &self.changes.chats),
            put_users(link, &self.users),
        );
        messages?;
        receipts?;
        chats?;
        Ok(users?)
    }
}

type Put = Result<(), tokio_postgres::Error>;

async fn put_messages(link: &Link, messages: &[NewMessage]) -> Put {
    let statement = link.statement(MESSAGES).await?;
    let messages: Vec<MessageRow<'_>> = messages.iter().map(NewMessage::row).collect();
    let columns = MessageColumns::of(&messages);
    rows(link, &statement, messages.len(), &columns.values()).await.map(drop)
}

async fn put_receipts(link: &Link, receipts: &[NewReceipt]) -> Put {
    let statement = link.statement(RECEIPTS).await?;
    let tenants: Vec<&str> = receipts.iter().map(|it| it.user.tenant.as_str()).collect();
    let phones: Vec<i64> = receipts.iter().map(|it| digits(it.user.phone)).collect();
    let sequences = counts(receipts.iter().map(|it| it.sequence));
    let peers: Vec<i64> = receipts.iter().map(|it| digits(it.by.phone)).collect();
    let read: Vec<bool> = receipts.iter().map(|it| it.read).collect();
    let up_to = counts(receipts.iter().map(|it| it.up_to));
    let at: Vec<i64> = receipts.iter().map(|it| it.at.0).collect();
    let values: [Value<'_>; 7] = [&tenants, &phones, &sequences, &peers, &read, &up_to, &at];
    rows(link, &statement, receipts.len(), &values).await.map(drop)
}

async fn put_chats(link: &Link, chats: &HashMap<ChatKey, Head>) -> Put {
    let statement = link.statement(CHATS).await?;
    let (tenants, lows, highs) = chat_columns(chats.keys());
    let numbers: [fn(&Head) -> u64; 10] = [
        |head| head.last_id,
        |head| head.by_low,
        |head| head.unread[0],
        |head| head.unread[1],
        |head| head.marks[0].delivered_up_to,
        |head| head.marks[0].read_up_to,
        |head| head.marks[1].delivered_up_to,
        |head| head.marks[1].read_up_to,
        |head| head.activity[0],
        |head| head.activity[1],
    ];
    let numbers = numbers.map(|number| counts(chats.values().map(number)));
    let mut values: Vec<Value<'_>> = vec![&tenants, &lows, &highs];
    values.extend(numbers.iter().map(|column| column as Value<'_>));
    rows(link, &statement, chats.len(), &values).await.map(drop)
}

async fn put_users(link: &Link, users: &HashMap<User, Card>) -> Put {
    let statement = link.statement(USERS).await?;
    let changed: Vec<(&User, &Card)> = users.iter().filter(|(_, card)| card.changed).collect();
    let tenants: Vec<&str> = changed.iter().map(|(user, _)| user.tenant.as_str()).collect();
    let phones: Vec<i64> = changed.iter().map(|(user, _)| digits(user.phone)).collect();
    let newest: Vec<i64> = changed.iter().map(|(_, card)| bigint(card.newest)).collect();
    let created_at: Vec<Option<i64>> =
        changed.iter().map(|(_, card)| card.created_at.map(|at| at.0)).collect();
    let names: Vec<Option<&[u8]>> = changed
        .iter()
        .map(|(_, card)| card.name.as_ref().map(Name::as_str).map(str::as_bytes))
        .collect();
    let values: [Value<'_>; 5] = [&tenants, &phones, &newest, &created_at, &names];
    rows(link, &statement, changed.len(), &values).await.map(drop)
}
