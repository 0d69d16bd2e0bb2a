//! Peers as processes.

use std::{fs, net::TcpListener, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time,
};

use crate::Error;

/// A running peer; killed when it is dropped.
#[derive(Debug)]
pub struct Peer(Child);

/// A port that is free now.
pub fn free_port() -> Result<u16, Error> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Peer {
    /// Starts a peer that says nothing.
    pub fn start(command: &mut Command) -> Result<Self, Error> {
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.kill_on_drop(true).spawn()?))
    }

    /// Starts a peer that says on its first line where it listens.
    pub async fn start_and_listen(command: &mut Command) -> Result<(Self, String), Error> {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.kill_on_drop(true).spawn()?;
        let out = child.stdout.take().ok_or("no output")?;
        let line = BufReader::new(out).lines().next_line().await?.ok_or("it said nothing")?;
        Ok((Self(child), line))
    }

    /// CPU that the peer and its children that have ended used, in seconds.
    pub fn cpu(&self) -> f64 {
        self.0.id().map_or(0.0, cpu_of)
    }

    /// Resident memory of the peer, in bytes (proc(5)).
    pub fn resident(&self) -> Result<f64, Error> {
        let pid = self.0.id().ok_or("it has ended")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("no VmRSS")?;
        Ok(kib.parse::<f64>()? * 1_024.0)
    }

    /// Waits until somebody listens.
    pub async fn ready(&self, port: u16) -> Result<(), Error> {
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Ok(());
            }
            time::sleep(Duration::from_millis(50)).await;
        }
        Err("a peer did not start".into())
    }
}

/// CPU of one process, in seconds (proc(5); 100 ticks a second on Linux).
pub fn cpu_of(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ');
    let ticks: u32 = fields.skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
    f64::from(ticks) / 100.0
}
