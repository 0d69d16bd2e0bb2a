//! Echo over TCP, 64 connections with 64 messages in flight each.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Args;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time,
};

use crate::{Error, node::Node};

/// How echo is measured.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Rounds; in each the bare server and Switchboard take their turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each turn.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Messages in flight on each.
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
}

/// One message: 64 bytes on the wire.
fn message() -> Vec<u8> {
    [b"\x0a\x3e\x0a\x3c".as_slice(), &[b'x'; 60]].concat()
}

/// Serves as barely as it goes: a task a connection, a buffer a task, back goes what came.
pub(crate) async fn serve() -> Result<(), Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    println!("listening main={address} tcp={address}");
    let mut tasks = JoinSet::new();
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tasks.spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(len @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..len]).await.is_err() {
                    return;
                }
            }
        });
    }
}

pub(crate) async fn run(program: &Path, options: &Options) -> Result<(), Error> {
    let (bare, node) = (Node::bare().await?, Node::start(program).await?);
    let (mut ratios, mut bares, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        let (rate, cpu) = drive(&bare, options).await?;
        let (our_rate, our_cpu) = drive(&node, options).await?;
        println!("round {round}: bare {rate:.0}/s, {cpu:.3} us of its CPU each");
        println!("round {round}: Switchboard {our_rate:.0}/s, {our_cpu:.3} us of its CPU each");
        bares.push(rate);
        ours.push(our_rate);
        ratios.push(our_rate / rate);
    }
    for values in [&mut bares, &mut ours, &mut ratios] {
        values.sort_by(f64::total_cmp);
    }
    let middle = options.rounds / 2;
    println!(
        "medians: bare {:.0}/s, Switchboard {:.0}/s, of the ratios {:.2} [{:.2}..{:.2}]",
        bares[middle],
        ours[middle],
        ratios[middle],
        ratios[0],
        ratios[options.rounds - 1]
    );
    Ok(())
}

/// Messages a second, and CPU of the server for each in microseconds.
#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
async fn drive(node: &Node, options: &Options) -> Result<(f64, f64), Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..options.connections {
        let stream = TcpStream::connect(&node.tcp).await?;
        stream.set_nodelay(true)?;
        clients.spawn(exchange(stream, options.in_flight, Arc::clone(&stop), Arc::clone(&count)));
    }
    // Until all are warm.
    time::sleep(Duration::from_millis(300)).await;
    let (begun, cpu, before) = (Instant::now(), node.cpu(), count.load(Ordering::Relaxed));
    time::sleep(Duration::from_secs(options.seconds)).await;
    let done = (count.load(Ordering::Relaxed) - before) as f64;
    let (took, cpu) = (begun.elapsed().as_secs_f64(), node.cpu() - cpu);
    stop.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok((done / took, cpu * 1e6 / done))
}

/// Keeps so many messages in flight, and checks every byte that comes back.
async fn exchange(
    mut stream: TcpStream,
    in_flight: usize,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
) -> Result<(), Error> {
    let message = message();
    let many = message.repeat(in_flight);
    let mut buffer = vec![0; many.len()];
    stream.write_all(&many).await?;
    let mut place = 0;
    while !stop.load(Ordering::Relaxed) {
        let len = stream.read(&mut buffer).await?;
        if len == 0 {
            return Err("the server closed the connection".into());
        }
        // `many` is a whole number of messages: what comes at this place of one is known.
        if buffer[..len] != many[place..][..len.min(many.len() - place)]
            && buffer[..len]
                != message.iter().copied().cycle().skip(place).take(len).collect::<Vec<_>>()
        {
            return Err("something else came back".into());
        }
        let whole = (place + len) / message.len();
        place = (place + len) % message.len();
        count.fetch_add(whole as u64, Ordering::Relaxed);
        stream.write_all(&many[..whole * message.len()]).await?;
    }
    Ok(())
}
