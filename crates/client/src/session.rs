//! Sessions: a connection that is held, and comes back by itself.
//!
//! [`Client::connect`](crate::Client::connect) makes one. It runs on a task of its own, which ends
//! with the [`Session`]: connects, says hello, answers the node's pings at once with what the
//! status callback says, and tells the event callback what happens. When the connection breaks, the
//! node stops or is silent, it connects again, after growing random pauses from 100 ms to 10 s; a
//! node that is about to stop says how long to wait.
//!
//! Requests are pipelined: none waits for another's answer. Those made while there is no connection
//! wait for one. A broken connection fails what was sent and can't be repeated, such as `echo`,
//! with `unavailable`; `ingest` is sent again, since a key is recorded once however often it comes,
//! and so are `send`, `acknowledge` and the `publish` of a durable event.
//!
//! What goes on outlives connections: the inbox, [`Session::subscribe`] and [`Session::consume`]
//! are taken up again where they were. What they give comes to the event callback.
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

mod builder;
mod bus;
mod carrier;
mod event;
mod inbox;
mod keep;
mod requests;
mod standing;
mod status;

use std::{sync::Arc, time::Duration};

use switchboard_proto::v1::{
    AddRequest, EchoMessage, SessionAcknowledgeRequest, SessionIngestRequest, SessionSendRequest,
    Typing, client_frame, server_frame,
};
use tokio::{sync::oneshot, task::JoinSet, time};

pub use self::{builder::Builder, event::Event, status::Status};
use self::{
    requests::{Answer, Requests},
    standing::Standing,
};
use crate::{
    Error, Receipt,
    chat::{Marks, MessageStatus},
    name::made_up,
};

/// The longest frame, in bytes without its tag and length: an event has 1 MiB of data, a topic, a
/// type and so on. A node takes no longer ones either, unless it is told to.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024 + 4 * 1024;

/// How many requests of a session may wait unless told otherwise: as many as a node takes at once.
pub const REQUESTS_MAX: usize = 256;

/// How long a node may take to welcome the client, and then from ping to ping, unless told
/// otherwise.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The longest id of a client, in bytes.
pub const CLIENT_BYTES_MAX: usize = 128;

/// How long what has arrived is gathered before the node is told.
pub const INBOX_PAUSE: Duration = Duration::from_millis(50);

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
    standing: Arc<Standing>,
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

    /// Records one key, as [`crate::Client::ingest`] does: durable when the future is done. Queued
    /// when this returns, before the future is awaited. On a broken connection it is sent again on
    /// the next; the answer is then that of the last try, and may say that the key is known.
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
