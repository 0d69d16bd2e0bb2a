//! The ways in of what sessions ask for, resolved once: a session that asks takes its own.

use super::seat::Transport;
use crate::{door::Entrance, node::Node};

/// Those of one carrier.
#[derive(Debug)]
pub(super) struct Entrances {
    pub(super) ingest: Entrance,
    pub(super) send: Entrance,
    pub(super) acknowledge: Entrance,
    pub(super) publish: Entrance,
    pub(super) subscribe: Entrance,
    pub(super) consume: Entrance,
    pub(super) settle: Entrance,
}

impl Entrances {
    pub(super) fn new(node: &Node, transport: Transport) -> Self {
        let entrance =
            |capability, operation| Entrance::new(node, capability, operation, transport.as_str());
        Self {
            ingest: entrance("ingest", "session"),
            send: entrance("chat", "session_send"),
            acknowledge: entrance("chat", "session_acknowledge"),
            publish: entrance("bus", "session_publish"),
            subscribe: entrance("bus", "session_subscribe"),
            consume: entrance("bus", "session_consume"),
            settle: entrance("bus", "session_settle"),
        }
    }
}
