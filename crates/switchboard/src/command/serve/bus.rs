//! How the bus works.

use std::str::FromStr;

use clap::Args;
use switchboard_core::bus::{Retention, TopicFilter};
use switchboard_server::Limits;

/// For how long events are kept, and how much may wait for whom.
#[derive(Clone, Debug, Args)]
pub(crate) struct Topics {
    /// For how long the events of some topics are kept, as a filter, `=`, and an age (`90s`, `15m`,
    /// `12h`, `7d`), a size (`512MiB`, `20GiB`), or both with `/` between them:
    /// `orders.>=30d/20GiB`. The first rule whose filter matches a topic counts; where none does,
    /// events are kept for ever. Sizes are those of one tenant.
    #[arg(long, env = "SWITCHBOARD_RETENTION", default_value = "sys.>=7d", value_delimiter = ',')]
    retention: Vec<Rule>,

    /// Subscriptions of one session, and queues that it consumes.
    #[arg(
        long,
        env = "SWITCHBOARD_SESSION_SUBSCRIPTIONS_MAX",
        default_value_t = Limits::default().session_subscriptions_max
    )]
    session_subscriptions_max: usize,

    /// What may wait to be read of the events for one session or stream, in bytes; beyond it the
    /// reader is told that it is too slow, and closed.
    #[arg(
        long,
        env = "SWITCHBOARD_EVENTS_WAITING_BYTES_MAX",
        default_value_t = Limits::default().events_waiting_bytes_max
    )]
    events_waiting_bytes_max: usize,

    /// What all events take that wait for anybody, in bytes; beyond it only 64 KiB may wait for
    /// each.
    #[arg(
        long,
        env = "SWITCHBOARD_EVENTS_HELD_BYTES_MAX",
        default_value_t = Limits::default().events_held_bytes_max
    )]
    events_held_bytes_max: usize,

    /// Memory for the bus: half of it for events that were read lately, in MiB.
    #[arg(
        long,
        env = "SWITCHBOARD_BUS_MEMORY_MIB",
        default_value_t = 512,
        value_parser = clap::value_parser!(u32).range(2..=1_048_576)
    )]
    pub(crate) bus_memory_mib: u32,

    /// After how many MiB of events they are moved from the log to files of their own, from 1.
    #[arg(
        long,
        env = "SWITCHBOARD_CHECKPOINT_BUS_MIB",
        default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..=1024)
    )]
    pub(crate) checkpoint_bus_mib: u32,
}

impl Topics {
    /// The same limits, with those of events as they were given.
    pub(super) fn limit(&self, limits: Limits) -> Limits {
        Limits {
            session_subscriptions_max: self.session_subscriptions_max,
            events_waiting_bytes_max: self.events_waiting_bytes_max,
            events_held_bytes_max: self.events_held_bytes_max,
            ..limits
        }
    }

    /// For how long events are kept.
    pub(super) fn retention(&self) -> impl Iterator<Item = Retention> {
        self.retention.iter().map(|Rule(rule)| rule.clone())
    }
}

/// A rule as it is written.
#[derive(Clone, Debug)]
struct Rule(Retention);

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (filter, kept) = text.split_once('=').ok_or("write a filter, =, and an age or size")?;
        let filter = TopicFilter::new(filter).map_err(|error| error.to_string())?;
        let (mut age_ms, mut bytes) = (None, None);
        for part in kept.split('/') {
            match amount(part)? {
                Amount::Age(ms) if age_ms.is_none() => age_ms = Some(ms),
                Amount::Size(size) if bytes.is_none() => bytes = Some(size),
                _ => return Err(format!("{kept:?} has two ages or two sizes")),
            }
        }
        Ok(Self(Retention { filter, age_ms, bytes }))
    }
}

enum Amount {
    Age(i64),
    Size(u64),
}

/// The milliseconds of an age, by its unit.
const AGES: [(&str, i64); 4] = [("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// The bytes of a size, by its unit.
const SIZES: [(&str, u64); 5] =
    [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("B", 1)];

fn amount(text: &str) -> Result<Amount, String> {
    let wrong = || format!("{text:?} is no age, such as 7d, and no size, such as 20GiB");
    let digits = text.find(|symbol: char| !symbol.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let known = AGES.iter().find(|(name, _)| *name == unit);
    if let Some((_, ms)) = known {
        let age = number.parse().ok().and_then(|number: i64| number.checked_mul(*ms));
        return age.filter(|&age| 0 < age).map(Amount::Age).ok_or_else(wrong);
    }
    let known = SIZES.iter().find(|(name, _)| *name == unit);
    let bytes = known.and_then(|(_, bytes)| number.parse::<u64>().ok()?.checked_mul(*bytes));
    bytes.map(Amount::Size).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, Option<i64>, Option<u64>)>) {
        let rule = text.parse::<Rule>().ok();
        let read = rule.as_ref().map(|Rule(rule)| (rule.filter.as_str(), rule.age_ms, rule.bytes));
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn rules() {
        check("sys.>=7d", Some(("sys.>", Some(7 * 86_400_000), None)));
        check("a.*=90s", Some(("a.*", Some(90_000), None)));
        check("a=15m/20GiB", Some(("a", Some(900_000), Some(20 << 30))));
        check("a=512MiB/12h", Some(("a", Some(43_200_000), Some(512 << 20))));
        check(">=0B", Some((">", None, Some(0))));
        for wrong in [
            "",
            "a",
            "a=",
            "=7d",
            "a.>.b=7d",
            "a=7",
            "a=d",
            "a=7w",
            "a=-7d",
            "a=7d/8d",
            "a=0s",
            "a=1GiB/1MiB",
            "a=99999999999999d",
            "a=99999999999999TiB",
            "a=7d/",
        ] {
            check(wrong, None);
        }
    }
}
