//! The Rust SDK of Switchboard.
//!
//! A [`Client`] is cheap to clone, connects when it is first used, and connects again by itself.
//! Every write can be repeated, so unary calls and batches are tried again, with growing random
//! pauses, while the node says `unavailable` or can't be reached, up to the client's timeout. Two
//! exceptions are tried again only where the try before has surely done nothing: [`Client::store`]
//! with a version, and [`Client::publish`] of an ephemeral event.
//!
//! ```no_run
//! # async fn example() -> Result<(), switchboard_client::Error> {
//! use switchboard_client::Client;
//!
//! let client = Client::new("http://127.0.0.1:7400")?.with_tenant("3bd1c697");
//! let receipt = client.ingest("K-h53dk-A").await?;
//! println!("{} is {}", receipt.id, if receipt.new { "new" } else { "known" });
//! # Ok(())
//! # }
//! ```
//!
//! A [`Session`] holds a connection, answers the node's pings with a status, and connects again
//! when the connection breaks: see [`session`].

pub mod bus;
pub mod chat;
mod error;
mod ingest;
mod name;
mod node;
pub mod presence;
mod retry;
pub mod session;
pub mod vault;

use std::{sync::Arc, time::Duration};

use tonic::transport::Channel;

use self::node::Node;
pub use self::{
    error::Error,
    ingest::{BATCH_KEYS_MAX, Receipt},
    session::Session,
};

/// How long a call may take, all tries together, unless told otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// A client of a node, for one tenant.
#[derive(Clone, Debug)]
pub struct Client {
    node: Arc<Node>,
    tenant: Arc<str>,
    timeout: Duration,
}

impl Client {
    /// A client of the node at `url`, for the tenant `default`. Connects when it is first used.
    ///
    /// `http://host:7400` is the node's main listener, for everything; `tcp://host:7401` the one
    /// for plain TCP, which holds sessions and nothing else, for the least memory at the node.
    ///
    /// # Errors
    ///
    /// `invalid_request` when `url` is no URL of a node.
    pub fn new(url: &str) -> Result<Self, Error> {
        let node = Arc::new(Node::at(url)?);
        Ok(Self { node, tenant: "default".into(), timeout: TIMEOUT })
    }

    /// The same client, for another tenant: 1 to 64 of `A-Za-z0-9._-`.
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<Arc<str>>) -> Self {
        self.tenant = tenant.into();
        self
    }

    /// The same client, with another limit for a call, all its tries together.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Whose keys this client records.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The connection that all calls share.
    fn channel(&self) -> Result<Channel, Error> {
        match &*self.node {
            Node::Http { channel, .. } => Ok(channel.clone()),
            Node::Tcp(_) => Err(calls_need_http()),
        }
    }

    /// A connection of its own, for what may not be read for a while: on the shared one it would
    /// hold up all others (RFC 9113, section 5.2.2).
    fn channel_of_its_own(&self) -> Result<Channel, Error> {
        match &*self.node {
            Node::Http { endpoint, .. } => Ok(endpoint.connect_lazy()),
            Node::Tcp(_) => Err(calls_need_http()),
        }
    }
}

fn calls_need_http() -> Error {
    let what = "plain TCP holds sessions only: calls need the http URL of the node";
    Error::new("invalid_request", what)
}
