//! A session to be.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{runtime::Handle, task::JoinSet};

use super::{
    CLIENT_BYTES_MAX, Event, PATIENCE, REQUESTS_MAX, Session, Status, inbox::Inbox, keep::Keeper,
    requests::Requests, standing::Standing,
};
use crate::{Client, Error};

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
        let standing = Arc::new(Standing::default());
        let timeout = self.client.timeout;
        let keeper = Keeper {
            node: self.client.node,
            tenant: self.client.tenant,
            client: self.id,
            status: self.status,
            events: self.events,
            patience: self.patience,
            requests: Arc::clone(&requests),
            standing: Arc::clone(&standing),
            inbox: self.inbox.map(|after| Mutex::new(Inbox::new(after, self.receipts))),
        };
        let mut task = JoinSet::new();
        task.spawn_on(keeper.keep(), &runtime);
        Ok(Session { requests, standing, timeout, task })
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
