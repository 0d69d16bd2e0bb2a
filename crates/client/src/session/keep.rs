//! The task of a session: connects, holds the connection, and connects again.

use std::{
    future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use switchboard_proto::v1::{Hello, Pong, client_frame, server_frame};
use tokio::time::{self, Instant};

use super::{
    Event, Status,
    carrier::{self, Incoming, Outgoing},
    inbox::{Inbox, OWN},
    requests::{Requests, answered_by},
    standing::{STANDING, Standing},
};
use crate::{
    Error,
    chat::Entry,
    node::Node,
    retry::{self, Pauses},
};

/// The first pause before connecting again is up to this long.
const PAUSE: Duration = Duration::from_millis(100);

/// No pause is longer, unless a node asks for it. A connection that held for so long was a good
/// one: the next pause is short again.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The longest pause that a node can ask for.
const DRAIN_PAUSE_MAX: Duration = Duration::from_mins(1);

/// How long the end of a session may take.
const CLOSE: Duration = Duration::from_secs(2);

/// The codes of a hello that will be refused however often it is said.
const FOR_GOOD: &[&str] = &["invalid_tenant", "unauthorized", "forbidden"];

/// What the task of a session knows.
pub(super) struct Keeper {
    pub(super) node: Arc<Node>,
    pub(super) tenant: Arc<str>,
    pub(super) client: String,
    pub(super) status: Arc<dyn Fn() -> Status + Send + Sync>,
    pub(super) events: Arc<dyn Fn(Event) + Send + Sync>,
    pub(super) patience: Duration,
    pub(super) requests: Arc<Requests>,
    /// What was asked for and goes on.
    pub(super) standing: Arc<Standing>,
    /// Where it is in the inbox, if it follows.
    pub(super) inbox: Option<Mutex<Inbox>>,
}

/// How a connection ended.
enum End {
    /// The application wants no more.
    Closed,
    /// The node stops, and asks for a pause of at most so long.
    Drained(Duration),
    /// It broke, or could not be opened.
    Broken(Error),
    /// The client is not let in, now or later.
    Refused(Error),
}

/// One connection.
struct Connection<'a> {
    keeper: &'a Keeper,
    outgoing: Outgoing,
    welcomed: Option<Instant>,
    /// How long the node asks to wait, once it is about to stop.
    draining: Option<Duration>,
    /// When the welcome or the next ping is overdue.
    overdue: Instant,
    /// What the node refused since the last ping: the reason, if it ends the connection next.
    refused: Option<Error>,
}

impl Keeper {
    /// Holds connections until the session is closed, or refused for good.
    pub(super) async fn keep(self) {
        // Whatever the end, a defect of a callback included: nobody waits in vain.
        let _ended = Ended(Arc::clone(&self.requests));
        let mut pauses = Pauses::new(PAUSE, PAUSE_MAX);
        loop {
            let (end, held) = self.connection().await;
            if PAUSE_MAX <= held {
                pauses = Pauses::new(PAUSE, PAUSE_MAX);
            }
            self.requests.broken();
            let (error, pause) = match end {
                End::Closed => return,
                End::Refused(error) => {
                    self.requests.end(&error);
                    (self.events)(Event::Disconnected { error, retry_in: None });
                    return;
                }
                End::Drained(delay) => {
                    let pause = retry::up_to(delay.clamp(PAUSE, DRAIN_PAUSE_MAX));
                    (Error::new("unavailable", "the node stops"), pause)
                }
                End::Broken(error) => (error, pauses.after_failure()),
            };
            (self.events)(Event::Disconnected { error, retry_in: Some(pause) });
            tokio::select! {
                () = time::sleep(pause) => {}
                () = self.requests.closing() => return,
            }
        }
    }

    fn inbox(&self) -> Option<MutexGuard<'_, Inbox>> {
        let inbox = self.inbox.as_ref()?;
        Some(inbox.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// When the node is to be told what has arrived, if anything has.
    async fn arrived(&self) {
        let due = self.inbox().and_then(|inbox| inbox.due);
        match due {
            Some(due) => time::sleep_until(due).await,
            None => future::pending().await,
        }
    }

    /// One connection, from its beginning to its end, and for how long it held.
    async fn connection(&self) -> (End, Duration) {
        let opened = tokio::select! {
            opened = time::timeout(self.patience, carrier::open(&self.node)) => opened,
            () = self.requests.closing() => return (End::Closed, Duration::ZERO),
        };
        let (incoming, outgoing) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return (End::Broken(error), Duration::ZERO),
            Err(_) => return (End::Broken(silent("accept", self.patience)), Duration::ZERO),
        };
        let mut connection = Connection {
            keeper: self,
            outgoing,
            welcomed: None,
            draining: None,
            overdue: Instant::now() + self.patience,
            refused: None,
        };
        connection.outgoing.push(client_frame::Frame::Hello(Hello {
            tenant: self.tenant.to_string(),
            client: self.client.clone(),
            cursor: self.inbox().map(|mut inbox| {
                inbox.connected();
                inbox.after.clone()
            }),
            traceparent: String::new(),
        }));
        self.standing.connected();
        let mut incoming = incoming;
        let end = connection.hold(&mut incoming).await;
        let held = connection.welcomed.map_or(Duration::ZERO, |since| since.elapsed());
        if let End::Closed = end {
            // The connection is closed anyway when it takes too long.
            let _ = time::timeout(CLOSE, finish(connection.outgoing, incoming)).await;
        }
        (end, held)
    }
}

impl Connection<'_> {
    async fn hold(&mut self, incoming: &mut Incoming) -> End {
        let Keeper { requests, standing, .. } = self.keeper;
        loop {
            let sends = self.welcomed.is_some() && self.draining.is_none();
            while sends
                && self.outgoing.has_room()
                && let Some(frame) = standing.take().or_else(|| requests.take())
            {
                self.outgoing.push(frame);
            }
            if requests.is_closing() {
                return End::Closed;
            }
            if let Some(delay) = self.draining
                && !requests.any_in_flight()
            {
                return End::Drained(delay);
            }
            if self.outgoing.is_stuck() {
                return End::Broken(Error::new("unavailable", "the node does not read"));
            }
            tokio::select! {
                came = incoming.next() => match came {
                    Ok(Some(frame)) => self.take(frame),
                    Ok(None) => return self.ended(None),
                    Err(error) => return self.ended(Some(error)),
                },
                flushed = flush(&mut self.outgoing) => if let Err(error) = flushed {
                    // Why stands in what it sent before.
                    let _ = time::timeout(CLOSE, self.take_rest(incoming)).await;
                    return self.ended(Some(error));
                },
                () = requests.woken() => {}
                () = standing.due(), if sends => {}
                () = self.keeper.arrived(), if self.welcomed.is_some() => {
                    let frames = self.keeper.inbox().map(|mut inbox| inbox.say());
                    for frame in frames.into_iter().flatten() {
                        self.outgoing.push(frame);
                    }
                }
                () = time::sleep_until(self.overdue) => {
                    let what = if self.welcomed.is_some() { "ping" } else { "welcome" };
                    return End::Broken(silent(what, self.keeper.patience));
                }
            }
        }
    }

    fn take(&mut self, frame: server_frame::Frame) {
        let Keeper { requests, standing, events, status, patience, .. } = self.keeper;
        match answered_by(&frame) {
            Some(id) if STANDING <= id => return self.tell(standing.answered(id, frame)),
            Some(id) if OWN <= id => return self.own_answered(id),
            Some(id) => return requests.answer(id, Ok(frame)),
            None => {}
        }
        match frame {
            server_frame::Frame::Welcome(welcome) if self.welcomed.is_none() => {
                let now = Instant::now();
                self.welcomed = Some(now);
                self.overdue = now + *patience;
                events(Event::Connected { session_id: welcome.session_id });
            }
            server_frame::Frame::Ping(ping) => {
                // Not before the welcome: a node that does not let us in is not waited for.
                if self.welcomed.is_some() {
                    self.overdue = Instant::now() + *patience;
                }
                self.refused = None;
                let status = switchboard_proto::v1::Status::from(status()).into();
                let answer = Pong { status, sequence: ping.sequence };
                self.outgoing.push(client_frame::Frame::Pong(answer));
            }
            server_frame::Frame::Following(following) => {
                if let Some(mut inbox) = self.keeper.inbox() {
                    inbox.following(following.cursor.clone());
                }
                events(Event::Following { cursor: following.cursor });
            }
            server_frame::Frame::Inbox(entry) => {
                let entry = Entry::from(entry);
                let came = self.keeper.inbox().map(|mut it| it.came(&entry, &self.keeper.client));
                if came == Some(true) {
                    events(Event::Happened(entry));
                }
            }
            server_frame::Frame::Typing(hint) => {
                events(Event::Typing { peer: hint.peer, typing: hint.typing });
            }
            server_frame::Frame::Event(it) => self.tell(standing.event(it)),
            server_frame::Frame::Delivery(it) => self.tell(standing.delivery(it)),
            server_frame::Frame::Error(message) if STANDING <= message.request_id => {
                let error = Error::new(&message.code, message.content);
                self.tell(standing.refused(message.request_id, error));
            }
            // What was said of arrived messages is said again on the next connection.
            server_frame::Frame::Error(message) if OWN <= message.request_id => {
                self.own_answered(message.request_id);
            }
            server_frame::Frame::Error(message) => {
                let error = Error::new(&message.code, message.content);
                if message.request_id != 0 {
                    let stops = self.draining.is_some() && error.is_unavailable();
                    if !(stops && requests.repeat(message.request_id)) {
                        requests.answer(message.request_id, Err(error));
                    }
                    return;
                }
                events(Event::Refused(error.clone()));
                self.refused = Some(error);
            }
            server_frame::Frame::Drain(drain) => {
                let delay = Duration::from_millis(drain.delay_ms.into());
                self.draining = Some(delay);
                events(Event::Draining { delay });
            }
            // A welcome that was said already; answers, above.
            _ => {}
        }
    }

    fn tell(&self, event: Option<Event>) {
        if let Some(event) = event {
            (self.keeper.events)(event);
        }
    }

    fn own_answered(&self, request_id: u64) {
        if let Some(mut inbox) = self.keeper.inbox() {
            inbox.answered(request_id);
        }
    }

    async fn take_rest(&mut self, incoming: &mut Incoming) {
        while let Ok(Some(frame)) = incoming.next().await {
            self.take(frame);
        }
    }

    /// The node has closed the connection, or it broke.
    fn ended(&mut self, error: Option<Error>) -> End {
        let refused = self.refused.take();
        if let Some(delay) = self.draining {
            return End::Drained(delay);
        }
        match (refused, error) {
            (Some(refused), _) if self.welcomed.is_none() && FOR_GOOD.contains(&refused.code()) => {
                End::Refused(refused)
            }
            (Some(error), _) | (None, Some(error)) => End::Broken(error),
            (None, None) => {
                End::Broken(Error::new("unavailable", "the node closed the connection"))
            }
        }
    }
}

/// Sends what waits; never done while there is nothing.
async fn flush(outgoing: &mut Outgoing) -> Result<(), Error> {
    if outgoing.is_empty() {
        return future::pending().await;
    }
    outgoing.flush().await
}

/// Sends what waits, says that nothing follows, and waits until the node has closed its side.
async fn finish(outgoing: Outgoing, mut incoming: Incoming) {
    if outgoing.finish().await.is_ok() {
        while let Ok(Some(_)) = incoming.next().await {}
    }
}

fn silent(what: &str, patience: Duration) -> Error {
    Error::new("unavailable", format!("no {what} came from the node for {patience:?}"))
}

/// Fails whoever still waits when the task ends.
struct Ended(Arc<Requests>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.end(&Error::new("unavailable", "the session has ended"));
    }
}
