//! Follows one inbox: from a place on, then live, without a seam.

use std::{
    collections::VecDeque,
    fmt,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use switchboard_core::{
    Result,
    chat::{self, Cursor, Entry, InboxPage, PhoneNumber, User, Written},
};

use super::hub::{Mailbox, Taken, Waiting};
use crate::node::Node;

/// How many entries are read from the store at once.
const PAGE: u32 = 512;

/// From where on an inbox is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Behind this sequence.
    Place(u64),
    /// From what happens next.
    Now,
}

/// What a follower hands out.
#[derive(Debug)]
pub(crate) enum Told {
    /// It follows from here on. Comes first, once.
    Began(Written),
    /// What happened next; and since when it was known, if it came live.
    Entry(Entry, Option<Instant>),
    /// Somebody writes, or has stopped.
    Typing(PhoneNumber, bool),
}

/// Follows one inbox.
///
/// The store is the truth: what is signalled is handed out only where it is the very next entry. At
/// the first gap the store is read until nothing is missing.
pub(crate) struct Follower {
    node: Node,
    user: User,
    cursor: Cursor,
    mailbox: Arc<Mailbox>,
    from: After,
    began: bool,
    /// The sequence of the last entry that was handed out.
    position: u64,
    /// Whether there may be more in the store than was read.
    behind: bool,
    reading: Option<chat::Answer<InboxPage>>,
    /// What was read and is not handed out.
    read: VecDeque<Entry>,
}

impl After {
    /// Reads what a caller says: a cursor, `now`, or (`start`, or nothing) from the first.
    pub(crate) fn read(cursor: Cursor, after: &str) -> Result<Self> {
        match after {
            "" | "start" => Ok(Self::Place(0)),
            "now" => Ok(Self::Now),
            given => cursor.read(given).map(Self::Place),
        }
    }
}

impl Follower {
    /// Follows from now on.
    ///
    /// # Errors
    ///
    /// [`switchboard_core::Code::InvalidCursor`]; that nothing of a cursor has happened is told
    /// when it is polled.
    pub(crate) fn new(node: &Node, user: User, after: &str) -> Result<Self> {
        let cursor = Cursor::of_inbox(&user);
        let from = After::read(cursor, after)?;
        // Signals are kept from before the store is read: so there is no gap between them.
        let mailbox = node.hub.join(user);
        Ok(Self {
            node: node.clone(),
            user,
            cursor,
            mailbox,
            from,
            began: false,
            position: 0,
            behind: true,
            reading: None,
            read: VecDeque::new(),
        })
    }

    /// Whose inbox it is.
    pub(crate) fn user(&self) -> &User {
        &self.user
    }

    /// Where whoever has got an entry reads on.
    pub(crate) fn cursor(&self, sequence: u64) -> Written {
        self.cursor.write(sequence)
    }

    /// An entry was handed out, which came live since then.
    pub(crate) fn handed_out(&self, since: Option<Instant>) {
        if let Some(since) = since {
            self.node.metrics.chat.delivered_live(since.elapsed());
        }
    }

    /// What comes next.
    ///
    /// # Errors
    ///
    /// That of the store: there is nothing more then.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Told>> {
        loop {
            if let Some(entry) = self.read.pop_front() {
                self.position = entry.sequence;
                return Poll::Ready(Ok(Told::Entry(entry, None)));
            }
            if self.behind {
                if let Some(told) = ready!(self.poll_read(context))? {
                    return Poll::Ready(Ok(told));
                }
                continue;
            }
            match self.mailbox.take(context.waker()) {
                Taken::Entry(Waiting { entry, at }) => {
                    if entry.sequence == self.position + 1 {
                        self.position = entry.sequence;
                        return Poll::Ready(Ok(Told::Entry(entry, Some(at))));
                    }
                    // What was read already is passed over.
                    if self.position < entry.sequence {
                        self.read_on();
                    }
                }
                Taken::Missed => self.read_on(),
                Taken::Typing(from, typing) => {
                    return Poll::Ready(Ok(Told::Typing(from, typing)));
                }
                Taken::Nothing => return Poll::Pending,
            }
        }
    }

    fn read_on(&mut self) {
        self.behind = true;
        self.mailbox.set_known(None);
    }

    /// Reads on in the store. Ready with what is to be told first, if anything.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Told>>> {
        let (after, limit) = match (self.began, self.from) {
            (true, _) => (self.position, PAGE),
            (false, After::Place(place)) => (place, PAGE),
            (false, After::Now) => (0, 0),
        };
        let reading = self
            .reading
            .get_or_insert_with(|| self.node.ports.chats.inbox(self.user, after, limit));
        let page = ready!(reading.as_mut().poll(context));
        self.reading = None;
        let InboxPage { entries, newest } = page?;
        let began = std::mem::replace(&mut self.began, true);
        if !began {
            self.position = if limit == 0 { newest } else { after };
        }
        let metrics = &self.node.metrics.chat;
        metrics.read_on(entries.len() as u64, newest.saturating_sub(self.position));
        let last = entries.last().map_or(self.position, |entry| entry.sequence);
        self.behind = last < newest;
        if !self.behind {
            self.mailbox.set_known(Some(last));
        }
        self.read = entries.into();
        Poll::Ready(Ok((!began).then(|| Told::Began(self.cursor.write(self.position)))))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.node.hub.leave(self.user, &self.mailbox);
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("position", &self.position).finish_non_exhaustive()
    }
}
