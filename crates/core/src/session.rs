//! One connection of a client, as a state machine without I/O.
//!
//! Frames, ticks and a drain go in with the time; frames to send and what else is to be done come
//! out. gRPC, WebSocket and TCP carry the frames; a test drives the same code with invented time.

mod input;
mod output;

pub use self::{
    input::{BusRequest, ChatRequest, Input, Request, Settle},
    output::{Output, Reason, Reply},
};
use crate::{
    Code, Error, Millis,
    presence::{REPORT_INTERVAL_MS, Status},
};

/// How often a session is pinged, in milliseconds.
pub const PING_INTERVAL_MS: i64 = 1_000;

/// For how long a session may leave pings unanswered, in milliseconds.
pub const SILENCE_MS_MAX: i64 = 10_000;

/// How old a reported sighting gets before the next is reported. Pongs come once a second, and are
/// reported within the next: so what was reported is never older than the interval of the reports.
const REPORT_AFTER_MS: i64 = REPORT_INTERVAL_MS - PING_INTERVAL_MS;

/// Before any time that a clock tells.
const NEVER: Millis = Millis(i64::MIN);

/// What a session may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long a session that has sent nothing may take to its first frame, in milliseconds.
    pub hello_ms: i64,
    /// How long a session without a hello may then be silent, in milliseconds.
    pub idle_ms: i64,
    /// Requests that wait for their answer at once.
    pub in_flight_max: u32,
}

/// The state of one session.
#[derive(Debug)]
pub struct Session {
    phase: Phase,
    status: Status,
    in_flight: u32,
    pings: u32,
    awaits_pong: bool,
    /// Until when a client without a hello may be silent; when one with a hello last answered.
    heard: Millis,
    /// When the client last reported that it is online, and what of that was reported. There are
    /// very many sessions: an `Option` would take half as much again.
    seen: Millis,
    reported: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No hello yet.
    Greeting,
    /// The hello is being looked at.
    Admitting,
    Joined,
    /// Finishes what is in flight; joined before or not.
    Draining {
        joined: bool,
    },
    Closed,
}

impl Session {
    /// A session that was opened now, and whose first frame is due after [`Rules::hello_ms`], or,
    /// for a `patient` carrier, after [`Rules::idle_ms`].
    pub fn new(rules: &Rules, patient: bool, now: Millis) -> Self {
        Self {
            phase: Phase::Greeting,
            status: Status::default(),
            in_flight: 0,
            pings: 0,
            awaits_pong: false,
            heard: now.plus(if patient { rules.idle_ms } else { rules.hello_ms }),
            seen: NEVER,
            reported: NEVER,
        }
    }

    /// Whether nothing more is to be sent or taken.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Whether the client has said who it is, and was let in.
    pub fn is_joined(&self) -> bool {
        matches!(self.phase, Phase::Joined | Phase::Draining { joined: true })
    }

    /// Whether the last ping has not been answered.
    pub fn awaits_pong(&self) -> bool {
        self.awaits_pong
    }

    /// What the client reported last, and when it was last seen online.
    pub fn sighting(&self) -> (Status, Option<Millis>) {
        (self.status, (self.seen != NEVER).then_some(self.seen))
    }

    /// Whether an echo is answered now, which is what any echo is: for carriers that can send back
    /// the bytes that came, instead of taking them apart and writing them again.
    #[inline]
    pub fn echoes(&mut self, rules: &Rules, now: Millis) -> bool {
        if self.phase == Phase::Greeting {
            self.heard = now.plus(rules.idle_ms);
        }
        !self.is_closed()
    }

    /// Takes one input and gives out what follows from it, in order.
    pub fn handle<'a>(
        &mut self,
        rules: &Rules,
        input: Input<'a>,
        now: Millis,
        out: &mut impl FnMut(Output<'a>),
    ) {
        if self.is_closed() {
            return;
        }
        match input {
            Input::Request(request) => self.request(rules, request, now, out),
            Input::Malformed(error) => {
                refuse(0, error, out);
                self.close(Reason::Malformed, out);
            }
            Input::Admitted { session_id } => {
                self.heard = now;
                let ping_interval_ms = u32::try_from(PING_INTERVAL_MS).unwrap_or(u32::MAX);
                out(Output::Send(Reply::Welcome { session_id, ping_interval_ms }));
                out(Output::Report);
                if self.phase == Phase::Admitting {
                    self.phase = Phase::Joined;
                    self.ping(out);
                }
            }
            Input::Refused(error) => {
                refuse(0, error, out);
                self.close(Reason::Refused, out);
            }
            Input::Answered => {
                self.in_flight = self.in_flight.saturating_sub(1);
                self.end_of_drain(out);
            }
            Input::Tick => self.tick(now, out),
            Input::Drain { delay_ms } => {
                let joined = self.is_joined();
                // A client that never said hello does not expect frames that it did not ask for.
                if joined {
                    out(Output::Send(Reply::Drain { delay_ms }));
                }
                self.phase = Phase::Draining { joined };
                self.end_of_drain(out);
            }
            Input::Slow => {
                // There is no room for an error either.
                self.close(Reason::Slow, out);
            }
            Input::Left => self.close(Reason::Client, out),
        }
    }

    fn request<'a>(
        &mut self,
        rules: &Rules,
        request: Request<'a>,
        now: Millis,
        out: &mut impl FnMut(Output<'a>),
    ) {
        if self.phase == Phase::Greeting {
            self.heard = now.plus(rules.idle_ms);
        }
        match request {
            Request::Echo { request_id, content } => {
                out(Output::Send(Reply::Echo { request_id, content }));
            }
            Request::Add { request_id, a, b } => {
                if let Some(result) = a.checked_add(b) {
                    out(Output::Send(Reply::Sum { request_id, result }));
                } else {
                    let what = format!("{a} + {b} is beyond 32 bits");
                    refuse(request_id, Error::new(Code::InvalidRequest, what), out);
                }
            }
            Request::Hello { tenant, client, cursor, traceparent } => match self.phase {
                Phase::Greeting => {
                    self.phase = Phase::Admitting;
                    out(Output::Admit { tenant, client, cursor, traceparent });
                }
                _ => refuse(0, Error::new(Code::Conflict, "hello was said already"), out),
            },
            Request::Pong { status } if self.is_joined() => self.pong(status, now, out),
            Request::Ingest { request_id, key } if self.is_joined() => {
                match self.admit_request(rules).and_then(|()| key.parse()) {
                    Ok(key) => {
                        self.in_flight += 1;
                        out(Output::Record { request_id, key });
                    }
                    Err(error) => refuse(request_id, error, out),
                }
            }
            Request::Chat { request_id, request } if self.is_joined() => {
                // A hint is not answered, so it is nothing that waits for an answer.
                let answered = !matches!(request, ChatRequest::Typing { .. });
                let admitted = if answered { self.admit_request(rules) } else { Ok(()) };
                match admitted {
                    Ok(()) => {
                        self.in_flight += u32::from(answered);
                        out(Output::Chat { request_id, request });
                    }
                    Err(error) => refuse(request_id, error, out),
                }
            }
            Request::Bus { request_id, request } if self.is_joined() => {
                let answered = request.is_answered(request_id);
                let admitted = if answered { self.admit_request(rules) } else { Ok(()) };
                match admitted {
                    Ok(()) => {
                        self.in_flight += u32::from(answered);
                        out(Output::Bus { request_id, request });
                    }
                    Err(error) => refuse(request_id, error, out),
                }
            }
            Request::Pong { .. } => refuse(0, hello_first(), out),
            Request::Chat { request_id, .. }
            | Request::Bus { request_id, .. }
            | Request::Ingest { request_id, .. } => {
                refuse(request_id, hello_first(), out);
            }
            Request::Unknown { number } => {
                let what = format!("this node knows no frame of the number {number}");
                refuse(0, Error::new(Code::InvalidRequest, what), out);
            }
        }
    }

    fn admit_request(&self, rules: &Rules) -> crate::Result<()> {
        if matches!(self.phase, Phase::Draining { .. }) {
            let what = "this node is stopping: repeat the request at another";
            return Err(Error::new(Code::Unavailable, what));
        }
        if rules.in_flight_max <= self.in_flight {
            let max = rules.in_flight_max;
            let what = format!("more than {max} requests of this session wait for their answer");
            return Err(Error::new(Code::TooManyRequests, what));
        }
        Ok(())
    }

    fn pong<'a>(&mut self, status: Status, now: Millis, out: &mut impl FnMut(Output<'a>)) {
        self.heard = now;
        self.awaits_pong = false;
        let turned = status.is_online() != self.status.is_online();
        self.status = status;
        if status.is_online() {
            self.seen = now;
        }
        // One that goes offline is reported with the time when it was last online.
        let stale = REPORT_AFTER_MS <= now.since(self.reported);
        let due = turned || status.is_online() && stale;
        if due {
            self.reported = self.seen;
            out(Output::Report);
        }
    }

    fn tick<'a>(&mut self, now: Millis, out: &mut impl FnMut(Output<'a>)) {
        match self.phase {
            Phase::Greeting if self.heard <= now => {
                let what = "no hello came in time";
                refuse(0, Error::new(Code::InvalidRequest, what), out);
                self.close(Reason::NoHello, out);
            }
            Phase::Joined if SILENCE_MS_MAX <= now.since(self.heard) => {
                let what = "no pong came for 10 seconds";
                refuse(0, Error::new(Code::Unavailable, what), out);
                self.close(Reason::Silent, out);
            }
            Phase::Joined => self.ping(out),
            _ => {}
        }
    }

    fn ping<'a>(&mut self, out: &mut impl FnMut(Output<'a>)) {
        self.pings = self.pings.wrapping_add(1);
        self.awaits_pong = true;
        out(Output::Send(Reply::Ping { sequence: self.pings.into() }));
    }

    fn end_of_drain<'a>(&mut self, out: &mut impl FnMut(Output<'a>)) {
        if self.in_flight == 0 && matches!(self.phase, Phase::Draining { .. }) {
            self.close(Reason::Drain, out);
        }
    }

    fn close<'a>(&mut self, reason: Reason, out: &mut impl FnMut(Output<'a>)) {
        let joined = self.is_joined();
        self.phase = Phase::Closed;
        if joined {
            out(Output::Report);
        }
        out(Output::Close(reason));
    }
}

fn hello_first() -> Error {
    Error::new(Code::Unauthorized, "say hello first: this needs a tenant and a client")
}

fn refuse<'a>(request_id: u64, error: Error, out: &mut impl FnMut(Output<'a>)) {
    out(Output::Send(Reply::Error { request_id, error }));
}

#[cfg(test)]
mod tests;
