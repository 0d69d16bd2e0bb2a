//! Many idle sessions.

use std::{path::Path, sync::Arc, time::Duration};

use clap::{Args, ValueEnum};
use tokio::{sync::watch, task::JoinSet, time, time::Instant};

use crate::{Error, client, node::Node};

/// How many sessions, over what, and for how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What carries them.
    #[arg(long, value_enum, default_value_t = Transport::Tcp)]
    transport: Transport,
    /// How many; a process may hold 20,000 descriptors on many machines.
    #[arg(long, default_value_t = 19_000)]
    count: usize,
    /// For how long, once all are open, in seconds.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

/// What carries sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    Tcp,
    Websocket,
    Grpc,
}

/// When pings came to one session.
pub(crate) type Pings = Vec<Instant>;

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
pub(crate) async fn run(program: &Path, options: &Options) -> Result<(), Error> {
    let Options { transport, count, seconds } = *options;
    let node = Arc::new(Node::start(program).await?);
    // What the node takes by itself is there once it has served somebody.
    let (stop, stopped) = watch::channel(false);
    let first = client::open(&node, transport, usize::MAX).await?;
    drop(first);
    let alone = settled(&node).await;

    let begun = Instant::now();
    let mut sessions = JoinSet::new();
    let mut opening = JoinSet::new();
    for number in 0..count {
        // Few at a time, so that none waits for long.
        while 64 <= opening.len() {
            let opened: Result<Result<client::Open, Error>, _> =
                opening.join_next().await.ok_or("nothing opens")?;
            sessions.spawn(client::hold(opened??, stopped.clone()));
        }
        let node = Arc::clone(&node);
        opening.spawn(async move { client::open(&node, transport, number).await });
    }
    while let Some(opened) = opening.join_next().await {
        sessions.spawn(client::hold(opened??, stopped.clone()));
    }
    let opened = begun.elapsed().as_secs_f64();
    // The pings of the time in which sessions were opened don't count.
    time::sleep(Duration::from_secs(3)).await;
    let (from, cpu) = (Instant::now(), node.cpu());
    time::sleep(Duration::from_secs(seconds)).await;
    let cpu = (node.cpu() - cpu) / from.elapsed().as_secs_f64();
    let resident = node.resident_kib();
    stop.send(true)?;
    let (mut late, mut pings, mut lost) = (Vec::new(), 0, 0);
    while let Some(session) = sessions.join_next().await {
        match session? {
            Ok(came) => {
                let came: Pings = came.into_iter().filter(|at| from <= *at).collect();
                pings += came.len();
                late.extend(lateness(&came));
            }
            Err(_) => lost += 1,
        }
    }
    late.sort_by(f64::total_cmp);
    // In thousandths, so that no place is rounded.
    let quantile = |share: usize| late.get(late.len() * share / 1_000).copied();
    println!("{count} sessions over {transport:?}, opened in {opened:.1} s, {lost} lost");
    println!(
        "resident memory each: {:.2} KiB (the node alone {:.1} MiB, with them {:.1} MiB)",
        (resident - alone) / count as f64,
        alone / 1024.0,
        resident / 1024.0
    );
    println!("CPU of the node: {:.1}% of one core", cpu * 100.0);
    println!(
        "pings: {:.2} a session and second; later than the earliest of the session by (ms): \
         p50 {:.1}, p99 {:.1}, p99.9 {:.1}",
        pings as f64 / count as f64 / seconds as f64,
        quantile(500).unwrap_or_default(),
        quantile(990).unwrap_or_default(),
        quantile(999).unwrap_or_default()
    );
    Ok(())
}

/// The resident memory of a node once it no longer shrinks: what a start takes is given back in
/// time.
async fn settled(node: &Node) -> f64 {
    let mut least = f64::INFINITY;
    for _ in 0..10 {
        time::sleep(Duration::from_secs(1)).await;
        least = least.min(node.resident_kib());
    }
    least
}

/// How much later than in step with the earliest each ping of a session came, in milliseconds: the
/// client can't know when it was due, but that they are a second apart.
fn lateness(came: &[Instant]) -> Vec<f64> {
    let Some(&first) = came.first() else { return Vec::new() };
    let offset = |at: Instant, place: usize| {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        (at - first).as_secs_f64() * 1e3 - f64::from(place) * 1e3
    };
    let offsets: Vec<f64> = came.iter().enumerate().map(|(place, at)| offset(*at, place)).collect();
    let earliest = offsets.iter().copied().fold(f64::INFINITY, f64::min);
    offsets.into_iter().map(|offset| offset - earliest).collect()
}
