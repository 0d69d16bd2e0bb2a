//! Switchboard as a process of its own.

use std::path::Path;

use switchboard_peers::{Error, process::Peer};
use tempfile::TempDir;
use tokio::process::Command;

/// A running node; killed when it is dropped.
pub(crate) struct Node {
    pub(crate) peer: Peer,
    pub(crate) main: String,
    pub(crate) tcp: String,
    _folder: TempDir,
}

impl Node {
    pub(crate) async fn start(program: &Path) -> Result<Self, Error> {
        let folder = tempfile::tempdir_in("/var/tmp")?;
        let mut command = Command::new(program);
        let free = "127.0.0.1:0";
        command.args(["serve", "--listen", free, "--tcp-listen", free, "--admin-listen", free]);
        command.arg("--data-dir").arg(folder.path().join("data"));
        let (peer, line) = Peer::start_and_listen(&mut command).await?;
        let address = |name: &str| {
            let found = line.split(' ').find_map(|word| word.strip_prefix(name));
            found.map(ToOwned::to_owned).ok_or(format!("no {name} in {line:?}"))
        };
        Ok(Self { peer, main: address("main=")?, tcp: address("tcp=")?, _folder: folder })
    }
}

/// The phone number of a user of the benchmark.
pub(crate) fn phone(number: usize) -> String {
    format!("+4179{number:07}")
}

/// What is written: a hundred characters.
pub(crate) const TEXT: &str = "The quick brown fox jumps over the lazy dog, and then, as \
    every day, it does so once more until dusk.";
