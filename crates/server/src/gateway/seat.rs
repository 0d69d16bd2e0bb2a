//! One session, between its carrier and what the node does for it.

mod batches;
mod bus;
mod chats;

use std::{sync::Arc, task::Context};

use switchboard_core::{
    Code, Error, Millis, Result,
    ingest::{Entry, Receipt},
    session::{BusRequest, ChatRequest, Input, Output, Reason, Reply, Request, Session},
};

use self::{
    batches::Batches,
    bus::{Bus, Delivered},
    chats::Chats,
};
use super::{
    Gateway,
    registry::Place,
    wheel::{Bell, DRAIN, TICK},
};
use crate::{
    bus::{Run, too_slow},
    caller::Caller,
    wire,
};
use switchboard_proto::frame::Frame;

/// What carries a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    WebSocket,
    Grpc,
}

impl Transport {
    /// Each, in the order of declaration.
    pub(super) const ALL: [Self; 3] = [Self::Tcp, Self::WebSocket, Self::Grpc];

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

    /// Takes the frames of events for a subscription with this number.
    fn push_run(&mut self, subscription: u32, run: &Run) {
        for event in run.events() {
            self.push(&Reply::Event { subscription, event });
        }
    }

    /// Whether what has come together should be sent before there is more.
    fn is_full(&self) -> bool;
}

/// The longest frame of a client that has not been let in, in bytes.
const GREETING_BYTES_MAX: usize = 64 * 1024;

/// How much is written at once, in bytes, about.
pub(crate) const FULL: usize = 64 * 1024;

/// Frames as they are on the wire, one after the other.
impl Outgoing for Vec<u8> {
    #[inline]
    fn push(&mut self, reply: &Reply<'_>) {
        wire::frame::write(reply, self);
    }

    fn push_run(&mut self, subscription: u32, run: &Run) {
        self.extend_from_slice(&run.frames(subscription));
    }

    fn is_full(&self) -> bool {
        FULL <= self.len()
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
    ingest: Option<Box<Ingest>>,
    /// Likewise.
    chats: Option<Box<Chats>>,
    /// Likewise.
    bus: Option<Box<Bus>>,
}

/// Keys that are to be recorded, and what became of them.
type Ingest = Batches<Entry, (Receipt, Millis)>;

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
            ingest: None,
            chats: None,
            bus: None,
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

    /// The longest frame that is taken now: a long one only of somebody who has said who he is.
    pub(crate) fn frame_bytes_max(&self) -> usize {
        let max = self.gateway.node.limits.frame_bytes_max;
        if self.session.is_joined() { max } else { max.min(GREETING_BYTES_MAX) }
    }

    /// Why the session is over, once it is: what was given out is still to be sent.
    pub(crate) fn over(&self) -> Option<Reason> {
        self.reason
    }

    /// Whether requests wait for their answers.
    pub(crate) fn is_busy(&self) -> bool {
        self.ingest.as_ref().is_some_and(|ingest| ingest.waiting())
            || self.chats.as_ref().is_some_and(|chats| chats.waiting())
            || self.bus.as_ref().is_some_and(|bus| bus.waiting())
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
        let node = &self.gateway.node;
        if let Some(ingest) = &mut self.ingest {
            ingest.submit(node, |entries| node.ingest_each(entries));
        }
        if let Some(chats) = &mut self.chats {
            chats.submit(node);
        }
        if let Some(bus) = &mut self.bus {
            bus.submit(node);
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
        let node = &self.gateway.node;
        let mut answered = 0;
        if let Some(ingest) = &mut self.ingest {
            answered += ingest.poll(node, context, |request_id, recorded| match recorded {
                Ok((receipt, at)) => out.push(&Reply::Recorded { request_id, receipt, at }),
                Err(error) => out.push(&Reply::Error { request_id, error }),
            });
        }
        if let Some(chats) = &mut self.chats {
            answered += chats.poll(node, context, out);
        }
        if let Some(bus) = &mut self.bus {
            answered += bus.poll(node, context, out);
        }
        self.answered(answered, out);
    }

    fn answered(&mut self, requests: usize, out: &mut impl Outgoing) {
        if 0 < requests {
            let now = self.now();
            for _ in 0..requests {
                self.handle(Input::Answered, now, out);
            }
        }
    }

    /// Hands out what happens to the user, as far as there is room; to be called when all before it
    /// was sent. Says whether there was anything.
    pub(crate) fn deliver(&mut self, context: &mut Context<'_>, out: &mut impl Outgoing) -> bool {
        if self.reason.is_some() {
            return false;
        }
        let node = &self.gateway.node;
        let (mut any, mut answered) = (false, 0);
        if let Some(chats) = &mut self.chats {
            let (delivered, began) = chats.deliver(node, context, out);
            any |= delivered;
            answered += usize::from(began);
        }
        let mut slow = false;
        if let Some(bus) = &mut self.bus {
            let (delivered, began) = bus.deliver(node, context, out);
            any |= delivered != Delivered::Nothing;
            answered += began;
            slow = delivered == Delivered::TooSlow;
        }
        self.answered(answered, out);
        if slow {
            out.push(&Reply::Error { request_id: 0, error: too_slow() });
            self.slow(out);
        }
        any
    }

    fn handle<'a>(&mut self, input: Input<'a>, now: Millis, out: &mut impl Outgoing) {
        let Self { session, gateway, ingest, place, reason, transport, .. } = self;
        let (mut admit, mut asked, mut of_bus) = (None, None, None);
        // The sighting is that after the input.
        let mut report = false;
        session.handle(&gateway.rules, input, now, &mut |output: Output<'a>| match output {
            Output::Send(reply) => out.push(&reply),
            Output::Admit { tenant, client, cursor, traceparent } => {
                admit = Some(((tenant, client), (cursor, traceparent)));
            }
            Output::Chat { request_id, request } => asked = Some((request_id, request)),
            Output::Bus { request_id, request } => of_bus = Some((request_id, request)),
            Output::Record { request_id, key } => {
                if let Some(place) = place {
                    let ingest = ingest.get_or_insert_with(|| {
                        let entrances = &gateway.entrances[*transport as usize];
                        Box::new(Batches::new(entrances.ingest.clone()))
                    });
                    ingest.push(request_id, Entry { tenant: *place.tenant, key });
                }
            }
            Output::Report => report = true,
            Output::Close(why) => *reason = Some(why),
        });
        if report && let Some(place) = place {
            gateway.note(place, session.sighting());
        }
        if let Some((who, follows)) = admit {
            self.admit(who, follows, now, out);
        }
        if let Some((request_id, request)) = asked {
            let counted = !matches!(request, ChatRequest::Typing { .. });
            self.chat((request_id, counted), &request, "", out);
        }
        if let Some((request_id, request)) = of_bus {
            self.bus(request_id, request, out);
        }
    }

    fn admit(
        &mut self,
        (tenant, client): (&str, &str),
        (cursor, traceparent): (Option<&str>, &str),
        now: Millis,
        out: &mut impl Outgoing,
    ) {
        match self.gateway.admit(self.caller, tenant, client) {
            Ok((taken, session_id)) => {
                self.place = Some(taken);
                self.handle(Input::Admitted { session_id }, now, out);
                if let Some(after) = cursor {
                    self.chat((0, false), &ChatRequest::Follow { after }, traceparent, out);
                } else if !traceparent.is_empty() {
                    // Only for those who will chat; whoever can't is told when he tries.
                    let _ = self.chats(traceparent);
                }
            }
            Err(error) => self.handle(Input::Refused(error), now, out),
        }
    }

    /// Does what is asked of the user's chats; `counted` says whether the session waits for it.
    fn chat(
        &mut self,
        (request_id, counted): (u64, bool),
        request: &ChatRequest<'_>,
        traceparent: &str,
        out: &mut impl Outgoing,
    ) {
        let gateway = Arc::clone(&self.gateway);
        let taken = self
            .chats(traceparent)
            .and_then(|it| it.take(&gateway.node, (request_id, counted), request));
        if let Err(error) = taken {
            out.push(&Reply::Error { request_id, error });
            self.answered(counted.into(), out);
        }
    }

    /// Does what is asked of the bus.
    fn bus(&mut self, request_id: u64, request: BusRequest<'_>, out: &mut impl Outgoing) {
        let answered = request.is_answered(request_id);
        let Some(place) = &self.place else { return };
        let bus = self
            .bus
            .get_or_insert_with(|| Box::new(Bus::new(&self.gateway, place, self.transport)));
        if let Err(error) = bus.take(&self.gateway.node, request_id, request, out) {
            out.push(&Reply::Error { request_id, error });
            self.answered(answered.into(), out);
        }
    }

    /// The session's part in chats.
    fn chats(&mut self, traceparent: &str) -> Result<&mut Chats> {
        if self.chats.is_none() {
            let place = self.place.as_ref().ok_or_else(defect)?;
            let chats = Chats::new(&self.gateway, place, self.transport, traceparent)?;
            self.chats = Some(Box::new(chats));
        }
        self.chats.as_deref_mut().ok_or_else(defect)
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
