//! `switchboard queue dead-letters`: what a queue gave up.

use clap::Args;
use switchboard_client::{
    Client,
    bus::{Event, Interest},
};

use super::super::{Bus, show};
use crate::{Failure, output};

/// How many events are read at once.
const PAGE: u32 = 100;

/// List the events that a queue gave up, the oldest first: sequence and time of the dead letter,
/// the topic and sequence that the event had, its type, how often it was delivered, why it was
/// given up, and its data.
#[derive(Clone, Debug, Args)]
pub(super) struct Options {
    /// Its name. One that was deleted is looked for on the topic that is its own by default.
    queue: String,

    /// From where on: `start`, the sequence of a dead letter, behind which it begins, a cursor, or
    /// a time in milliseconds since the Unix epoch, as @1763719200000.
    #[arg(long, value_name = "PLACE", default_value = "start")]
    after: String,

    /// How many to list; all of them, if it is not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

pub(super) async fn run(options: &Options, bus: &Bus, client: &Client) -> Result<(), Failure> {
    let failed = bus.failed();
    let topic = match client.queue(&options.queue).await {
        Ok(queue) => queue.settings.dead_letter_topic,
        Err(error) if error.code() == "not_found" => own_topic(&options.queue),
        Err(error) => return Err(failed(error)),
    };
    let interest = Interest::new([topic]);
    let mut after = options.after.clone();
    let mut left = options.limit.unwrap_or(u64::MAX);
    let mut any = false;
    loop {
        let page = client.read_events(&interest, &after, PAGE).await.map_err(&failed)?;
        if page.events.is_empty() {
            break;
        }
        for event in page.events.iter().filter(|event| is_of(event, &options.queue)) {
            if left == 0 {
                return Ok(());
            }
            (left, any) = (left - 1, true);
            let json = bus.target.json;
            if !output::heard(|out| show::dead_letter(out, event, json))? {
                return Ok(());
            }
        }
        after = page.next_cursor;
    }
    if !any {
        output::note(format_args!("{} gave up nothing", output::clean(&options.queue)));
    }
    Ok(())
}

/// Where the events go of a queue that was told nothing else.
fn own_topic(queue: &str) -> String {
    format!("sys.dead_letters.{queue}")
}

/// Whether this queue gave it up: a topic may be that of several.
fn is_of(event: &Event, queue: &str) -> bool {
    event.dead_letter.as_ref().is_some_and(|letter| letter.queue == queue)
}
