//! What is decided of a group: what it changes, what it writes, what each is answered.

use std::{collections::HashMap, sync::Arc};

use switchboard_core::{
    Code, Error, Millis, Result,
    chat::{
        Acknowledgement, ClientMessageId, Draft, Entry, Happening, Marks, Message, MessageStatus,
        Name, Profile, Registered, Sent, Signal, User,
    },
};

use super::{
    keys::{ChatKey, Head, Side},
    rows::{damaged, listed},
    written::MessageRow,
};

/// All that a group is about, as the database has it under the group's locks and as it becomes.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Users whose rows are locked.
    pub(super) users: HashMap<User, Card>,
    pub(super) chats: HashMap<ChatKey, Head>,
    /// Messages by their sender and what he called them.
    pub(super) named: HashMap<(User, ClientMessageId), Arc<Message>>,
    /// How many of a chat's messages up to one are by the lower number, where that is asked for;
    /// none where there is no such message.
    pub(super) counts: HashMap<(ChatKey, u64), Option<u64>>,
    pub(super) changes: Changes,
}

/// A user's row.
#[derive(Clone, Debug, Default)]
pub(super) struct Card {
    /// The sequence of the newest entry of his inbox.
    pub(super) newest: u64,
    /// None for one who was not made known.
    pub(super) created_at: Option<Millis>,
    pub(super) name: Option<Name>,
    pub(super) changed: bool,
}

/// What is to be written, besides the rows of users.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Chats, as they are at the end.
    pub(super) chats: HashMap<ChatKey, Head>,
    pub(super) messages: Vec<NewMessage>,
    pub(super) receipts: Vec<NewReceipt>,
    /// In the order of each inbox.
    pub(super) signals: Vec<Signal>,
}

#[derive(Debug)]
pub(super) struct NewMessage {
    pub(super) chat: ChatKey,
    pub(super) message: Arc<Message>,
    pub(super) by_low: u64,
    /// Where it is in the inbox of each.
    pub(super) sequences: [u64; 2],
    pub(super) stored_at: Millis,
}

impl NewMessage {
    pub(super) fn row(&self) -> MessageRow<'_> {
        let &Self { chat, ref message, by_low, sequences, stored_at } = self;
        MessageRow { chat, message, by_low, sequences, stored_at }
    }
}

#[derive(Debug)]
pub(super) struct NewReceipt {
    /// Whose inbox it is in.
    pub(super) user: User,
    pub(super) sequence: u64,
    pub(super) by: User,
    pub(super) read: bool,
    pub(super) up_to: u64,
    pub(super) at: Millis,
}

impl State {
    /// Sends a message, unless it was sent before. `now` is the time by the clock that the draft
    /// was timed with.
    pub(super) fn send(&mut self, draft: &Draft, now: Millis) -> Result<Sent> {
        let Draft { from, to, text, client_message_id, at, trace } = draft.clone();
        Draft::check_recipient(from.phone, to)?;
        let (chat, side) = ChatKey::of(&from, to);
        let mut head = self.chats.get(&chat).copied().unwrap_or_default();
        let called = (from, client_message_id);
        if let Some(known) = self.named.get(&called) {
            if known.to != to || known.text != text {
                let what = "this client_message_id was used for another recipient or text";
                return Err(Error::new(Code::Conflict, what));
            }
            let listed = listed(Arc::clone(known), &head);
            return Ok(Sent { message: listed.message, status: listed.status, new: false });
        }
        if !self.has_locked(chat) {
            return Err(damaged());
        }
        head.last_id += 1;
        head.by_low += u64::from(side == 0);
        head.unread[1 - side] += 1;
        let message = Arc::new(Message {
            id: head.last_id,
            from: from.phone,
            to,
            text,
            client_message_id: called.1.clone(),
            sent_at: at,
            trace,
        });
        // The recipient first: he waits for it.
        for side in [1 - side, side] {
            let what = Happening::Message(Arc::clone(&message));
            head.activity[side] = self.happen(chat.user(side), what)?;
        }
        if let Some(count) = self.counts.get_mut(&(chat, head.last_id)) {
            *count = Some(head.by_low);
        }
        self.change(chat, head);
        self.changes.messages.push(NewMessage {
            chat,
            message: Arc::clone(&message),
            by_low: head.by_low,
            sequences: head.activity,
            stored_at: now.max(at),
        });
        self.named.insert(called, Arc::clone(&message));
        Ok(Sent { message, status: MessageStatus::Sent, new: true })
    }

    /// Moves a user's marks forward, if there is anything new in what he states.
    pub(super) fn acknowledge(&mut self, stated: &Acknowledgement) -> Result<Marks> {
        let (chat, side) = ChatKey::of(&stated.user, stated.peer);
        // Where one of the two was not there to be locked, what is there by now came later.
        let locked = self.has_locked(chat);
        let head = self.chats.get(&chat).copied().filter(|_| locked).unwrap_or_default();
        let before = head.marks[side];
        let after = before.advanced(stated, head.last_id)?;
        if after == before {
            return Ok(after);
        }
        let mut head = head;
        let Marks { delivered_up_to, read_up_to } = after;
        let read = before.read_up_to < read_up_to;
        if read {
            head.unread[side] = self.unread(chat, side, &head, read_up_to)?;
        }
        head.marks[side] = after;
        self.change(chat, head);
        if before.delivered_up_to < delivered_up_to && read_up_to < delivered_up_to {
            self.tell_receipt(stated, (false, delivered_up_to))?;
        }
        if read {
            self.tell_receipt(stated, (true, read_up_to))?;
        }
        Ok(after)
    }

    /// Whether the rows of both users are locked.
    fn has_locked(&self, chat: ChatKey) -> bool {
        (0..2).all(|side| self.users.contains_key(&chat.user(side)))
    }

    /// How many of the other's messages a user has not read who has read up to one.
    fn unread(&self, chat: ChatKey, side: Side, head: &Head, up_to: u64) -> Result<u64> {
        let low_until = self.counts.get(&(chat, up_to)).copied().flatten().ok_or_else(damaged)?;
        let of_low = head.by_low.saturating_sub(low_until);
        let of_both = head.last_id.saturating_sub(up_to);
        Ok(if side == 0 { of_both.saturating_sub(of_low) } else { of_low })
    }

    /// Tells whoever sent what was acknowledged.
    fn tell_receipt(&mut self, stated: &Acknowledgement, (read, up_to): (bool, u64)) -> Result<()> {
        let Acknowledgement { user: by, peer, at, .. } = *stated;
        let user = User { phone: peer, ..by };
        let what = if read {
            Happening::Read { peer: by.phone, up_to, at }
        } else {
            Happening::Delivered { peer: by.phone, up_to, at }
        };
        let sequence = self.happen(user, what)?;
        self.changes.receipts.push(NewReceipt { user, sequence, by, read, up_to, at });
        Ok(())
    }

    /// Makes a user known, and sets his name if one is given.
    pub(super) fn register(
        &mut self,
        user: User,
        name: Option<&Name>,
        at: Millis,
    ) -> Result<Registered> {
        let card = self.users.get_mut(&user).ok_or_else(damaged)?;
        let new = card.created_at.is_none();
        card.changed |= new || name.is_some_and(|name| card.name.as_ref() != Some(name));
        let created_at = *card.created_at.get_or_insert(at);
        if let Some(name) = name {
            card.name = Some(name.clone());
        }
        let profile = Profile { phone: user.phone, name: card.name.clone(), created_at };
        Ok(Registered { profile, new })
    }

    /// Adds an entry to an inbox, and says which it is.
    fn happen(&mut self, user: User, what: Happening) -> Result<u64> {
        let card = self.users.get_mut(&user).ok_or_else(damaged)?;
        card.newest += 1;
        card.changed = true;
        let sequence = card.newest;
        self.changes.signals.push(Signal::Happened { user, entry: Entry { sequence, what } });
        Ok(sequence)
    }

    fn change(&mut self, chat: ChatKey, head: Head) {
        self.chats.insert(chat, head);
        self.changes.chats.insert(chat, head);
    }

    /// Whether there is anything to be written.
    pub(super) fn has_changed(&self) -> bool {
        self.users.values().any(|card| card.changed)
    }
}
