//! `switchboard queue`: events that are shared among consumers.

mod consume;
mod dead_letters;
mod make;

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use switchboard_client::{
    Client,
    bus::{Settled, Settlement},
};

use super::{Bus, show};
use crate::{Failure, output};

/// The most deliveries that are settled by one request.
const SETTLED_MAX: usize = 1_000;

/// Make queues, look at them, and work through them.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    bus: Bus,

    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    Create(make::Options),
    /// List all queues, by name.
    List,
    /// Show all that is known of a queue.
    Stats {
        /// Its name.
        queue: String,
    },
    /// Take events, for as long as the queue's time to settle: a line each, with what it is settled
    /// by, the number of the attempt, and the event as `switchboard subscribe` shows it.
    Pull {
        /// Its name.
        queue: String,
        /// How many at most.
        #[arg(
            long,
            value_name = "N",
            default_value_t = 1,
            value_parser = clap::value_parser!(u32).range(1..=1_000)
        )]
        max: u32,
        /// How long to wait for the first, in milliseconds, up to 20000.
        #[arg(
            long,
            value_name = "MS",
            default_value_t = 0,
            value_parser = clap::value_parser!(u32).range(0..=20_000)
        )]
        wait_ms: u32,
    },
    /// Acknowledge deliveries: their events are done with.
    Ack {
        /// Its name.
        queue: String,
        /// What `switchboard queue pull` printed first.
        #[arg(required = true, value_name = "DELIVERY")]
        deliveries: Vec<String>,
    },
    /// Give deliveries back: their events are delivered again, or given up.
    Nack {
        /// Its name.
        queue: String,
        /// What `switchboard queue pull` printed first.
        #[arg(required = true, value_name = "DELIVERY")]
        deliveries: Vec<String>,
        #[command(flatten)]
        again: Again,
    },
    Consume(consume::Options),
    DeadLetters(dead_letters::Options),
    /// Remove a queue. Its events stay; what was delivered can't be settled any more.
    Delete {
        /// Its name.
        queue: String,
    },
}

/// How events are given back.
#[derive(Clone, Debug, Args)]
struct Again {
    /// After how long they are delivered again, in milliseconds, up to 43200000: 12 hours.
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 0,
        value_parser = clap::value_parser!(u32).range(0..=43_200_000)
    )]
    delay_ms: u32,
    /// Why, for people: up to 256 bytes.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Again {
    fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms.into())
    }
}

/// Does what is asked.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    super::super::block_on(ask(options))
}

async fn ask(options: &Options) -> Result<(), Failure> {
    let Options { bus, what } = options;
    let (client, failed, json) = (bus.client()?, bus.failed(), bus.target.json);
    match what {
        What::Create(create) => make::run(create, bus, &client).await,
        What::List => {
            for queue in client.queues().await.map_err(failed)? {
                if json {
                    output::line(format_args!("{}", show::queue_json(&queue)))?;
                } else {
                    output::line(format_args!("{}", show::queue(&queue)))?;
                }
            }
            Ok(())
        }
        What::Stats { queue } => {
            let queue = client.queue(queue).await.map_err(failed)?;
            if json {
                return output::line(format_args!("{}", show::queue_json(&queue)));
            }
            output::line(format_args!("{}", show::queue_at_length(&queue)))
        }
        What::Pull { queue, max, wait_ms } => {
            let wait = Duration::from_millis((*wait_ms).into());
            let deliveries = client.pull(queue, *max, wait).await.map_err(failed)?;
            if deliveries.is_empty() {
                output::note(format_args!("nothing waits in {}", output::clean(queue)));
            }
            output::printed(|out| {
                deliveries.iter().try_for_each(|delivery| show::delivery(out, delivery, json))
            })
        }
        What::Ack { queue, deliveries } => {
            settle(bus, &client, queue, deliveries, Settlement::ack).await
        }
        What::Nack { queue, deliveries, again } => {
            let reason = again.reason.as_deref().unwrap_or_default();
            let give_back = |some: &[String]| {
                Settlement::nack(some).with_delay(again.delay()).with_reason(reason)
            };
            settle(bus, &client, queue, deliveries, give_back).await
        }
        What::Consume(consume) => consume::run(consume, bus, &client).await,
        What::DeadLetters(list) => dead_letters::run(list, bus, &client).await,
        What::Delete { queue } => {
            let deleted = client.delete_queue(queue).await.map_err(failed)?;
            if json {
                return output::line(format_args!("{}", json!({"deleted": deleted})));
            }
            output::line(format_args!("{}", if deleted { "deleted" } else { "there was none" }))
        }
    }
}

/// Settles deliveries, and tells which were refused: it has failed then.
async fn settle<'a>(
    bus: &Bus,
    client: &Client,
    queue: &str,
    deliveries: &'a [String],
    settlement: impl Fn(&'a [String]) -> Settlement,
) -> Result<(), Failure> {
    let mut all = Settled { done: 0, refused: Vec::new() };
    for some in deliveries.chunks(SETTLED_MAX) {
        let settled = client.settle(queue, settlement(some)).await.map_err(bus.failed())?;
        all.done += settled.done;
        all.refused.extend(settled.refused);
    }
    let Settled { done, refused } = all;
    if bus.target.json {
        let refused = refused.iter().map(|it| json!({"delivery": it.id, "code": it.code}));
        let refused: Vec<_> = refused.collect();
        output::line(format_args!("{}", json!({"done": done, "refused": refused})))?;
    } else {
        output::line(format_args!("{done} settled"))?;
    }
    let Some(first) = refused.first() else { return Ok(()) };
    let why = match &*first.code {
        "conflict" => "its time was up, and it is delivered again",
        _ => "it was settled before, or never was",
    };
    let (count, id, code) = (refused.len(), output::clean(&first.id), &first.code);
    Err(Failure::failed(format!("{count} were not settled; the first: {id}: {code}: {why}")))
}
