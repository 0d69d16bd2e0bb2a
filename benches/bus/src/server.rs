//! The systems that are measured, each as a process of its own.

use std::{fs, path::Path};

use switchboard_peers::{
    Error,
    node::Node,
    process::{Peer, cpu_of, free_port},
};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    Options,
    wire::{Amqp, Mqtt, Nats, Resp, Session, Wire},
};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    Switchboard,
    /// Keeps nothing.
    Redis,
    /// Keeps nothing.
    Nats,
    /// JetStream, which syncs after each message, if its version can do that.
    JetStream,
    /// JetStream as it comes, which syncs every two minutes.
    JetStreamUnsynced,
    /// Streams, each command synced before it is answered.
    RedisSynced,
    Mosquitto,
    /// The one that runs on this machine. Its consumers acknowledge one by one.
    RabbitMq,
    /// The same; its consumers acknowledge all up to one.
    RabbitMqMultiple,
}

impl System {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Switchboard => "Switchboard",
            Self::Redis => "Redis",
            Self::Nats => "NATS",
            Self::JetStream => "JetStream, synced",
            Self::JetStreamUnsynced => "JetStream, not synced",
            Self::RedisSynced => "Redis, appendfsync always",
            Self::Mosquitto => "Mosquitto",
            Self::RabbitMq => "RabbitMQ",
            Self::RabbitMqMultiple => "RabbitMQ, multiple acks",
        }
    }
}

/// Whether JetStream can sync after each message: nats-server 2.10 and later can.
pub(crate) async fn jetstream_syncs(options: &Options) -> Result<bool, Error> {
    let told = Command::new(&options.nats).arg("--version").output().await?.stdout;
    let told = String::from_utf8(told)?;
    let version = told.trim().rsplit('v').next().unwrap_or_default();
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    Ok((2, 10) <= (parts.next().unwrap_or(0), parts.next().unwrap_or(0)))
}

/// One that runs. Stopped when it is dropped, unless it ran before.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) wire: Box<dyn Wire>,
    pub(crate) address: String,
    process: Process,
    _folder: Option<TempDir>,
}

#[derive(Debug)]
enum Process {
    Node(Node),
    Started(Peer),
    /// By its number, if that is known.
    Running(Option<u32>),
}

impl Server {
    /// Starts a system on a free port, with a new and empty store.
    pub(crate) async fn start(system: System, options: &Options) -> Result<Self, Error> {
        match system {
            System::Switchboard => {
                let node = Node::start(&options.program).await?;
                let address = node.tcp.clone();
                let process = Process::Node(node);
                Ok(Self { wire: Box::new(Session), address, process, _folder: None })
            }
            System::RabbitMq | System::RabbitMqMultiple => {
                let wire = Box::new(Amqp { multiple: system == System::RabbitMqMultiple });
                let process = Process::Running(running("beam.smp"));
                let address = options.rabbitmq.clone();
                Ok(Self { wire, address, process, _folder: None })
            }
            _ => Self::start_peer(system, options).await,
        }
    }

    async fn start_peer(system: System, options: &Options) -> Result<Self, Error> {
        let folder = tempfile::tempdir_in("/var/tmp")?;
        let port = free_port()?;
        let (mut command, wire): (_, Box<dyn Wire>) = match system {
            System::Redis => (redis(port, folder.path(), "no"), Box::new(Resp)),
            System::RedisSynced => (redis(port, folder.path(), "yes"), Box::new(Resp)),
            System::Mosquitto => (mosquitto(port, folder.path())?, Box::new(Mqtt)),
            System::Nats => {
                let mut command = Command::new(&options.nats);
                command.args(["-a", "127.0.0.1", "-p", &port.to_string()]);
                (command, Box::new(Nats))
            }
            _ => {
                let synced = system == System::JetStream;
                let config = folder.path().join("nats.conf");
                fs::write(&config, jetstream(port, folder.path(), synced))?;
                let mut command = Command::new(&options.nats);
                command.arg("-c").arg(config);
                (command, Box::new(Nats))
            }
        };
        let peer = Peer::start(&mut command).map_err(|it| format!("{}: {it}", system.name()))?;
        peer.ready(port).await.map_err(|it| format!("{}: {it}", system.name()))?;
        let (address, process) = (format!("127.0.0.1:{port}"), Process::Started(peer));
        Ok(Self { wire, address, process, _folder: Some(folder) })
    }

    /// One that speaks as a node does.
    #[cfg(test)]
    pub(crate) fn fake() -> Self {
        let (address, process) = (crate::fake::serve(), Process::Running(None));
        Self { wire: Box::new(Session), address, process, _folder: None }
    }

    /// CPU that it has used, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        match &self.process {
            Process::Node(node) => node.peer.cpu(),
            Process::Started(peer) => peer.cpu(),
            Process::Running(pid) => pid.map_or(0.0, cpu_of),
        }
    }

    /// The node, if it is one.
    pub(crate) fn node(&self) -> Option<&Node> {
        match &self.process {
            Process::Node(node) => Some(node),
            _ => None,
        }
    }
}

fn redis(port: u16, folder: &Path, append: &str) -> Command {
    let mut command = Command::new("redis-server");
    command.current_dir(folder).args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--save", "", "--appendonly", append, "--appendfsync", "always"]);
    command
}

fn mosquitto(port: u16, folder: &Path) -> Result<Command, Error> {
    let config = folder.join("mosquitto.conf");
    // It drops nothing for others being slow.
    let lines = ["allow_anonymous true", "max_queued_messages 0", "persistence false", "user root"];
    fs::write(&config, format!("listener {port} 127.0.0.1\n{}\n", lines.join("\n")))?;
    let mut command = Command::new("mosquitto");
    command.arg("-c").arg(config);
    Ok(command)
}

fn jetstream(port: u16, folder: &Path, synced: bool) -> String {
    let sync = if synced { "sync_interval: always" } else { "" };
    let store = folder.join("jetstream").display().to_string();
    format!("host: 127.0.0.1\nport: {port}\njetstream {{\n store_dir: \"{store}\"\n {sync}\n}}\n")
}

/// The number of a process that runs already (proc(5)).
fn running(name: &str) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    let is_it = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
    };
    pids.find(is_it)
}
