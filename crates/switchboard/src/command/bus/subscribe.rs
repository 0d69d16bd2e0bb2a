//! `switchboard subscribe`: prints events as they come.

use clap::Args;
use tokio_stream::StreamExt as _;

use super::{Bus, Stop, Wanted, note_break, show};
use crate::{Failure, output};

/// Print events as they come, a line an event, until Ctrl-C: sequence (`-` for one that is not
/// kept), time, topic, type and data. Goes on by itself behind the last event when the connection
/// breaks.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    bus: Bus,

    #[command(flatten)]
    wanted: Wanted,

    /// From where on: `now`, `start`, the sequence of an event, behind which it begins, a cursor,
    /// or a time in milliseconds since the Unix epoch, as @1763719200000.
    #[arg(long, value_name = "PLACE", default_value = "now")]
    after: String,

    /// End after so many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

/// Prints events until there were enough, a signal comes, or nobody reads any more.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    super::super::block_on(follow(options))
}

async fn follow(options: &Options) -> Result<(), Failure> {
    let (client, failed) = (options.bus.client()?, options.bus.failed());
    let mut stop = Stop::listen()?;
    let subscribed = tokio::select! {
        subscribed = client.subscribe(options.wanted.interest(), &options.after) => subscribed,
        () = stop.wait() => return Ok(()),
    };
    let mut events = subscribed.map_err(&failed)?.with_breaks(note_break);
    output::note(format_args!("subscribed behind {}", output::clean(&events.cursor())));
    let mut left = options.count;
    while left != Some(0) {
        let event = tokio::select! {
            event = events.next() => event,
            () = stop.wait() => return Ok(()),
        };
        let Some(event) = event else { return Ok(()) };
        let event = event.map_err(&failed)?;
        if !output::heard(|out| show::event(out, &event, options.bus.target.json))? {
            return Ok(());
        }
        left = left.map(|left| left - 1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn filters_and_types() {
        let arguments = ["subscribe", "a.*", "b.>", "--type", "c", "--type", "d", "--count", "3"];
        let options = Cli::try_parse_from(arguments).unwrap().options;
        let interest = options.wanted.interest();
        assert_eq!(
            (&interest.topics[..], &interest.types[..]),
            (&["a.*".to_owned(), "b.>".to_owned()][..], &["c".to_owned(), "d".to_owned()][..])
        );
        assert_eq!((options.after.as_str(), options.count), ("now", Some(3)));
        for wrong in [&["subscribe"][..], &["subscribe", "a", "--count", "0"]] {
            assert!(Cli::try_parse_from(wrong).is_err(), "{wrong:?}");
        }
    }
}
