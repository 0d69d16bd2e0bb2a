//! Reads what is durable, from whatever thread asks.

use std::{
    collections::HashMap,
    fmt,
    ops::Deref,
    sync::{Arc, PoisonError, RwLock},
};

use switchboard_core::{
    Millis, Tenant,
    chat::{
        Chat, ChatsPage, ChatsPlace, Entry as InboxEntry, Happening, InboxPage, Listed, Message,
        MessagesPage, PhoneNumber, Reach, Steps, User,
    },
};

use super::{
    bodies::{self, Bodies, Found},
    entry::{CARRIED, TIMES_LEN, Times},
    keys::{ChatKey, Side, UserKey},
    order::Order,
    recent::{BY_FIRST, Card, Change, ChatHead, Generation, Recent, RecentUser},
    tables::Tables,
};
use crate::{
    Error,
    handover::{HandedOver, Handover},
    log::{Archive, Location},
};

/// What all readers share, and the one writer changes.
pub(super) struct Shared {
    state: Handover<State>,
    tenants: RwLock<HashMap<Tenant, u32>>,
    pub(super) archive: Archive,
}

/// What is durable: what the tables hold, and what they do not hold yet.
#[derive(Debug)]
pub(super) struct State {
    pub(super) recent: Recent,
    pub(super) tables: Arc<Tables>,
    /// Where the last message stands, of any chat.
    pub(super) last: u64,
    /// Where the last record's payload stands, and its times.
    pub(super) newest: Option<(Location, Times)>,
}

impl State {
    /// What is durable can be read.
    pub(super) fn apply(&mut self, change: Change) {
        if let Change::Message { location, .. } = change {
            self.last = location;
        }
        self.recent.current.apply(change);
    }
}

impl HandedOver for State {
    fn is_flushing(&self) -> bool {
        self.recent.flushing.is_some()
    }
}

impl Deref for Shared {
    type Target = Handover<State>;

    fn deref(&self) -> &Handover<State> {
        &self.state
    }
}

impl Shared {
    pub(super) fn new(state: State, tenants: &[Tenant], archive: Archive) -> Self {
        let tenants = tenants.iter().copied().zip(0..).collect();
        Self { state: Handover::new(state), tenants: RwLock::new(tenants), archive }
    }

    /// A tenant has got the next number.
    pub(super) fn define(&self, tenant: Tenant, number: u32) {
        self.tenants.write().unwrap_or_else(PoisonError::into_inner).insert(tenant, number);
    }

    /// A user, if anything ever happened in his tenant.
    pub(super) fn user_key(&self, user: &User) -> Option<UserKey> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let tenant = *tenants.get(&user.tenant)?;
        Some(UserKey { tenant, phone: user.phone.digits() })
    }

    /// All tenants, by number.
    pub(super) fn names(&self) -> HashMap<u32, Tenant> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.iter().map(|(tenant, number)| (*number, *tenant)).collect()
    }

    /// A chat as it is.
    pub(super) fn chat(&self, key: ChatKey) -> Result<Option<ChatHead>, Error> {
        let tables = {
            let state = self.read();
            let mut generations = state.recent.generations();
            if let Some(chat) = generations.find_map(|it| it.chats.get(&key)) {
                return Ok(Some(chat.head));
            }
            Arc::clone(&state.tables)
        };
        tables.chat(key)
    }

    /// The newest sequence of a user's inbox.
    pub(super) fn newest(&self, key: UserKey) -> Result<u64, Error> {
        let tables = {
            let state = self.read();
            let mut generations = state.recent.generations();
            let newest = |it: &Generation| it.users.get(&key).and_then(RecentUser::newest);
            if let Some(newest) = generations.find_map(newest) {
                return Ok(newest);
            }
            Arc::clone(&state.tables)
        };
        Ok(tables.user(key)?.0)
    }

    /// What a user has said of himself.
    pub(super) fn card(&self, key: UserKey) -> Result<Option<Card>, Error> {
        let tables = {
            let state = self.read();
            let mut generations = state.recent.generations();
            let card = |it: &Generation| it.users.get(&key).and_then(|user| user.card.clone());
            if let Some(card) = generations.find_map(card) {
                return Ok(Some(card));
            }
            Arc::clone(&state.tables)
        };
        Ok(tables.user(key)?.1)
    }

    /// Where the messages of a chat stand, from one id to another, both included and there; each
    /// with who sent it.
    pub(super) fn postings(&self, key: ChatKey, from: u64, to: u64) -> Result<Vec<u64>, Error> {
        let (tables, end, mut recent) = self.recent_postings(key, from, to);
        let mut postings = Vec::new();
        tables.messages(key, (from, end), &mut postings)?;
        postings.append(&mut recent);
        Ok(postings)
    }

    /// The same, of those that the tables do not have; and the tables, and up to which id they do.
    fn recent_postings(&self, key: ChatKey, from: u64, to: u64) -> (Arc<Tables>, u64, Vec<u64>) {
        let state = self.read();
        let mut recent = Vec::new();
        let mut end = to;
        for chat in state.recent.generations().filter_map(|it| it.chats.get(&key)) {
            end = take_behind(chat.before, &chat.postings, (from, end), &mut recent);
        }
        recent.reverse();
        (Arc::clone(&state.tables), end, recent)
    }

    /// How many messages of his peer a user has not read once he has read up to an id, which is not
    /// before his mark.
    pub(super) fn unread(
        &self,
        key: ChatKey,
        side: Side,
        head: &ChatHead,
        up_to: u64,
    ) -> Result<u64, Error> {
        let count = |from, to| {
            let postings = if from <= to { self.postings(key, from, to)? } else { Vec::new() };
            let by_peer = |posting: &&u64| (**posting & BY_FIRST != 0) == (side == 1);
            Ok::<u64, Error>(postings.iter().filter(by_peer).count() as u64)
        };
        let mark = head.marks[side].read_up_to;
        // Whichever is fewer: those that are left, or those that were read.
        if head.last_id - up_to <= up_to.saturating_sub(mark) {
            count(up_to + 1, head.last_id)
        } else {
            Ok(head.unread[side].saturating_sub(count(mark + 1, up_to)?))
        }
    }

    /// Where the entries of an inbox stand, likewise.
    fn entries(&self, key: UserKey, from: u64, to: u64) -> Result<Vec<u64>, Error> {
        let (tables, (mut recent, end)) = {
            let state = self.read();
            let mut recent = Vec::new();
            let mut end = to;
            for user in state.recent.generations().filter_map(|it| it.users.get(&key)) {
                if user.newest().is_some() {
                    end = take_behind(user.before, &user.entries, (from, end), &mut recent);
                }
            }
            (Arc::clone(&state.tables), (recent, end))
        };
        let mut entries = Vec::new();
        tables.inbox(key, (from, end), &mut entries)?;
        recent.reverse();
        entries.append(&mut recent);
        Ok(entries)
    }

    /// Messages of a chat.
    pub(super) fn messages(
        &self,
        user: &User,
        peer: PhoneNumber,
        reach: Reach,
        limit: u32,
    ) -> Result<MessagesPage, Error> {
        let Some(key) = self.user_key(user) else { return Ok(MessagesPage::default()) };
        let (chat, _) = ChatKey::of(key.tenant, key.phone, peer.digits());
        let Some(head) = self.chat(chat)? else { return Ok(MessagesPage::default()) };
        let (last, limit) = (head.last_id, u64::from(limit));
        let (from, to) = match reach {
            Reach::Newest => (last.saturating_sub(limit) + 1, last),
            Reach::Before(id) => {
                let to = id.saturating_sub(1).min(last);
                (to.saturating_sub(limit) + 1, to)
            }
            Reach::After(id) => (id.saturating_add(1), id.saturating_add(limit).min(last)),
        };
        if to < from {
            return Ok(MessagesPage { messages: Vec::new(), last_id: last });
        }
        let (tables, end, recent) = self.recent_postings(chat, from, to);
        let mut messages = Vec::with_capacity(usize::try_from(to - from + 1).unwrap_or_default());
        tables.bodies(chat, (from, end), |id, entry| {
            messages.push(listed(bodies::message_of(entry, (chat, id))?, &head));
            Ok(())
        })?;
        let mut bodies = Bodies::new(&self.archive);
        for (posting, id) in recent.into_iter().zip(end.saturating_add(1).max(from)..) {
            let message = bodies.message(posting & !BY_FIRST, (chat, id))?;
            messages.push(listed(message, &head));
        }
        messages.reverse();
        Ok(MessagesPage { messages, last_id: last })
    }

    /// The sequence of the newest entry of a user's inbox.
    pub(super) fn newest_of(&self, user: &User) -> Result<u64, Error> {
        self.user_key(user).map_or(Ok(0), |key| self.newest(key))
    }

    /// What stands in an inbox behind a sequence; none where nothing of it has happened.
    pub(super) fn inbox(
        &self,
        user: &User,
        after: u64,
        limit: u32,
    ) -> Result<Option<InboxPage>, Error> {
        let Some(key) = self.user_key(user) else {
            return Ok((after == 0).then(InboxPage::default));
        };
        let newest = self.newest(key)?;
        if newest < after {
            return Ok(None);
        }
        let to = newest.min(after.saturating_add(limit.into()));
        let places = self.entries(key, after + 1, to)?;
        let mut bodies = Bodies::new(&self.archive);
        let mut entries = Vec::with_capacity(places.len());
        for (place, sequence) in places.into_iter().zip(after + 1..) {
            let what = happening(bodies.entry(place)?, key, sequence)?;
            entries.push(InboxEntry { sequence, what });
        }
        Ok(Some(InboxPage { entries, newest }))
    }

    /// A user's chats.
    pub(super) fn chats(
        &self,
        user: &User,
        on: Option<ChatsPlace>,
        limit: u32,
    ) -> Result<ChatsPage, Error> {
        let Some(key) = self.user_key(user) else { return Ok(ChatsPage::default()) };
        let limit = limit as usize;
        let Order { as_of, mut chats } = Order::read(self, key, on, limit)?;
        let more = limit < chats.len();
        chats.truncate(limit);
        let last = chats.last().map(|&(place, _)| place);
        let next = last.filter(|_| more).map(|before| ChatsPlace { as_of, before });
        let mut bodies = Bodies::new(&self.archive);
        let mut page = ChatsPage { chats: Vec::with_capacity(chats.len()), next };
        for (_, peer) in chats {
            let (chat, side) = ChatKey::of(key.tenant, key.phone, peer);
            let head = self.chat(chat)?.unwrap_or_default();
            let last = bodies.message(head.last, (chat, head.last_id))?;
            let card = self.card(chat.user(1 - side))?;
            page.chats.push(Chat {
                peer: phone(peer)?,
                peer_name: card.and_then(|card| card.name),
                last: listed(last, &head),
                unread: head.unread[side],
            });
        }
        Ok(page)
    }

    /// The steps of the message that stands at a place.
    pub(super) fn steps(&self, place: u64) -> Result<Steps, Error> {
        let mut bodies = Bodies::new(&self.archive);
        let Found::Message { message, tenant, behind, .. } = bodies.entry(place)? else {
            return Err(damaged(place));
        };
        let (chat, side) = ChatKey::of(tenant, message.from.digits(), message.to.digits());
        let times = self.times_of(place, behind, &mut bodies)?;
        // Without times, the node was stopped within this very record: it was durable, and nobody
        // was there to be told.
        let accepted = message.sent_at;
        let told = |at: i64| Millis(at.max(accepted.0));
        let (stored, signalled) =
            times.map_or((accepted, accepted), |it| (told(it.stored), told(it.signalled)));
        let marked = |read| self.marked(chat, (1 - side, read), message.id);
        let read = marked(true)?.map(Millis);
        let delivered = [marked(false)?.map(Millis), read].into_iter().flatten().min();
        Ok(Steps { message, stored, signalled, delivered, read })
    }

    /// The times of the entry at a place.
    pub(super) fn times_of(
        &self,
        place: u64,
        behind: u32,
        bodies: &mut Bodies<'_>,
    ) -> Result<Option<Times>, Error> {
        if behind != CARRIED {
            return self.times(Location(place - u64::from(behind)), bodies);
        }
        match bodies.entry(place - TIMES_LEN)? {
            Found::Times(times) => Ok(Some(times)),
            _ => Err(damaged(place)),
        }
    }

    /// The times of a record, which the next one tells.
    fn times(&self, record: Location, bodies: &mut Bodies<'_>) -> Result<Option<Times>, Error> {
        if let Some((newest, times)) = self.read().newest
            && newest == record
        {
            return Ok(Some(times));
        }
        let Some(next) = self.archive.next(record)? else { return Ok(None) };
        Ok(match bodies.entry(next.0) {
            Ok(Found::Times(times)) => Some(times),
            _ => None,
        })
    }

    fn marked(&self, key: ChatKey, mark: (Side, bool), id: u64) -> Result<Option<i64>, Error> {
        let (tables, recent) = {
            let state = self.read();
            let marks = |it: &Generation| {
                let chat = it.chats.get(&key)?;
                let these = chat.receipts.iter().filter(|it| (it.by, it.read) == mark);
                these.filter(|it| id <= it.up_to).map(|it| it.at).next()
            };
            // The oldest that says it.
            let recent = state.recent.generations().filter_map(marks).last();
            (Arc::clone(&state.tables), recent)
        };
        Ok(tables.marked(key, mark, id)?.or(recent))
    }
}

/// Takes numbers of a list which stands behind `before`, within bounds, the last first; says up to
/// where they are still wanted.
fn take_behind(before: u64, list: &[u64], (from, to): (u64, u64), out: &mut Vec<u64>) -> u64 {
    let place = |id: u64| usize::try_from(id - before - 1).unwrap_or(usize::MAX);
    if to <= before {
        return to;
    }
    let first = from.max(before + 1);
    if first <= to {
        let numbers = list.get(place(first)..=place(to)).unwrap_or_default();
        out.extend(numbers.iter().rev());
    }
    before
}

pub(super) fn listed(message: Arc<Message>, head: &ChatHead) -> Listed {
    // The marks that count are those of whom it was written to.
    let status = head.marks[recipient_side(&message)].status(message.id);
    Listed { message, status }
}

/// Which of the two a message was written to.
fn recipient_side(message: &Message) -> Side {
    usize::from(message.from.digits() < message.to.digits())
}

fn happening(found: Found, user: UserKey, sequence: u64) -> Result<Happening, Error> {
    match found {
        Found::Message { message, sequences, tenant, .. } => {
            let own = if message.from.digits() == user.phone { sequences[0] } else { sequences[1] };
            if own != sequence || tenant != user.tenant {
                return Err(damaged(sequence));
            }
            Ok(Happening::Message(message))
        }
        Found::Receipt(entry) if entry.sequence == sequence && entry.peer == user.phone => {
            let (peer, up_to, at) = (phone(entry.by)?, entry.up_to, Millis(entry.at));
            Ok(if entry.read {
                Happening::Read { peer, up_to, at }
            } else {
                Happening::Delivered { peer, up_to, at }
            })
        }
        _ => Err(damaged(sequence)),
    }
}

pub(super) fn phone(digits: u64) -> Result<PhoneNumber, Error> {
    PhoneNumber::from_digits(digits).ok_or_else(|| damaged(digits))
}

pub(super) fn damaged(place: u64) -> Error {
    Error::Corrupt(format!("an entry of chat/log is not what it was ({place:#x})"))
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
