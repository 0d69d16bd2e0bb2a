//! A user's chats in the order of their last messages, as it is or once was.

use std::{collections::HashSet, sync::Arc};

use switchboard_core::chat::ChatsPlace;

use super::{
    keys::{ChatKey, UserKey},
    reader::{Shared, State},
    recent::{Generation, Recent},
};
use crate::Error;

/// Chats by where their last message stands, downwards.
pub(super) struct Order {
    /// The order is that of the moment when this was the last message of all.
    pub(super) as_of: u64,
    /// Where the last message stood, and with whom.
    pub(super) chats: Vec<(u64, u64)>,
}

impl Order {
    /// One more than `limit` of a user's chats, or all that are left.
    ///
    /// A chat with messages behind `as_of` stands where its last one before that stands: so pages
    /// that are read on have each chat once, whatever happens between.
    pub(super) fn read(
        shared: &Shared,
        user: UserKey,
        on: Option<ChatsPlace>,
        limit: usize,
    ) -> Result<Self, Error> {
        loop {
            let (as_of, before, tables, mut chats) = {
                let state = shared.read();
                let place = on.unwrap_or(ChatsPlace { as_of: state.last, before: u64::MAX });
                let ChatsPlace { as_of, before } = place;
                let chats = recent(&state, user, (as_of, before), limit);
                (as_of, before, Arc::clone(&state.tables), chats)
            };
            let mut seen: HashSet<u64> = chats.iter().map(|&(_, peer)| peer).collect();
            let mut found = 0;
            let mut take = |place: u64, peer| {
                let (chat, _) = ChatKey::of(user.tenant, user.phone, peer);
                let moved = as_of < place;
                let place = if moved { tables.last_until(chat, as_of)? } else { Some(place) };
                let Some(place) = place.filter(|&place| place < before) else { return Ok(true) };
                if !behind(&shared.read().recent, chat, (place, as_of)) && seen.insert(peer) {
                    chats.push((place, peer));
                    found += usize::from(!moved);
                }
                Ok(found <= limit)
            };
            // Those that have moved since stand above; then the rest in order.
            tables.order(user, (as_of.saturating_add(1), u64::MAX), &mut take)?;
            tables.order(user, (0, before.min(as_of.saturating_add(1))), &mut take)?;
            // A checkpoint in between may have moved what was recent into newer tables.
            if Arc::ptr_eq(&tables, &shared.read().tables) {
                chats.sort_unstable_by(|a, b| b.cmp(a));
                chats.truncate(limit + 1);
                return Ok(Self { as_of, chats });
            }
        }
    }
}

/// The first of a user's chats that are not in the tables, or have moved since they were.
fn recent(
    state: &State,
    user: UserKey,
    (as_of, before): (u64, u64),
    limit: usize,
) -> Vec<(u64, u64)> {
    let mut chats: Vec<(u64, u64)> = Vec::new();
    let mut newer: Vec<&Generation> = Vec::new();
    for generation in state.recent.generations() {
        let Some(recent) = generation.users.get(&user) else {
            newer.push(generation);
            continue;
        };
        let mut found = 0;
        let moved = recent.order.range(as_of.saturating_add(1)..);
        let rest = recent.order.range(..as_of.saturating_add(1).min(before));
        for (&last, &peer) in moved.rev().chain(rest.rev()) {
            let (chat, _) = ChatKey::of(user.tenant, user.phone, peer);
            let until = |it: &Generation| it.chats.get(&chat)?.last_until(as_of);
            let Some(place) = until(generation).filter(|&place| place < before) else { continue };
            if newer.iter().any(|it| until(it).is_some()) {
                continue;
            }
            chats.push((place, peer));
            found += usize::from(last <= as_of);
            if limit < found {
                break;
            }
        }
        newer.push(generation);
    }
    chats
}

/// Whether a chat has a message between two places that the tables do not have.
fn behind(recent: &Recent, chat: ChatKey, (place, as_of): (u64, u64)) -> bool {
    let until = |it: &Generation| it.chats.get(&chat)?.last_until(as_of);
    recent.generations().filter_map(until).any(|last| place < last)
}
