//! The contract of signals, over a NATS server.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

use std::sync::Arc;

use switchboard_contract::signals::Nodes;
use switchboard_core::signals::Signals;
use switchboard_servers::Nats as Server;

/// Three nodes on a server, which goes when they do.
struct Opened(Nodes, #[expect(dead_code, reason = "held")] Server);

impl AsRef<Nodes> for Opened {
    fn as_ref(&self) -> &Nodes {
        &self.0
    }
}

async fn nats() -> Opened {
    let server = Server::start().unwrap();
    let node = async || {
        let node = switchboard_nats::Nats::connect(&server.url(), "a").await.unwrap();
        Arc::new(node) as Arc<dyn Signals>
    };
    let nodes = [node().await, node().await, node().await];
    Opened(nodes, server)
}

switchboard_contract::signals!(nats);
