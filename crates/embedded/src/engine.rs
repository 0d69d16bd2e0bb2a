//! The engine behind the log: what is kept in tables and read by range.
//!
//! It is written in the background, in one transaction for each checkpoint, and knows up to which
//! record of the log it holds everything. After a crash it stands at its last checkpoint, and the
//! log is replayed from there. It lives in one file, through [`Disk`], so that the simulated power
//! cuts reach it too. Why it is redb: `docs/decisions/0001-the-engine-behind-the-log.md`.

use std::{
    io,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::{
    Database, Durability, ReadTransaction, ReadableDatabase as _, ReadableTable as _,
    TableDefinition, WriteTransaction,
};
use switchboard_core::Tenant;

use crate::{
    Error,
    disk::{Disk, File},
    error::EngineError,
};

const FILE: &str = "engine.redb";
const PREPARING: &str = "engine.tmp";

/// The memory that the engine may use for pages, in bytes.
const CACHE: usize = 64 * 1024 * 1024;

/// All tenants by number.
pub(crate) const TENANTS: TableDefinition<'_, u32, &str> = TableDefinition::new("tenants");

/// The engine, open.
#[derive(Debug)]
pub(crate) struct Engine {
    disk: Arc<dyn Disk>,
    /// None after an error: opened again when it is next needed.
    database: Mutex<Option<Database>>,
}

impl Engine {
    /// Whether there is one.
    pub(crate) fn exists(disk: &dyn Disk) -> io::Result<bool> {
        Ok(disk.list("")?.iter().any(|name| name == FILE))
    }

    /// Makes one that holds what `begin` puts there, whole or not at all.
    pub(crate) fn create(
        disk: &dyn Disk,
        begin: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), Error> {
        let file = disk.create(PREPARING)?;
        let failed = Arc::new(AtomicBool::new(false));
        let backend = Backend { file: Arc::clone(&file), failed: Arc::clone(&failed) };
        let database = open_backend(backend)?;
        let write = || -> Result<(), redb::Error> {
            let transaction = database.begin_write()?;
            begin(&transaction)?;
            transaction.commit()?;
            Ok(())
        };
        write().map_err(EngineError)?;
        // Closing writes and syncs too, and doesn't say that it failed.
        drop(database);
        if failed.load(Ordering::Relaxed) {
            return Err(io::Error::other("the engine's file could not be closed").into());
        }
        file.sync()?;
        disk.rename(PREPARING, FILE)?;
        Ok(disk.sync_folder("")?)
    }

    /// Opens it where its last checkpoint left it.
    pub(crate) fn open(disk: Arc<dyn Disk>) -> Result<Self, Error> {
        let file = disk.open(FILE)?;
        let database = guarded(|| open(file))?;
        Ok(Self { disk, database: Mutex::new(Some(database)) })
    }

    /// Reads what the last checkpoint left.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<Result<T, Error>, redb::Error>,
    ) -> Result<T, Error> {
        guarded(|| {
            let transaction = self.begin_read()?;
            work(&transaction).map_err(EngineError)?
        })
    }

    /// What the last checkpoint left, for as long as the transaction lives.
    pub(crate) fn begin_read(&self) -> Result<ReadTransaction, Error> {
        let mut guard = self.lock();
        let database = match &mut *guard {
            Some(database) => database,
            none => none.insert(open(self.disk.open(FILE)?)?),
        };
        let begun = database.begin_read().map_err(redb::Error::from);
        Ok(begun.map_err(EngineError)?)
    }

    /// Changes the tables: durable when this returns.
    pub(crate) fn write(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), Error> {
        guarded(|| self.write_unguarded(change))
    }

    fn write_unguarded(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), Error> {
        let mut guard = self.lock();
        let database = match guard.take() {
            Some(database) => database,
            None => open(self.disk.open(FILE)?)?,
        };
        let write = || -> Result<(), redb::Error> {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            // Opening after a crash then reads what changed, not the whole file.
            transaction.set_quick_repair(true);
            change(&transaction)?;
            transaction.commit()?;
            Ok(())
        };
        write().map_err(EngineError)?;
        *guard = Some(database);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Database>> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the file takes on disk, in bytes.
    pub(crate) fn size(disk: &dyn Disk) -> u64 {
        disk.open(FILE).and_then(|file| file.len()).unwrap_or_default()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let database = self.lock().take();
        // Closing writes, and what fails then is made good by the next start.
        let _ = guarded(|| {
            drop(database);
            Ok(())
        });
    }
}

/// The tenants in the order of their numbers.
pub(crate) fn read_tenants(
    transaction: &ReadTransaction,
) -> Result<Result<Vec<Tenant>, Error>, redb::Error> {
    let mut tenants = Vec::new();
    for (row, expected) in transaction.open_table(TENANTS)?.iter()?.zip(0..) {
        let (number, name) = row?;
        match name.value().parse() {
            Ok(tenant) if number.value() == expected => tenants.push(tenant),
            _ => return Ok(Err(Error::Corrupt(format!("tenant {expected} is missing")))),
        }
    }
    Ok(Ok(tenants))
}

/// The engine trusts its own file: of one that is damaged it may panic.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // What is left half done is dropped: a database within was taken out of its place.
    panic::catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Error::Corrupt(format!("{FILE} is not what it was"))))
}

fn open(file: Arc<dyn File>) -> Result<Database, Error> {
    open_backend(Backend { file, failed: Arc::default() })
}

fn open_backend(backend: Backend) -> Result<Database, Error> {
    let opened = Database::builder().set_cache_size(CACHE).create_with_backend(backend);
    Ok(opened.map_err(EngineError)?)
}

/// A file as the engine wants it.
#[derive(Debug)]
struct Backend {
    file: Arc<dyn File>,
    /// Whether any change failed.
    failed: Arc<AtomicBool>,
}

impl Backend {
    fn note(&self, done: io::Result<()>) -> io::Result<()> {
        self.failed.fetch_or(done.is_err(), Ordering::Relaxed);
        done
    }
}

impl redb::StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note(self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        // Whatever the reason, a full disk included: it must not be tried again.
        self.note(self.file.sync().map_err(io::Error::other))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note(self.file.write_at(data, offset))
    }
}
