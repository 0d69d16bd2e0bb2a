//! Events from a place on, until what comes is told.

use std::{
    collections::VecDeque,
    fmt,
    task::{Context, Poll, ready},
};

use switchboard_core::{
    Result,
    bus::{Answer, Cursor, Event, Interest, Page, Read, Since},
};

use super::hub::{Join, Place, Stay};
use crate::node::Node;

/// How many events are read from the log at once, and how many bytes of them.
const PAGE: u32 = 1_000;
const PAGE_BYTES: usize = 256 * 1024;

/// The beginning of a subscription.
///
/// The log is the truth: it is read until there is nothing more that was told already, and only
/// then what is told comes into the mailbox, from just there on. So there is neither a gap nor a
/// repeat, and a subscription that is live needs nothing but its place at the hub.
pub(crate) struct CatchUp {
    node: Node,
    number: u32,
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

/// What comes out of it.
#[derive(Debug)]
pub(crate) enum Told {
    /// It begins here. Comes first, once.
    Began(Cursor),
    Event(Event),
    /// All else comes into the mailbox of the stay. Comes last.
    Live(Place),
}

impl CatchUp {
    /// Subscribes under a number. The stay that it is polled with must have begun.
    pub(crate) fn new(node: &Node, number: u32, interest: Interest, since: Since) -> Self {
        Self {
            node: node.clone(),
            number,
            interest,
            since,
            began: false,
            position: 0,
            expired: 0,
            behind: true,
            page: None,
            read: VecDeque::new(),
        }
    }

    /// What comes next.
    ///
    /// # Errors
    ///
    /// That of the log: there is nothing more then.
    pub(crate) fn poll_next(
        &mut self,
        stay: &Stay,
        context: &mut Context<'_>,
    ) -> Poll<Result<Told>> {
        loop {
            if let Some(event) = self.read.pop_front() {
                return Poll::Ready(Ok(Told::Event(event)));
            }
            if self.behind {
                ready!(self.poll_page(stay, context))?;
                if !std::mem::replace(&mut self.began, true) {
                    let cursor = Cursor::new(&stay.tenant(), self.position, self.expired);
                    return Poll::Ready(Ok(Told::Began(cursor)));
                }
                continue;
            }
            match stay.join(self.position, &self.interest, self.number, context.waker()) {
                Join::Joined(place) => return Poll::Ready(Ok(Told::Live(place))),
                Join::Behind => self.behind = true,
                Join::Ahead => {
                    // If it was told to nobody here, it is read.
                    self.node.relay.reaches(stay.tenant(), self.position);
                    return Poll::Pending;
                }
            }
        }
    }

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

impl fmt::Debug for CatchUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatchUp").field("number", &self.number).finish_non_exhaustive()
    }
}
