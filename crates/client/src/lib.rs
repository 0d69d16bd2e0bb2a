//! The Rust SDK of Switchboard.
//!
//! A [`Client`] is cheap to clone, connects when it is first used, and connects again by itself.
//! Every write can be repeated, so unary calls and batches are tried again, with growing random
//! pauses, while the node says `unavailable` or can't be reached, up to the client's timeout.
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

mod error;
mod ingest;
mod retry;

use std::{sync::Arc, time::Duration};

use tonic::transport::{Channel, Endpoint};

pub use self::{
    error::Error,
    ingest::{BATCH_KEYS_MAX, Receipt},
};

/// How long a call may take, all tries together, unless told otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// A client of a node, for one tenant.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    tenant: Arc<str>,
    timeout: Duration,
}

impl Client {
    /// A client of the node at `url`, for the tenant `default`. Connects when it is first used.
    ///
    /// # Errors
    ///
    /// `invalid_request` when `url` is no URL.
    pub fn new(url: &str) -> Result<Self, Error> {
        let endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(|_| Error::new("invalid_request", format!("{url:?} is no URL of a node")))?;
        let channel = endpoint
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(5))
            .http2_keep_alive_interval(Duration::from_secs(20))
            .connect_lazy();
        Ok(Self { channel, tenant: "default".into(), timeout: TIMEOUT })
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
}
