//! The ways in of what sessions ask for, resolved once: a session that asks takes its own.

use super::seat::Transport;
use crate::{door::Entrance, node::Node};

/// Those of one carrier.
#[derive(Debug)]
pub(super) struct Entrances {
    pub(super) ingest: Entrance,
    pub(super) send: Entrance,
    pub(super) acknowledge: Entrance,
}

impl Entrances {
    pub(super) fn new(node: &Node, transport: Transport) -> Self {
        let entrance =
            |capability, operation| Entrance::new(node, capability, operation, transport.as_str());
        Self {
            ingest: entrance("ingest", "session"),
            send: entrance("chat", "session_send"),
            acknowledge: entrance("chat", "session_acknowledge"),
        }
    }
}
