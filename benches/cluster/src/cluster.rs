//! PostgreSQL, NATS and nodes.

use std::path::{Path, PathBuf};

use switchboard_peers::Error;
use switchboard_servers::{Nats, Node, Postgres};
use tempfile::TempDir;

/// All roles.
pub(crate) const ALL: &str = "gateway,status,api";

/// What runs. Dropped from the first to the last: nodes go before what they stand on.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    program: PathBuf,
    store: String,
    nats: Nats,
    pub(crate) postgres: Postgres,
    folder: TempDir,
}

impl Cluster {
    /// Nodes with these roles.
    pub(crate) fn start(program: &Path, roles: &[&str]) -> Result<Self, Error> {
        let postgres = Postgres::with(&["shared_buffers=256MB"])?;
        let (nats, store) = (Nats::start()?, postgres.database()?);
        let folder = tempfile::tempdir_in("/var/tmp")?;
        let (nodes, program) = (Vec::new(), program.to_owned());
        let mut cluster = Self { nodes, program, store, nats, postgres, folder };
        for roles in roles {
            cluster.add(roles)?;
        }
        Ok(cluster)
    }

    /// One more node with these roles, ready when this returns.
    pub(crate) fn add(&mut self, roles: &str) -> Result<(), Error> {
        let url = self.nats.url();
        let options = ["--store", &self.store, "--signals", &url, "--roles", roles];
        let options = options.map(ToOwned::to_owned);
        let folder = self.folder.path().join(format!("node-{}", self.nodes.len()));
        let node = Node::start(&self.program, &folder, &options)?;
        node.ready()?;
        self.nodes.push(node);
        Ok(())
    }

    /// CPU of all nodes, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        self.nodes.iter().map(Node::cpu).sum()
    }
}
