//! Where a node is, by its URL.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint, Uri};

use crate::Error;

/// How long a connection may take to be there.
const CONNECT: Duration = Duration::from_secs(5);

/// Where plain TCP is, unless the URL says otherwise.
const TCP_PORT: u16 = 7401;

/// A node, by the listener that is spoken to.
#[derive(Debug)]
pub(crate) enum Node {
    /// The main one.
    Http {
        /// Makes connections: each session has its own.
        endpoint: Box<Endpoint>,
        /// What all calls share. Connects when it is first used.
        channel: Channel,
    },
    /// The one for plain TCP.
    Tcp(Address),
}

/// A host and a port.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Node {
    pub(crate) fn at(url: &str) -> Result<Self, Error> {
        let wrong = || Error::new("invalid_request", format!("{url:?} is no URL of a node"));
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        match uri.scheme_str() {
            Some("http" | "https") => {
                let endpoint = Endpoint::from(uri)
                    .tcp_nodelay(true)
                    .connect_timeout(CONNECT)
                    .http2_keep_alive_interval(Duration::from_secs(20));
                Ok(Self::Http { channel: endpoint.connect_lazy(), endpoint: Box::new(endpoint) })
            }
            Some("tcp") if matches!(uri.path(), "" | "/") && uri.query().is_none() => {
                let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                Ok(Self::Tcp(Address { host, port: uri.port_u16().unwrap_or(TCP_PORT) }))
            }
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: Option<(&str, u16)>) {
        let found = match Node::at(url) {
            Ok(Node::Tcp(Address { host, port })) => Some((host, port)),
            Ok(Node::Http { .. }) => Some(("over HTTP".to_owned(), 0)),
            Err(error) => {
                assert_eq!(error.code(), "invalid_request");
                None
            }
        };
        assert_eq!(found.as_ref().map(|(host, port)| (host.as_str(), *port)), expected, "{url}");
    }

    #[tokio::test]
    async fn urls() {
        check("http://127.0.0.1:7400", Some(("over HTTP", 0)));
        check("tcp://127.0.0.1:7401", Some(("127.0.0.1", 7401)));
        check("tcp://node.example", Some(("node.example", 7401)));
        check("tcp://[::1]:9/", Some(("::1", 9)));
        check("tcp://127.0.0.1:7401/v1", None);
        check("ws://127.0.0.1:7400", None);
        check("127.0.0.1:7400", None);
        check("nonsense", None);
        check("", None);
    }
}
