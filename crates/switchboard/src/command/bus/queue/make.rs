//! `switchboard queue create`: makes a queue.

use clap::Args;
use serde_json::json;
use switchboard_client::{Client, bus::QueueSettings};

use super::super::{Bus, Wanted, show};
use crate::{Failure, output};

/// Make a queue, or find it as it is; one that has other settings is a conflict.
#[derive(Clone, Debug, Args)]
pub(super) struct Options {
    /// Its name: 1 to 64 of `A-Za-z0-9_-`.
    queue: String,

    #[command(flatten)]
    wanted: Wanted,

    /// How long a consumer may take to settle a delivery, in milliseconds, up to 43200000: 12
    /// hours.
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 30_000,
        value_parser = clap::value_parser!(u32).range(1_000..=43_200_000)
    )]
    ack_timeout_ms: u32,

    /// How often an event is delivered before it is given up.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..=1_000)
    )]
    max_deliveries: u32,

    /// Where events go that are given up; by default `sys.dead_letters.` and the queue's name.
    #[arg(long, value_name = "TOPIC")]
    dead_letter_topic: Option<String>,

    /// From where on a new queue has events: `now`, `start`, the sequence of an event, behind which
    /// it begins, a cursor, or a time in milliseconds since the Unix epoch, as @1763719200000.
    #[arg(long, value_name = "PLACE", default_value = "now")]
    after: String,
}

impl Options {
    fn settings(&self) -> QueueSettings {
        QueueSettings {
            interest: self.wanted.interest(),
            ack_timeout_ms: self.ack_timeout_ms,
            max_deliveries: self.max_deliveries,
            dead_letter_topic: self.dead_letter_topic.clone().unwrap_or_default(),
        }
    }
}

pub(super) async fn run(options: &Options, bus: &Bus, client: &Client) -> Result<(), Failure> {
    let made = client.create_queue(&options.queue, options.settings(), &options.after).await;
    let (queue, new) = made.map_err(bus.failed())?;
    if bus.target.json {
        let mut told = show::queue_json(&queue);
        told["new"] = json!(new);
        return output::line(format_args!("{told}"));
    }
    let told = show::queue(&queue);
    output::line(format_args!("{} {told}", if new { "made" } else { "there already:" }))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use switchboard_client::bus::Interest;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn parsed(arguments: &[&str]) -> Result<Options, clap::Error> {
        Ok(Cli::try_parse_from(["create"].iter().chain(arguments))?.options)
    }

    #[test]
    fn settings() {
        let options = parsed(&["mail", "orders.>", "carts.*", "--type", "c"]).unwrap();
        let expected = QueueSettings {
            interest: Interest::new(["orders.>", "carts.*"]).with_types(["c"]),
            ack_timeout_ms: 30_000,
            max_deliveries: 10,
            dead_letter_topic: String::new(),
        };
        assert_eq!((options.settings(), options.after.as_str()), (expected, "now"));
        for wrong in [
            &["mail"][..],
            &["mail", "a", "--ack-timeout-ms", "999"],
            &["mail", "a", "--max-deliveries", "0"],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }
}
