//! What the transports share of chat.

mod follower;
mod hub;
mod numbers;

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};

use switchboard_core::{
    ClientId, Code, Error, Millis, Result, Tenant,
    chat::{
        self, Acknowledgement, ChatsPage, ClientMessageId, Cursor, Draft, Marks, MessagesPage,
        Name, PhoneNumber, Reach, Registered, Sent, Signal, Steps, Text, TraceContext, User,
    },
};

pub(crate) use self::{
    follower::{After, Follower, Told},
    hub::Hub,
    numbers::Numbers,
};
use crate::{door::Entrance, node::Node, presence::Tally};

/// A message as a caller writes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written<'a> {
    pub(crate) to: &'a str,
    pub(crate) text: &'a str,
    /// Empty: one is made up.
    pub(crate) client_message_id: &'a str,
}

/// Which messages of a chat a caller asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) limit: u32,
    /// Empty: from the first.
    pub(crate) cursor: &'a str,
}

/// A page of messages, and where it leads.
pub(crate) struct MessagesRead {
    pub(crate) page: MessagesPage,
    /// To older messages.
    pub(crate) next: Option<String>,
    /// To newer ones.
    pub(crate) previous: Option<String>,
}

/// A page of chats, and where it leads.
pub(crate) struct ChatsRead {
    pub(crate) page: ChatsPage,
    pub(crate) next: Option<String>,
}

/// A page of an inbox, and where it leads.
pub(crate) struct InboxRead {
    pub(crate) entries: Vec<chat::Entry>,
    pub(crate) next: String,
}

/// The ways in of one transport.
#[derive(Debug)]
pub(crate) struct Entrances {
    pub(crate) register: Entrance,
    pub(crate) send: Entrance,
    pub(crate) chats: Entrance,
    pub(crate) messages: Entrance,
    pub(crate) acknowledge: Entrance,
    pub(crate) inbox: Entrance,
    pub(crate) follow: Entrance,
    pub(crate) trace: Entrance,
}

impl Entrances {
    pub(crate) fn new(node: &Node, transport: &'static str) -> Self {
        let entrance = |operation| Entrance::new(node, "chat", operation, transport);
        Self {
            register: entrance("register"),
            send: entrance("send"),
            chats: entrance("chats"),
            messages: entrance("messages"),
            acknowledge: entrance("acknowledge"),
            inbox: entrance("inbox"),
            follow: entrance("follow"),
            trace: entrance("trace"),
        }
    }
}

/// Whether a user is online, and when he was last seen, if this node knows.
pub(crate) fn presence(
    tally: Option<&Arc<Tally>>,
    tenant: &Tenant,
    phone: PhoneNumber,
) -> Option<(bool, Option<i64>)> {
    let client = ClientId::new(&phone.to_string()).ok()?;
    let seen = tally?.client(tenant, &client).ok()?;
    Some((seen.online, seen.last_seen.map(|at| at.0)))
}

impl Node {
    /// A phone number, however it is written.
    pub(crate) fn phone(&self, written: &str) -> Result<PhoneNumber> {
        self.numbers.judge(written)
    }

    /// A user, whose number may be written in any way.
    pub(crate) fn user(&self, tenant: Tenant, phone: &str) -> Result<User> {
        Ok(User { tenant, phone: self.phone(phone)? })
    }

    /// A message that can be sent.
    pub(crate) fn draft(
        &self,
        from: User,
        written: &Written<'_>,
        trace: Option<TraceContext>,
    ) -> Result<Draft> {
        let to = self.phone(written.to)?;
        Draft::check_recipient(from.phone, to)?;
        let text = Text::new(written.text)?;
        let client_message_id = match written.client_message_id {
            "" => made_up()?,
            given => ClientMessageId::new(given)?,
        };
        let at = self.ports.clock.now();
        Ok(Draft { from, to, text, client_message_id, at, trace })
    }

    /// Sends one message.
    pub(crate) async fn send_message(&self, draft: Draft) -> Result<Sent> {
        let sent = self.ports.chats.send(vec![draft]).await?;
        let sent = one(sent)?;
        self.count_sent(&sent);
        sent
    }

    /// Counts how a send ended. What is new is counted when it is signalled.
    pub(crate) fn count_sent(&self, sent: &Result<Sent>) {
        match sent {
            Ok(sent) if !sent.new => self.metrics.chat.repeated(),
            Err(error) if error.code() == Code::Conflict => self.metrics.chat.conflicted(),
            _ => {}
        }
    }

    /// What a user states of a chat.
    pub(crate) fn statement(
        &self,
        user: User,
        peer: &str,
        (delivered_up_to, read_up_to): (Option<u64>, Option<u64>),
    ) -> Result<Acknowledgement> {
        let peer = self.peer(&user, peer)?;
        let at = self.ports.clock.now();
        Ok(Acknowledgement { user, peer, delivered_up_to, read_up_to, at })
    }

    /// Moves marks.
    pub(crate) async fn acknowledge(&self, stated: Acknowledgement) -> Result<Marks> {
        one(self.ports.chats.acknowledge(vec![stated]).await?)?
    }

    /// Makes a user known.
    pub(crate) async fn register_user(&self, user: User, name: Option<&str>) -> Result<Registered> {
        let name = name.map(Name::new).transpose()?;
        self.ports.chats.register(user, name, self.ports.clock.now()).await
    }

    /// A page of a user's chats.
    pub(crate) async fn list_chats(&self, user: User, asked: Asked<'_>) -> Result<ChatsRead> {
        let cursor = Cursor::of_chats(&user);
        let on = match asked.cursor {
            "" => None,
            given => Some(cursor.read_place(given)?),
        };
        let page = self.ports.chats.chats(user, on, chat::page_limit(asked.limit)?).await?;
        let next = page.next.map(|place| cursor.write_place(place).to_string());
        Ok(ChatsRead { page, next })
    }

    /// A page of one chat's messages.
    pub(crate) async fn list_messages(
        &self,
        user: User,
        peer: &str,
        asked: Asked<'_>,
    ) -> Result<MessagesRead> {
        let peer = self.peer(&user, peer)?;
        let cursor = Cursor::of_messages(&user, peer);
        let reach = match asked.cursor {
            "" => Reach::Newest,
            given => cursor.read_reach(given)?,
        };
        let limit = chat::page_limit(asked.limit)?;
        let page = self.ports.chats.messages(user, peer, reach, limit).await?;
        let write = |reach| cursor.write_reach(reach).map(|written| written.to_string());
        let first = page.messages.first().map(|listed| listed.message.id);
        let last = page.messages.last().map(|listed| listed.message.id);
        // An empty page leads on to where it was looked for.
        let (next, previous) = match (first, last, reach) {
            (Some(first), Some(last), _) => {
                let older = (1 < last).then_some(Reach::Before(last));
                (older, Some(Reach::After(first)))
            }
            (_, _, Reach::After(id)) if id <= page.last_id => {
                ((1 <= id).then_some(Reach::Before(id.saturating_add(1))), Some(Reach::After(id)))
            }
            (_, _, Reach::After(_)) => {
                let what = "nothing of this cursor has happened yet: it is not of this chat";
                return Err(Error::new(Code::InvalidCursor, what));
            }
            (_, _, Reach::Before(id)) => {
                (None, (0 < page.last_id).then_some(Reach::After(id.saturating_sub(1))))
            }
            (_, _, Reach::Newest) => (None, None),
        };
        Ok(MessagesRead { page, next: next.and_then(write), previous: previous.and_then(write) })
    }

    /// A page of a user's inbox.
    pub(crate) async fn read_inbox(
        &self,
        user: User,
        after: &str,
        limit: u32,
    ) -> Result<InboxRead> {
        let cursor = Cursor::of_inbox(&user);
        let limit = chat::page_limit(limit)?;
        let (after, limit) = match After::read(cursor, after)? {
            After::Place(place) => (place, limit),
            After::Now => (self.ports.chats.inbox(user, 0, 0).await?.newest, 0),
        };
        let entries = self.ports.chats.inbox(user, after, limit).await?.entries;
        let last = entries.last().map_or(after, |entry| entry.sequence);
        Ok(InboxRead { entries, next: cursor.write(last).to_string() })
    }

    /// Where a message is.
    pub(crate) async fn trace_message(&self, sender: User, id: &str) -> Result<Steps> {
        self.ports.chats.trace(sender, ClientMessageId::new(id)?).await
    }

    /// Tells a peer that a user writes, or has stopped.
    pub(crate) fn typing(&self, user: &User, peer: &str, typing: bool) -> Result<()> {
        let peer = User { tenant: user.tenant, phone: self.peer(user, peer)? };
        self.metrics.chat.typed();
        self.relay.typing(Signal::Typing { user: peer, from: user.phone, typing });
        Ok(())
    }

    /// The other user of a chat.
    fn peer(&self, user: &User, peer: &str) -> Result<PhoneNumber> {
        let peer = self.phone(peer)?;
        Draft::check_recipient(user.phone, peer)?;
        Ok(peer)
    }
}

/// The steps of a message by name, those that were made.
pub(crate) fn steps(steps: &Steps) -> Vec<(&'static str, Millis)> {
    let all = [
        ("accepted", Some(steps.message.sent_at)),
        ("stored", Some(steps.stored)),
        ("signalled", Some(steps.signalled)),
        ("delivered", steps.delivered),
        ("read", steps.read),
    ];
    all.into_iter().filter_map(|(name, at)| at.map(|at| (name, at))).collect()
}

/// A name for a message whose sender has none: no other has it.
fn made_up() -> Result<ClientMessageId> {
    // Two random keys, of which each is used once.
    let [first, second] = [0, 1].map(|part: u8| RandomState::new().hash_one(part));
    ClientMessageId::new(&format!("{first:016x}{second:016x}"))
}

/// The one answer to one request.
fn one<T>(answers: Vec<T>) -> Result<T> {
    let [answer] = <[T; 1]>::try_from(answers).map_err(|_| {
        Error::new(Code::Internal, "the store gave another number of answers than requests")
    })?;
    Ok(answer)
}
