//! NATS.

use std::{fs, path::Path};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{Result, free_port, process::Process};

/// A running server.
#[derive(Debug)]
pub struct Nats {
    port: u16,
    process: Process,
    folder: TempDir,
}

impl Nats {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not start.
    pub fn start() -> Result<Self> {
        Self::made(free_port()?, "")
    }

    /// Starts one where it is to listen.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not start.
    pub fn on(port: u16) -> Result<Self> {
        Self::made(port, "")
    }

    /// Starts one with these lines of configuration.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not start.
    pub fn with(lines: &str) -> Result<Self> {
        Self::made(free_port()?, lines)
    }

    fn made(port: u16, lines: &str) -> Result<Self> {
        let folder = tempfile::tempdir_in("/var/tmp")
            .map_err(|error| format!("/var/tmp can't be written: {error}"))?;
        fs::write(folder.path().join("conf"), lines)
            .map_err(|error| format!("{} can't be written: {error}", folder.path().display()))?;
        let process = spawn(port, folder.path())?;
        Ok(Self { port, process, folder })
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How to connect to it.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again, where it listened before.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn start_again(&mut self) -> Result<()> {
        self.process = spawn(self.port, self.folder.path())?;
        Ok(())
    }

    /// Does not let it run until it is thawed. Connections stay open.
    pub fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets it run again.
    pub fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }
}

fn spawn(port: u16, folder: &Path) -> Result<Process> {
    // Debian has it where only root looks.
    let found = ["/usr/sbin/nats-server", "/usr/local/bin/nats-server", "/usr/bin/nats-server"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let program = found.unwrap_or("nats-server");
    let (port_word, conf) = (port.to_string(), folder.join("conf").display().to_string());
    let words = [program, "-c", &conf, "-a", "127.0.0.1", "-p", &port_word];
    let words = words.map(ToOwned::to_owned);
    let log = folder.join("log");
    let process = Process::start(&words, &log, "KILL")?;
    let told = |error| format!("{error}; {}", fs::read_to_string(&log).unwrap_or_default());
    process.listens(port).map_err(told)?;
    Ok(process)
}
