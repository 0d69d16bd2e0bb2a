//! What a checkpoint puts into the tables.

use std::io;

use redb::{ReadableTable as _, Table, WriteTransaction};

use super::{
    BLOCK, BODIES, CHATS, INBOX, MESSAGES, ORDER, RECEIPTS, RUNS, STATE, State, TOGETHER, USERS,
    read_head, read_user, receipt_key, write_head, write_user,
};
use crate::{
    Error,
    chat::{
        bodies::Bodies,
        keys::{ChatKey, with_number},
        recent::{BY_FIRST, Generation, RecentChat, RecentUser},
    },
    engine::{Engine, TENANTS},
    log::Archive,
};

type Write<'a> = Table<'a, &'static [u8], &'static [u8]>;

/// Puts a generation away: durable when this returns.
pub(in super::super) fn checkpoint(
    engine: &Engine,
    (generation, archive): (&Generation, &Archive),
    state: &State<'_>,
) -> Result<(), Error> {
    engine.write(|transaction| {
        put_state(transaction, state)?;
        put_chats(transaction, generation)?;
        put_bodies(transaction, generation, archive)?;
        put_users(transaction, generation)
    })
}

/// Records which sorted files there are: durable when this returns.
pub(in super::super) fn set_runs(engine: &Engine, runs: &[u64]) -> Result<(), Error> {
    engine.write(|transaction| replace_runs(transaction, runs))
}

fn replace_runs(transaction: &WriteTransaction, numbers: &[u64]) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(RUNS)?;
    table.retain(|_, ()| false)?;
    for &number in numbers {
        table.insert(number, ())?;
    }
    Ok(())
}

fn put_state(transaction: &WriteTransaction, state: &State<'_>) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(STATE)?;
    table.insert("log_sequence", state.position.sequence)?;
    table.insert("log_segment", state.position.segment)?;
    table.insert("sent", state.sent)?;
    table.insert("last", state.last)?;
    let mut tenants = transaction.open_table(TENANTS)?;
    for (number, tenant) in (state.tenants_from..).zip(state.tenants) {
        tenants.insert(number, tenant.as_str())?;
    }
    replace_runs(transaction, state.runs)
}

fn put_chats(transaction: &WriteTransaction, generation: &Generation) -> Result<(), redb::Error> {
    let mut chats = transaction.open_table(CHATS)?;
    let mut messages = transaction.open_table(MESSAGES)?;
    let mut receipts = transaction.open_table(RECEIPTS)?;
    let mut order = transaction.open_table(ORDER)?;
    // In the order of the table, which is written page by page.
    let mut sorted: Vec<_> = generation.chats.iter().collect();
    sorted.sort_unstable_by_key(|(key, _)| **key);
    for (key, recent) in sorted {
        let RecentChat { head, before, postings, receipts: marked } = recent;
        let name = key.to_bytes();
        if !postings.is_empty() {
            let earlier = chats.get(&name[..])?.map(|found| read_head(found.value()).last);
            put_place(&mut order, *key, earlier, head.last)?;
            append(&mut messages, |block| with_number::<20, 28>(name, block), *before, postings)?;
        }
        for receipt in marked {
            let at = receipt.at.to_le_bytes();
            receipts.insert(&receipt_key(*key, *receipt)[..], &at[..])?;
        }
        chats.insert(&name[..], &write_head(head)[..])?;
    }
    Ok(())
}

/// Puts the messages of each chat together, so that a page of them is one or two reads, not one for
/// each.
fn put_bodies(
    transaction: &WriteTransaction,
    generation: &Generation,
    archive: &Archive,
) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(BODIES)?;
    let mut bodies = Bodies::new(archive);
    let mut sorted: Vec<_> = generation.chats.iter().collect();
    sorted.sort_unstable_by_key(|(key, _)| **key);
    for (key, RecentChat { before, postings, .. }) in sorted {
        let key = |block| with_number::<20, 28>(key.to_bytes(), block);
        let (mut place, mut value) = (*before, Vec::new());
        if place % TOGETHER != 0
            && let Some(there) = table.get(&key(place / TOGETHER)[..])?
        {
            value.extend_from_slice(there.value());
        }
        for posting in postings {
            let read = bodies.raw(posting & !BY_FIRST);
            let body = read.map_err(|error| redb::Error::Io(io::Error::other(error.chain())))?;
            value.extend_from_slice(body);
            place += 1;
            if place % TOGETHER == 0 {
                table.insert(&key(place / TOGETHER - 1)[..], &value[..])?;
                value.clear();
            }
        }
        if !value.is_empty() && !postings.is_empty() {
            table.insert(&key(place / TOGETHER)[..], &value[..])?;
        }
    }
    Ok(())
}

/// Moves a chat to its new place among the chats of both.
fn put_place(
    order: &mut Write<'_>,
    chat: ChatKey,
    earlier: Option<u64>,
    last: u64,
) -> Result<(), redb::Error> {
    for side in [0, 1] {
        let user = chat.user(side).to_bytes();
        if let Some(earlier) = earlier {
            order.remove(&with_number::<12, 20>(user, earlier)[..])?;
        }
        let peer = chat.users[1 - side].to_le_bytes();
        order.insert(&with_number::<12, 20>(user, last)[..], &peer[..])?;
    }
    Ok(())
}

fn put_users(transaction: &WriteTransaction, generation: &Generation) -> Result<(), redb::Error> {
    let mut users = transaction.open_table(USERS)?;
    let mut inbox = transaction.open_table(INBOX)?;
    let mut sorted: Vec<_> = generation.users.iter().collect();
    sorted.sort_unstable_by_key(|(key, _)| **key);
    for (key, recent) in sorted {
        let RecentUser { before, entries, card, .. } = recent;
        let name = key.to_bytes();
        append(&mut inbox, |block| with_number::<12, 20>(name, block), *before, entries)?;
        let known = users.get(&name[..])?.map(|found| read_user(found.value()));
        let (known_newest, known_card) = known.unwrap_or_default();
        let newest = recent.newest().unwrap_or(known_newest);
        let value = write_user(newest, card.as_ref().or(known_card.as_ref()));
        users.insert(&name[..], &value[..])?;
    }
    Ok(())
}

/// Appends numbers to a list that has `before` already, in blocks.
fn append<const N: usize>(
    table: &mut Write<'_>,
    key: impl Fn(u64) -> [u8; N],
    before: u64,
    numbers: &[u64],
) -> Result<(), redb::Error> {
    let (mut place, mut rest) = (before, numbers);
    while !rest.is_empty() {
        let (block, full) = (place / BLOCK, place % BLOCK);
        let room = usize::try_from(BLOCK - full).unwrap_or(usize::MAX).min(rest.len());
        let (these, others) = rest.split_at(room);
        let key = key(block);
        let mut value = Vec::with_capacity(usize::try_from(BLOCK).unwrap_or_default() * 8);
        if 0 < full
            && let Some(there) = table.get(&key[..])?
        {
            value.extend_from_slice(there.value());
        }
        for number in these {
            value.extend(number.to_le_bytes());
        }
        table.insert(&key[..], &value[..])?;
        (place, rest) = (place + room as u64, others);
    }
    Ok(())
}
