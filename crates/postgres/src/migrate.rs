//! Brings tables up to date: forward only, one step after the other, under a lock.
//!
//! A step may only add: nodes of the version before go on working while and after it runs. A
//! program that finds steps it does not know of leaves them as they are.

use tokio_postgres::error::SqlState;

use crate::{Error, link::Link};

/// All steps, in order. One that was released is never changed.
const STEPS: &[&str] = &[
    include_str!("../migrations/0001_ledger.sql"),
    include_str!("../migrations/0002_journal.sql"),
    include_str!("../migrations/0003_chats.sql"),
    include_str!("../migrations/0004_records.sql"),
    include_str!("../migrations/0005_bus.sql"),
    include_str!("../migrations/0006_transfer.sql"),
    include_str!("../migrations/0007_cluster.sql"),
];

/// What must be there for the lock. Many nodes may start at once, and each makes it.
const GROUND: &str = "CREATE SCHEMA IF NOT EXISTS switchboard; \
     CREATE TABLE IF NOT EXISTS migration (\
         step int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now()); \
     CREATE TABLE IF NOT EXISTS fence (\
         lane bigint PRIMARY KEY, beat bigint NOT NULL, at timestamptz NOT NULL DEFAULT now()) \
         WITH (fillfactor = 10); \
     INSERT INTO migration (step) VALUES (0) ON CONFLICT DO NOTHING";

/// How often it is tried where others do the same.
const TRIES: usize = 20;

/// Runs the steps that this database has not had.
///
/// # Errors
///
/// What the server says.
pub(crate) async fn run(link: &Link) -> Result<(), Error> {
    let there = "SELECT 1 FROM pg_tables WHERE schemaname = 'switchboard' AND tablename = 'fence'";
    if link.client.query_opt(there, &[]).await?.is_none() {
        let mut tries = 0;
        // Of those who make the same thing at once, all but one may be told that it is there.
        while let Err(error) = link.client.batch_execute(GROUND).await {
            tries += 1;
            let code = error.code().map(SqlState::code);
            // Exists already: a row of the server's own tables, a table, a schema; or was changed
            // meanwhile.
            let again = matches!(code, Some("23505" | "42P07" | "42P06" | "XX000" | "40001"));
            if !again || tries == TRIES {
                return Err(error.into());
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    // Nothing is locked, and nobody waited for, where there is nothing to do.
    if STEPS.len() <= done(link).await? {
        return Ok(());
    }
    link.client.batch_execute("BEGIN").await?;
    let stepped = step(link).await;
    let end = if stepped.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = link.client.batch_execute(end).await;
    stepped?;
    Ok(ended?)
}

/// Runs what is missing, in one transaction, while others wait.
async fn step(link: &Link) -> Result<(), Error> {
    link.client.query_one("SELECT step FROM migration WHERE step = 0 FOR UPDATE", &[]).await?;
    let done = done(link).await?;
    for (number, sql) in (1_i32..).zip(STEPS).skip(done) {
        link.client.batch_execute(sql).await?;
        link.client.execute("INSERT INTO migration (step) VALUES ($1)", &[&number]).await?;
        tracing::info!(step = number, "the tables were brought up to date");
    }
    Ok(())
}

/// How many steps this database has had.
async fn done(link: &Link) -> Result<usize, Error> {
    let row = link.client.query_one("SELECT max(step) FROM migration", &[]).await?;
    Ok(usize::try_from(row.get::<_, i32>(0)).unwrap_or_default())
}
