//! PostgreSQL as a process of its own, with a new and empty database.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    Error,
    process::{Peer, cpu_of, free_port},
};

/// A running server; killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    /// How to connect to it.
    pub url: String,
    bin: PathBuf,
    data: PathBuf,
    _peer: Peer,
    _folder: TempDir,
}

impl Server {
    /// Starts one with its defaults, but for the memory and the address.
    pub async fn start() -> Result<Self, Error> {
        let folder = tempfile::tempdir_in("/var/tmp")?;
        let data = folder.path().join("data");
        let shell = format!("chown postgres {}", folder.path().display());
        Command::new("sh").args(["-c", &shell]).status().await?;
        let bin = binaries()?;
        as_postgres(&bin, "initdb", &data).args(["-A", "trust", "-N"]).output().await?;
        let port = free_port()?;
        let mut command = as_postgres(&bin, "postgres", &data);
        command
            .args(["-p", &port.to_string(), "-k", ""])
            .args(["-c", "listen_addresses=127.0.0.1"]);
        command.args(["-c", "shared_buffers=256MB"]);
        let peer = Peer::start(&mut command)?;
        peer.ready(port).await?;
        let url = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres");
        Ok(Self { url, bin, data, _peer: peer, _folder: folder })
    }

    /// Stops it at once.
    pub async fn stop(&self) -> Result<(), Error> {
        as_postgres(&self.bin, "pg_ctl", &self.data)
            .args(["stop", "-m", "immediate"])
            .output()
            .await?;
        Ok(())
    }

    /// CPU of all its processes, in seconds.
    pub async fn cpu(&self) -> Result<f64, Error> {
        let pid = std::fs::read_to_string(self.data.join("postmaster.pid"))?;
        let parent = pid.lines().next().unwrap_or_default().to_owned();
        let listed = Command::new("pgrep").args(["-P", &parent]).output().await?;
        let children = String::from_utf8(listed.stdout)?;
        let all = children.lines().chain([parent.as_str()]);
        Ok(all.filter_map(|pid| pid.parse().ok()).map(cpu_of).sum())
    }
}

/// A program of PostgreSQL, as the user that may run it.
fn as_postgres(bin: &Path, program: &str, data: &Path) -> Command {
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(bin.join(program)).arg("-D").arg(data);
    command.current_dir("/var/tmp");
    command
}

fn binaries() -> Result<PathBuf, Error> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")?.flatten();
    let latest = versions.map(|version| version.path().join("bin")).max();
    latest.ok_or_else(|| "PostgreSQL is not installed".into())
}
