//! A hundred thousand entries of an inbox that were missed, over one session.

use std::time::{Duration, Instant};

use switchboard_peers::Error;

use crate::{
    Options, median,
    node::{Node, phone},
    session::{INBOX, SENT, Session},
};

const ENTRIES: usize = 100_000;
const SENDERS: usize = 50;
const IN_FLIGHT: usize = 200;
const RECIPIENT: usize = 1_000;

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let node = Node::start(&options.program).await?;
    fill(&node).await?;
    let mut rates = Vec::new();
    for round in 1..=options.rounds {
        let mut session = Session::open(&node, RECIPIENT).await?;
        let began = Instant::now();
        session.follow("").await?;
        let mut came = 0;
        while came < ENTRIES - 1_000 {
            // What came with the answer to the follow is not counted.
            let read = session.read(|frame| came += usize::from(frame.number == INBOX));
            if tokio::time::timeout(Duration::from_secs(5), read).await.is_err() {
                break;
            }
        }
        let rate = came as f64 / began.elapsed().as_secs_f64();
        eprintln!("round {round}: {came} entries, {rate:.0}/s");
        rates.push(rate);
    }
    println!("missed entries a second over one session: {:.0}", median(rates));
    Ok(())
}

/// Many write to one who is away.
async fn fill(node: &Node) -> Result<(), Error> {
    let to = phone(RECIPIENT);
    for place in 0..SENDERS {
        let mut session = Session::open(node, place).await?;
        let (mut sent, mut answered) = (0, 0);
        while answered < ENTRIES / SENDERS {
            while sent < ENTRIES / SENDERS && sent - answered < IN_FLIGHT {
                sent += 1;
                session.send(&to, format!("m-{sent}"), sent as u64);
            }
            session.flush().await?;
            session.read(|frame| answered += usize::from(frame.number == SENT)).await?;
        }
    }
    Ok(())
}
