//! The sockets of a node, bound before anything else happens.

use std::{fmt, io, net::SocketAddr};

use tokio::net::TcpListener;

/// Bound sockets: a taken port is met here, when nothing has been opened yet.
#[derive(Debug)]
pub struct Listeners {
    pub(crate) main: TcpListener,
    pub(crate) admin: TcpListener,
    addresses: Addresses,
}

/// Where a node listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// REST, gRPC and what else clients use.
    pub main: SocketAddr,
    /// Metrics and health.
    pub admin: SocketAddr,
}

impl Listeners {
    /// Binds both. Port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// What the machine says, with the address that it is about.
    pub async fn bind(main: SocketAddr, admin: SocketAddr) -> io::Result<Self> {
        let main = listen(main).await?;
        let admin = listen(admin).await?;
        let addresses = Addresses { main: main.local_addr()?, admin: admin.local_addr()? };
        Ok(Self { main, admin, addresses })
    }

    /// Where they listen.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }
}

async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        io::Error::new(error.kind(), format!("can't listen on {address}: {error}"))
    })
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "main={} admin={}", self.main, self.admin)
    }
}
