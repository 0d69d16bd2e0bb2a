//! PostgreSQL: batches of rows in one statement, committed before the answer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use tokio_postgres::NoTls;

use crate::{
    Error,
    database::Server,
    work::{Figure, Keys, Run, check},
};

const CONNECTIONS: u64 = 16;
const BATCH: usize = 64;

/// Sorted, so that two batches with keys in common can't wait for each other.
const RECORD: &str = "WITH asked AS \
     (SELECT DISTINCT key FROM unnest($1::text[]) AS key ORDER BY key), \
     added AS (INSERT INTO ledger (tenant, key) SELECT 't', key FROM asked \
     ON CONFLICT DO NOTHING RETURNING key, id) \
     SELECT key, id, true FROM added UNION ALL \
     SELECT key, (SELECT id FROM ledger WHERE tenant = 't' AND ledger.key = asked.key), false \
     FROM asked WHERE NOT EXISTS (SELECT FROM added WHERE added.key = asked.key)";

/// Starts a server of its own and measures it.
pub async fn measure(length: Duration) -> Result<Figure, Error> {
    let server = Server::start().await?;
    let before = server.cpu().await?;
    let (run, held) = record(&server.url, length).await?;
    let figure = run.figure(server.cpu().await? - before);
    drop(held);
    server.stop().await?;
    Ok(figure)
}

/// Records keys in a table of its own, over 16 connections with one batch of 64 in flight each. The
/// connections are held until the CPU of the server has been read.
pub async fn record(url: &str, length: Duration) -> Result<(Arc<Run>, Vec<Held>), Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    let table = "DROP TABLE IF EXISTS ledger; \
         CREATE TABLE ledger (tenant text, key text, id bigserial, PRIMARY KEY (tenant, key))";
    client.batch_execute(table).await?;
    let run = Arc::new(Run::new(length));
    let mut running = JoinSet::new();
    for place in 0..CONNECTIONS {
        running.spawn(drive(Arc::clone(&run), url.to_owned(), place));
    }
    let mut held = vec![(client, connections)];
    while let Some(ended) = running.join_next().await {
        held.push(ended??);
    }
    Ok((run, held))
}

/// A connection, and the task that drives it.
pub type Held = (tokio_postgres::Client, JoinSet<Result<(), tokio_postgres::Error>>);

async fn drive(run: Arc<Run>, url: String, place: u64) -> Result<Held, Error> {
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    let mut driving = JoinSet::new();
    driving.spawn(connection);
    // Without statistics of the growing table the planner would read all of it.
    client.batch_execute("SET enable_seqscan=off").await?;
    let record = client.prepare(RECORD).await?;
    let mut keys = Keys::new(place);
    while Instant::now() < run.end {
        let (mut batch, mut first) = (Vec::with_capacity(BATCH), 0);
        for _ in 0..BATCH {
            let (key, is_first) = keys.next();
            first += usize::from(is_first);
            batch.push(key);
        }
        let rows = client.query(&record, &[&batch]).await?;
        let new = rows.iter().filter(|row| row.get::<_, bool>(2)).count();
        check(true, new == first)?;
        run.count(BATCH as u64);
    }
    Ok((client, driving))
}
