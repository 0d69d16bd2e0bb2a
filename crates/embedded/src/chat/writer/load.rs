//! What another store tells, taken with the ids and sequences that it has there.
//!
//! Nothing is decided: an entry is written once what stands before it is there. It can be read
//! before it is durable, since nobody reads.

use switchboard_core::{
    Error as Refusal, Tenant,
    chat::{Happening, User},
    transfer::{Happened, Receipt as Told, Row, Said, Sequences, Waiting},
};

use super::{
    super::{
        entry::{
            CARRIED, Entry, MESSAGE_MAX, MessageEntry, OTHERS_MAX, ReceiptEntry, Times, UserEntry,
        },
        keys::{ChatKey, UserKey},
        recent::{Card, Change, Receipt},
    },
    Writer,
};
use crate::{
    Error,
    slots::Pair,
    transfer::{conflict, no_room},
};

type Taken = Result<Result<(), Refusal>, Error>;

impl Writer {
    /// Takes rows, durably but for those that wait.
    pub(in super::super) fn load(&mut self, rows: Vec<Row>, waiting: &mut Waiting) -> Taken {
        for row in rows {
            let taken = match row {
                Row::User { user, name, created_at } => {
                    self.load_user(&user, Card { created_at, name })?
                }
                row => self.load_happened(row, waiting)?,
            };
            if taken.is_err() {
                return Ok(taken);
            }
        }
        self.end_group()?;
        self.heads.tidy();
        Ok(Ok(()))
    }

    fn load_happened(&mut self, row: Row, waiting: &mut Waiting) -> Taken {
        let mut all: Vec<Happened> = Happened::of(row).into_iter().collect();
        while let Some(happened) = all.pop() {
            let places = happened.places();
            let (mut missing, mut there) = (None, false);
            for (user, sequence) in places.into_iter().flatten() {
                let newest = self.newest_of(&user)?;
                there |= sequence <= newest;
                if newest + 1 < sequence {
                    missing = Some((user, sequence));
                }
            }
            match missing {
                _ if there => {
                    if !self.is_there(&happened)? {
                        let what = "something that was said or acknowledged";
                        return Ok(Err(conflict(what)));
                    }
                }
                Some(place) => {
                    waiting.wait(place, happened);
                    continue;
                }
                None => {
                    let taken = match &happened {
                        Happened::Said(said) => self.load_message(said)?,
                        Happened::Receipt(receipt) => self.load_receipt(receipt)?,
                    };
                    if taken.is_err() {
                        return Ok(taken);
                    }
                }
            }
            for (user, _) in places.into_iter().flatten() {
                let newest = self.newest_of(&user)?;
                all.extend(waiting.next(user, newest));
            }
        }
        Ok(Ok(()))
    }

    fn newest_of(&mut self, user: &User) -> Result<u64, Error> {
        match self.tenants.number(&user.tenant) {
            Some(tenant) => {
                Ok(*self.heads.newest(UserKey { tenant, phone: user.phone.digits() })?)
            }
            None => Ok(0),
        }
    }

    /// Whether what stands at its places is this.
    fn is_there(&mut self, happened: &Happened) -> Result<bool, Error> {
        // Only what is durable can be looked at.
        self.end_group()?;
        for (user, sequence) in happened.places().into_iter().flatten() {
            let page = self.shared.inbox(&user, sequence - 1, 1)?;
            let found = page.and_then(|page| page.entries.into_iter().next());
            let same = match (found.map(|entry| entry.what), happened) {
                (Some(Happening::Message(there)), Happened::Said(said)) => *there == said.message,
                (Some(Happening::Delivered { peer, up_to, at }), Happened::Receipt(told)) => {
                    !told.read && (peer, up_to, at) == (told.user.phone, told.up_to, told.at)
                }
                (Some(Happening::Read { peer, up_to, at }), Happened::Receipt(told)) => {
                    told.read && (peer, up_to, at) == (told.user.phone, told.up_to, told.at)
                }
                _ => false,
            };
            if !same {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes room for an entry, and for all that may come before it.
    fn begin_load(
        &mut self,
        needed: usize,
        tenant: &Tenant,
    ) -> Result<Result<u32, Refusal>, Error> {
        if let Err(why) = self.reserve(needed + OTHERS_MAX)? {
            return Ok(Err(no_room(&why)));
        }
        Ok(Ok(self.tenant(tenant)))
    }

    fn load_message(&mut self, said: &Said) -> Taken {
        let Said { tenant, message, sequences: Sequences { from, to }, stored } = said;
        let (text, id) = (message.text.as_str(), message.client_message_id.as_str());
        let tenant = match self.begin_load(MESSAGE_MAX + id.len() + text.len(), tenant)? {
            Ok(tenant) => tenant,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let digits = [message.from.digits(), message.to.digits()];
        let (chat, side) = ChatKey::of(tenant, digits[0], digits[1]);
        let head = self.heads.chat(chat)?;
        if head.last_id + 1 != message.id {
            return Ok(Err(conflict("a message of another id")));
        }
        self.group.write(&Entry::Times(Times { stored: stored.0, signalled: stored.0 }));
        let (location, _) = self.group.place();
        head.last_id += 1;
        head.last = location;
        head.unread[1 - side] += 1;
        let head = *head;
        *self.heads.newest(chat.user(side))? = *from;
        *self.heads.newest(chat.user(1 - side))? = *to;
        let at = message.sent_at.0;
        self.group.write(&Entry::Message(MessageEntry {
            tenant,
            behind: CARRIED,
            from: digits[0],
            to: digits[1],
            id: message.id,
            sequences: [*from, *to],
            at,
            trace: message.trace,
            client_message_id: id,
            text,
        }));
        let hash = self.names.hash(|to| chat.user(side).name(&message.client_message_id, to));
        let slot = self.names.free(hash)?;
        self.names.insert(slot, location);
        self.fresh.pairs.push(Pair { slot, id: location });
        self.fresh.sent += 1;
        let sequences = [*from, *to];
        self.group.change(Change::Message { chat, from: side, location, head, sequences }, at);
        self.publish();
        Ok(Ok(()))
    }

    fn load_receipt(&mut self, told: &Told) -> Taken {
        let &Told { user, peer, read, up_to, sequence, at } = told;
        let tenant = match self.begin_load(OTHERS_MAX, &user.tenant)? {
            Ok(tenant) => tenant,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let (chat, side) = ChatKey::of(tenant, user.phone.digits(), peer.digits());
        let before = *self.heads.chat(chat)?;
        if before.last_id < up_to {
            return Ok(Err(conflict("a receipt of a message that is not there")));
        }
        let unread = if read {
            self.shared.unread(chat, side, &before, up_to)?
        } else {
            before.unread[side]
        };
        let (location, _) = self.group.place();
        self.group.write(&Entry::Receipt(ReceiptEntry {
            tenant,
            behind: CARRIED,
            by: user.phone.digits(),
            peer: peer.digits(),
            read,
            up_to,
            sequence,
            at: at.0,
        }));
        let head = self.heads.chat(chat)?;
        let marks = &mut head.marks[side];
        marks.delivered_up_to = marks.delivered_up_to.max(up_to);
        if read {
            marks.read_up_to = marks.read_up_to.max(up_to);
        }
        head.unread[side] = unread;
        let head = *head;
        *self.heads.newest(chat.user(1 - side))? = sequence;
        let receipt = Receipt { by: side, read, up_to, at: at.0 };
        self.group.change(Change::Receipt { chat, receipt, location, head, sequence }, at.0);
        self.publish();
        Ok(Ok(()))
    }

    fn load_user(&mut self, user: &User, card: Card) -> Taken {
        let phone = user.phone.digits();
        if let Some(tenant) = self.tenants.number(&user.tenant)
            && let Some(known) = self.shared.card(UserKey { tenant, phone })?
        {
            return Ok(if known == card { Ok(()) } else { Err(conflict("a user")) });
        }
        let tenant = match self.begin_load(OTHERS_MAX, &user.tenant)? {
            Ok(tenant) => tenant,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let name = card.name.as_ref().map_or("", |name| name.as_str());
        let created_at = card.created_at.0;
        let entry = UserEntry { tenant, behind: CARRIED, phone, created_at, name };
        self.group.write(&Entry::User(entry));
        self.group.change(Change::User { user: UserKey { tenant, phone }, card }, created_at);
        self.publish();
        Ok(Ok(()))
    }
}
