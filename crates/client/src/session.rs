//! Sessions: a connection that is held, and comes back by itself.
//!
//! [`Client::connect`] makes one. It runs on a task of its own, which ends with the [`Session`]:
//! connects, says hello, answers the node's pings at once with what the status callback says, and
//! tells the event callback what happens. When the connection breaks, the node stops or is silent,
//! it connects again, after growing random pauses from 100 ms to 10 s; a node that is about to stop
//! says how long to wait.
//!
//! Requests are pipelined: none waits for another's answer. Those made while there is no connection
//! wait for one. A broken connection fails `echo` and `add` that were sent with `unavailable`;
//! `ingest` is sent again, since a key is recorded once however often it comes.
//!
//! ```no_run
//! # async fn example() -> Result<(), switchboard_client::Error> {
//! use switchboard_client::{Client, session::Status};
//!
//! let session = Client::new("tcp://127.0.0.1:7401")?
//!     .with_tenant("3bd1c697")
//!     .connect("ann")
//!     .with_status(|| Status::Even)
//!     .with_events(|event| eprintln!("{event:?}"))
//!     .start()?;
//! assert_eq!(session.add(10, 20).await?, 30);
//! session.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! The transport is that of the client's URL: `tcp://` or, with `http://`, gRPC. WebSocket is left
//! out: it is for browsers, and has nothing that gRPC has not.

mod carrier;
mod inbox;
mod keep;
mod requests;

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use switchboard_proto::v1::{
    self, AddRequest, EchoMessage, SessionAcknowledgeRequest, SessionIngestRequest,
    SessionSendRequest, Typing, client_frame, server_frame,
};
use tokio::{runtime::Handle, sync::oneshot, task::JoinSet, time};

use self::{
    inbox::Inbox,
    keep::Keeper,
    requests::{Answer, Requests},
};
use crate::{
    Client, Error, Receipt,
    chat::{Entry, Marks, MessageStatus},
    name::made_up,
};

/// The longest frame, in bytes without its tag and length. A node takes no longer ones either.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// How many requests of a session may wait unless told otherwise: as many as a node takes at once.
pub const REQUESTS_MAX: usize = 256;

/// How long a node may take to welcome the client, and then from ping to ping, unless told
/// otherwise.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The longest id of a client, in bytes.
pub const CLIENT_BYTES_MAX: usize = 128;

/// How long what has arrived is gathered before the node is told.
pub const INBOX_PAUSE: Duration = Duration::from_millis(50);

/// What a client reports of itself, with the answer to each ping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Connected, not online.
    #[default]
    Unknown,
    /// Online.
    Even,
    /// Online.
    Odd,
}

impl Status {
    /// The name, as REST tells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Even => "EVEN",
            Self::Odd => "ODD",
        }
    }

    /// The status of a client that follows its clock: whether the time, in milliseconds since the
    /// Unix epoch, is even or odd.
    pub const fn clock(now_ms: i64) -> Self {
        if now_ms & 1 == 0 { Self::Even } else { Self::Odd }
    }
}

impl From<v1::Status> for Status {
    fn from(status: v1::Status) -> Self {
        match status {
            v1::Status::Unknown => Self::Unknown,
            v1::Status::Even => Self::Even,
            v1::Status::Odd => Self::Odd,
        }
    }
}

impl From<Status> for v1::Status {
    fn from(status: Status) -> Self {
        match status {
            Status::Unknown => Self::Unknown,
            Status::Even => Self::Even,
            Status::Odd => Self::Odd,
        }
    }
}

/// What happens to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A node has let the client in.
    #[non_exhaustive]
    Connected {
        /// The number of the session. Later sessions of a client have greater ones.
        session_id: u64,
    },
    /// The node is about to stop. What is in flight is still answered; the session connects again
    /// by itself.
    #[non_exhaustive]
    Draining {
        /// How long the node asks to wait before: the session waits for any time up to that.
        delay: Duration,
    },
    /// There is no connection: it ended, or could not be opened.
    #[non_exhaustive]
    Disconnected {
        /// Why.
        error: Error,
        /// How long until the next try. None: the client was refused, and the session is over.
        retry_in: Option<Duration>,
    },
    /// The inbox is followed from here on.
    #[non_exhaustive]
    Following {
        /// Reading on from here misses nothing.
        cursor: String,
    },
    /// Something happened to the user: each once, in order, however often the connection breaks.
    Happened(Entry),
    /// Somebody is writing to the user, or has stopped.
    #[non_exhaustive]
    Typing {
        /// His number.
        peer: String,
        /// Whether he is writing.
        typing: bool,
    },
    /// The node has refused something that was no request.
    Refused(Error),
}

/// A session to be.
#[derive(Clone)]
#[must_use = "nothing happens before it is started"]
pub struct Builder {
    client: Client,
    id: String,
    status: Arc<dyn Fn() -> Status + Send + Sync>,
    events: Arc<dyn Fn(Event) + Send + Sync>,
    requests_max: usize,
    patience: Duration,
    inbox: Option<String>,
    receipts: bool,
}

impl Client {
    /// A session of the client with this id: 1 to 128 bytes of UTF-8 without control characters.
    pub fn connect(&self, id: impl Into<String>) -> Builder {
        Builder {
            client: self.clone(),
            id: id.into(),
            status: Arc::new(Status::default),
            events: Arc::new(drop),
            requests_max: REQUESTS_MAX,
            patience: PATIENCE,
            inbox: None,
            receipts: true,
        }
    }
}

impl Builder {
    /// Asked at each ping for what to report; must not block. [`Status::Unknown`] unless given.
    pub fn with_status(mut self, status: impl Fn() -> Status + Send + Sync + 'static) -> Self {
        self.status = Arc::new(status);
        self
    }

    /// Told what happens, in order; must not block.
    pub fn with_events(mut self, events: impl Fn(Event) + Send + Sync + 'static) -> Self {
        self.events = Arc::new(events);
        self
    }

    /// How many requests may wait, to be sent or for their answers: [`REQUESTS_MAX`] unless given.
    pub fn with_requests_max(mut self, max: usize) -> Self {
        self.requests_max = max;
        self
    }

    /// How long a node may take to welcome the client, and then from ping to ping, before the
    /// session looks for another: [`PATIENCE`] unless given.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Follows the inbox of the user that the client is, a phone number: `after` is the cursor of
    /// an entry, `now`, or empty: then from the first. What happens is an [`Event::Happened`].
    ///
    /// Messages of others are acknowledged as delivered once the event callback has returned,
    /// unless [`Builder::with_receipts`] says otherwise.
    pub fn with_inbox(mut self, after: impl Into<String>) -> Self {
        self.inbox = Some(after.into());
        self
    }

    /// Whether what arrives is acknowledged as delivered by the session itself, which it is unless
    /// given.
    pub fn with_receipts(mut self, receipts: bool) -> Self {
        self.receipts = receipts;
        self
    }

    /// Starts the session, which connects from now on. An unreachable node is no error: that is an
    /// [`Event::Disconnected`].
    ///
    /// # Errors
    ///
    /// `invalid_request` for an id that is none, or outside of a tokio runtime.
    pub fn start(self) -> Result<Session, Error> {
        let id = &self.id;
        if id.is_empty() || CLIENT_BYTES_MAX < id.len() || id.chars().any(char::is_control) {
            let what = "a client's id is 1 to 128 bytes of UTF-8 without control characters";
            return Err(Error::new("invalid_request", what));
        }
        let runtime = Handle::try_current()
            .map_err(|error| Error::new("invalid_request", error.to_string()))?;
        let requests = Arc::new(Requests::new(self.requests_max));
        let timeout = self.client.timeout;
        let keeper = Keeper {
            node: self.client.node,
            tenant: self.client.tenant,
            client: self.id,
            status: self.status,
            events: self.events,
            patience: self.patience,
            requests: Arc::clone(&requests),
            inbox: self.inbox.map(|after| Mutex::new(Inbox::new(after, self.receipts))),
        };
        let mut task = JoinSet::new();
        task.spawn_on(keeper.keep(), &runtime);
        Ok(Session { requests, timeout, task })
    }
}

/// A message was sent over a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its number within the chat.
    pub id: u64,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub sent_at: i64,
    /// How far it has come.
    pub status: MessageStatus,
    /// Whether this request sent it, rather than an earlier one.
    pub new: bool,
}

/// A session. Dropping it ends it at once, [`Session::close`] in good order.
#[derive(Debug)]
#[must_use = "dropping a session ends it"]
pub struct Session {
    requests: Arc<Requests>,
    timeout: Duration,
    /// One task. Dropping the set ends it.
    task: JoinSet<()>,
}

impl Session {
    /// Sends a text, which comes back. Queued when this returns, before the future is awaited.
    ///
    /// # Errors
    ///
    /// `too_large` for a frame over [`FRAME_BYTES_MAX`], `too_many_requests`; `unavailable` when
    /// the connection broke before the answer came, or none came until the client's timeout.
    pub fn echo(
        &self,
        content: &str,
    ) -> impl Future<Output = Result<String, Error>> + Send + use<> {
        let content = content.to_owned();
        let frame = |request_id| client_frame::Frame::Echo(EchoMessage { content, request_id });
        answered(self.timeout, self.requests.ask(frame), |answer| match answer {
            server_frame::Frame::Echo(echo) => Some(echo.content),
            _ => None,
        })
    }

    /// Adds two numbers. Queued when this returns, before the future is awaited.
    ///
    /// # Errors
    ///
    /// `invalid_request` for a sum beyond 32 bits; those of [`Session::echo`].
    pub fn add(&self, a: i32, b: i32) -> impl Future<Output = Result<i32, Error>> + Send + use<> {
        let frame = |request_id| client_frame::Frame::Add(AddRequest { a, b, request_id });
        answered(self.timeout, self.requests.ask(frame), |answer| match answer {
            server_frame::Frame::Add(sum) => Some(sum.result),
            _ => None,
        })
    }

    /// Records one key, as [`Client::ingest`] does: durable when the future is done. Queued when
    /// this returns, before the future is awaited. On a broken connection it is sent again on the
    /// next; the answer is then that of the last try, and may say that the key is known.
    ///
    /// # Errors
    ///
    /// `invalid_key`; `unavailable` when no answer came until the client's timeout; otherwise those
    /// of [`Session::echo`].
    pub fn ingest(&self, key: &str) -> impl Future<Output = Result<Receipt, Error>> + Send + use<> {
        let key = key.to_owned();
        let frame =
            |request_id| client_frame::Frame::Ingest(SessionIngestRequest { key, request_id });
        answered(self.timeout, self.requests.ask(frame), |answer| match answer {
            server_frame::Frame::Ingest(receipt) => Some(receipt.into()),
            _ => None,
        })
    }

    /// Sends a message as the user that the client is: durable when the future is done. Queued when
    /// this returns, before the future is awaited. On a broken connection it is sent again on the
    /// next, which is the same message: without a `client_message_id` one is made up.
    ///
    /// # Errors
    ///
    /// `invalid_phone`, `invalid_recipient`, `invalid_text`, `conflict`; `unavailable` when no
    /// answer came until the client's timeout; otherwise those of [`Session::echo`].
    pub fn send(
        &self,
        to: &str,
        text: &str,
        client_message_id: Option<&str>,
    ) -> impl Future<Output = Result<Sent, Error>> + Send + use<> {
        let client_message_id = client_message_id.map_or_else(made_up, ToOwned::to_owned);
        let (to, text) = (to.to_owned(), text.to_owned());
        let traceparent = String::new();
        let frame = |request_id| {
            client_frame::Frame::Send(SessionSendRequest {
                to,
                text,
                client_message_id,
                request_id,
                traceparent,
            })
        };
        answered(self.timeout, self.requests.ask(frame), |answer| match answer {
            server_frame::Frame::Send(it) => {
                let status = it.status().into();
                Some(Sent { id: it.id, sent_at: it.sent_at, status, new: it.new })
            }
            _ => None,
        })
    }

    /// States up to which messages of a peer the user has got, and read. Queued when this returns,
    /// before the future is awaited.
    ///
    /// # Errors
    ///
    /// `not_found` for a message that is not there; `invalid_phone`; otherwise those of
    /// [`Session::echo`].
    pub fn acknowledge(
        &self,
        peer: &str,
        delivered_up_to: Option<u64>,
        read_up_to: Option<u64>,
    ) -> impl Future<Output = Result<Marks, Error>> + Send + use<> {
        let peer = peer.to_owned();
        let frame = |request_id| {
            client_frame::Frame::Acknowledge(SessionAcknowledgeRequest {
                peer,
                delivered_up_to,
                read_up_to,
                request_id,
            })
        };
        answered(self.timeout, self.requests.ask(frame), |answer| match answer {
            server_frame::Frame::Acknowledge(marks) => {
                let (delivered_up_to, read_up_to) = (marks.delivered_up_to, marks.read_up_to);
                Some(Marks { delivered_up_to, read_up_to })
            }
            _ => None,
        })
    }

    /// Tells a peer's sessions that the user is writing to him, or has stopped: now or not at all.
    pub fn typing(&self, peer: &str, typing: bool) {
        self.requests.hint(client_frame::Frame::Typing(Typing { peer: peer.to_owned(), typing }));
    }

    /// Ends the session: what was asked for is sent, and the node told that nothing follows.
    /// Returns when the connection is closed, after two seconds at the latest.
    pub async fn close(mut self) {
        self.requests.close();
        while self.task.join_next().await.is_some() {}
    }
}

/// Waits for the answer to what was asked, and reads it.
async fn answered<T>(
    timeout: Duration,
    asked: Result<oneshot::Receiver<Answer>, Error>,
    read: fn(server_frame::Frame) -> Option<T>,
) -> Result<T, Error> {
    match time::timeout(timeout, asked?).await {
        Ok(Ok(answer)) => read(answer?).ok_or_else(|| {
            Error::new("internal", "the node answered something else than what was asked")
        }),
        Ok(Err(_)) => Err(Error::new("unavailable", "the session has ended")),
        Err(_) => {
            let what = format!("there was no answer in {timeout:?}: repeat the request");
            Err(Error::new("unavailable", what))
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("client", &self.client)
            .field("id", &self.id)
            .field("requests_max", &self.requests_max)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_even_or_odd_and_online() {
        for (now_ms, status) in [
            (0, Status::Even),
            (1, Status::Odd),
            (1_795_221_723_001, Status::Odd),
            (-1, Status::Odd),
        ] {
            assert_eq!(Status::clock(now_ms), status, "{now_ms}");
        }
        assert_eq!(Status::default(), Status::Unknown);
    }
}
