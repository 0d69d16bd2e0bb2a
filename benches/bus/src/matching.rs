//! Finding those that want an event, among very many who want others, in the process.

use std::{
    env, fs,
    hint::black_box,
    process::Command,
    time::{Duration, Instant},
};

use switchboard_core::bus::{Interest, Matcher};
use switchboard_peers::{Error, figures::Rounds};

use crate::Options;

/// Subscriptions that match each topic.
pub(crate) const MATCHING: u32 = 10;

/// Events whose topics are there before they are looked for, as those are that have just come.
const AT_ONCE: usize = 1_000;

/// How many times so many, in a round.
const TIMES: usize = 500;

/// What events are of: no other in this benchmark.
const KIND: &str = "order.created";

/// How many subscriptions there are, and what their filters are like.
#[derive(Clone, Copy, Debug)]
struct Case {
    subscriptions: u32,
    filters: Filters,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Filters {
    /// Some are those of others, too: ten subscriptions have four.
    Shared,
    /// No two are the same.
    Own,
}

const CASES: [Case; 4] = [
    Case { subscriptions: 1_000_000, filters: Filters::Shared },
    Case { subscriptions: 100, filters: Filters::Shared },
    Case { subscriptions: 1_000_000, filters: Filters::Own },
    Case { subscriptions: 100, filters: Filters::Own },
];

/// What finds subscriptions.
#[derive(Debug)]
struct Subject {
    case: Case,
    matcher: Matcher,
}

pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let subjects = CASES.iter().map(|case| case.build()).collect::<Result<Vec<_>, _>>()?;
    let mut rounds: [Rounds; CASES.len()] = Default::default();
    for round in 1..=options.rounds {
        for (subject, rounds) in subjects.iter().zip(&mut rounds) {
            let ns = subject.match_many(TIMES)?;
            eprintln!("round {round}: {:?}: {ns:.0} ns", subject.case);
            rounds.add(ns);
        }
    }
    println!("| subscriptions, filters | ns to find {MATCHING} | bytes each | to 100 |");
    println!("|---|---|---|---|");
    for (place, case) in CASES.iter().enumerate() {
        let Case { subscriptions, filters } = case;
        // The next is the same with few.
        let (ratio, bytes) = if place % 2 == 0 {
            let ratio = rounds[place].to(&rounds[place + 1]);
            (format!("{ratio:.1}"), format!("{:.0}", bytes_each(place)?))
        } else {
            (String::new(), String::new())
        };
        println!("| {subscriptions}, {filters:?} | {:.0} | {bytes} | {ratio} |", rounds[place]);
    }
    Ok(())
}

/// The memory that a subscription takes, in a process that has no other.
fn bytes_each(case: usize) -> Result<f64, Error> {
    let mut command = Command::new(env::current_exe()?);
    let told = command.args(["matching-memory", &case.to_string()]).output()?.stdout;
    Ok(str::from_utf8(&told)?.trim().parse()?)
}

/// Tells what [`bytes_each`] asks.
pub(crate) fn memory(case: usize) -> Result<(), Error> {
    let case = CASES.get(case).ok_or("no such case")?;
    let before = resident()?;
    let subject = case.build()?;
    let grown = resident()? - before;
    println!("{}", grown / f64::from(case.subscriptions));
    drop(subject);
    Ok(())
}

impl Case {
    fn build(self) -> Result<Subject, Error> {
        let (mut matcher, mut number) = (Matcher::default(), 0);
        for group in 0..self.groups() {
            for filter in self.filters.of(group) {
                matcher.insert(&Interest::new([&*filter], [])?, number);
                number += 1;
            }
        }
        Ok(Subject { case: self, matcher })
    }

    /// Subscriptions to one topic are a group.
    fn groups(self) -> u32 {
        self.subscriptions / MATCHING
    }
}

impl Subject {
    /// Nanoseconds for each of many events of topics at random.
    #[expect(clippy::cast_precision_loss, reason = "half a million")]
    fn match_many(&self, times: usize) -> Result<f64, Error> {
        let (mut random, mut found, mut took) = (7_u64, 0, Duration::ZERO);
        for _ in 0..times {
            let topics: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                    let group = (random >> 33) % u64::from(self.case.groups());
                    topic(u32::try_from(group).unwrap_or_default())
                })
                .collect();
            let began = Instant::now();
            for topic in &topics {
                self.matcher.matching(topic, KIND, |subscription| {
                    black_box(subscription);
                    found += 1;
                });
            }
            took += began.elapsed();
        }
        if found == times * AT_ONCE * MATCHING as usize {
            Ok(took.as_secs_f64() * 1e9 / (times * AT_ONCE) as f64)
        } else {
            Err(format!("{found} were found").into())
        }
    }
}

/// The topic of a group of subscriptions.
pub(crate) fn topic(group: u32) -> String {
    format!("shop.{}.order-{group}.item.created", group % 1_000)
}

impl Filters {
    /// Those of a group, all of which match its topic, and no other.
    pub(crate) fn of(self, group: u32) -> Vec<String> {
        let (region, exact) = (group % 1_000, topic(group));
        let filter = |region: &str, rest: &str| format!("shop.{region}.order-{group}.{rest}");
        let region = region.to_string();
        match self {
            Self::Shared => {
                let own = vec![exact; 4];
                let any = vec![filter("*", "item.created"); 2];
                let last = vec![filter(&region, "item.*"); 2];
                let rest = vec![filter(&region, ">"); 2];
                [own, any, last, rest].concat()
            }
            Self::Own => {
                let rests = ["item.created", "item.*", "*.created", "item.>", ">"];
                let of = |region: &str| rests.map(|rest| filter(region, rest));
                [of(&region), of("*")].concat()
            }
        }
    }
}

/// Resident memory of this process, in bytes (proc(5)).
fn resident() -> Result<f64, Error> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("no VmRSS")?;
    Ok(kib.parse::<f64>()? * 1_024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topic_is_that_of_its_group() {
        for filters in [Filters::Shared, Filters::Own] {
            let case = Case { subscriptions: 20_000, filters };
            let subject = case.build().unwrap();
            assert_eq!(subject.matcher.len(), 20_000);
            assert!(subject.match_many(2).is_ok());
        }
    }
}
