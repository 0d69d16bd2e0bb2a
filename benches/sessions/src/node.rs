//! A server as a process of its own.

use std::{fs, path::Path, process::Stdio};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::Error;

/// A running server; killed when it is dropped.
pub(crate) struct Node {
    child: Child,
    pub(crate) main: String,
    pub(crate) tcp: String,
    _folder: TempDir,
}

impl Node {
    /// Starts Switchboard.
    pub(crate) async fn start(program: &Path) -> Result<Self, Error> {
        let folder = tempfile::tempdir_in("/var/tmp")?;
        let mut command = Command::new(program);
        let free = "127.0.0.1:0";
        command.args(["serve", "--listen", free, "--tcp-listen", free, "--admin-listen", free]);
        command.args(["--connections-max", "100000", "--data-dir"]);
        command.arg(folder.path().join("data"));
        Self::spawn(command, folder).await
    }

    /// Starts the bare server.
    pub(crate) async fn bare() -> Result<Self, Error> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("bare-server");
        Self::spawn(command, tempfile::tempdir_in("/var/tmp")?).await
    }

    async fn spawn(mut command: Command, folder: TempDir) -> Result<Self, Error> {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let out = child.stdout.take().ok_or("no output")?;
        let line = BufReader::new(out).lines().next_line().await?.ok_or("it said nothing")?;
        let address = |name: &str| {
            let found = line.split(' ').find_map(|word| word.strip_prefix(name));
            found.map(ToOwned::to_owned).ok_or(format!("no {name} in {line:?}"))
        };
        Ok(Self { child, main: address("main=")?, tcp: address("tcp=")?, _folder: folder })
    }

    /// CPU used, in seconds (proc(5); 100 ticks a second on Linux).
    pub(crate) fn cpu(&self) -> f64 {
        let stat = self.proc("stat");
        let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ');
        let ticks: u32 =
            fields.skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
        f64::from(ticks) / 100.0
    }

    /// Resident memory, in KiB.
    pub(crate) fn resident_kib(&self) -> f64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
        number.and_then(|number| number.parse().ok()).unwrap_or_default()
    }

    fn proc(&self, file: &str) -> String {
        let pid = self.child.id().unwrap_or_default();
        fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
    }
}
