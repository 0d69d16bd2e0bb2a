//! A database that is not served: it tells everything that it holds, or takes everything that
//! another store tells.
//!
//! One connection does it all. What is told is of one moment: one transaction reads it. What is
//! taken comes with the place that was reached, in one transaction each.

mod bus;
mod chats;
mod keys;
mod place;
mod vault;

use std::{fmt, time::Duration};

use switchboard_core::{
    Code, Error as Refusal, Result as Answered, Tenant,
    transfer::{Answer, Archive, Begun, Destination, Page, Place, Reached, Row, Section},
};
use tokio::sync::{Mutex, MutexGuard};
use tokio_postgres::types::ToSql;

use crate::{
    Error, address,
    address::Address,
    chats::keys::bigint,
    error::unavailable,
    link::{Connector, Link},
    migrate,
};

/// What the connections of this are called, so that they are told from those of nodes.
const NAME: &str = "SET application_name = 'switchboard-transfer'";

/// How often it is looked, and in between, whether a node that has just stopped is gone.
const LOOKS: usize = 20;
const LOOK: Duration = Duration::from_millis(100);

/// Whether anybody else uses the database.
const NODES: &str = "SELECT count(*) FROM pg_stat_activity \
     WHERE datname = current_database() AND application_name = 'switchboard'";

/// When the tables were made is what a database is known by.
const IDENTITY: &str = "SELECT 'postgres ' || current_database() || ' ' || \
     (extract(epoch FROM applied_at) * 1000000)::bigint FROM migration WHERE step = 0";

/// Whether anything is there.
const ANYTHING: &str = "SELECT EXISTS (SELECT 1 FROM ledger) OR EXISTS (SELECT 1 FROM chat_user) \
     OR EXISTS (SELECT 1 FROM chat_message) OR EXISTS (SELECT 1 FROM vault_record) \
     OR EXISTS (SELECT 1 FROM vault_profile) OR EXISTS (SELECT 1 FROM vault_tenant) \
     OR EXISTS (SELECT 1 FROM bus_head) OR EXISTS (SELECT 1 FROM bus_queue) \
     OR EXISTS (SELECT 1 FROM bus_stay)";

const WHOLE: &str = "SELECT origin, finished FROM transfer WHERE section = ''";

const NOTES: &str = "SELECT section, place, finished FROM transfer WHERE section <> ''";

const NOTE: &str = "INSERT INTO transfer (section, origin, place, finished) \
     VALUES ($1, $2, $3, $4) ON CONFLICT (section) DO UPDATE \
     SET place = excluded.place, finished = excluded.finished";

/// A database at rest.
pub struct AtRest {
    state: Mutex<State>,
}

struct State {
    link: Link,
    /// Whether a transaction reads.
    reading: bool,
    /// Messages are read in an order that no index has: where the cursor stands that has it.
    cursor: Option<Place>,
    origin: String,
}

/// A row that is written, or looked for: values in the order of a statement's parameters.
type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// What the database says, or what is wrong with what was found.
enum Fault {
    Database(tokio_postgres::Error),
    Refused(Refusal),
}

type Done<T> = Result<T, Fault>;

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(refusal) => refusal,
            Fault::Database(error) => {
                let told = Error::from(error);
                Self::new(Code::Unavailable, told.to_string())
            }
        }
    }
}

/// Something else of the name is there.
fn conflict(what: &str) -> Fault {
    let what = format!("{what} is not what is carried there: the database holds something else");
    Fault::Refused(Refusal::new(Code::Conflict, what))
}

fn damaged(what: &str) -> Fault {
    let what = format!("{what} in the database is not what was written there");
    Fault::Refused(Refusal::new(Code::Unavailable, what))
}

fn tenant(row: &tokio_postgres::Row, at: usize) -> Done<Tenant> {
    let name: &str = row.try_get(at)?;
    name.parse().map_err(|_| damaged("a tenant"))
}

/// A number that counts something.
fn number(row: &tokio_postgres::Row, at: usize) -> Done<u64> {
    u64::try_from(row.try_get::<_, i64>(at)?).map_err(|_| damaged("a number"))
}

/// Refuses to serve what is not there whole.
///
/// # Errors
///
/// It is being carried here.
pub(crate) async fn check_finished(link: &Link) -> Result<(), Error> {
    match link.client.query_opt(WHOLE, &[]).await? {
        Some(row) if !row.try_get::<_, bool>(1)? => Err(Error::new(
            "the database does not hold everything yet that is carried there from another store: \
             run switchboard export again, which goes on with it",
        )),
        _ => Ok(()),
    }
}

/// Waits for the connections of nodes that have just stopped.
async fn wait_for_nodes(link: &Link) -> Result<(), Error> {
    for _ in 0..LOOKS {
        let nodes: i64 = link.client.query_one(NODES, &[]).await?.try_get(0)?;
        if nodes == 0 {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    let what = "a node uses the database: stop all nodes first, nothing may run on either side";
    Err(Error::new(what))
}

impl AtRest {
    /// Connects to a database, brings its tables up to date, and makes sure that no node uses it.
    ///
    /// # Errors
    ///
    /// Those of [`crate::migrate()`]; a node uses the database.
    pub async fn open(address: &str) -> Result<Self, Error> {
        let link = Connector::new(address.parse::<Address>()?)?.connect().await?;
        address::check(&link).await?;
        link.client.batch_execute(NAME).await?;
        migrate::run(&link).await?;
        wait_for_nodes(&link).await?;
        let state = State { link, reading: false, cursor: None, origin: String::new() };
        Ok(Self { state: Mutex::new(state) })
    }

    /// The same, of a database that is to be told: what is not there whole is not.
    ///
    /// # Errors
    ///
    /// Those of [`AtRest::open`]; it is being carried there from another store.
    pub async fn open_whole(address: &str) -> Result<Self, Error> {
        let opened = Self::open(address).await?;
        check_finished(&opened.lock().await.link).await?;
        Ok(opened)
    }

    async fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().await
    }
}

impl fmt::Debug for AtRest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtRest").finish_non_exhaustive()
    }
}

impl State {
    /// Begins a transaction that sees one moment, if there is none.
    async fn begin_reading(&mut self) -> Done<()> {
        if !self.reading {
            let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
            self.link.client.batch_execute(begin).await?;
            self.reading = true;
        }
        Ok(())
    }

    async fn end_reading(&mut self) -> Done<()> {
        if self.reading {
            self.link.client.batch_execute("COMMIT").await?;
            (self.reading, self.cursor) = (false, None);
        }
        Ok(())
    }

    async fn read(&mut self, section: Section, from: Option<Place>, max: usize) -> Done<Page> {
        self.begin_reading().await?;
        match section {
            Section::Messages => self.read_messages(from, max).await,
            section => place::page(&self.link, &place::shelf(section), from, max).await,
        }
    }

    async fn begin(&mut self, origin: &str) -> Done<Begun> {
        self.end_reading().await?;
        origin.clone_into(&mut self.origin);
        match self.link.client.query_opt(WHOLE, &[]).await? {
            Some(row) if row.try_get::<_, &str>(0)? != origin => return Err(held()),
            Some(row) if row.try_get(1)? => return Ok(Begun::Finished),
            Some(_) => {}
            None => {
                if self.link.client.query_one(ANYTHING, &[]).await?.try_get(0)? {
                    return Err(held());
                }
                self.note("", None, false).await?;
            }
        }
        let mut reached = Vec::new();
        for row in self.link.client.query(NOTES, &[]).await? {
            let name: &str = row.try_get(0)?;
            let section = Section::ALL.into_iter().find(|section| section.as_str() == name);
            let section = section.ok_or_else(|| damaged("how far one has come"))?;
            let place: Option<Vec<u8>> = row.try_get(1)?;
            let place = place.map(|place| Reached::Place(Place(place)));
            reached.push((section, place.unwrap_or(Reached::End)));
        }
        Ok(Begun::Open(reached))
    }

    async fn note(&self, section: &str, place: Option<&[u8]>, finished: bool) -> Done<()> {
        let note = self.link.statement(NOTE).await?;
        let values: Values<'_> = &[&section, &self.origin, &place, &finished];
        self.link.client.execute(&note, values).await?;
        Ok(())
    }

    async fn write(&mut self, section: Section, rows: Vec<Row>, reached: Reached) -> Done<()> {
        self.end_reading().await?;
        self.link.client.batch_execute("BEGIN").await?;
        let written = self.write_all(section, &rows, &reached).await;
        let end = if written.is_ok() { "COMMIT" } else { "ROLLBACK" };
        self.link.client.batch_execute(end).await?;
        if self.link.has_warned() {
            let what = "the database warned: it is not known whether what was written is kept";
            return Err(Refusal::new(Code::Unavailable, what).into());
        }
        written
    }

    async fn write_all(&self, section: Section, rows: &[Row], reached: &Reached) -> Done<()> {
        if !rows.is_empty() {
            match section {
                Section::Keys => keys::put(&self.link, rows).await?,
                Section::Users | Section::Messages => chats::put(&self.link, rows).await?,
                Section::Profiles | Section::Versions | Section::Records => {
                    vault::put(&self.link, rows).await?;
                }
                _ => bus::put(&self.link, section, rows).await?,
            }
        }
        match reached {
            Reached::Nothing => Ok(()),
            Reached::Place(Place(place)) => self.note(section.as_str(), Some(place), false).await,
            Reached::End => self.note(section.as_str(), None, true).await,
        }
    }

    /// Fills in what follows from what was taken.
    async fn finish(&mut self) -> Done<()> {
        self.end_reading().await?;
        self.link.client.batch_execute("BEGIN; SET LOCAL work_mem = '128MB'").await?;
        let finished = async {
            keys::finish(&self.link).await?;
            chats::finish(&self.link).await?;
            vault::finish(&self.link).await?;
            bus::finish(&self.link).await?;
            self.note("", None, true).await
        };
        let finished = finished.await;
        let end = if finished.is_ok() { "COMMIT" } else { "ROLLBACK" };
        self.link.client.batch_execute(end).await?;
        finished?;
        // So that what is asked first is not planned by guesses.
        Ok(self.link.client.batch_execute("ANALYZE").await?)
    }
}

fn held() -> Fault {
    let what = "the database holds something else: name one that is empty, or that was begun to be \
                filled from the same store";
    Fault::Refused(Refusal::new(Code::Conflict, what))
}

/// Rows that were put where none was are as many as were given; else the others must be equal.
async fn check(link: &Link, rows: &[Row], new: u64) -> Done<()> {
    if new == rows.len() as u64 {
        return Ok(());
    }
    for row in rows {
        let shelf = place::shelf_of(row);
        if place::one(link, &shelf, row).await?.as_ref() != Some(row) {
            return Err(conflict(&format!("something among the {}", row.section())));
        }
    }
    Ok(())
}

impl Archive for AtRest {
    fn identity(&self) -> Answer<'_, String> {
        Box::pin(async {
            let state = self.lock().await;
            let row = state.link.client.query_one(IDENTITY, &[]).await.map_err(unavailable)?;
            row.try_get(0).map_err(unavailable)
        })
    }

    fn count(&self, section: Section) -> Answer<'_, u64> {
        Box::pin(async move {
            let state = self.lock().await;
            let sql = place::count(section);
            let row = state.link.client.query_one(sql, &[]).await.map_err(unavailable)?;
            Ok(u64::try_from(row.try_get::<_, i64>(0).map_err(unavailable)?).unwrap_or_default())
        })
    }

    fn read(&self, section: Section, from: Option<Place>, rows_max: usize) -> Answer<'_, Page> {
        Box::pin(async move { Ok(self.lock().await.read(section, from, rows_max).await?) })
    }
}

impl Destination for AtRest {
    fn begin<'a>(&'a self, origin: &'a str) -> Answer<'a, Begun> {
        Box::pin(async move { Ok(self.lock().await.begin(origin).await?) })
    }

    fn write(&self, section: Section, rows: Vec<Row>, reached: Reached) -> Answer<'_, ()> {
        Box::pin(
            async move { Answered::Ok(self.lock().await.write(section, rows, reached).await?) },
        )
    }

    fn finish(&self) -> Answer<'_, ()> {
        Box::pin(async move { Ok(self.lock().await.finish().await?) })
    }
}
