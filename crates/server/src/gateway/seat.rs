//! One session, between its carrier and what the node does for it.

mod requests;

use std::{sync::Arc, task::Context};

use switchboard_core::{
    Code, Error, Millis,
    session::{Input, Output, Reason, Reply, Request, Session},
};

use self::requests::Requests;
use super::{
    Gateway,
    registry::Place,
    wheel::{Bell, DRAIN, TICK},
};
use crate::{caller::Caller, wire};
use switchboard_proto::frame::Frame;

/// What carries a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    WebSocket,
    Grpc,
}

impl Transport {
    /// The name in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::WebSocket => "websocket",
            Self::Grpc => "grpc",
        }
    }
}

/// Takes the frames for a client.
pub(crate) trait Outgoing {
    fn push(&mut self, reply: &Reply<'_>);
}

/// Frames as they are on the wire, one after the other.
impl Outgoing for Vec<u8> {
    #[inline]
    fn push(&mut self, reply: &Reply<'_>) {
        wire::frame::write(reply, self);
    }
}

/// One session. Dropping it is the end of it, whatever the reason.
#[derive(Debug)]
pub(crate) struct Seat {
    gateway: Arc<Gateway>,
    bell: Arc<Bell>,
    session: Session,
    caller: Caller,
    transport: Transport,
    reason: Option<Reason>,
    place: Option<Place>,
    /// Absent until the first: most sessions have none.
    requests: Option<Box<Requests>>,
}

impl Seat {
    /// A seat for a connection that was opened now.
    pub(crate) fn new(gateway: &Arc<Gateway>, caller: Caller, transport: Transport) -> Self {
        gateway.node.metrics.sessions.opened(transport.as_str());
        // A plain client over TCP may connect long before it has anything to say.
        let patient = transport == Transport::Tcp;
        Self {
            gateway: Arc::clone(gateway),
            bell: gateway.wheel.hang(),
            session: Session::new(&gateway.rules, patient, gateway.node.ports.clock.now()),
            caller,
            transport,
            reason: None,
            place: None,
            requests: None,
        }
    }

    /// The time, for [`Seat::request`]: asked for once for all that came together.
    pub(crate) fn now(&self) -> Millis {
        self.gateway.node.ports.clock.now()
    }

    /// What the seat belongs to.
    pub(crate) fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// Why the session is over, once it is: what was given out is still to be sent.
    pub(crate) fn over(&self) -> Option<Reason> {
        self.reason
    }

    /// Whether requests wait for their answers.
    pub(crate) fn is_busy(&self) -> bool {
        self.requests.as_ref().is_some_and(|requests| requests.waiting())
    }

    /// Takes a frame as it is on the wire, and answers it likewise.
    #[inline]
    pub(crate) fn frame(&mut self, frame: &Frame<'_>, now: Millis, out: &mut Vec<u8>) {
        // The commonest of all: its answer is the same bytes.
        if wire::frame::is_echo(frame) && self.session.echoes(&self.gateway.rules, now) {
            out.extend_from_slice(frame.whole);
            return;
        }
        let Frame { number, payload, .. } = *frame;
        match wire::frame::read(number, payload) {
            Ok(request) => self.request(request, now, out),
            Err(error) => self.malformed(error, out),
        }
    }

    /// Takes a frame.
    #[inline]
    pub(crate) fn request(&mut self, request: Request<'_>, now: Millis, out: &mut impl Outgoing) {
        self.handle(Input::Request(request), now, out);
    }

    /// Takes what is no frame.
    pub(crate) fn malformed(&mut self, error: Error, out: &mut impl Outgoing) {
        self.gateway.node.metrics.sessions.malformed(self.transport.as_str());
        let now = self.now();
        self.handle(Input::Malformed(error), now, out);
    }

    /// The client has not read for too long.
    pub(crate) fn slow(&mut self, out: &mut impl Outgoing) {
        let now = self.now();
        self.handle(Input::Slow, now, out);
    }

    /// The client has left.
    pub(crate) fn left(&mut self, out: &mut impl Outgoing) {
        let now = self.now();
        self.handle(Input::Left, now, out);
    }

    /// Hands on the requests that came since the last time, as one batch. To be called when all
    /// that has arrived was taken.
    pub(crate) fn submit(&mut self) {
        if let Some(requests) = &mut self.requests {
            requests.submit(&self.gateway.node);
        }
    }

    /// Whatever does not come from the client: the time, the node, answers. True when a second has
    /// passed, for the carrier's own limits.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>, out: &mut impl Outgoing) -> bool {
        let rung = self.bell.listen(context.waker());
        if rung & TICK != 0 {
            let metrics = &self.gateway.node.metrics.sessions;
            if self.session.is_joined() {
                metrics.pinged(self.gateway.wheel.lateness(&self.bell));
                if self.session.awaits_pong() {
                    metrics.pong_missed();
                }
            }
            let now = self.now();
            self.handle(Input::Tick, now, out);
        }
        if rung & DRAIN != 0 {
            let delay_ms = self.gateway.drain_delay_ms();
            let now = self.now();
            self.handle(Input::Drain { delay_ms }, now, out);
        }
        self.answers(context, out);
        rung & TICK != 0
    }

    fn answers(&mut self, context: &mut Context<'_>, out: &mut impl Outgoing) {
        while let Some(requests) = &mut self.requests
            && let Some(answered) = requests.poll(&self.gateway.node, context, out)
        {
            let now = self.now();
            for _ in 0..answered {
                self.handle(Input::Answered, now, out);
            }
        }
    }

    fn handle<'a>(&mut self, input: Input<'a>, now: Millis, out: &mut impl Outgoing) {
        let Self { session, gateway, requests, place, reason, transport, .. } = self;
        let mut admit = None;
        // The sighting is that after the input.
        let mut report = false;
        session.handle(&gateway.rules, input, now, &mut |output: Output<'a>| match output {
            Output::Send(reply) => out.push(&reply),
            Output::Admit { tenant, client } => admit = Some((tenant, client)),
            Output::Record { request_id, key } => {
                if let Some(place) = place {
                    let requests = requests
                        .get_or_insert_with(|| Box::new(Requests::new(gateway, *transport)));
                    requests.push(request_id, *place.tenant, key);
                }
            }
            Output::Report => report = true,
            Output::Close(why) => *reason = Some(why),
        });
        if report && let Some(place) = place {
            gateway.note(place, session.sighting());
        }
        if let Some((tenant, client)) = admit {
            let input = match gateway.admit(self.caller, tenant, client) {
                Ok((taken, session_id)) => {
                    *place = Some(taken);
                    Input::Admitted { session_id }
                }
                Err(error) => Input::Refused(error),
            };
            self.handle(input, now, out);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.bell.put_down();
        if let Some(place) = &self.place {
            self.gateway.leave(place, self.session.sighting());
        }
        let reason = self.reason.unwrap_or(Reason::Client);
        self.gateway.node.metrics.sessions.closed(self.transport.as_str(), reason.as_str());
    }
}

/// The error of a request whose node failed it.
fn defect() -> Error {
    Error::new(Code::Internal, "a defect in this node: the request was given up")
}
