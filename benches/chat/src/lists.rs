//! Lists: in the process, and over REST beside an empty answer of the same size.

mod rest;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use switchboard_core::{
    Millis,
    chat::{Chats, ClientMessageId, Draft, PhoneNumber, Reach, Text, User},
    store::Unobserved,
};
use switchboard_embedded::{Embedded, disk::LocalDisk};
use switchboard_peers::Error;

use crate::{Options, median, node::TEXT};

/// So many users have 100,128 chats with each other.
pub(crate) const USERS: u64 = 448;
pub(crate) const MESSAGES: u64 = 20;

/// How many messages a page has.
const PAGE: u32 = 50;

pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    in_process(options).await?;
    rest::run(options).await
}

fn phone(number: u64) -> PhoneNumber {
    // All numbers of this benchmark are possible ones.
    PhoneNumber::from_digits(41_790_000_000 + number).unwrap_or_else(|| unreachable!())
}

fn user(number: u64) -> Result<User, Error> {
    Ok(User { tenant: "default".parse()?, phone: phone(number) })
}

fn draft(from: u64, to: u64, number: u64) -> Result<Draft, Error> {
    Ok(Draft {
        from: user(from)?,
        to: phone(to),
        text: Text::new(TEXT)?,
        client_message_id: ClientMessageId::new(&format!("{to}-{number}"))?,
        at: Millis(1_790_000_000_000),
        trace: None,
    })
}

async fn fill(
    store: &Embedded,
    pairs: impl Iterator<Item = (u64, u64)> + Clone,
    messages: u64,
) -> Result<(), Error> {
    let mut drafts = Vec::new();
    for number in 0..messages {
        // Round by round, so that no chat's messages stand together.
        for (from, to) in pairs.clone() {
            drafts.push(draft(from, to, number)?);
            if drafts.len() == 1_000 {
                store.send(std::mem::take(&mut drafts)).await?;
            }
        }
    }
    store.send(drafts).await?;
    Ok(())
}

fn pairs() -> impl Iterator<Item = (u64, u64)> + Clone {
    (0..USERS).flat_map(|low| (low + 1..USERS).map(move |high| (low, high)))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
async fn in_process(options: &Options) -> Result<(), Error> {
    let folder = tempfile::tempdir_in("/var/tmp")?;
    let disk = Arc::new(LocalDisk::open(folder.path())?);
    let store =
        Embedded::open(disk, &switchboard_embedded::Options::default(), Arc::new(Unobserved))?;
    let began = Instant::now();
    fill(&store, pairs(), MESSAGES).await?;
    // One who has many chats, and one who has few.
    let (many, few) = (1_000, 1_001);
    fill(&store, (0..10_000).map(|peer| (many, 10_000 + peer)), 2).await?;
    fill(&store, (0..20).map(|peer| (few, 30_000 + peer)), 2).await?;
    eprintln!("filled in {:.1} s", began.elapsed().as_secs_f64());
    let (mut rates, mut ratios) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        let (mut random, mut count) = (7_u64, 0_u64);
        let began = Instant::now();
        while began.elapsed() < options.length {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let low = (random >> 33) % (USERS - 1);
            let high = low + 1 + (random >> 13) % (USERS - 1 - low);
            let page = store.messages(user(low)?, phone(high), Reach::Newest, PAGE).await?;
            if page.messages.len() as u64 != MESSAGES {
                return Err("a chat has another number of messages than it should".into());
            }
            count += 1;
        }
        let rate = count as f64 / began.elapsed().as_secs_f64();
        let [of_many, of_few] = [list(&store, many).await?, list(&store, few).await?];
        let ratio = of_many.as_secs_f64() / of_few.as_secs_f64();
        eprintln!(
            "round {round}: {rate:.0} lists/s; 20 of 10,000 chats {of_many:?}, of 20 {of_few:?}"
        );
        rates.push(rate);
        ratios.push(ratio);
    }
    println!("messages of a random chat, in the process: {:.0}/s", median(rates));
    println!("first 20 of 10,000 chats to the first 20 of 20: {:.2}", median(ratios));
    Ok(())
}

/// How long the first 20 chats of a user take.
async fn list(store: &Embedded, number: u64) -> Result<Duration, Error> {
    const TIMES: u32 = 2_000;
    let began = Instant::now();
    for _ in 0..TIMES {
        if store.chats(user(number)?, None, 20).await?.chats.len() != 20 {
            return Err("a user has fewer chats than he should".into());
        }
    }
    Ok(began.elapsed() / TIMES)
}
