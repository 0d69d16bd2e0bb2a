//! Several servers on one store, with a wire between them that can fail.

mod ports;

use std::{sync::Arc, time::Duration};

use switchboard_contract::Wire;
use switchboard_core::signals::Signals;
use switchboard_server::{Limits, Looks, Ports, Server};

use self::ports::{Shared, Through};
use crate::node::{Node, World};

/// Nobody looks for what was missed within a test.
pub(crate) const NEVER: Looks = Looks {
    reconcile: Duration::from_hours(1),
    poll: Duration::from_hours(1),
    silence: Duration::from_hours(1),
};

/// What servers share.
#[derive(Clone, Default)]
pub(crate) struct Cluster {
    pub(crate) world: Arc<World>,
    shared: Arc<Shared>,
    pub(crate) wire: Wire,
}

impl Cluster {
    /// A node with all roles.
    pub(crate) async fn node(&self, looks: Looks) -> Node {
        self.with_roles("gateway,status,api", looks).await
    }

    /// A node with some roles.
    pub(crate) async fn with_roles(&self, roles: &str, looks: Looks) -> Node {
        self.through(self.way(), roles, looks).await
    }

    /// A way to the store, for a node or for whoever does as if he were one.
    pub(crate) fn way(&self) -> Arc<Through> {
        Arc::new(Through::new(&self.shared))
    }

    /// A node with its way to the store.
    pub(crate) async fn through(&self, through: Arc<Through>, roles: &str, looks: Looks) -> Node {
        let ports = Ports {
            ledger: Arc::clone(&self.world) as _,
            chats: Arc::clone(&through) as _,
            journal: Arc::clone(&through) as _,
            log: through,
            records: Arc::clone(&self.world.log) as _,
            signals: self.wire.end() as Arc<dyn Signals>,
            store: Arc::clone(&self.world) as _,
            clock: Arc::clone(&self.world) as _,
        };
        let roles = roles.parse().unwrap();
        let setup = |server: Server| server.with_roles(roles, None).unwrap().with_looks(looks);
        Node::of(&self.world, ports, Limits::default(), setup).await
    }
}
