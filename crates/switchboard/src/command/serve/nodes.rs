//! Options of a node that is one of many.

use std::{sync::Arc, time::Duration};

use clap::Args;
use switchboard_core::signals::{Alone, Signals};
use switchboard_nats::Nats;
use switchboard_server::Looks;

use crate::{Failure, store};

/// Where nodes meet.
#[derive(Clone, Debug, Args)]
pub(crate) struct Nodes {
    /// What keeps the truth: `embedded`, one directory of this machine, or a PostgreSQL database
    /// that many nodes share, such as `postgres://switchboard@127.0.0.1/switchboard`; with
    /// `?sslmode=require` behind it, by TLS.
    #[arg(long, env = "SWITCHBOARD_STORE", default_value = "embedded", hide_env_values = true)]
    pub(crate) store: String,

    /// What carries signals between nodes: `local`, nothing, for a node that is alone with its
    /// store; or NATS, such as `nats://127.0.0.1:4222` (several servers with commas between them).
    #[arg(long, env = "SWITCHBOARD_SIGNALS", default_value = "local", hide_env_values = true)]
    signals: String,

    /// How often a node looks in the store whether a signal of another was lost, in seconds.
    #[arg(
        long,
        env = "SWITCHBOARD_RECONCILE_SECONDS",
        default_value_t = 5,
        value_parser = clap::value_parser!(u64).range(1..=3_600)
    )]
    reconcile_seconds: u64,

    /// The same while no signals come, since NATS is away.
    #[arg(
        long,
        env = "SWITCHBOARD_POLL_SECONDS",
        default_value_t = 1,
        value_parser = clap::value_parser!(u64).range(1..=3_600)
    )]
    poll_seconds: u64,
}

impl Nodes {
    /// Before anything is opened: the store and the signals fit together.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let usage = |what: &str| Err(Failure::usage(what));
        match (self.is_shared(), self.signals.as_str()) {
            // Neither is told: there may be a password in it.
            (false, _) if self.store != "embedded" => usage(
                "--store: there is no store of this kind: this program has embedded, a directory \
                 of this machine, and postgres://\u{2026}, a database that many nodes share",
            ),
            (true, "local") => usage(
                "--store names a database that nodes share, and they need signals between them: \
                 say where with --signals, such as nats://127.0.0.1:4222",
            ),
            (false, signals) if signals != "local" => usage(
                "--signals are between nodes that share a store, and this node keeps all in its \
                 own directory: name the database with --store, such as postgres://\u{2026}",
            ),
            (false, _) => Ok(()),
            (true, signals) => {
                Nats::check(signals).map_err(|error| Failure::usage(format!("--signals: {error}")))
            }
        }
    }

    /// Whether other nodes share the store.
    pub(crate) fn is_shared(&self) -> bool {
        store::is_shared(&self.store)
    }

    /// What carries signals between the nodes of a cluster, if this node is in one.
    pub(crate) async fn signals(&self, cluster: Option<&str>) -> Result<Arc<dyn Signals>, Failure> {
        let Some(cluster) = cluster else {
            return Ok(Arc::new(Alone));
        };
        match Nats::connect(&self.signals, cluster).await {
            Ok(nats) => Ok(Arc::new(nats)),
            Err(error) => Err(Failure::failed(error.chain().to_string())),
        }
    }

    /// How often a node looks whether it missed something.
    pub(crate) fn looks(&self) -> Looks {
        Looks {
            reconcile: Duration::from_secs(self.reconcile_seconds),
            poll: Duration::from_secs(self.poll_seconds),
            ..Looks::default()
        }
    }
}
