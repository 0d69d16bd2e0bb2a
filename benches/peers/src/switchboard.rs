//! Switchboard itself, and its own load generator, which also drives the empty server.

use std::{path::Path, time::Duration};

use tokio::process::Command;

use switchboard_peers::{Error, process::Peer, work::Figure};

pub(crate) async fn measure(
    program: &Path,
    transport: &str,
    connections: u32,
    length: Duration,
) -> Result<Figure, Error> {
    let folder = tempfile::tempdir_in("/var/tmp")?;
    let mut command = Command::new(program);
    let free = "127.0.0.1:0";
    command.args(["serve", "--listen", free, "--admin-listen", free, "--data-dir"]);
    command.arg(folder.path().join("data"));
    let (peer, line) = Peer::start_and_listen(&mut command).await?;
    let address = line.strip_prefix("listening main=").and_then(|rest| rest.split(' ').next());
    let url = format!("http://{}", address.ok_or("it did not say where it listens")?);
    drive(program, &url, &peer, transport, connections, length).await
}

/// Drives a server with `bench ingest`. The empty server breaks all promises, which is told by the
/// exit code and not looked at here; what Switchboard breaks the whole program's tests would find.
pub(crate) async fn drive(
    program: &Path,
    url: &str,
    peer: &Peer,
    transport: &str,
    connections: u32,
    length: Duration,
) -> Result<Figure, Error> {
    let mut command = Command::new(program);
    command.args(["bench", "ingest", "--url", url, "--transport", transport, "--json"]);
    command.args(["--connections", &connections.to_string(), "--in-flight", "64"]);
    command.args(["--warmup", "1s", "--duration", &format!("{}s", length.as_secs())]);
    let before = peer.cpu();
    let output = command.output().await?;
    let used = peer.cpu() - before;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let rate = report["requests_per_second"].as_f64().ok_or("no report")?;
    // The warm-up second was served too, at about the same rate.
    let requests = rate * (length.as_secs_f64() + 1.0);
    Ok(Figure { rate, server_us: used * 1e6 / requests })
}
