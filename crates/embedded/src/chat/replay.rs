//! What the log holds beyond the last checkpoint, done again.

use std::sync::Arc;

use switchboard_core::{
    Millis,
    chat::{ClientMessageId, Name},
};

use super::{
    entry::{self, Entry, MessageEntry, ReceiptEntry, UserEntry},
    heads::Heads,
    keys::{ChatKey, UserKey},
    reader::{Shared, damaged},
    recent::{Card, Change, Receipt},
    writer::Fresh,
};
use crate::{
    Error,
    log::Location,
    slots::{Names, Pair},
    tenants::Tenants,
};

/// What the writer will go on with.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) tenants: Tenants,
    pub(super) names: Names,
    pub(super) heads: Heads,
    pub(super) shared: Arc<Shared>,
    pub(super) fresh: Fresh,
}

impl Replay {
    /// Does one record again.
    pub(super) fn payload(&mut self, at: Location, payload: &[u8]) -> Result<(), Error> {
        let mut rest = payload;
        while !rest.is_empty() {
            let place = at.0 + (payload.len() - rest.len()) as u64;
            let (entry, behind) = entry::read(rest).ok_or_else(|| damaged(place))?;
            rest = behind;
            match entry {
                Entry::Times(_) => {}
                Entry::Tenant(tenant) => {
                    self.fresh.tenants.push(tenant);
                    let number = self.tenants.define(tenant);
                    self.shared.define(tenant, number);
                }
                Entry::Message(message) => self.message(&message, place)?,
                Entry::Receipt(receipt) => self.receipt(receipt, place)?,
                Entry::User(user) => self.user(&user, place)?,
            }
        }
        Ok(())
    }

    fn message(&mut self, message: &MessageEntry<'_>, place: u64) -> Result<(), Error> {
        let &MessageEntry { tenant, from, to, id, sequences, client_message_id, .. } = message;
        self.check_tenant(tenant, place)?;
        let (chat, side) = ChatKey::of(tenant, from, to);
        let head = self.heads.chat(chat)?;
        head.last_id += 1;
        head.last = place;
        head.unread[1 - side] += 1;
        let head = *head;
        self.check(head.last_id == id, place)?;
        self.follow(chat.user(side), sequences[0], place)?;
        self.follow(chat.user(1 - side), sequences[1], place)?;
        let named = ClientMessageId::new(client_message_id).map_err(|_| damaged(place))?;
        let hash = self.names.hash(|to| chat.user(side).name(&named, to));
        let slot = self.names.free(hash)?;
        self.names.insert(slot, place);
        self.fresh.pairs.push(Pair { slot, id: place });
        self.fresh.sent += 1;
        self.apply(Change::Message { chat, from: side, location: place, head, sequences });
        Ok(())
    }

    fn receipt(&mut self, entry: ReceiptEntry, place: u64) -> Result<(), Error> {
        let ReceiptEntry { tenant, by, peer, read, up_to, sequence, at, .. } = entry;
        self.check_tenant(tenant, place)?;
        let (chat, side) = ChatKey::of(tenant, by, peer);
        let before = *self.heads.chat(chat)?;
        self.check(up_to <= before.last_id, place)?;
        // Only reading changes what is unread.
        let unread = if read {
            self.shared.unread(chat, side, &before, up_to)?
        } else {
            before.unread[side]
        };
        let head = self.heads.chat(chat)?;
        let marks = &mut head.marks[side];
        marks.delivered_up_to = marks.delivered_up_to.max(up_to);
        if read {
            marks.read_up_to = marks.read_up_to.max(up_to);
        }
        head.unread[side] = unread;
        let head = *head;
        self.follow(chat.user(1 - side), sequence, place)?;
        let receipt = Receipt { by: side, read, up_to, at };
        self.apply(Change::Receipt { chat, receipt, location: place, head, sequence });
        Ok(())
    }

    fn user(&mut self, entry: &UserEntry<'_>, place: u64) -> Result<(), Error> {
        let &UserEntry { tenant, phone, created_at, name, .. } = entry;
        self.check_tenant(tenant, place)?;
        let name = if name.is_empty() { Ok(None) } else { Name::new(name).map(Some) };
        let card = Card { created_at: Millis(created_at), name: name.map_err(|_| damaged(place))? };
        self.apply(Change::User { user: UserKey { tenant, phone }, card });
        Ok(())
    }

    /// The next entry of an inbox.
    fn follow(&mut self, user: UserKey, sequence: u64, place: u64) -> Result<(), Error> {
        let newest = self.heads.newest(user)?;
        *newest += 1;
        let follows = *newest == sequence;
        self.check(follows, place)
    }

    fn check_tenant(&self, tenant: u32, place: u64) -> Result<(), Error> {
        self.check(tenant < self.tenants.count(), place)
    }

    #[expect(clippy::unused_self, reason = "reads as the others do")]
    fn check(&self, holds: bool, place: u64) -> Result<(), Error> {
        if holds { Ok(()) } else { Err(damaged(place)) }
    }

    /// What is in the log can be read.
    fn apply(&self, change: Change) {
        self.shared.change().apply(change);
    }
}
