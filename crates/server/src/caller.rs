//! Who calls, and for which tenants it may speak.
//!
//! The only place that makes a [`Tenant`] of what a request says. Today every node is open: whoever
//! reaches it may speak for any tenant, which is why it listens on loopback only. Credentials will
//! be checked here, and nowhere else.

use std::net::SocketAddr;

use switchboard_core::{Result, Tenant};

/// Where a request of REST came from, for the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

impl Peer {
    /// Where a request with these extensions came from, if that was noted.
    pub(crate) fn of(extensions: &http::Extensions) -> Option<SocketAddr> {
        extensions.get::<Self>().map(|Self(address)| *address)
    }
}

/// Whoever is at the other end of a request or a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Caller {
    /// Anybody: the node is open.
    Open,
}

impl Caller {
    /// Establishes who calls, from what came with the request.
    #[inline]
    pub(crate) fn of(_headers: &http::HeaderMap) -> Self {
        Self::Open
    }

    /// Whether the caller may see all tenants, and speak for them, as nodes do.
    #[expect(clippy::unnecessary_wraps, reason = "credentials will be refused here")]
    pub(crate) fn all_tenants(self) -> Result<()> {
        match self {
            Self::Open => Ok(()),
        }
    }

    /// The tenant that the caller named, if it may speak for it.
    ///
    /// # Errors
    ///
    /// [`switchboard_core::Code::InvalidTenant`] when it is not written as one.
    #[inline]
    pub(crate) fn tenant(self, named: &str) -> Result<Tenant> {
        match self {
            Self::Open => named.parse(),
        }
    }
}
