//! What the transports share: the ports, and what is done with them.

use std::sync::Arc;

use switchboard_core::{
    Error, Millis, Result, Tenant,
    bus::Log,
    chat::{self, Chats},
    ingest::{self, Entry, Ledger, Receipt, Recording},
    presence::Journal,
    signals,
    store::Store,
    time::Clock,
    vault::Records,
};
use tokio_util::sync::CancellationToken;

use crate::{
    bus::Bus,
    chat::{Hub, Numbers},
    limits::Limits,
    relay::{Ears, Relay},
    telemetry::Metrics,
    vault::{Vault, VaultOptions},
};

/// The ports of a node, chosen once when it starts.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Where keys are recorded.
    pub ledger: Arc<dyn Ledger>,
    /// Where conversations are kept.
    pub chats: Arc<dyn Chats>,
    /// Where the reports of gateways are kept.
    pub journal: Arc<dyn Journal>,
    /// Where events and queues are kept.
    pub log: Arc<dyn Log>,
    /// What carries signals to other nodes. [`switchboard_core::signals::Alone`] where the store
    /// is this node's alone; else the store is one that all these nodes share.
    pub signals: Arc<dyn signals::Signals>,
    /// Where the records of the vault are kept.
    pub records: Arc<dyn Records>,
    /// How the store is that is behind the ports.
    pub store: Arc<dyn Store>,
    /// What tells the time; never backwards.
    pub clock: Arc<dyn Clock>,
}

/// A node on its ports. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) ports: Ports,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
    /// Who is subscribed here, and to what.
    pub(crate) bus: Arc<Bus>,
    /// Who follows which inbox here.
    pub(crate) hub: Arc<Hub>,
    /// What carries what happens to other nodes and from them.
    pub(crate) relay: Arc<Relay>,
    /// Phone numbers that were judged before.
    pub(crate) numbers: Arc<Numbers>,
    /// What seals and opens records.
    pub(crate) vault: Arc<Vault>,
    /// Whose pages may open sessions, beside those of the node itself.
    pub(crate) origins: Arc<[String]>,
    /// Cancelled when the node drains: long answers then come to their end.
    pub(crate) draining: CancellationToken,
}

/// A batch on its way, and when it was taken.
pub(crate) struct Ingesting {
    pub(crate) recording: Recording,
    pub(crate) at: Millis,
}

/// Receipts, and when their requests were processed.
pub(crate) struct Ingested {
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) at: Millis,
}

impl Node {
    /// A node on these ports. What happens in chats is told to those who follow here.
    pub(crate) fn new(ports: Ports, metrics: Arc<Metrics>, limits: Limits) -> Self {
        let ears = Ears::new(Arc::clone(&ports.signals));
        let (hub, numbers) = (Hub::new(&metrics, &ears), Arc::new(Numbers::new()));
        let bus = Arc::new(Bus::new(&metrics, &limits, &ears));
        let relay = Relay::new(&ports, &metrics, &ears, (&hub, &bus.hub));
        let vault = Vault::new(&ports, Arc::clone(&metrics), VaultOptions::default());
        let (origins, draining) = (Arc::new([]), CancellationToken::new());
        Self { ports, metrics, limits, bus, hub, relay, numbers, vault, origins, draining }
    }

    /// Hands entries to the ledger; they have their place when this returns.
    pub(crate) fn start_ingest(&self, entries: Vec<Entry>) -> Ingesting {
        let at = self.ports.clock.now();
        Ingesting { recording: self.ports.ledger.record(entries), at }
    }

    /// Hands entries to the ledger, to be answered one by one.
    pub(crate) fn ingest_each(
        &self,
        entries: Vec<Entry>,
    ) -> chat::Answer<Vec<Result<(Receipt, Millis)>>> {
        let Ingesting { recording, at } = self.start_ingest(entries);
        let node = self.clone();
        Box::pin(async move {
            let receipts = recording.await?;
            node.count(&receipts);
            Ok(receipts.into_iter().map(|receipt| Ok((receipt, at))).collect())
        })
    }

    /// Records one key.
    pub(crate) async fn ingest(&self, tenant: Tenant, key: &str) -> Result<(Receipt, Millis)> {
        let key = key.parse().inspect_err(|_| self.metrics.rejected(1))?;
        let Ingested { receipts, at } = self.record(vec![Entry { tenant, key }]).await?;
        match receipts[..] {
            [receipt] => Ok((receipt, at)),
            _ => Err(Error::new(
                switchboard_core::Code::Internal,
                "the ledger gave another number of receipts than entries",
            )),
        }
    }

    /// Records a batch of one tenant's keys: all or none.
    pub(crate) async fn ingest_batch<K: AsRef<str>>(
        &self,
        tenant: Tenant,
        keys: &[K],
    ) -> Result<Ingested> {
        let rejected = |_: &Error| self.metrics.rejected(keys.len() as u64);
        let entries = ingest::entries(tenant, keys).inspect_err(rejected)?;
        self.record(entries).await
    }

    async fn record(&self, entries: Vec<Entry>) -> Result<Ingested> {
        let Ingesting { recording, at } = self.start_ingest(entries);
        let receipts = recording.await?;
        self.count(&receipts);
        Ok(Ingested { receipts, at })
    }

    /// Counts what the ledger said.
    pub(crate) fn count(&self, receipts: &[Receipt]) {
        let new = receipts.iter().filter(|receipt| receipt.new).count() as u64;
        let all = receipts.len() as u64;
        self.metrics.ingested(new, all - new);
        self.metrics.batch(all);
    }
}
