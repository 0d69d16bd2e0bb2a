//! Who is online over three gateways, asked each second, while one of them is killed.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use switchboard_client::Client;
use switchboard_peers::Error;
use switchboard_servers::Node;
use tokio::{task::JoinSet, time};

use crate::{Options, cluster::Cluster, thin};

const GATEWAYS: usize = 3;

/// One of so many clients of the gateway that is killed leaves for ever; the others come back at
/// the others.
const LEAVES: usize = 5;

/// How long somebody counts, and by how much earlier he may have been seen last when his gateway
/// was killed: the interval of the reports, and a second for the report itself.
const WINDOW: Duration = Duration::from_mins(3);
const UNREPORTED: Duration = Duration::from_secs(6);

/// When the gateway is killed, and when it is there again.
const KILLED: Duration = Duration::from_secs(110);
const BACK: Duration = Duration::from_secs(140);

/// How many clients change gateways each second, for no reason.
const MOVES: usize = 10;

/// What all clients know.
#[derive(Debug, Default)]
struct Shared {
    gateways: Vec<String>,
    killed: AtomicBool,
    seen: AtomicUsize,
    moves: AtomicU64,
    reconnects: AtomicUsize,
    /// Who left with the gateway that was killed.
    left: AtomicU64,
}

pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let roles = ["gateway", "gateway", "gateway", "status", "status"];
    let mut cluster = Cluster::start(&options.program, &roles)?;
    let length = options.length.unwrap_or(Duration::from_mins(5));
    let all = options.clients * GATEWAYS;
    let gateways = cluster.nodes[..GATEWAYS].iter().map(Node::tcp).collect();
    let shared = Arc::new(Shared { gateways, ..Shared::default() });
    let mut clients = JoinSet::new();
    for number in 0..all {
        clients.spawn(live(Arc::clone(&shared), number));
        if number % 100 == 99 {
            // As fast as they are taken.
            time::sleep(Duration::from_millis(20)).await;
        }
    }
    let status = cluster.nodes[GATEWAYS..].iter().map(|node| Client::new(&node.url()));
    let status: Vec<Client> = status
        .map(|client| client.map(|it| it.with_timeout(Duration::from_millis(900))))
        .collect::<Result<_, _>>()?;
    wait_for_all(&status, all).await?;
    eprintln!("{all} clients are online");

    let begun = Instant::now();
    let mut seconds = time::interval(Duration::from_secs(1));
    let mut judge = Judge { all: all as u64, ..Judge::default() };
    let (mut killed, mut back) = (None, false);
    while begun.elapsed() < length {
        seconds.tick().await;
        if killed.is_none() && KILLED < begun.elapsed() {
            eprintln!("a gateway is killed");
            shared.killed.store(true, Ordering::Relaxed);
            killed = Some(Instant::now());
            cluster.nodes[0].kill();
        }
        if !back && BACK < begun.elapsed() {
            back = true;
            cluster.nodes[0].start_again()?;
        }
        shared.moves.fetch_add(1, Ordering::Relaxed);
        for (node, client) in status.iter().enumerate() {
            let since = killed.map(|killed| killed.elapsed());
            let told = client.online().await.map(|it| it.online);
            judge.left = shared.left.load(Ordering::Relaxed);
            judge.hear(begun.elapsed(), node, since, told.ok());
        }
    }
    let reconnects = shared.reconnects.load(Ordering::Relaxed);
    let pongs = shared.seen.load(Ordering::Relaxed);
    println!("{all} clients at {GATEWAYS} gateways, {reconnects} times at another, {pongs} pongs");
    judge.conclude();
    Ok(())
}

async fn wait_for_all(status: &[Client], all: usize) -> Result<(), Error> {
    let begun = Instant::now();
    loop {
        let mut counts = Vec::new();
        for client in status {
            counts.push(client.online().await.map_or(0, |it| it.online));
        }
        if counts.iter().all(|count| *count == all as u64) {
            return Ok(());
        }
        if Duration::from_mins(2) < begun.elapsed() {
            return Err(format!("of {all} clients {counts:?} are online").into());
        }
        time::sleep(Duration::from_secs(1)).await;
    }
}

/// A client: always at some gateway, now and then at another; some leave with the one that is
/// killed.
async fn live(shared: Arc<Shared>, number: usize) {
    let client = format!("client-{number}");
    let mut gateway = number % GATEWAYS;
    loop {
        let held = thin::hold(&shared.gateways[gateway], &client, || {
            shared.seen.fetch_add(1, Ordering::Relaxed);
        });
        tokio::select! {
            _ = held => {
                let was_killed = gateway == 0 && shared.killed.load(Ordering::Relaxed);
                let leaves = (number / GATEWAYS).is_multiple_of(LEAVES);
                if was_killed && number.is_multiple_of(GATEWAYS) && leaves {
                    shared.left.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                // Those of a gateway that is gone do not all come at once.
                let pause = u64::try_from(number % 1_000).unwrap_or_default();
                time::sleep(Duration::from_millis(pause)).await;
            }
            () = moved(&shared, number) => {}
        }
        shared.reconnects.fetch_add(1, Ordering::Relaxed);
        gateway = (gateway + 1) % GATEWAYS;
    }
}

/// Done when it is this client's turn to move; those that are to leave stay where they are.
async fn moved(shared: &Shared, number: usize) {
    let mut turn = shared.moves.load(Ordering::Relaxed);
    loop {
        time::sleep(Duration::from_secs(1)).await;
        let now = shared.moves.load(Ordering::Relaxed);
        let group = u64::try_from(number / MOVES).unwrap_or_default();
        if !number.is_multiple_of(GATEWAYS) && (turn + 1..=now).contains(&(group + 1)) {
            return;
        }
        turn = now;
    }
}

/// Holds what was told to what a model says.
#[derive(Debug, Default)]
struct Judge {
    all: u64,
    left: u64,
    exact: u64,
    between: u64,
    silent: u64,
    wrong: BTreeMap<(usize, u64), (u64, u64, u64)>,
}

impl Judge {
    fn hear(&mut self, at: Duration, node: usize, since: Option<Duration>, told: Option<u64>) {
        let Some(told) = told else {
            self.silent += 1;
            return;
        };
        let since = since.unwrap_or_default();
        let least = if since + UNREPORTED < WINDOW { self.all } else { self.all - self.left };
        let most =
            if since < WINDOW + Duration::from_secs(2) { self.all } else { self.all - self.left };
        if told < least || most < told {
            self.wrong.insert((node, at.as_secs()), (told, least, most));
        } else if least == most {
            self.exact += 1;
        } else {
            self.between += 1;
        }
    }

    fn conclude(&self) {
        let Self { exact, between, silent, wrong, .. } = self;
        println!("answers that were exact: {exact}; wrong: {}; none came: {silent}", wrong.len());
        println!(
            "while those who left with the killed gateway ran out, one after the other: {between}"
        );
        for ((node, at), (told, least, most)) in wrong {
            println!("status node {node} at {at} s: {told}, not {least} to {most}");
        }
    }
}
