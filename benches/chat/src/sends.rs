//! Durable sends, each delivered live to a recipient that is connected, beside the same writes in
//! PostgreSQL.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use switchboard_peers::Error;
use tokio::task::JoinSet;

use crate::{
    Options, database, median,
    node::{Node, phone},
    session::{INBOX, SENT, Session},
};

const SENDERS: usize = 64;
const IN_FLIGHT: usize = 16;

/// The users who are written to.
const RECIPIENTS: usize = 1_000;

#[derive(Debug, Default)]
struct Counts {
    acknowledged: AtomicU64,
    delivered: AtomicU64,
}

pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        let (rate, cpu) = measure(options).await?;
        let (peer, connections) = database::measure(options.length).await?;
        eprintln!(
            "round {round}: Switchboard {rate:.0}/s, {cpu:.2} us of CPU each; \
             PostgreSQL {peer:.0}/s on {connections} connections"
        );
        ours.push(rate);
        theirs.push(peer);
    }
    let ratios = ours.iter().zip(&theirs).map(|(one, other)| one / other).collect();
    println!("sends a second, each durable and delivered live: {:.0}", median(ours));
    println!("PostgreSQL, the same writes: {:.0}", median(theirs));
    println!("median of the ratios, round by round: {:.1}", median(ratios));
    Ok(())
}

/// Sends a second, and the server's CPU for each, in microseconds.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
async fn measure(options: &Options) -> Result<(f64, f64), Error> {
    let node = Arc::new(Node::start(&options.program).await?);
    let counts = Arc::new(Counts::default());
    let mut tasks = JoinSet::new();
    for place in 0..SENDERS {
        let mut session = Session::open(&node, RECIPIENTS + place).await?;
        session.follow("now").await?;
        tasks.spawn(receive(session, Arc::clone(&counts)));
    }
    let end = Instant::now() + Duration::from_secs(1) + options.length;
    for place in 0..SENDERS {
        let session = Session::open(&node, place).await?;
        tasks.spawn(send(session, place, Arc::clone(&counts), end));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let read = || {
        let acknowledged = counts.acknowledged.load(Ordering::Relaxed);
        (acknowledged, counts.delivered.load(Ordering::Relaxed), node.peer.cpu(), Instant::now())
    };
    let before = read();
    tokio::time::sleep(options.length).await;
    let after = read();
    let took = (after.3 - before.3).as_secs_f64();
    let (acknowledged, delivered) = (after.0 - before.0, after.1 - before.1);
    // What was acknowledged must have been delivered, too: whichever is fewer counts.
    let done = acknowledged.min(delivered) as f64;
    tasks.shutdown().await;
    Ok((done / took, (after.2 - before.2) * 1e6 / done))
}

/// Keeps messages in flight to one recipient.
async fn send(
    mut session: Session,
    place: usize,
    counts: Arc<Counts>,
    end: Instant,
) -> Result<(), Error> {
    let to = phone(RECIPIENTS + place);
    let (mut sent, mut waiting) = (0_u64, 0);
    while Instant::now() < end {
        while waiting < IN_FLIGHT {
            sent += 1;
            waiting += 1;
            session.send(&to, format!("m-{sent}"), sent);
        }
        session.flush().await?;
        let mut answered = 0;
        session.read(|frame| answered += usize::from(frame.number == SENT)).await?;
        waiting -= answered;
        counts.acknowledged.fetch_add(answered as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// Counts what arrives.
async fn receive(mut session: Session, counts: Arc<Counts>) -> Result<(), Error> {
    loop {
        let mut came = 0;
        session.read(|frame| came += u64::from(frame.number == INBOX)).await?;
        counts.delivered.fetch_add(came, Ordering::Relaxed);
    }
}
