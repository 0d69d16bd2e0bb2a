//! What was said, as it is carried.

use std::{collections::BTreeMap, sync::Arc};

use switchboard_core::{
    Millis, Result, Tenant,
    chat::{Happening, Marks, Message, Profile, User},
    transfer::{Happened, Receipt, Row, Section, Sequences, Waiting},
};

use super::{super::transfer::conflict, Chats, Said, Who, who};

impl Chats {
    /// All rows of a section.
    pub(in super::super) fn rows(&self, section: Section) -> Vec<Row> {
        let said = self.lock();
        match section {
            Section::Users => said.users(),
            Section::Messages => said.happened(),
            _ => Vec::new(),
        }
    }

    /// Takes a row, once what stands before it is there.
    pub(in super::super) fn put(&self, row: Row, waiting: &mut Waiting) -> Result<()> {
        let mut said = self.lock();
        if let Row::User { user, name, created_at } = row {
            let profile = Profile { phone: user.phone, name, created_at };
            let there = said.profiles.entry(who(&user)).or_insert_with(|| profile.clone());
            return if *there == profile { Ok(()) } else { Err(conflict()) };
        }
        let mut all: Vec<Happened> = Happened::of(row).into_iter().collect();
        while let Some(happened) = all.pop() {
            let places = happened.places();
            let missing = |place: &(User, u64)| said.newest(&place.0) + 1 < place.1;
            if let Some(place) = places.into_iter().flatten().find(missing) {
                waiting.wait(place, happened);
                continue;
            }
            said.happen_again(happened)?;
            for (user, _) in places.into_iter().flatten() {
                all.extend(waiting.next(user, said.newest(&user)));
            }
        }
        Ok(())
    }
}

impl Said {
    pub(super) fn stored(&self, tenant: Tenant, message: &Message) -> Millis {
        let name = ((tenant, message.from), message.client_message_id.clone());
        self.stored.get(&name).copied().unwrap_or(message.sent_at)
    }

    fn newest(&self, user: &User) -> u64 {
        self.inboxes.get(&who(user)).map_or(0, |inbox| inbox.len() as u64)
    }

    fn users(&self) -> Vec<Row> {
        let row = |(&(tenant, phone), profile): (&Who, &Profile)| Row::User {
            user: User { tenant, phone },
            name: profile.name.clone(),
            created_at: profile.created_at,
        };
        self.profiles.iter().map(row).collect()
    }

    /// First all messages, then all receipts: whoever takes them has to put them in order.
    fn happened(&self) -> Vec<Row> {
        let mut places: BTreeMap<(Tenant, u64, u64, u64), Sequences> = BTreeMap::new();
        let mut receipts = Vec::new();
        for (&(tenant, phone), inbox) in &self.inboxes {
            for (sequence, what) in (1..).zip(inbox) {
                let mut receipt = |peer, read, up_to, at| {
                    let user = User { tenant, phone: peer };
                    let told = Receipt { user, peer: phone, read, up_to, sequence, at };
                    receipts.push(Row::Receipt(told));
                };
                match what {
                    Happening::Message(it) => {
                        let name = (tenant, it.from.digits(), it.to.digits(), it.id);
                        let there = places.entry(name).or_insert(Sequences { from: 0, to: 0 });
                        let own = it.from == phone;
                        *(if own { &mut there.from } else { &mut there.to }) = sequence;
                    }
                    &Happening::Delivered { peer, up_to, at } => receipt(peer, false, up_to, at),
                    &Happening::Read { peer, up_to, at } => receipt(peer, true, up_to, at),
                }
            }
        }
        let said = |(tenant, message): &(Tenant, Arc<Message>)| {
            let name = (*tenant, message.from.digits(), message.to.digits(), message.id);
            Row::Said(switchboard_core::transfer::Said {
                tenant: *tenant,
                message: (**message).clone(),
                sequences: places[&name],
                stored: self.stored(*tenant, message),
            })
        };
        self.messages.iter().map(said).chain(receipts).collect()
    }

    /// Takes what is next in all its inboxes, or is there.
    fn happen_again(&mut self, happened: Happened) -> Result<()> {
        let what = match &happened {
            Happened::Said(said) => Happening::Message(Arc::new(said.message.clone())),
            &Happened::Receipt(Receipt { user, read, up_to, at, .. }) => {
                let peer = user.phone;
                if read {
                    Happening::Read { peer, up_to, at }
                } else {
                    Happening::Delivered { peer, up_to, at }
                }
            }
        };
        let mut new = false;
        for (user, sequence) in happened.places().into_iter().flatten() {
            let inbox = self.inboxes.entry(who(&user)).or_default();
            match inbox.get(usize::try_from(sequence - 1).unwrap_or(usize::MAX)) {
                Some(there) if *there == what => {}
                Some(_) => return Err(conflict()),
                None => {
                    inbox.push(what.clone());
                    new = true;
                }
            }
        }
        if !new {
            return Ok(());
        }
        match (happened, what) {
            (Happened::Said(said), Happening::Message(message)) => {
                let name = ((said.tenant, message.from), message.client_message_id.clone());
                self.stored.insert(name, said.stored);
                self.messages.push((said.tenant, message));
            }
            (Happened::Receipt(Receipt { user, peer, read, up_to, at, .. }), _) => {
                let (marks, history) = self.marks.entry((who(&user), peer)).or_default();
                let Marks { delivered_up_to, read_up_to } = marks;
                *delivered_up_to = up_to.max(*delivered_up_to);
                if read {
                    *read_up_to = up_to.max(*read_up_to);
                }
                history.push((up_to, read, at));
            }
            (Happened::Said(_), _) => {}
        }
        Ok(())
    }
}
