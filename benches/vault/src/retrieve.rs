//! Retrieves of one record over REST, beside a bare server that answers as many bytes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use switchboard_peers::{
    Error,
    figures::Rounds,
    node::Node,
    process::Peer,
    rest::{self, Connection},
};
use tokio::task::JoinSet;

use crate::{
    Options,
    client::{fill, idle},
    values,
};

const RECORDS: usize = 10_000;
const CONNECTIONS: usize = 64;
const PATH: &str = "/v1/tenants/default/vault/retrieve";

/// The body that asks for a record.
fn ask(number: usize, key: &str) -> String {
    format!(r#"{{"id":"{}","encryption_key":"{key}"}}"#, values::id_text(number))
}

pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let (node, key) = (Node::start(&options.program).await?, values::key_text(1)?);
    fill(&node, RECORDS, &key).await?;
    idle(&node).await?;
    let mut connection = Connection::open(&node.main).await?;
    let answer = connection.post(PATH, &ask(1, &key)).await?;
    let text = values::text(values::VALUE_BYTES);
    if !answer.windows(text.len()).any(|it| it == text.as_bytes()) {
        return Err("the value is not in the answer".into());
    }
    let bytes = answer.len();
    let (bare, bare_address) = rest::start(&std::env::current_exe()?, bytes).await?;
    let (mut rates, mut cpus): ([Rounds; 2], [Rounds; 2]) = Default::default();
    let warm_up = Duration::from_secs(1);
    measure(&bare_address, &bare, warm_up, bytes).await?;
    measure(&node.main, &node.peer, warm_up, bytes).await?;
    for round in 1..=options.rounds {
        let empty = measure(&bare_address, &bare, options.length, bytes).await?;
        let ours = measure(&node.main, &node.peer, options.length, bytes).await?;
        eprintln!(
            "round {round}: bare {:.0}/s, {:.1} us of CPU each; ours {:.0}/s, {:.1} us",
            empty[0], empty[1], ours[0], ours[1]
        );
        for (place, [rate, cpu]) in [empty, ours].into_iter().enumerate() {
            rates[place].add(rate);
            cpus[place].add(cpu);
        }
    }
    let ([empty, ours], [empty_cpu, ours_cpu]) = (rates, cpus);
    println!("answers of {bytes} bytes; the server's CPU each, in microseconds");
    println!("empty answers a second: {empty:.0}; {empty_cpu:.1}");
    println!("retrieves a second: {ours:.0}; {ours_cpu:.1}");
    println!("retrieves to empty answers: {:.2}; {:.2}", ours.to(&empty), ours_cpu.to(&empty_cpu));
    Ok(())
}

/// Answers a second, and the server's CPU for each in microseconds.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
async fn measure(
    address: &str,
    peer: &Peer,
    length: Duration,
    bytes: usize,
) -> Result<[f64; 2], Error> {
    let (answers, key) = (Arc::new(AtomicU64::new(0)), values::key_text(1)?);
    let (end, used) = (Instant::now() + length, peer.cpu());
    let mut tasks: JoinSet<Result<(), Error>> = JoinSet::new();
    for place in 0..CONNECTIONS {
        let mut connection = Connection::open(address).await?;
        let (answers, key) = (Arc::clone(&answers), key.clone());
        tasks.spawn(async move {
            let mut random = place as u64 + 1;
            while Instant::now() < end {
                random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                let number = usize::try_from(random >> 33)? % RECORDS;
                if connection.post(PATH, &ask(number, &key)).await?.len() != bytes {
                    return Err("an answer has another length".into());
                }
                answers.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
    }
    let began = Instant::now();
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let answers = answers.load(Ordering::Relaxed) as f64;
    Ok([answers / began.elapsed().as_secs_f64(), (peer.cpu() - used) * 1e6 / answers])
}
