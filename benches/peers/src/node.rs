//! Switchboard as a process of its own.

use std::path::Path;

use tempfile::TempDir;
use tokio::process::Command;

use crate::{Error, process::Peer};

/// A running node; killed when it is dropped.
#[derive(Debug)]
pub struct Node {
    /// Its process.
    pub peer: Peer,
    /// Where it serves gRPC and REST.
    pub main: String,
    /// Where it serves sessions over TCP.
    pub tcp: String,
    _folder: TempDir,
}

impl Node {
    /// Starts one on free ports, with a new and empty store.
    pub async fn start(program: &Path) -> Result<Self, Error> {
        Self::start_with(program, &[]).await
    }

    /// The same, with more options.
    pub async fn start_with(program: &Path, options: &[&str]) -> Result<Self, Error> {
        let folder = tempfile::tempdir_in("/var/tmp")?;
        let mut command = Command::new(program);
        let free = "127.0.0.1:0";
        command.args(["serve", "--listen", free, "--tcp-listen", free, "--admin-listen", free]);
        command.args(options).arg("--data-dir").arg(folder.path().join("data"));
        let (peer, line) = Peer::start_and_listen(&mut command).await?;
        let address = |name: &str| {
            let found = line.split(' ').find_map(|word| word.strip_prefix(name));
            found.map(ToOwned::to_owned).ok_or(format!("no {name} in {line:?}"))
        };
        Ok(Self { peer, main: address("main=")?, tcp: address("tcp=")?, _folder: folder })
    }
}
