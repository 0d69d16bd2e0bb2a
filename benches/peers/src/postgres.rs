//! PostgreSQL: batches of rows in one statement, committed before the answer.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{process::Command, task::JoinSet};
use tokio_postgres::NoTls;

use crate::{
    Error, Figure,
    process::{Peer, cpu_of, free_port},
    work::{Keys, Run, check},
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

pub(crate) async fn measure(length: Duration) -> Result<Figure, Error> {
    let folder = tempfile::tempdir_in("/var/tmp")?;
    let data = folder.path().join("data");
    let shell = format!("chown postgres {}", folder.path().display());
    Command::new("sh").args(["-c", &shell]).status().await?;
    let bin = binaries()?;
    let as_postgres = |program: &str| {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(bin.join(program)).arg("-D").arg(&data);
        command.current_dir("/var/tmp");
        command
    };
    as_postgres("initdb").args(["-A", "trust", "-N"]).output().await?;
    let port = free_port()?;
    let mut command = as_postgres("postgres");
    command.args(["-p", &port.to_string(), "-k", ""]).args(["-c", "listen_addresses=127.0.0.1"]);
    command.args(["-c", "shared_buffers=256MB"]);
    let peer = Peer::start(&mut command)?;
    peer.ready(port).await?;
    let url = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    let table =
        "CREATE TABLE ledger (tenant text, key text, id bigserial, PRIMARY KEY (tenant, key))";
    client.batch_execute(table).await?;
    let before = cpu_of_all(&data).await?;
    let run = Arc::new(Run::new(length));
    let mut running = JoinSet::new();
    for place in 0..CONNECTIONS {
        running.spawn(drive(Arc::clone(&run), url.clone(), place));
    }
    // The connections must still be there when their CPU is read.
    let mut held = Vec::new();
    while let Some(ended) = running.join_next().await {
        held.push(ended??);
    }
    let figure = run.figure(cpu_of_all(&data).await? - before);
    drop(held);
    drop(client);
    as_stop(&bin, &data).await?;
    Ok(figure)
}

async fn as_stop(bin: &std::path::Path, data: &std::path::Path) -> Result<(), Error> {
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(bin.join("pg_ctl")).arg("-D").arg(data);
    command.current_dir("/var/tmp").args(["stop", "-m", "immediate"]).output().await?;
    Ok(())
}

type Held = (tokio_postgres::Client, JoinSet<Result<(), tokio_postgres::Error>>);

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

fn binaries() -> Result<PathBuf, Error> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")?.flatten();
    let latest = versions.map(|version| version.path().join("bin")).max();
    latest.ok_or_else(|| "PostgreSQL is not installed".into())
}

/// CPU of all processes of the server that has this data directory, in seconds.
async fn cpu_of_all(data: &std::path::Path) -> Result<f64, Error> {
    let pid = std::fs::read_to_string(data.join("postmaster.pid"))?;
    let parent = pid.lines().next().unwrap_or_default().to_owned();
    let listed = Command::new("pgrep").args(["-P", &parent]).output().await?;
    let children = String::from_utf8(listed.stdout)?;
    let all = children.lines().chain([parent.as_str()]);
    Ok(all.filter_map(|pid| pid.parse().ok()).map(cpu_of).sum())
}
