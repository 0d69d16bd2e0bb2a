//! The same writes in PostgreSQL: a message, two rows of chats, two of inboxes, in one transaction
//! of one statement.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use switchboard_peers::{Error, database::Server};
use tokio::task::JoinSet;
use tokio_postgres::NoTls;

use crate::node::{TEXT, phone};

const TABLES: &str = "\
    CREATE TABLE messages (tenant text, low text, high text, id bigint, sender text, text text, \
        client_message_id text, sent_at bigint, PRIMARY KEY (tenant, low, high, id)); \
    CREATE UNIQUE INDEX ON messages (tenant, sender, client_message_id); \
    CREATE TABLE chats (tenant text, owner text, peer text, last_id bigint, unread bigint, \
        updated_at bigint, PRIMARY KEY (tenant, owner, peer)); \
    CREATE INDEX ON chats (tenant, owner, updated_at); \
    CREATE TABLE inbox (tenant text, owner text, sequence bigint, peer text, id bigint, \
        PRIMARY KEY (tenant, owner, sequence))";

/// One round trip; the sequences of the inboxes are those of the chats, which here is the same.
const SEND: &str = "\
    WITH own AS (INSERT INTO chats VALUES ('t', $1, $2, 1, 0, $5) \
        ON CONFLICT (tenant, owner, peer) DO UPDATE SET last_id = chats.last_id + 1, \
        updated_at = excluded.updated_at RETURNING last_id), \
    theirs AS (INSERT INTO chats VALUES ('t', $2, $1, 1, 1, $5) \
        ON CONFLICT (tenant, owner, peer) DO UPDATE SET last_id = chats.last_id + 1, \
        unread = chats.unread + 1, updated_at = excluded.updated_at RETURNING last_id), \
    sent AS (INSERT INTO messages SELECT 't', least($1, $2), greatest($1, $2), last_id, $1, $3, \
        $4, $5 FROM own), \
    out AS (INSERT INTO inbox SELECT 't', $1, last_id, $2, last_id FROM own), \
    come AS (INSERT INTO inbox SELECT 't', $2, last_id, $1, last_id FROM theirs) \
    SELECT last_id FROM own";

/// Sends a second with the number of connections that suits it best, and that number.
pub(crate) async fn measure(length: Duration) -> Result<(f64, usize), Error> {
    let mut best = (0.0, 0);
    for connections in [16, 64] {
        let rate = measure_with(connections, length).await?;
        if best.0 < rate {
            best = (rate, connections);
        }
    }
    Ok(best)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
async fn measure_with(connections: usize, length: Duration) -> Result<f64, Error> {
    let server = Server::start().await?;
    let (client, connection) = tokio_postgres::connect(&server.url, NoTls).await?;
    let mut held = JoinSet::new();
    held.spawn(connection);
    client.batch_execute(TABLES).await?;
    let sent = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + Duration::from_secs(1) + length;
    let mut tasks = JoinSet::new();
    for place in 0..connections {
        tasks.spawn(drive(server.url.clone(), place, Arc::clone(&sent), end));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (before, began) = (sent.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(length).await;
    let done = sent.load(Ordering::Relaxed) - before;
    let rate = done as f64 / began.elapsed().as_secs_f64();
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    server.stop().await?;
    Ok(rate)
}

async fn drive(url: String, place: usize, sent: Arc<AtomicU64>, end: Instant) -> Result<(), Error> {
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    let mut held = JoinSet::new();
    held.spawn(connection);
    let statement = client.prepare(SEND).await?;
    let (from, to) = (phone(place), phone(1_000 + place));
    let mut number = 0_i64;
    while Instant::now() < end {
        number += 1;
        let name = format!("m-{number}");
        let rows = client.query(&statement, &[&from, &to, &TEXT, &name, &number]).await?;
        if rows.first().map(|row| row.get::<_, i64>(0)) != Some(number) {
            return Err("a message has another id than it should".into());
        }
        sent.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
