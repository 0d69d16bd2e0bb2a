//! What a group must know before it is decided: locked, and read behind the locks.
//!
//! All of it is asked at once, and the server goes through it in order: who is new is put there,
//! then the users of the group are locked in the order of their keys, and only then is the rest
//! looked at, by statements that begin behind the locks and so see all that was committed under
//! them. Every writer of a chat, of an inbox, or of the names that a sender gave, has the locks of
//! its users; so what was read stays true until the group is committed.

use std::collections::{BTreeMap, BTreeSet};

use switchboard_core::{
    Millis, Tenant,
    chat::{ClientMessageId, PhoneNumber, User},
};
use tokio_postgres::Row;

use super::{
    keys::{ChatKey, bigint, digits},
    rows::{
        Value, chat_columns, get, head, head_columns, message, message_columns, name, number, rows,
    },
    state::{Card, State},
    work::Work,
};
use crate::{lane::Fault, link::Link};

/// Puts those there who are new. Waits for another that puts the same there.
const MAKE: &str = "INSERT INTO chat_user (tenant, phone) \
     SELECT asked.tenant, asked.phone \
     FROM unnest($1::text[], $2::bigint[]) AS asked(tenant, phone) \
     ORDER BY asked.tenant COLLATE \"C\", asked.phone ON CONFLICT (tenant, phone) DO NOTHING";

/// Locks users, one after the other. The inner select can't be drawn into the outer one, so that
/// each is looked up by the primary key, in order, whatever the planner thinks of the table.
const LOCK: &str = "SELECT asked.place, found.* FROM (\
         SELECT * FROM unnest($1::text[], $2::bigint[]) \
         WITH ORDINALITY AS list(tenant, phone, place) \
         ORDER BY list.tenant COLLATE \"C\", list.phone) AS asked \
     CROSS JOIN LATERAL (\
         SELECT it.newest, it.created_at, it.name FROM chat_user AS it \
         WHERE it.tenant = asked.tenant AND it.phone = asked.phone FOR UPDATE) AS found";

const HEADS: &str = concat!(
    "SELECT asked.place, found.* FROM unnest($1::text[], $2::bigint[], $3::bigint[]) \
     WITH ORDINALITY AS asked(tenant, low, high, place) CROSS JOIN LATERAL (SELECT ",
    head_columns!("it"),
    " FROM chat AS it WHERE it.tenant = asked.tenant AND it.low = asked.low \
     AND it.high = asked.high LIMIT 1) AS found"
);

const NAMED: &str = concat!(
    "SELECT asked.place, found.* FROM unnest($1::text[], $2::bigint[], $3::bytea[]) \
     WITH ORDINALITY AS asked(tenant, sender, name, place) CROSS JOIN LATERAL (SELECT ",
    message_columns!("it"),
    " FROM chat_message AS it WHERE it.tenant = asked.tenant AND it.sender = asked.sender \
     AND it.client_message_id = asked.name LIMIT 1) AS found"
);

const COUNTS: &str = "SELECT asked.place, found.by_low FROM \
     unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) \
     WITH ORDINALITY AS asked(tenant, low, high, id, place) CROSS JOIN LATERAL (\
         SELECT it.by_low FROM chat_message AS it WHERE it.tenant = asked.tenant \
         AND it.low = asked.low AND it.high = asked.high AND it.id = asked.id LIMIT 1) AS found";

/// What a group is about.
#[derive(Debug, Default)]
pub(super) struct Wanted<'a> {
    /// Who is locked, and whether he is to be there from now on.
    users: BTreeMap<(Tenant, PhoneNumber), bool>,
    chats: BTreeSet<ChatKey>,
    /// Messages by their sender and what he calls them.
    named: Vec<(User, &'a ClientMessageId)>,
    /// Messages up to which it is counted whose they are.
    counts: BTreeSet<(ChatKey, u64)>,
}

impl<'a> Wanted<'a> {
    /// What works are about.
    pub(super) fn by(works: &'a [Work]) -> Self {
        let mut wanted = Self::default();
        for work in works {
            match work {
                Work::Send { drafts, .. } => {
                    for draft in drafts {
                        wanted.user(draft.from, true);
                        wanted.user(User { phone: draft.to, ..draft.from }, true);
                        wanted.chats.insert(ChatKey::of(&draft.from, draft.to).0);
                        wanted.named.push((draft.from, &draft.client_message_id));
                    }
                }
                Work::Acknowledge { receipts, .. } => {
                    for stated in receipts {
                        wanted.user(stated.user, false);
                        wanted.user(User { phone: stated.peer, ..stated.user }, false);
                        let (chat, _) = ChatKey::of(&stated.user, stated.peer);
                        wanted.chats.insert(chat);
                        wanted.counts.extend(stated.read_up_to.map(|id| (chat, id)));
                    }
                }
                Work::Register { user, .. } => wanted.user(*user, true),
            }
        }
        wanted
    }

    fn user(&mut self, User { tenant, phone }: User, made: bool) {
        *self.users.entry((tenant, phone)).or_default() |= made;
    }

    /// Locks and reads it, in one round trip.
    pub(super) async fn read(self, link: &Link) -> Result<State, Fault> {
        let (made, locked) = (self.columns(true), self.columns(false));
        let chats = chat_columns(self.chats.iter());
        let named = self.named_columns();
        let counted = chat_columns(self.counts.iter().map(|(chat, _)| chat));
        let ids: Vec<i64> = self.counts.iter().map(|&(_, id)| bigint(id)).collect();
        // Prepared before the first of them is sent, so that they are sent in this order.
        let statements = [
            link.statement(MAKE).await?,
            link.statement(LOCK).await?,
            link.statement(HEADS).await?,
            link.statement(NAMED).await?,
            link.statement(COUNTS).await?,
        ];
        let of_made: [Value<'_>; 2] = [&made.0, &made.1];
        let of_locked: [Value<'_>; 2] = [&locked.0, &locked.1];
        let of_chats: [Value<'_>; 3] = [&chats.0, &chats.1, &chats.2];
        let of_named: [Value<'_>; 3] = [&named.0, &named.1, &named.2];
        let of_counted: [Value<'_>; 4] = [&counted.0, &counted.1, &counted.2, &ids];
        let (made, locked, heads, named, counted) = tokio::join!(
            biased;
            rows(link, &statements[0], made.0.len(), &of_made),
            rows(link, &statements[1], locked.0.len(), &of_locked),
            rows(link, &statements[2], chats.0.len(), &of_chats),
            rows(link, &statements[3], named.0.len(), &of_named),
            rows(link, &statements[4], ids.len(), &of_counted),
        );
        // The first that failed says why; the others only that it did.
        made?;
        let (locked, heads, named, counted) = (locked?, heads?, named?, counted?);
        self.state(&locked, &heads, &named, &counted).map_err(Fault::Refused)
    }

    fn columns(&self, made: bool) -> (Vec<&str>, Vec<i64>) {
        let users = self.users.iter().filter(|(_, of_made)| **of_made || !made);
        users.map(|((tenant, phone), _)| (tenant.as_str(), digits(*phone))).unzip()
    }

    fn named_columns(&self) -> (Vec<&str>, Vec<i64>, Vec<&[u8]>) {
        let mut columns = (Vec::new(), Vec::new(), Vec::new());
        for (sender, id) in &self.named {
            columns.0.push(sender.tenant.as_str());
            columns.1.push(digits(sender.phone));
            columns.2.push(id.as_str().as_bytes());
        }
        columns
    }

    fn state(
        &self,
        locked: &[Row],
        heads: &[Row],
        named: &[Row],
        counted: &[Row],
    ) -> switchboard_core::Result<State> {
        let mut state = State::default();
        let users: Vec<_> = self.users.keys().collect();
        for row in locked {
            let &(tenant, phone) = asked(row, &users)?;
            let created_at: Option<i64> = get(row, 2)?;
            let (newest, created_at) = (number(row, 1)?, created_at.map(Millis));
            let card = Card { newest, created_at, name: name(row, 3)?, changed: false };
            state.users.insert(User { tenant, phone }, card);
        }
        let chats: Vec<_> = self.chats.iter().collect();
        for row in heads {
            state.chats.insert(*asked(row, &chats)?, head(row, 1)?);
        }
        let ids: Vec<_> = self.named.iter().collect();
        for row in named {
            let (sender, id) = asked(row, &ids)?;
            state.named.insert((*sender, (*id).clone()), message(row, 1)?);
        }
        state.counts = self.counts.iter().map(|&counted| (counted, None)).collect();
        let counts: Vec<_> = self.counts.iter().collect();
        for row in counted {
            state.counts.insert(*asked(row, &counts)?, Some(number(row, 1)?));
        }
        Ok(state)
    }
}

/// What a row is the answer to.
fn asked<'a, T>(row: &Row, asked: &[&'a T]) -> switchboard_core::Result<&'a T> {
    let place = usize::try_from(number(row, 0)?).unwrap_or_default();
    place.checked_sub(1).and_then(|at| asked.get(at)).copied().ok_or_else(super::rows::damaged)
}
