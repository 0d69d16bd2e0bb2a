//! How long a send takes at a steady rate: until it is acknowledged, and from then until its frame
//! is at the recipient.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use prost::Message as _;
use switchboard_peers::Error;
use switchboard_proto::v1::{InboxEntry, SessionSendResponse, inbox_entry};
use tokio::{task::JoinSet, time};

use crate::{
    Options, disk, median,
    node::{Node, phone},
    percentile,
    session::{INBOX, SENT, Session},
};

const SENDERS: usize = 64;
const RATE: f64 = 2_000.0;
const RECIPIENTS: usize = 1_000;

/// How long nothing is measured.
const WARM_UP: Duration = Duration::from_secs(2);

/// When messages were sent, acknowledged and delivered: by sender and id.
#[derive(Debug, Default)]
struct Times {
    sent: HashMap<(usize, u64), Instant>,
    acknowledged: HashMap<(usize, u64), Instant>,
    delivered: HashMap<(usize, u64), Instant>,
}

type Shared = Arc<Mutex<Times>>;

fn lock(times: &Shared) -> std::sync::MutexGuard<'_, Times> {
    times.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let (mut deliver50, mut deliver99) = (Vec::new(), Vec::new());
    let (mut ratios, mut paced_ratios) = (Vec::new(), Vec::new());
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    for round in 1..=options.rounds {
        let before = disk::syncs(Duration::from_secs(2), Duration::ZERO)?;
        let (acknowledge, deliver) = measure(options).await?;
        let after = disk::syncs(Duration::from_secs(2), Duration::ZERO)?;
        let paced = disk::syncs(Duration::from_secs(2), Duration::from_micros(500))?;
        let own = percentile(&before, 99.0).max(percentile(&after, 99.0));
        let [a50, a99] = [50.0, 99.0].map(|of| ms(percentile(&acknowledge, of)));
        let [d50, d99, d999] = [50.0, 99.0, 99.9].map(|of| ms(percentile(&deliver, of)));
        eprintln!(
            "round {round}: {} sends; acknowledged after p50 {a50:.2} ms, p99 {a99:.2} ms; \
             fdatasync p50 {:.2} ms, p99 {:.2} ms, at this pace {:.2} ms; from there to the \
             recipient p50 {d50:.3} ms, \
             p99 {d99:.2} ms, p99.9 {d999:.2} ms",
            acknowledge.len(),
            ms(percentile(&before, 50.0)),
            ms(own),
            ms(percentile(&paced, 99.0)),
        );
        deliver50.push(d50);
        deliver99.push(d99);
        ratios.push(a99 / ms(own));
        paced_ratios.push(a99 / ms(percentile(&paced, 99.0)));
    }
    println!("acknowledged to delivered, p50: {:.3} ms", median(deliver50));
    println!("acknowledged to delivered, p99: {:.2} ms", median(deliver99));
    println!("sent to acknowledged, p99, in fdatasyncs (p99): {:.2}", median(ratios));
    println!("the same, in fdatasyncs at the same pace: {:.2}", median(paced_ratios));
    Ok(())
}

/// How long each took, sorted.
async fn measure(options: &Options) -> Result<(Vec<Duration>, Vec<Duration>), Error> {
    let node = Node::start(&options.program).await?;
    let times: Shared = Arc::default();
    let mut tasks = JoinSet::new();
    for place in 0..SENDERS {
        let mut recipient = Session::open(&node, RECIPIENTS + place).await?;
        recipient.follow("now").await?;
        tasks.spawn(receive(recipient, place, Arc::clone(&times)));
        let sender = Session::open(&node, place).await?;
        tasks.spawn(send(sender, place, Arc::clone(&times)));
    }
    // While it starts, the node writes the files of its logs full of zeros.
    time::sleep(WARM_UP).await;
    *lock(&times) = Times::default();
    time::sleep(options.length).await;
    tasks.shutdown().await;
    let times = lock(&times);
    let mut acknowledge = Vec::new();
    let mut deliver = Vec::new();
    for (message, at) in &times.acknowledged {
        if let Some(sent) = times.sent.get(message) {
            acknowledge.push(*at - *sent);
        }
        if let Some(delivered) = times.delivered.get(message) {
            deliver.push(delivered.saturating_duration_since(*at));
        }
    }
    acknowledge.sort_unstable();
    deliver.sort_unstable();
    Ok((acknowledge, deliver))
}

/// Sends at a steady rate, whatever the answers do.
async fn send(mut session: Session, place: usize, times: Shared) -> Result<(), Error> {
    let to = phone(RECIPIENTS + place);
    #[expect(clippy::cast_precision_loss, reason = "64")]
    let mut turns = time::interval(Duration::from_secs_f64(SENDERS as f64 / RATE));
    #[expect(clippy::cast_possible_truncation, reason = "below 64")]
    time::sleep(turns.period() * place as u32 / SENDERS as u32).await;
    turns.reset();
    let mut number = 0;
    loop {
        tokio::select! {
            _ = turns.tick() => {
                number += 1;
                session.send(&to, format!("m-{number}"), number);
                lock(&times).sent.insert((place, number), Instant::now());
                session.flush().await?;
            }
            read = session.read(|frame| {
                if frame.number == SENT {
                    let sent = SessionSendResponse::decode(frame.payload).unwrap_or_default();
                    lock(&times).acknowledged.insert((place, sent.id), Instant::now());
                }
            }) => read?,
        }
    }
}

async fn receive(mut session: Session, place: usize, times: Shared) -> Result<(), Error> {
    loop {
        session
            .read(|frame| {
                if frame.number == INBOX
                    && let Ok(entry) = InboxEntry::decode(frame.payload)
                    && let Some(inbox_entry::What::Message(message)) = entry.what
                {
                    lock(&times).delivered.insert((place, message.id), Instant::now());
                }
            })
            .await?;
    }
}
