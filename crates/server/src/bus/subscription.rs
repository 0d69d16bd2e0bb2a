//! Events from a place on, then live, without a seam.

use std::{
    collections::VecDeque,
    fmt,
    sync::Arc,
    task::{Context, Poll, ready},
};

use switchboard_core::{
    Result, Tenant,
    bus::{Answer, Cursor, Event, Interest, Page, Read, Since},
};

use super::{
    hub::{Join, Stay},
    mailbox::Mailbox,
};
use crate::node::Node;

/// How many events are read from the log at once, and how many bytes of them.
const PAGE: u32 = 1_000;
const PAGE_BYTES: usize = 256 * 1024;

/// One subscription, from its beginning on.
///
/// The log is the truth: it is read until there is nothing more that was told already, and only
/// then what is told comes into the mailbox, from just there on. So there is neither a gap nor a
/// repeat, and a subscription that is live needs no state but its place at the hub.
pub(crate) struct Subscription {
    stay: Stay,
    number: u32,
    mailbox: Arc<Mailbox>,
    /// None once it is live.
    reading: Option<Box<Reading>>,
}

/// What is needed while the log is read.
struct Reading {
    node: Node,
    interest: Interest,
    since: Since,
    /// Whether its first page was read.
    began: bool,
    /// The place up to which all was read, and how often events had expired by then.
    position: u64,
    expired: u64,
    /// Whether there may be more in the log.
    behind: bool,
    page: Option<Answer<Page>>,
    read: VecDeque<Event>,
}

/// What a subscription hands out while the log is read.
#[derive(Debug)]
pub(crate) enum Told {
    /// It begins here. Comes first, once.
    Began(Cursor),
    Event(Event),
    /// All else comes into the mailbox.
    Live,
}

impl Subscription {
    /// Subscribes under a number: what comes live comes into this mailbox.
    pub(crate) fn new(
        node: &Node,
        tenant: Tenant,
        interest: Interest,
        since: Since,
        (mailbox, number): (&Arc<Mailbox>, u32),
    ) -> Self {
        // What is told is noted from before the log is read: so there is no gap between them.
        let stay = node.bus.hub.enter(tenant);
        let reading = Reading {
            node: node.clone(),
            interest,
            since,
            began: false,
            position: 0,
            expired: 0,
            behind: true,
            page: None,
            read: VecDeque::new(),
        };
        let (mailbox, reading) = (Arc::clone(mailbox), Some(Box::new(reading)));
        Self { stay, number, mailbox, reading }
    }

    /// Whether all comes into the mailbox.
    pub(crate) fn is_live(&self) -> bool {
        self.reading.is_none()
    }

    /// What comes next, while the log is read.
    ///
    /// # Errors
    ///
    /// That of the log: there is nothing more then.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Told>> {
        let Self { stay, number, mailbox, reading } = self;
        let Some(it) = reading else { return Poll::Ready(Ok(Told::Live)) };
        loop {
            if let Some(event) = it.read.pop_front() {
                return Poll::Ready(Ok(Told::Event(event)));
            }
            if it.behind {
                ready!(it.poll_page(stay, context))?;
                if !std::mem::replace(&mut it.began, true) {
                    let cursor = Cursor::new(&stay.tenant(), it.position, it.expired);
                    return Poll::Ready(Ok(Told::Began(cursor)));
                }
                continue;
            }
            let place = (&*mailbox, *number);
            match stay.join(it.position, &it.interest, place, context.waker()) {
                Join::Joined => {
                    *reading = None;
                    return Poll::Ready(Ok(Told::Live));
                }
                Join::Behind => it.behind = true,
                Join::Ahead => return Poll::Pending,
            }
        }
    }
}

impl Reading {
    /// Reads the next page. The first is one of no events: it says where it begins.
    fn poll_page(&mut self, stay: &Stay, context: &mut Context<'_>) -> Poll<Result<()>> {
        let Self { node, interest, since, began, position, expired, .. } = self;
        let page = self.page.get_or_insert_with(|| {
            let (since, events_max) =
                if *began { (Since::at(*position, *expired), PAGE) } else { (*since, 0) };
            let (tenant, interest) = (stay.tenant(), interest.clone());
            let bytes_max = PAGE_BYTES;
            node.ports.log.read(Read { tenant, interest, since, events_max, bytes_max })
        });
        let page = ready!(page.as_mut().poll(context));
        self.page = None;
        let Page { events, position, newest, expired } = page?;
        self.node.metrics.bus.read_on(events.len() as u64);
        (self.position, self.expired) = (position, expired);
        self.behind = position < newest;
        self.read = events.into();
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("number", &self.number).finish_non_exhaustive()
    }
}
