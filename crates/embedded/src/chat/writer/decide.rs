//! What is asked for, decided: what is written, what changes, what is answered.

use std::sync::Arc;

use switchboard_core::{
    Code, Error as Refusal, Millis, Result as Answer, Tenant,
    chat::{
        Acknowledgement, ClientMessageId, Draft, Entry as InboxEntry, Happening, Marks, Message,
        MessageStatus, Name, Profile, Registered, Sent, Signal, Steps, User,
    },
};

use super::{
    super::{
        bodies::{self, Bodies, Found},
        entry::{Entry, MESSAGE_MAX, MessageEntry, OTHERS_MAX, ReceiptEntry, UserEntry},
        keys::{ChatKey, Side, UserKey},
        reader::{damaged, listed},
        recent::{Card, Change, Receipt},
        work::Answered,
    },
    Writer,
};
use crate::{Error, queue, slots::Pair};

/// What is known of a message that was asked for by its sender's name for it.
struct Known {
    place: u64,
    message: Arc<Message>,
}

impl Writer {
    pub(super) fn send(
        &mut self,
        drafts: Vec<Draft>,
        answer: queue::Answer<Vec<Answer<Sent>>>,
    ) -> Result<(), Error> {
        let mut sent = Vec::with_capacity(drafts.len());
        for draft in drafts {
            sent.push(self.send_one(draft)?);
        }
        self.group.answer(Answered::Sent(answer, sent));
        Ok(())
    }

    fn send_one(&mut self, draft: Draft) -> Result<Answer<Sent>, Error> {
        let Draft { from, to, ref text, ref client_message_id, .. } = draft;
        let (phone, id) = (from.phone.digits(), client_message_id.as_str());
        let mut slot = None;
        if let Some(tenant) = self.tenants.number(&from.tenant) {
            let user = UserKey { tenant, phone };
            match self.find(user, client_message_id)? {
                Ok(known) => return self.repeated(user, &known, &draft),
                Err(free) => slot = Some(free),
            }
        }
        let needed = MESSAGE_MAX + id.len() + text.as_str().len();
        if let Err(why) = self.reserve(needed)? {
            return Ok(Err(refused(&why)));
        }
        self.begin_entry();
        let tenant = self.tenant(&from.tenant);
        let user = UserKey { tenant, phone };
        let slot = match slot {
            Some(slot) => slot,
            None => self.find(user, client_message_id)?.err().unwrap_or_default(),
        };
        let (chat, side) = ChatKey::of(tenant, phone, to.digits());
        let (location, behind) = self.group.place();
        let head = self.heads.chat(chat)?;
        head.last_id += 1;
        head.last = location;
        head.unread[1 - side] += 1;
        let head = *head;
        let sequences =
            [self.next_sequence(chat.user(side))?, self.next_sequence(chat.user(1 - side))?];
        self.group.write(&Entry::Message(MessageEntry {
            tenant,
            behind,
            from: phone,
            to: to.digits(),
            id: head.last_id,
            sequences,
            at: draft.at.0,
            trace: draft.trace,
            client_message_id: id,
            text: text.as_str(),
        }));
        self.names.insert(slot, location);
        self.fresh.pairs.push(Pair { slot, id: location });
        self.fresh.sent += 1;
        let change = Change::Message { chat, from: side, location, head, sequences };
        self.group.change(change, draft.at.0);
        let message = Arc::new(Message {
            id: head.last_id,
            from: from.phone,
            to,
            text: draft.text,
            client_message_id: draft.client_message_id,
            sent_at: draft.at,
            trace: draft.trace,
        });
        // The recipient first: he waits for it.
        for (phone, sequence) in [(to, sequences[1]), (from.phone, sequences[0])] {
            let entry = InboxEntry { sequence, what: Happening::Message(Arc::clone(&message)) };
            let user = User { tenant: from.tenant, phone };
            self.group.signal(Signal::Happened { user, entry });
        }
        Ok(Ok(Sent { message, status: MessageStatus::Sent, new: true }))
    }

    /// The answer to a send that was answered before.
    fn repeated(
        &mut self,
        user: UserKey,
        known: &Known,
        draft: &Draft,
    ) -> Result<Answer<Sent>, Error> {
        let message = Arc::clone(&known.message);
        if message.to != draft.to || message.text != draft.text {
            let what = "this client_message_id was used for another recipient or text";
            return Ok(Err(Refusal::new(Code::Conflict, what)));
        }
        let (chat, _) = ChatKey::of(user.tenant, user.phone, message.to.digits());
        let listed = listed(message, self.heads.chat(chat)?);
        Ok(Ok(Sent { message: listed.message, status: listed.status, new: false }))
    }

    /// The message that its sender named so, or the slot that is free for it.
    fn find(&mut self, user: UserKey, id: &ClientMessageId) -> Result<Result<Known, u64>, Error> {
        let hash = self.names.hash(|to| user.name(id, to));
        for probe in 0.. {
            let slot = hash.slot(probe);
            let Some(place) = self.names.find(slot)? else { return Ok(Err(slot)) };
            let (message, tenant) = self.message(place)?;
            let same = tenant == user.tenant
                && message.from.digits() == user.phone
                && message.client_message_id == *id;
            if same {
                return Ok(Ok(Known { place, message }));
            }
            // Two names share a slot, which happens once in very many: the later has the next.
        }
        Ok(Err(hash.slot(u32::MAX)))
    }

    /// The message at a place, the group under way included.
    fn message(&self, place: u64) -> Result<(Arc<Message>, u32), Error> {
        if let Some(Entry::Message(entry)) = self.group.entry(place) {
            return Ok((bodies::message(&entry, place)?, entry.tenant));
        }
        match Bodies::new(&self.shared.archive).entry(place)? {
            Found::Message { message, tenant, .. } => Ok((message, tenant)),
            _ => Err(damaged(place)),
        }
    }

    pub(super) fn acknowledge(
        &mut self,
        receipts: Vec<Acknowledgement>,
        answer: queue::Answer<Vec<Answer<Marks>>>,
    ) -> Result<(), Error> {
        let mut marks = Vec::with_capacity(receipts.len());
        for stated in receipts {
            marks.push(self.acknowledge_one(&stated)?);
        }
        self.group.answer(Answered::Marks(answer, marks));
        Ok(())
    }

    fn acknowledge_one(&mut self, stated: &Acknowledgement) -> Result<Answer<Marks>, Error> {
        let Some(tenant) = self.tenants.number(&stated.user.tenant) else {
            return Ok(Marks::default().advanced(stated, 0));
        };
        let (user, peer) = (stated.user.phone.digits(), stated.peer.digits());
        let (chat, side) = ChatKey::of(tenant, user, peer);
        let before = *self.heads.chat(chat)?;
        let marks = match before.marks[side].advanced(stated, before.last_id) {
            Ok(marks) if marks != before.marks[side] => marks,
            unchanged => return Ok(unchanged),
        };
        // Counting reads what can be read.
        if marks.read_up_to != before.last_id && !self.group.is_empty() {
            self.end_group()?;
        }
        if let Err(why) = self.reserve(OTHERS_MAX)? {
            return Ok(Err(refused(&why)));
        }
        let read = before.marks[side].read_up_to < marks.read_up_to;
        let unread = if read {
            self.shared.unread(chat, side, &before, marks.read_up_to)?
        } else {
            before.unread[side]
        };
        let head = self.heads.chat(chat)?;
        head.marks[side] = marks;
        head.unread[side] = unread;
        let behind_read = marks.read_up_to < marks.delivered_up_to;
        if behind_read && before.marks[side].delivered_up_to < marks.delivered_up_to {
            self.mark(stated, (chat, side), (false, marks.delivered_up_to))?;
        }
        if read {
            self.mark(stated, (chat, side), (true, marks.read_up_to))?;
        }
        Ok(Ok(marks))
    }

    /// Writes that a mark has moved, which its peer is told.
    fn mark(
        &mut self,
        stated: &Acknowledgement,
        (chat, side): (ChatKey, Side),
        (read, up_to): (bool, u64),
    ) -> Result<(), Error> {
        self.begin_entry();
        let sequence = self.next_sequence(chat.user(1 - side))?;
        let (location, behind) = self.group.place();
        let at = stated.at.0;
        self.group.write(&Entry::Receipt(ReceiptEntry {
            tenant: chat.tenant,
            behind,
            by: chat.users[side],
            peer: chat.users[1 - side],
            read,
            up_to,
            sequence,
            at,
        }));
        let head = *self.heads.chat(chat)?;
        let receipt = Receipt { by: side, read, up_to, at };
        self.group.change(Change::Receipt { chat, receipt, location, head, sequence }, at);
        let (peer, at) = (stated.user.phone, stated.at);
        let what = if read {
            Happening::Read { peer, up_to, at }
        } else {
            Happening::Delivered { peer, up_to, at }
        };
        let user = User { tenant: stated.user.tenant, phone: stated.peer };
        self.group.signal(Signal::Happened { user, entry: InboxEntry { sequence, what } });
        Ok(())
    }

    pub(super) fn register(
        &mut self,
        user: &User,
        name: Option<Name>,
        at: Millis,
        answer: queue::Answer<Registered>,
    ) -> Result<(), Error> {
        // What he said before is read where it can be read.
        if !self.group.is_empty() {
            self.end_group()?;
        }
        let known = match self.tenants.number(&user.tenant) {
            Some(tenant) => self.shared.card(UserKey { tenant, phone: user.phone.digits() })?,
            None => None,
        };
        let new = known.is_none();
        let card = Card {
            created_at: known.as_ref().map_or(at, |card| card.created_at),
            name: name.or_else(|| known.as_ref().and_then(|card| card.name.clone())),
        };
        let profile =
            Profile { phone: user.phone, name: card.name.clone(), created_at: card.created_at };
        let mut registered = Ok(Registered { profile, new });
        if known.as_ref() != Some(&card) {
            match self.reserve(OTHERS_MAX)? {
                Ok(()) => self.write_card(user, card, at),
                Err(why) => registered = Err(refused(&why)),
            }
        }
        self.group.answer(Answered::Registered(answer, registered));
        Ok(())
    }

    fn write_card(&mut self, user: &User, card: Card, at: Millis) {
        self.begin_entry();
        let tenant = self.tenant(&user.tenant);
        let phone = user.phone.digits();
        let (_, behind) = self.group.place();
        let name = card.name.as_ref().map_or("", Name::as_str);
        let created_at = card.created_at.0;
        self.group.write(&Entry::User(UserEntry { tenant, behind, phone, created_at, name }));
        self.group.change(Change::User { user: UserKey { tenant, phone }, card }, at.0);
    }

    pub(super) fn trace(
        &mut self,
        sender: &User,
        id: &ClientMessageId,
        answer: queue::Answer<Steps>,
    ) -> Result<(), Error> {
        // What is told must be durable.
        if !self.group.is_empty() {
            self.end_group()?;
        }
        let known = match self.tenants.number(&sender.tenant) {
            Some(tenant) => self.find(UserKey { tenant, phone: sender.phone.digits() }, id)?.ok(),
            None => None,
        };
        let place = known.map(|known| known.place).ok_or_else(|| {
            Refusal::new(Code::NotFound, "no message was sent with this client_message_id")
        });
        self.group.answer(Answered::Traced(answer, place));
        Ok(())
    }

    fn next_sequence(&mut self, user: UserKey) -> Result<u64, Error> {
        let newest = self.heads.newest(user)?;
        *newest += 1;
        Ok(*newest)
    }

    /// The number of a tenant, which is given one if it has none. There must be room to say so.
    pub(super) fn tenant(&mut self, tenant: &Tenant) -> u32 {
        self.tenants.number(tenant).unwrap_or_else(|| {
            self.group.write(&Entry::Tenant(*tenant));
            self.fresh.tenants.push(*tenant);
            let number = self.tenants.define(*tenant);
            self.shared.define(*tenant, number);
            number
        })
    }
}

fn refused(why: &str) -> Refusal {
    let what = format!("the store takes no writes now: {why}; nothing was sent, try again later");
    Refusal::new(Code::Unavailable, what)
}
