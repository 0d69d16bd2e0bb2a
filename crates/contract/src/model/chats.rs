//! Conversations in plain lists.

mod carried;

use std::{
    collections::BTreeMap,
    fmt, future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use switchboard_core::{
    Code, Error, Millis, Result, Tenant,
    chat::{
        Acknowledgement, Answer, Chat, ChatsPage, ChatsPlace, ClientMessageId, Draft, Entry,
        Happening, InboxPage, Listed, Marks, Message, MessageStatus, MessagesPage, Name,
        PhoneNumber, Profile, Reach, Registered, Sent, Signal, Signals, Steps, User,
    },
};

/// All that was ever said.
#[derive(Default)]
pub(super) struct Chats(Mutex<Said>);

/// A user by what can be ordered.
type Who = (Tenant, PhoneNumber);

#[derive(Default)]
struct Said {
    /// Messages of all chats, in the order in which they came: their places are their activity.
    messages: Vec<(Tenant, Arc<Message>)>,
    inboxes: BTreeMap<Who, Vec<Happening>>,
    /// How far a user has come with a peer, and when he stated it.
    marks: BTreeMap<(Who, PhoneNumber), (Marks, Vec<Moved>)>,
    profiles: BTreeMap<Who, Profile>,
    /// When messages were durable that were carried from another store, by tenant, sender and his
    /// name for them; others were at once.
    stored: BTreeMap<(Who, ClientMessageId), Millis>,
    signals: Option<Arc<dyn Signals>>,
}

/// Up to where a mark was moved, whether that of what was read, and when.
type Moved = (u64, bool, Millis);

fn who(user: &User) -> Who {
    (user.tenant, user.phone)
}

impl Said {
    /// The messages of a chat, and their places.
    fn chat(&self, user: &User, peer: PhoneNumber) -> Vec<(u64, &Arc<Message>)> {
        let both = |it: &Message| {
            (it.from, it.to) == (user.phone, peer) || (it.from, it.to) == (peer, user.phone)
        };
        let all = (1..).zip(&self.messages);
        let these = all.filter(|(_, (tenant, it))| *tenant == user.tenant && both(it));
        these.map(|(place, (_, message))| (place, message)).collect()
    }

    fn marks(&self, user: &User, peer: PhoneNumber) -> Marks {
        self.marks.get(&(who(user), peer)).map(|(marks, _)| *marks).unwrap_or_default()
    }

    fn status(&self, tenant: Tenant, message: &Message) -> MessageStatus {
        let recipient = User { tenant, phone: message.to };
        self.marks(&recipient, message.from).status(message.id)
    }

    fn listed(&self, tenant: Tenant, message: &Arc<Message>) -> Listed {
        Listed { message: Arc::clone(message), status: self.status(tenant, message) }
    }

    fn happen(&mut self, user: User, what: Happening) {
        let inbox = self.inboxes.entry(who(&user)).or_default();
        inbox.push(what.clone());
        let entry = Entry { sequence: inbox.len() as u64, what };
        if let Some(signals) = &self.signals {
            signals.tell(vec![Signal::Happened { user, entry }]);
        }
    }

    fn named(&self, sender: &User, id: &ClientMessageId) -> Option<&Arc<Message>> {
        let same = |it: &Message| it.from == sender.phone && it.client_message_id == *id;
        let mut all = self.messages.iter();
        all.find(|(tenant, it)| *tenant == sender.tenant && same(it)).map(|(_, it)| it)
    }

    fn send(&mut self, draft: Draft) -> Result<Sent> {
        let Draft { from, to, text, client_message_id, at, trace } = draft;
        if let Some(known) = self.named(&from, &client_message_id) {
            if known.to != to || known.text != text {
                return Err(Error::new(Code::Conflict, "sent before, with something else"));
            }
            let Listed { message, status } = self.listed(from.tenant, known);
            return Ok(Sent { message, status, new: false });
        }
        let id = self.chat(&from, to).len() as u64 + 1;
        let (from, tenant) = (from.phone, from.tenant);
        let message =
            Arc::new(Message { id, from, to, text, client_message_id, sent_at: at, trace });
        self.messages.push((tenant, Arc::clone(&message)));
        for phone in [to, from] {
            self.happen(User { tenant, phone }, Happening::Message(Arc::clone(&message)));
        }
        Ok(Sent { message, status: MessageStatus::Sent, new: true })
    }

    fn acknowledge(&mut self, stated: &Acknowledgement) -> Result<Marks> {
        let Acknowledgement { user, peer, at, .. } = *stated;
        let last_id = self.chat(&user, peer).len() as u64;
        let before = self.marks(&user, peer);
        let after = before.advanced(stated, last_id)?;
        let Marks { delivered_up_to, read_up_to } = after;
        let read = before.read_up_to < read_up_to;
        let delivered = before.delivered_up_to < delivered_up_to && read_up_to < delivered_up_to;
        let (marks, history) = self.marks.entry((who(&user), peer)).or_default();
        *marks = after;
        let moved = [(delivered, delivered_up_to, false), (read, read_up_to, true)];
        let moved: Vec<_> = moved.into_iter().filter(|(moved, ..)| *moved).collect();
        history.extend(moved.iter().map(|&(_, up_to, read)| (up_to, read, at)));
        for (_, up_to, read) in moved {
            let told = User { tenant: user.tenant, phone: peer };
            let peer = user.phone;
            let what = if read {
                Happening::Read { peer, up_to, at }
            } else {
                Happening::Delivered { peer, up_to, at }
            };
            self.happen(told, what);
        }
        Ok(after)
    }

    fn register(&mut self, user: User, name: Option<Name>, at: Millis) -> Registered {
        let new = !self.profiles.contains_key(&who(&user));
        let profile = self.profiles.entry(who(&user)).or_insert_with(|| Profile {
            phone: user.phone,
            name: None,
            created_at: at,
        });
        if name.is_some() {
            profile.name = name;
        }
        Registered { profile: profile.clone(), new }
    }

    fn chats(&self, user: &User, on: Option<ChatsPlace>, limit: u32) -> ChatsPage {
        let newest = self.messages.len() as u64;
        let ChatsPlace { as_of, before } =
            on.unwrap_or(ChatsPlace { as_of: newest, before: u64::MAX });
        let of = |message: &Message| match user.phone {
            phone if message.from == phone => Some(message.to),
            phone if message.to == phone => Some(message.from),
            _ => None,
        };
        let own = self.messages.iter().filter(|(tenant, _)| *tenant == user.tenant);
        let mut peers: Vec<PhoneNumber> = own.filter_map(|(_, message)| of(message)).collect();
        peers.sort_unstable();
        peers.dedup();
        // Where each stood then.
        let mut places: Vec<(u64, PhoneNumber)> = peers
            .into_iter()
            .filter_map(|peer| {
                let chat = self.chat(user, peer);
                let then = chat.iter().rev().find(|(place, _)| *place <= as_of);
                then.map(|&(place, _)| (place, peer)).filter(|&(place, _)| place < before)
            })
            .collect();
        places.sort_unstable_by(|a, b| b.cmp(a));
        let more = (limit as usize) < places.len();
        places.truncate(limit as usize);
        let next = places.last().filter(|_| more);
        ChatsPage {
            next: next.map(|&(before, _)| ChatsPlace { as_of, before }),
            chats: places.iter().map(|&(_, peer)| self.summary(user, peer)).collect(),
        }
    }

    fn summary(&self, user: &User, peer: PhoneNumber) -> Chat {
        let chat = self.chat(user, peer);
        let mark = self.marks(user, peer).read_up_to;
        let unread = chat.iter().filter(|(_, it)| it.from == peer && mark < it.id).count();
        let profile = self.profiles.get(&(user.tenant, peer));
        Chat {
            peer,
            peer_name: profile.and_then(|profile| profile.name.clone()),
            last: self.listed(user.tenant, chat[chat.len() - 1].1),
            unread: unread as u64,
        }
    }

    fn messages(&self, user: &User, peer: PhoneNumber, reach: Reach, limit: u32) -> MessagesPage {
        let chat = self.chat(user, peer);
        let limit = limit as usize;
        let listed = |(_, message): &(u64, &Arc<Message>)| self.listed(user.tenant, message);
        let messages = match reach {
            Reach::Newest => chat.iter().rev().take(limit).map(listed).collect(),
            Reach::Before(id) => {
                let before = chat.iter().rev().filter(|(_, it)| it.id < id);
                before.take(limit).map(listed).collect()
            }
            Reach::After(id) => {
                let behind = chat.iter().filter(|(_, it)| id < it.id);
                let mut behind: Vec<_> = behind.take(limit).map(listed).collect();
                behind.reverse();
                behind
            }
        };
        MessagesPage { messages, last_id: chat.len() as u64 }
    }

    fn inbox(&self, user: &User, after: u64, limit: u32) -> Result<InboxPage> {
        let inbox = self.inboxes.get(&who(user)).map_or(&[][..], Vec::as_slice);
        let newest = inbox.len() as u64;
        if newest < after {
            return Err(Error::new(Code::InvalidCursor, "that has not happened yet"));
        }
        let all = (1..).zip(inbox).map(|(sequence, what)| Entry { sequence, what: what.clone() });
        let behind = all.filter(|entry| after < entry.sequence);
        Ok(InboxPage { entries: behind.take(limit as usize).collect(), newest })
    }

    fn trace(&self, sender: &User, id: &ClientMessageId) -> Result<Steps> {
        let found = self.named(sender, id);
        let message = found.ok_or_else(|| Error::new(Code::NotFound, "none of this name"))?;
        let recipient = User { tenant: sender.tenant, phone: message.to };
        let marks = self.marks.get(&(who(&recipient), sender.phone));
        let history = marks.map_or(&[][..], |(_, history)| history.as_slice());
        let first = |only_read: bool| {
            let reached = |&&(up_to, read, _): &&Moved| message.id <= up_to && (read || !only_read);
            history.iter().find(reached).map(|&(_, _, at)| at)
        };
        let stored = self.stored(sender.tenant, message);
        Ok(Steps {
            message: Arc::clone(message),
            stored,
            signalled: stored,
            delivered: first(false),
            read: first(true),
        })
    }
}

impl Chats {
    fn lock(&self) -> MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ready<T: Send + 'static>(answer: Result<T>) -> Answer<T> {
    Box::pin(future::ready(answer))
}

impl switchboard_core::chat::Chats for super::Model {
    fn send(&self, drafts: Vec<Draft>) -> Answer<Vec<Result<Sent>>> {
        let mut said = self.chats.lock();
        ready(Ok(drafts.into_iter().map(|draft| said.send(draft)).collect()))
    }

    fn acknowledge(&self, receipts: Vec<Acknowledgement>) -> Answer<Vec<Result<Marks>>> {
        let mut said = self.chats.lock();
        ready(Ok(receipts.iter().map(|stated| said.acknowledge(stated)).collect()))
    }

    fn register(&self, user: User, name: Option<Name>, at: Millis) -> Answer<Registered> {
        ready(Ok(self.chats.lock().register(user, name, at)))
    }

    fn chats(&self, user: User, on: Option<ChatsPlace>, limit: u32) -> Answer<ChatsPage> {
        ready(Ok(self.chats.lock().chats(&user, on, limit)))
    }

    fn messages(
        &self,
        user: User,
        peer: PhoneNumber,
        reach: Reach,
        limit: u32,
    ) -> Answer<MessagesPage> {
        ready(Ok(self.chats.lock().messages(&user, peer, reach, limit)))
    }

    fn inbox(&self, user: User, after: u64, limit: u32) -> Answer<InboxPage> {
        ready(self.chats.lock().inbox(&user, after, limit))
    }

    fn newest(&self, users: Vec<User>) -> Answer<Vec<u64>> {
        let said = self.chats.lock();
        let newest = |user| said.inboxes.get(&who(&user)).map_or(0, |inbox| inbox.len() as u64);
        ready(Ok(users.into_iter().map(newest).collect()))
    }

    fn trace(&self, sender: User, id: ClientMessageId) -> Answer<Steps> {
        ready(self.chats.lock().trace(&sender, &id))
    }

    fn tell(&self, signals: Arc<dyn Signals>) {
        self.chats.lock().signals = Some(signals);
    }
}

impl fmt::Debug for Chats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chats").finish_non_exhaustive()
    }
}
