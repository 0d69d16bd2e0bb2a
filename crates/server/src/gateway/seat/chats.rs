//! What a session does with its user's chats.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll},
};

use switchboard_core::{
    Code, Error, Result,
    chat::{Acknowledgement, Draft, Marks, Sent, User},
    session::{ChatRequest, Reply},
};

use super::{Outgoing, Transport, batches::Batches, defect};
use crate::{
    chat::{Follower, Told, Written},
    gateway::{Gateway, registry::Place},
    node::Node,
    telemetry::{delivered, send_trace},
};

/// A session's part in chats, once it takes one.
pub(super) struct Chats {
    user: User,
    /// The client's trace, of its hello.
    traceparent: String,
    send: Batches<Draft, Sent>,
    acknowledge: Batches<Acknowledgement, Marks>,
    follower: Option<Box<Follower>>,
    /// The request whose following has not begun, and whether the session waits for it.
    following: Option<(u64, bool)>,
}

impl Chats {
    /// The chats of whoever has this place.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidPhone`] when the client is none.
    pub(super) fn new(
        gateway: &Gateway,
        place: &Place,
        transport: Transport,
        traceparent: &str,
    ) -> Result<Self> {
        let user = gateway.node.user(*place.tenant, place.client.as_str()).map_err(|_| {
            let what = "chats are between phone numbers, and this session's client is none";
            Error::new(Code::InvalidPhone, what)
        })?;
        let entrances = &gateway.entrances[transport as usize];
        Ok(Self {
            user,
            traceparent: traceparent.to_owned(),
            send: Batches::new(entrances.send.clone()),
            acknowledge: Batches::new(entrances.acknowledge.clone()),
            follower: None,
            following: None,
        })
    }

    /// Takes a request.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub(super) fn take(
        &mut self,
        node: &Node,
        (request_id, counted): (u64, bool),
        request: &ChatRequest<'_>,
    ) -> Result<()> {
        match *request {
            ChatRequest::Send { to, text, client_message_id, traceparent } => {
                let parent = if traceparent.is_empty() { &self.traceparent } else { traceparent };
                let trace = send_trace(parent);
                let written = Written { to, text, client_message_id };
                self.send.push(request_id, node.draft(self.user, &written, trace)?);
                Ok(())
            }
            ChatRequest::Acknowledge { peer, delivered_up_to, read_up_to } => {
                let stated = node.statement(self.user, peer, (delivered_up_to, read_up_to))?;
                self.acknowledge.push(request_id, stated);
                Ok(())
            }
            ChatRequest::Follow { after } => {
                if self.following.is_some() {
                    let what = "another follow of this session has not begun yet";
                    return Err(Error::new(Code::Conflict, what));
                }
                self.follower = Some(Box::new(Follower::new(node, self.user, after)?));
                self.following = Some((request_id, counted));
                Ok(())
            }
            ChatRequest::Typing { peer, typing } => node.typing(&self.user, peer, typing),
        }
    }

    /// Whether requests wait for their answers.
    pub(super) fn waiting(&self) -> bool {
        self.send.waiting() || self.acknowledge.waiting() || self.following.is_some()
    }

    /// Hands on those that came.
    pub(super) fn submit(&mut self, node: &Node) {
        self.send.submit(node, |drafts| node.ports.chats.send(drafts));
        self.acknowledge.submit(node, |stated| node.ports.chats.acknowledge(stated));
    }

    /// Gives out the answers that are there, and says to how many requests.
    pub(super) fn poll(
        &mut self,
        node: &Node,
        context: &mut Context<'_>,
        out: &mut impl Outgoing,
    ) -> usize {
        let sent = self.send.poll(node, context, |request_id, sent| {
            node.count_sent(&sent);
            match sent {
                Ok(sent) => out.push(&Reply::Sent { request_id, sent: &sent }),
                Err(error) => out.push(&Reply::Error { request_id, error }),
            }
        });
        let marked = self.acknowledge.poll(node, context, |request_id, marks| match marks {
            Ok(marks) => out.push(&Reply::Marked { request_id, marks }),
            Err(error) => out.push(&Reply::Error { request_id, error }),
        });
        sent + marked
    }

    /// Hands out what happens to the user, as long as there is room. Says whether anything was, and
    /// whether a request has been answered with it.
    pub(super) fn deliver(
        &mut self,
        node: &Node,
        context: &mut Context<'_>,
        out: &mut impl Outgoing,
    ) -> (bool, bool) {
        let (mut any, mut answered) = (false, false);
        while !out.is_full()
            && let Some(follower) = &mut self.follower
        {
            let polled = catch_unwind(AssertUnwindSafe(|| follower.poll_next(context)));
            let told = match polled {
                Ok(Poll::Pending) => break,
                Ok(Poll::Ready(told)) => told,
                Err(_panic) => {
                    node.metrics.panicked();
                    Err(defect())
                }
            };
            any = true;
            match told {
                Ok(Told::Began(cursor)) => {
                    let (request_id, counted) = self.following.take().unwrap_or_default();
                    answered |= counted;
                    out.push(&Reply::Following { request_id, cursor });
                }
                Ok(Told::Entry(entry, since)) => {
                    let cursor = follower.cursor(entry.sequence);
                    out.push(&Reply::Happened { user: self.user.phone, entry: &entry, cursor });
                    follower.handed_out(since);
                    delivered(self.user.phone, &entry);
                }
                Ok(Told::Typing(peer, typing)) => out.push(&Reply::Typing { peer, typing }),
                Err(error) => {
                    let (request_id, counted) = self.following.take().unwrap_or_default();
                    answered |= counted;
                    out.push(&Reply::Error { request_id, error });
                    self.follower = None;
                }
            }
        }
        (any, answered)
    }
}

impl fmt::Debug for Chats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chats").field("follower", &self.follower).finish_non_exhaustive()
    }
}
