//! One subscription for a stream of its own.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll, ready},
};

use switchboard_core::{
    Code, Error, Result, Tenant,
    bus::{Cursor, Event, Interest, Since},
};

use super::{
    mailbox::{Mailbox, Taken},
    run::Run,
    subscription::{Subscription, Told},
};
use crate::node::Node;

/// The events of one subscription, whether they are read or told.
pub(crate) struct Feed {
    node: Node,
    /// Where it began.
    began: Cursor,
    subscription: Subscription,
    mailbox: Arc<Mailbox>,
    /// What is being handed out, and how far that is.
    run: Option<(Arc<Run>, usize)>,
}

/// What a feed hands out.
#[derive(Debug)]
pub(crate) enum Fed {
    /// It begins here. Comes first, once.
    Began(Cursor),
    Event(Event),
}

impl Feed {
    /// Subscribes.
    pub(crate) fn new(node: &Node, tenant: Tenant, interest: Interest, since: Since) -> Self {
        let mailbox = Arc::default();
        let subscription = Subscription::new(node, tenant, interest, since, (&mailbox, 1));
        let began = Cursor::new(&tenant, 0, 0);
        Self { node: node.clone(), began, subscription, mailbox, run: None }
    }

    /// Where whoever has got an event reads on.
    pub(crate) fn cursor(&self, sequence: u64) -> Cursor {
        self.began.behind(sequence)
    }

    /// What comes next.
    ///
    /// # Errors
    ///
    /// That of the log; [`Code::SlowConsumer`] when more waits than is kept. There is nothing more
    /// then.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Fed>> {
        loop {
            if let Some((run, at)) = &mut self.run {
                if let Some(event) = run.events().get(*at) {
                    *at += 1;
                    return Poll::Ready(Ok(Fed::Event(event.clone())));
                }
                self.node.metrics.bus.written(*at as u64, run.told_at().elapsed());
                self.run = None;
            }
            if !self.subscription.is_live() {
                match ready!(self.subscription.poll_next(context))? {
                    Told::Began(cursor) => {
                        self.began = cursor;
                        return Poll::Ready(Ok(Fed::Began(cursor)));
                    }
                    Told::Event(event) => return Poll::Ready(Ok(Fed::Event(event))),
                    Told::Live => {}
                }
            }
            match self.mailbox.take(context.waker()) {
                Taken::Run(_, run) => self.run = Some((run, 0)),
                Taken::Spilt => return Poll::Ready(Err(too_slow())),
                Taken::Nothing => return Poll::Pending,
            }
        }
    }
}

/// The end of whatever is too slow.
pub(crate) fn too_slow() -> Error {
    let what = "more waits to be read here than is kept: connect again, and read on from the last \
                event";
    Error::new(Code::SlowConsumer, what)
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("subscription", &self.subscription).finish_non_exhaustive()
    }
}
