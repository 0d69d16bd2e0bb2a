//! `cargo xtask cluster`: PostgreSQL, NATS and nodes on this machine, ready to play with.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use signal_hook::consts::{SIGINT, SIGTERM};
use switchboard_servers::{Balancer, Nats, Node, Postgres, free_port};

use crate::{USAGE, needs};

/// How long a node that has ended stays away, as with any supervisor.
const PAUSE: Duration = Duration::from_secs(2);

/// How far the ports of a node are from those of the one before.
const STRIDE: u16 = 10;

/// What was asked for.
#[derive(Debug)]
struct Options {
    nodes: u16,
    port: u16,
    program: Option<PathBuf>,
    keep: Option<PathBuf>,
}

/// What runs. Dropped from the first to the last: the nodes go before what they stand on.
struct Cluster {
    nodes: Vec<Node>,
    balancers: [Balancer; 2],
    nats: Nats,
    postgres: Postgres,
}

/// Runs until it is told to stop.
pub(crate) fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let options = match read(arguments) {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("{wrong}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("{failed}");
            ExitCode::FAILURE
        }
    }
}

fn read(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { nodes: 3, port: 7500, program: None, keep: None };
    if let Ok(port) = std::env::var("SWITCHBOARD_CLUSTER_PORT") {
        options.port = number("SWITCHBOARD_CLUSTER_PORT", &port)?;
    }
    options.program = std::env::var_os("SWITCHBOARD_CLUSTER_PROGRAM").map(PathBuf::from);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--nodes" => options.nodes = number(&name, &value)?.clamp(1, 20),
            "--port" => options.port = number(&name, &value)?,
            "--program" => options.program = Some(value.into()),
            "--keep" => options.keep = Some(value.into()),
            _ => return Err(format!("there is no option {name}")),
        }
    }
    Ok(options)
}

fn number(name: &str, value: &str) -> Result<u16, String> {
    value.parse().map_err(|_| format!("{name} is a number, not {value:?}"))
}

fn run(options: &Options) -> Result<(), String> {
    needs::meet_cluster()?;
    let program = match &options.program {
        Some(program) => program.clone(),
        None => build()?,
    };
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(|it| it.to_string())?;
    }
    let folder = std::env::temp_dir().join(format!("switchboard-cluster-{}", std::process::id()));
    let mut cluster = start(options, &program, &folder)?;
    println!("ready: stop with Ctrl-C; a node that ends is started again after {PAUSE:?}");
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(50));
        revive(&mut cluster.nodes, &stop)?;
    }
    println!("stopping");
    for node in &mut cluster.nodes {
        let _ = node.stop();
    }
    drop(cluster);
    // Logs of the nodes: whoever wants them has read them.
    let _ = std::fs::remove_dir_all(folder);
    Ok(())
}

fn start(options: &Options, program: &Path, folder: &Path) -> Result<Cluster, String> {
    let postgres = match &options.keep {
        None => Postgres::start()?,
        Some(data) => {
            let data = std::path::absolute(data).map_err(|error| error.to_string())?;
            Postgres::at(&data, free_port()?, &[])?
        }
    };
    let nats = Nats::start()?;
    let url = postgres.url("postgres");
    let words = ["--store", &url, "--signals", &nats.url()].map(ToOwned::to_owned);
    let balancers = [Balancer::start(options.port)?, Balancer::start(options.port + 1)?];
    let mut cluster = Cluster { nodes: Vec::new(), balancers, nats, postgres };
    println!("postgresql {}", cluster.postgres.url("postgres"));
    println!("nats {}", cluster.nats.url());
    for number in 1..=options.nodes {
        let main = options.port + number * STRIDE;
        let folder = folder.join(format!("node-{number}"));
        let node = Node::on(program, &folder, &words, [main, main + 1, main + 2])?;
        node.ready()?;
        cluster.balancers[0].add(&node.main(), &node.admin())?;
        cluster.balancers[1].add(&node.tcp(), &node.admin())?;
        tell(number, &node);
        cluster.nodes.push(node);
    }
    let [main, tcp] = &cluster.balancers;
    println!("balancer main={} tcp={}", main.address(), tcp.address());
    Ok(cluster)
}

fn tell(number: u16, node: &Node) {
    let (main, tcp, admin, id) = (node.main(), node.tcp(), node.admin(), node.id());
    println!("node-{number} main={main} tcp={tcp} admin={admin} pid={id}");
}

/// Starts nodes again that have ended.
fn revive(nodes: &mut [Node], stop: &AtomicBool) -> Result<(), String> {
    for (number, node) in (1..).zip(nodes) {
        if node.ended() && !stop.load(Ordering::Relaxed) {
            println!("node-{number} has ended");
            thread::sleep(PAUSE);
            node.start_again()?;
            tell(number, node);
        }
    }
    Ok(())
}

/// Builds the program as a user has it, and says where it is.
fn build() -> Result<PathBuf, String> {
    let failed = |error| format!("can't run cargo: {error}");
    let words = ["build", "--release", "--locked", "--package", "switchboard"];
    let built = Command::new(env!("CARGO")).args(words).status().map_err(failed)?;
    if !built.success() {
        return Err("the program was not built".to_owned());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    Ok(target.join("release/switchboard"))
}
