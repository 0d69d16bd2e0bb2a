//! Finding those that want an event, among very many who want others, in the process.

use std::{fs, hint::black_box, time::Instant};

use switchboard_core::bus::{Matcher, TopicFilter};
use switchboard_peers::{Error, figures::Rounds};

use crate::Options;

/// Subscriptions that match each topic.
const MATCHING: u32 = 10;

/// How many subscriptions there are: many, and few beside them.
const SUBSCRIPTIONS: [u32; 2] = [1_000_000, 100];

/// Events of a round.
const EVENTS: usize = 1_000_000;

/// What events are of: no other in this benchmark.
const KIND: &str = "order.created";

/// What finds subscriptions.
struct Subject {
    topics: Vec<String>,
    /// The growth of resident memory for each subscription.
    bytes: f64,
    matcher: Matcher,
}

pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let subjects = [Subject::new(SUBSCRIPTIONS[0])?, Subject::new(SUBSCRIPTIONS[1])?];
    let mut rounds: [Rounds; SUBSCRIPTIONS.len()] = Default::default();
    for round in 1..=options.rounds {
        for ((subject, rounds), count) in subjects.iter().zip(&mut rounds).zip(SUBSCRIPTIONS) {
            let ns = subject.match_all()?;
            eprintln!("round {round}: {count} subscriptions, {ns:.0} ns an event");
            rounds.add(ns);
        }
    }
    println!("| subscriptions | ns to find {MATCHING} | bytes each | to few |\n|---|---|---|---|");
    let [many, few] = &rounds;
    let bytes = subjects[0].bytes;
    println!("| {} | {many:.0} | {bytes:.0} | {:.2} |", SUBSCRIPTIONS[0], many.to(few));
    println!("| {} | {few:.0} | | |", SUBSCRIPTIONS[1]);
    Ok(())
}

impl Subject {
    fn new(subscriptions: u32) -> Result<Self, Error> {
        let groups = subscriptions / MATCHING;
        let topics: Vec<_> = (0..groups).map(topic).collect();
        let (before, mut matcher, mut number) = (resident()?, Matcher::default(), 0);
        for group in 0..groups {
            for filter in filters(group) {
                matcher.insert(&TopicFilter::new(&filter)?, None, number);
                number += 1;
            }
        }
        let bytes = (resident()? - before) / f64::from(number);
        Ok(Self { topics, bytes, matcher })
    }

    /// Nanoseconds for each of many events of topics at random.
    #[expect(clippy::cast_precision_loss, reason = "a million")]
    fn match_all(&self) -> Result<f64, Error> {
        let (mut random, mut found) = (7_u64, 0);
        let began = Instant::now();
        for _ in 0..EVENTS {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let place = usize::try_from(random >> 33)? % self.topics.len();
            self.matcher.matching(&self.topics[place], KIND, |subscription| {
                black_box(subscription);
                found += 1;
            });
        }
        let took = began.elapsed();
        if found == EVENTS * MATCHING as usize {
            Ok(took.as_secs_f64() * 1e9 / EVENTS as f64)
        } else {
            Err(format!("{found} were found").into())
        }
    }
}

/// The topic of a group of subscriptions.
fn topic(group: u32) -> String {
    format!("shop.{}.order-{group}.created", group % 1_000)
}

/// The filters of a group, all of which match its topic, and no other.
fn filters(group: u32) -> Vec<String> {
    let exact = topic(group);
    let any = format!("shop.*.order-{group}.created");
    let last = format!("shop.{}.order-{group}.*", group % 1_000);
    let rest = format!("shop.{}.order-{group}.>", group % 1_000);
    let of = |filter: &String, times| vec![filter.clone(); times];
    [of(&exact, 4), of(&any, 2), of(&last, 2), of(&rest, 2)].concat()
}

/// Resident memory of this process, in bytes (proc(5)).
fn resident() -> Result<f64, Error> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("no VmRSS")?;
    Ok(kib.parse::<f64>()? * 1_024.0)
}
