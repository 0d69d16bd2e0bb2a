//! The sockets of a node, bound before anything else happens.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::net::TcpListener;

/// Bound sockets: a taken port is met here, when nothing has been opened yet.
#[derive(Debug)]
pub struct Listeners {
    pub(crate) main: TcpListener,
    /// On the loopback of either family, where the address is loopback.
    pub(crate) tcp: Vec<TcpListener>,
    pub(crate) admin: TcpListener,
    addresses: Addresses,
}

/// Where a node listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// REST, gRPC and what else clients use.
    pub main: SocketAddr,
    /// Frames over plain TCP.
    pub tcp: SocketAddr,
    /// Metrics and health.
    pub admin: SocketAddr,
}

impl Listeners {
    /// Binds all. Port 0 takes a free one. Where `tcp` is the loopback of one family, so is the
    /// loopback of the other, where there is one: plain clients resolve `localhost` to either.
    ///
    /// # Errors
    ///
    /// What the machine says, with the address that it is about.
    pub async fn bind(main: SocketAddr, tcp: SocketAddr, admin: SocketAddr) -> io::Result<Self> {
        let main = listen(main).await?;
        let tcp = listen_twice(tcp).await?;
        let admin = listen(admin).await?;
        let first = tcp.first().map(TcpListener::local_addr);
        let addresses = Addresses {
            main: main.local_addr()?,
            tcp: first.unwrap_or_else(|| Err(io::ErrorKind::AddrNotAvailable.into()))?,
            admin: admin.local_addr()?,
        };
        Ok(Self { main, tcp, admin, addresses })
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

/// Listens on an address, and on its like of the other family if both are loopback.
async fn listen_twice(address: SocketAddr) -> io::Result<Vec<TcpListener>> {
    let first = listen(address).await?;
    let port = first.local_addr()?.port();
    let other: IpAddr = match address.ip() {
        IpAddr::V4(Ipv4Addr::LOCALHOST) => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::LOCALHOST) => Ipv4Addr::LOCALHOST.into(),
        _ => return Ok(vec![first]),
    };
    match listen((other, port).into()).await {
        Ok(second) => Ok(vec![first, second]),
        // Somebody else's clients would take that for this node.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && address.port() != 0 => Err(error),
        Err(error) => {
            tracing::info!(%error, "plain TCP on the loopback of one family only");
            Ok(vec![first])
        }
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "main={} tcp={} admin={}", self.main, self.tcp, self.admin)
    }
}
