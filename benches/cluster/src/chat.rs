//! Messages between users of different nodes: how long one takes from acknowledged until its frame
//! is at the recipient.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use switchboard_client::{Client, Session, chat::Happening, session::Event};
use switchboard_peers::{
    Error,
    figures::{Rounds, percentile},
};
use tokio::{task::JoinSet, time};

use crate::{
    Options,
    cluster::{ALL, Cluster},
};

const PAIRS: u32 = 50;

/// How long nothing is measured.
const WARM_UP: Duration = Duration::from_secs(2);

/// What is written: a hundred characters.
const TEXT: &str = "The quick brown fox jumps over the lazy dog, and then, as \
    every day, it does so once more until dusk.";

/// When messages were sent, acknowledged and delivered: by pair and id.
#[derive(Debug, Default)]
struct Times {
    acknowledged: HashMap<(u32, u64), (Instant, Duration)>,
    delivered: HashMap<(u32, u64), Instant>,
}

type Shared = Arc<Mutex<Times>>;

fn lock(times: &Shared) -> MutexGuard<'_, Times> {
    times.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let cluster = Cluster::start(&options.program, &[ALL; 3])?;
    let length = options.length.unwrap_or(Duration::from_secs(10));
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let mut rows: [Rounds; 5] = Default::default();
    for round in 0..options.rounds {
        let times = measure(&cluster, u32::try_from(round)?, options.rate, length).await?;
        let times = lock(&times);
        let mut acknowledge: Vec<Duration> =
            times.acknowledged.values().map(|(_, took)| *took).collect();
        let delivered = times.acknowledged.iter().map(|(message, (at, _))| {
            let delivered = times.delivered.get(message);
            delivered.map(|it| it.saturating_duration_since(*at))
        });
        let mut deliver = delivered
            .collect::<Option<Vec<_>>>()
            .ok_or("a message was acknowledged and did not arrive")?;
        acknowledge.sort_unstable();
        deliver.sort_unstable();
        let figures = [(&acknowledge, 50.0), (&acknowledge, 99.0), (&deliver, 50.0)];
        let figures = figures.into_iter().chain([(&deliver, 99.0), (&deliver, 99.9)]);
        for (row, (all, of)) in rows.iter_mut().zip(figures) {
            row.add(ms(percentile(all, of)));
        }
        eprintln!("round {}: {} sends", round + 1, deliver.len());
    }
    let [a50, a99, d50, d99, d999] = rows;
    println!("{} sends/s between nodes, ms, median of the rounds [least..greatest]:", options.rate);
    println!("sent to acknowledged: p50 {a50:.2}, p99 {a99:.2}");
    println!("acknowledged to the frame: p50 {d50:.3}, p99 {d99:.2}, p99.9 {d999:.2}");
    Ok(())
}

fn phone(round: u32, user: u32) -> String {
    format!("+4179{round:03}{user:04}")
}

async fn measure(
    cluster: &Cluster,
    round: u32,
    rate: u32,
    length: Duration,
) -> Result<Shared, Error> {
    let period = Duration::from_secs(1) * PAIRS / rate;
    let times: Shared = Arc::default();
    let (mut tasks, mut recipients) = (JoinSet::new(), Vec::new());
    let nodes: Vec<String> =
        cluster.nodes.iter().map(|node| format!("tcp://{}", node.tcp())).collect();
    let node = |place: u32| nodes[place as usize % nodes.len()].as_str();
    for pair in 0..PAIRS {
        let (from, to) = (phone(round, 2 * pair), phone(round, 2 * pair + 1));
        recipients.push(receive(node(pair + 1), &to, pair, Arc::clone(&times))?);
        let sender = Client::new(node(pair))?.connect(from).start()?;
        tasks.spawn(send(sender, to, pair, (period, length), Arc::clone(&times)));
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    // The last ones arrive.
    time::sleep(Duration::from_secs(2)).await;
    drop(recipients);
    Ok(times)
}

fn receive(node: &str, user: &str, pair: u32, times: Shared) -> Result<Session, Error> {
    let told = move |event| {
        if let Event::Happened(entry) = event
            && let Happening::Message(message) = entry.what
        {
            lock(&times).delivered.insert((pair, message.id), Instant::now());
        }
    };
    Ok(Client::new(node)?.connect(user).with_inbox("").with_events(told).start()?)
}

/// Sends at a steady rate, whatever the answers do.
async fn send(
    session: Session,
    to: String,
    pair: u32,
    (period, length): (Duration, Duration),
    times: Shared,
) -> Result<(), Error> {
    time::sleep(period * pair / PAIRS).await;
    let (mut turns, begun) = (time::interval(period), Instant::now());
    let mut waiting = JoinSet::new();
    while begun.elapsed() < WARM_UP + length {
        turns.tick().await;
        let (sent, at, times) = (session.send(&to, TEXT, None), Instant::now(), Arc::clone(&times));
        waiting.spawn(async move {
            let id = sent.await?.id;
            let now = Instant::now();
            if WARM_UP < at.duration_since(begun) {
                lock(&times).acknowledged.insert((pair, id), (now, now - at));
            }
            Ok::<(), switchboard_client::Error>(())
        });
        while let Some(ended) = waiting.try_join_next() {
            ended??;
        }
    }
    while let Some(ended) = waiting.join_next().await {
        ended??;
    }
    Ok(())
}
