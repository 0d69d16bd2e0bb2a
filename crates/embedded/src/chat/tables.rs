//! What the engine keeps of chats: what has been put away.
//!
//! ```text
//! chat_users       user                → newest sequence u64 | created at i64 | name
//! chat_chats       chat                → the chat's head (64 bytes)
//! chat_order       user, place u64     → peer u64               his chats by their last message
//! chat_messages    chat, block u64     → up to 128 postings u64       where the messages stand
//! chat_bodies      chat, block u64     → up to 32 entries of the log      the messages once more
//! chat_inbox       user, block u64     → up to 128 locations u64   where the entries stand
//! chat_receipts    chat, kind u8, id   → at i64                 when marks came to this id
//! ```
//!
//! Keys are big-endian, so that the tables are in their order; values are little-endian.

mod put;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable as _, TableDefinition};
use switchboard_core::{
    Millis, Tenant,
    chat::{Marks, Name},
};

use super::{
    entry::{self, Entry, MessageEntry},
    keys::{ChatKey, Side, UserKey, with_number},
    recent::{BY_FIRST, Card, ChatHead, Receipt},
};
use crate::{
    Error,
    disk::Disk,
    engine::{Engine, TENANTS, guarded, read_tenants},
    error::EngineError,
    log::Position,
};

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;
type Read = ReadOnlyTable<&'static [u8], &'static [u8]>;

const FORMAT: u64 = 1;
const STATE: TableDefinition<'_, &str, u64> = TableDefinition::new("chat_state");
const RUNS: TableDefinition<'_, u64, ()> = TableDefinition::new("chat_runs");
const USERS: Definition = TableDefinition::new("chat_users");
const CHATS: Definition = TableDefinition::new("chat_chats");
const ORDER: Definition = TableDefinition::new("chat_order");
const MESSAGES: Definition = TableDefinition::new("chat_messages");
const BODIES: Definition = TableDefinition::new("chat_bodies");
const INBOX: Definition = TableDefinition::new("chat_inbox");
const RECEIPTS: Definition = TableDefinition::new("chat_receipts");

/// How many numbers a block holds.
const BLOCK: u64 = 128;

/// How many messages stand together.
const TOGETHER: u64 = 32;

/// Stands for a user who has said nothing of himself.
const UNKNOWN: i64 = i64::MIN;

pub(super) use self::put::{checkpoint, set_runs};

/// What is known of chats when the engine is opened.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) seed: u64,
    pub(super) position: Position,
    /// The messages that the sorted files hold, and where the last of them stands.
    pub(super) sent: u64,
    pub(super) last: u64,
    pub(super) runs: Vec<u64>,
    pub(super) tenants: Vec<Tenant>,
}

/// What a checkpoint leaves beside the generation.
#[derive(Debug)]
pub(super) struct State<'a> {
    pub(super) position: Position,
    pub(super) sent: u64,
    pub(super) last: u64,
    pub(super) runs: &'a [u64],
    pub(super) tenants_from: u32,
    pub(super) tenants: &'a [Tenant],
}

/// Makes an engine without chats, whole or not at all.
pub(super) fn create(disk: &dyn Disk, seed: u64, position: Position) -> Result<(), Error> {
    Engine::create(disk, |transaction| {
        transaction.open_table(TENANTS)?;
        transaction.open_table(RUNS)?;
        for table in [USERS, CHATS, ORDER, MESSAGES, BODIES, INBOX, RECEIPTS] {
            transaction.open_table(table)?;
        }
        let mut state = transaction.open_table(STATE)?;
        state.insert("format", FORMAT)?;
        state.insert("seed", seed)?;
        state.insert("log_sequence", position.sequence)?;
        state.insert("log_segment", position.segment)?;
        Ok(())
    })
}

/// What the last checkpoint left.
pub(super) fn known(engine: &Engine) -> Result<Known, Error> {
    engine.read(|transaction| {
        let state = transaction.open_table(STATE)?;
        let number = |name| state.get(name).map(|found| found.map_or(0, |found| found.value()));
        let format = number("format")?;
        if format != FORMAT {
            return Ok(Err(Error::Format { found: format, expected: FORMAT }));
        }
        let (sequence, segment) = (number("log_sequence")?, number("log_segment")?);
        let (seed, sent, last) = (number("seed")?, number("sent")?, number("last")?);
        let mut runs = Vec::new();
        for row in transaction.open_table(RUNS)?.iter()? {
            runs.push(row?.0.value());
        }
        let position = Position { sequence, segment };
        let tenants = read_tenants(transaction)?;
        Ok(tenants.map(|tenants| Known { seed, position, sent, last, runs, tenants }))
    })
}

fn receipt_key(chat: ChatKey, Receipt { by, read, up_to, .. }: Receipt) -> [u8; 29] {
    let mut key = [0; 29];
    key[..20].copy_from_slice(&chat.to_bytes());
    key[20] = u8::try_from(by).unwrap_or_default() << 1 | u8::from(read);
    key[21..].copy_from_slice(&up_to.to_be_bytes());
    key
}

fn number(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |&number| u64::from_le_bytes(number))
}

fn write_head(head: &ChatHead) -> [u8; 64] {
    let [first, second] = head.marks;
    let numbers = [
        head.last_id,
        head.last,
        first.delivered_up_to,
        first.read_up_to,
        second.delivered_up_to,
        second.read_up_to,
        head.unread[0],
        head.unread[1],
    ];
    let mut bytes = [0; 64];
    for (place, number) in bytes.as_chunks_mut().0.iter_mut().zip(numbers) {
        *place = number.to_le_bytes();
    }
    bytes
}

fn read_head(bytes: &[u8]) -> ChatHead {
    let number = |place: usize| number(bytes, place * 8);
    let marks = |place| Marks { delivered_up_to: number(place), read_up_to: number(place + 1) };
    ChatHead {
        last_id: number(0),
        last: number(1),
        marks: [marks(2), marks(4)],
        unread: [number(6), number(7)],
    }
}

fn write_user(newest: u64, card: Option<&Card>) -> Vec<u8> {
    let created_at = card.map_or(UNKNOWN, |card| card.created_at.0);
    let name = card.and_then(|card| card.name.as_ref()).map_or("", Name::as_str);
    [&newest.to_le_bytes(), &created_at.to_le_bytes(), name.as_bytes()].concat()
}

fn read_user(bytes: &[u8]) -> (u64, Option<Card>) {
    let created_at = number(bytes, 8).cast_signed();
    let name = bytes.get(16..).and_then(|name| str::from_utf8(name).ok());
    let name = name.and_then(|name| Name::new(name).ok());
    let card = Card { created_at: Millis(created_at), name };
    (number(bytes, 0), (created_at != UNKNOWN).then_some(card))
}

/// The tables as one checkpoint left them. Cheap to read from, by many at once.
pub(super) struct Tables {
    users: Read,
    chats: Read,
    order: Read,
    messages: Read,
    bodies: Read,
    inbox: Read,
    receipts: Read,
}

impl Tables {
    /// The tables now.
    pub(super) fn open(engine: &Engine) -> Result<Self, Error> {
        guarded(|| {
            let transaction = engine.begin_read()?;
            Ok(Self::of(&transaction).map_err(EngineError)?)
        })
    }

    fn of(transaction: &ReadTransaction) -> Result<Self, redb::Error> {
        let open = |table| transaction.open_table(table);
        Ok(Self {
            users: open(USERS)?,
            chats: open(CHATS)?,
            order: open(ORDER)?,
            messages: open(MESSAGES)?,
            bodies: open(BODIES)?,
            inbox: open(INBOX)?,
            receipts: open(RECEIPTS)?,
        })
    }

    /// A chat, if it is here.
    pub(super) fn chat(&self, chat: ChatKey) -> Result<Option<ChatHead>, Error> {
        get(&self.chats, &chat.to_bytes(), read_head)
    }

    /// The newest sequence of a user's inbox, and what he said of himself.
    pub(super) fn user(&self, user: UserKey) -> Result<(u64, Option<Card>), Error> {
        Ok(get(&self.users, &user.to_bytes(), read_user)?.unwrap_or_default())
    }

    /// Those who have said something of themselves, from one on, so many at most.
    pub(super) fn cards(&self, from: &[u8], max: usize) -> Result<Vec<(UserKey, Card)>, Error> {
        let read = || -> Result<Vec<(UserKey, Card)>, redb::Error> {
            let mut cards = Vec::new();
            for row in self.users.range::<&[u8]>(from..)? {
                let (key, user) = row?;
                let key = key.value();
                let (Some(tenant), Some(phone)) = (key.first_chunk(), key.last_chunk()) else {
                    continue;
                };
                let (tenant, phone) = (u32::from_be_bytes(*tenant), u64::from_be_bytes(*phone));
                if let (_, Some(card)) = read_user(user.value()) {
                    cards.push((UserKey { tenant, phone }, card));
                }
                if cards.len() == max {
                    break;
                }
            }
            Ok(cards)
        };
        guarded(|| Ok(read().map_err(EngineError)?))
    }

    /// Appends the postings of a chat's messages from one id to another, both included.
    pub(super) fn messages(
        &self,
        chat: ChatKey,
        (from, to): (u64, u64),
        out: &mut Vec<u64>,
    ) -> Result<(), Error> {
        let key = chat.to_bytes();
        blocks(&self.messages, |block| with_number::<20, 28>(key, block), (from, to), out)
    }

    /// Hands over the messages of a chat from one id to another, both included, as they stand in
    /// the log.
    pub(super) fn bodies(
        &self,
        chat: ChatKey,
        (from, to): (u64, u64),
        mut each: impl FnMut(u64, &MessageEntry<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut next = from;
        while next <= to {
            let block = (next - 1) / TOGETHER;
            let key = with_number::<20, 28>(chat.to_bytes(), block);
            let found = self.bodies.get(&key[..]).map_err(EngineError)?;
            let mut rest = found.as_ref().map_or(&[][..], |found| found.value());
            let mut id = block * TOGETHER + 1;
            while id < next {
                // What is not wanted is passed over.
                rest = entry::length(rest).and_then(|len| rest.get(len..)).unwrap_or_default();
                id += 1;
            }
            while next <= to.min((block + 1) * TOGETHER) {
                let Some((Entry::Message(message), behind)) = entry::read(rest) else {
                    return Err(Error::Corrupt(format!("message {next} of a chat is missing")));
                };
                each(next, &message)?;
                rest = behind;
                next += 1;
            }
        }
        Ok(())
    }

    /// Appends where the entries of an inbox stand, from one sequence to another, both included.
    pub(super) fn inbox(
        &self,
        user: UserKey,
        (from, to): (u64, u64),
        out: &mut Vec<u64>,
    ) -> Result<(), Error> {
        let key = user.to_bytes();
        blocks(&self.inbox, |block| with_number::<12, 20>(key, block), (from, to), out)
    }

    /// Where the last message of a chat stands that is not behind a place.
    pub(super) fn last_until(&self, chat: ChatKey, place: u64) -> Result<Option<u64>, Error> {
        let Some(head) = self.chat(chat)? else { return Ok(None) };
        let mut postings = Vec::new();
        for block in (0..=head.last_id.saturating_sub(1) / BLOCK).rev() {
            postings.clear();
            let last = head.last_id.min((block + 1) * BLOCK);
            self.messages(chat, (block * BLOCK + 1, last), &mut postings)?;
            let count = postings.partition_point(|&posting| posting & !BY_FIRST <= place);
            if let Some(last) = count.checked_sub(1) {
                return Ok(Some(postings[last] & !BY_FIRST));
            }
        }
        Ok(None)
    }

    /// A user's chats by where their last messages stand, from one place to before another,
    /// downwards: the places, and with whom, until `more` says that it is enough.
    pub(super) fn order(
        &self,
        user: UserKey,
        (from, before): (u64, u64),
        mut more: impl FnMut(u64, u64) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let key = user.to_bytes();
        if before <= from {
            return Ok(());
        }
        let range = with_number::<12, 20>(key, from)..with_number::<12, 20>(key, before);
        let rows = self.order.range::<&[u8]>(&range.start[..]..&range.end[..]);
        for row in rows.map_err(EngineError)?.rev() {
            let (key, peer) = row.map_err(EngineError)?;
            let place =
                key.value()[12..].first_chunk().map_or(0, |&place| u64::from_be_bytes(place));
            if !more(place, number(peer.value(), 0))? {
                break;
            }
        }
        Ok(())
    }

    /// When the mark of one of a chat's users came to a message, if it has.
    pub(super) fn marked(
        &self,
        chat: ChatKey,
        (by, read): (Side, bool),
        id: u64,
    ) -> Result<Option<i64>, Error> {
        let key = |up_to| receipt_key(chat, Receipt { by, read, up_to, at: 0 });
        let (from, to) = (key(id), key(u64::MAX));
        let mut rows = self.receipts.range::<&[u8]>(&from[..]..=&to[..]).map_err(EngineError)?;
        let first = rows.next().transpose().map_err(EngineError)?;
        Ok(first.map(|(_, at)| number(at.value(), 0).cast_signed()))
    }
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables").finish_non_exhaustive()
    }
}

fn get<T>(table: &Read, key: &[u8], read: impl Fn(&[u8]) -> T) -> Result<Option<T>, Error> {
    let found = table.get(key).map_err(EngineError)?;
    Ok(found.map(|found| read(found.value())))
}

/// Appends the numbers of a list from one place to another, counted from 1, both included.
fn blocks<const N: usize>(
    table: &Read,
    key: impl Fn(u64) -> [u8; N],
    (from, to): (u64, u64),
    out: &mut Vec<u64>,
) -> Result<(), Error> {
    let (mut next, to) = (from.max(1) - 1, to);
    while next < to {
        let (block, first) = (next / BLOCK, next % BLOCK);
        let count = (BLOCK - first).min(to - next);
        let found = table.get(&key(block)[..]).map_err(EngineError)?;
        let taken = found.as_ref().map_or(&[][..], |found| found.value());
        let numbers = taken.as_chunks().0.iter().map(|&number| u64::from_le_bytes(number));
        let before = out.len();
        let (skip, take) = (usize_of(first), usize_of(count));
        out.extend(numbers.skip(skip).take(take));
        if out.len() - before != take {
            return Err(Error::Corrupt(format!("a list of chat is shorter than it was: {block}")));
        }
        next += count;
    }
    Ok(())
}

/// Within a block.
fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
