//! The same over REST, beside a bare server that answers as many bytes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use switchboard_peers::{
    Error,
    rest::{self, Connection},
};
use tokio::task::JoinSet;

use super::{MESSAGES, PAGE, USERS};
use crate::{
    Options, median,
    node::{Node, phone},
    session::{SENT, Session},
};

const CONNECTIONS: usize = 32;
const IN_FLIGHT: usize = 200;

pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let node = Node::start(&options.program).await?;
    fill(&node).await?;
    let path = |random: u64| {
        let low = (random >> 33) % (USERS - 1);
        let high = low + 1 + (random >> 13) % (USERS - 1 - low);
        let [low, high] = [low, high].map(|number| phone(usize::try_from(number).unwrap_or(0)));
        format!("/v1/tenants/default/users/{low}/chats/{high}/messages?limit={PAGE}")
    };
    let bytes = Connection::open(&node.main).await?.get(&path(1)).await?;
    let (_bare, bare) = rest::start(&std::env::current_exe()?, bytes).await?;
    let mut ratios = Vec::new();
    for round in 1..=options.rounds {
        let empty = measure(&bare, options, path).await?;
        let ours = measure(&node.main, options, path).await?;
        eprintln!("round {round}: {ours:.0} lists/s, bare {empty:.0}/s, {bytes} bytes each");
        ratios.push(ours / empty);
    }
    println!("messages of a random chat over REST, to an empty answer: {:.2}", median(ratios));
    Ok(())
}

/// Every user writes to those behind him.
async fn fill(node: &Node) -> Result<(), Error> {
    for low in 0..USERS - 1 {
        let mut session = Session::open(node, usize::try_from(low)?).await?;
        let peers = USERS - 1 - low;
        let (mut sent, mut answered) = (0, 0);
        while answered < peers * MESSAGES {
            while sent < peers * MESSAGES && sent - answered < IN_FLIGHT as u64 {
                let to = phone(usize::try_from(low + 1 + sent % peers)?);
                session.send(&to, format!("m-{sent}"), sent + 1);
                sent += 1;
            }
            session.flush().await?;
            session.read(|frame| answered += u64::from(frame.number == SENT)).await?;
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
async fn measure(
    address: &str,
    options: &Options,
    path: impl Fn(u64) -> String + Copy + Send + 'static,
) -> Result<f64, Error> {
    let answers = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + options.length;
    let mut tasks: JoinSet<Result<(), Error>> = JoinSet::new();
    for place in 0..CONNECTIONS {
        let mut connection = Connection::open(address).await?;
        let answers = Arc::clone(&answers);
        tasks.spawn(async move {
            let mut random = place as u64 + 1;
            while Instant::now() < end {
                random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                connection.get(&path(random)).await?;
                answers.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
    }
    let began = Instant::now();
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(answers.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
}
