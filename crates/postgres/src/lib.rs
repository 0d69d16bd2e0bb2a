//! The store of many nodes: every port, in PostgreSQL.
//!
//! What comes together is written together: a [`lane`] takes all that waits, writes it in one
//! transaction on a connection of its own, and answers when that is committed; a lone request does
//! not wait. Reads go over a few connections that all share ([`readers`]), and to the primary only.
//! All that a node remembers of the database is a hint: what decides is read in the transaction
//! that writes.
//!
//! Every transaction that is answered has written something ([`lane`] says why).

mod address;
mod chats;
mod clock;
mod error;
mod health;
mod journal;
mod lane;
mod ledger;
mod link;
mod log;
mod migrate;
mod readers;
mod records;
mod tls;
pub mod transfer;

use std::{sync::Arc, time::Duration};

use switchboard_core::{store, time::Clock};
use tokio_util::task::TaskTracker;

use self::{address::Address, health::Health, lane::Lane, link::Connector, readers::Readers};
pub use self::{
    clock::{DatabaseClock, Offset},
    error::Error,
};

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a request waits for its answer before it is told that the store is unavailable.
    pub answer: Duration,
    /// Connections that are read over.
    pub readers: usize,
    /// The machine's clock, where it is to be compared with the database's.
    pub clock: Option<Arc<dyn Clock>>,
}

impl Default for Options {
    fn default() -> Self {
        Self { answer: Duration::from_secs(3), readers: 3, clock: None }
    }
}

/// The ports, on one database.
#[derive(Debug)]
pub struct Postgres {
    /// Where keys are recorded.
    pub ledger: Arc<ledger::Front>,
    /// Where the reports of gateways are kept.
    pub journal: Arc<journal::Front>,
    /// Where conversations are kept.
    pub chats: Arc<chats::Front>,
    /// Where the records of the vault are kept.
    pub records: Arc<records::Front>,
    /// Where events and queues are kept.
    pub log: Arc<log::Front>,
    /// How it is.
    pub store: Arc<dyn store::Store>,
    /// How far the machine's clock is ahead; 0 where there is none to compare.
    pub offset: Arc<Offset>,
    /// What the nodes on this database are known by: hexadecimal digits with hyphens between them.
    /// A copy of the database has the same.
    pub cluster: String,
    tasks: TaskTracker,
    health: Arc<Health>,
}

/// What the parts of the store are made of.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    pub(crate) connector: Connector,
    pub(crate) readers: Arc<Readers>,
    pub(crate) health: Arc<Health>,
    pub(crate) observer: Arc<dyn store::Observer>,
    pub(crate) options: Options,
    pub(crate) tasks: TaskTracker,
}

impl Ground {
    /// A lane with a connection of its own.
    pub(crate) fn lane<W: lane::Writer>(&self, name: &'static str, writer: W) -> Lane<W::Work> {
        Lane::open(name, self, writer)
    }
}

/// Brings the tables of a database up to what this program needs.
///
/// # Errors
///
/// The address is none, the server is not reached, is too old, is not safe, or refuses a right.
pub async fn migrate(address: &str) -> Result<(), Error> {
    let connector = Connector::new(address.parse::<Address>()?)?;
    let link = connector.connect().await?;
    address::check(&link).await?;
    migrate::run(&link).await
}

impl Postgres {
    /// Opens the store at an address, after its tables were brought up to date.
    ///
    /// # Errors
    ///
    /// Those of [`migrate`].
    pub async fn open(
        address: &str,
        options: Options,
        observer: Arc<dyn store::Observer>,
    ) -> Result<Self, Error> {
        let connector = Connector::new(address.parse::<Address>()?)?;
        let link = connector.connect().await?;
        address::check(&link).await?;
        migrate::run(&link).await?;
        transfer::check_finished(&link).await?;
        let cluster = link.client.query_one("SELECT id::text FROM cluster", &[]).await?.get(0);
        let offset = Arc::new(Offset::default());
        if let Some(clock) = &options.clock {
            offset.look(&link, &**clock).await?;
        }
        let (health, tasks) = (Arc::new(Health::default()), TaskTracker::new());
        ledger::count(&link, &health).await?;
        tasks.spawn(lane::forget_fences(link, Arc::clone(&health)));
        let readers = Arc::new(Readers::open(&connector, &options, &health, &tasks));
        let ground = Ground { connector, readers, health, observer, options, tasks };
        if let Some(clock) = ground.options.clock.clone() {
            ground.tasks.spawn(Arc::clone(&offset).watch(ground.clone(), clock));
        }
        Ok(Self {
            ledger: Arc::new(ledger::Front::new(&ground)),
            journal: Arc::new(journal::Front::new(&ground)),
            chats: Arc::new(chats::Front::new(&ground)),
            records: Arc::new(records::Front::new(&ground)),
            log: Arc::new(log::Front::new(&ground)),
            store: Arc::clone(&ground.health) as _,
            offset,
            cluster,
            tasks: ground.tasks,
            health: ground.health,
        })
    }

    /// Ends all tasks, once what was accepted is answered.
    pub async fn close(&self) {
        self.health.close();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
