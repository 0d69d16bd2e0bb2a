//! `switchboard queue consume`: works through a queue.

use std::time::Duration;

use clap::Args;
use switchboard_client::{
    Client,
    bus::{Consumer, Lease},
};
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;

use super::{
    super::{Bus, Stop, exec, note_break, show},
    Again,
};
use crate::{Failure, output};

/// Work through a queue until Ctrl-C: print each delivery as `switchboard queue pull` does, and
/// acknowledge it; with --exec, once a command has done it.
#[derive(Clone, Debug, Args)]
pub(super) struct Options {
    /// Its name.
    queue: String,

    /// A command of the shell, run for each delivery: it gets the data on its standard input, topic
    /// and type as `SWITCHBOARD_EVENT_TOPIC` and `SWITCHBOARD_EVENT_TYPE`. When it ends with 0 the
    /// delivery is acknowledged, otherwise it is given back, with what happened as the reason.
    #[arg(long, value_name = "COMMAND")]
    exec: Option<String>,

    /// How long the command may take, for example 5s or 10m; then it is killed. More than the
    /// queue's time to settle is too long.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "30s",
        value_parser = super::super::super::duration
    )]
    timeout: Duration,

    /// How many are taken and worked on at once; by default 1 with --exec, and 100 without.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    prefetch: Option<u32>,

    /// End after so many deliveries.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    #[command(flatten)]
    again: Again,
}

pub(super) async fn run(options: &Options, bus: &Bus, client: &Client) -> Result<(), Failure> {
    let mut stop = Stop::listen()?;
    let prefetch = options.prefetch.unwrap_or(if options.exec.is_some() { 1 } else { 100 });
    let consumer = tokio::select! {
        consumer = client.consume(&options.queue, prefetch) => consumer,
        () = stop.wait() => return Ok(()),
    };
    let mut consumer = consumer.map_err(bus.failed())?.with_breaks(note_break);
    output::note(format_args!("consuming {}", output::clean(&options.queue)));
    let mut working = JoinSet::new();
    let outcome = tokio::select! {
        outcome = work(options, bus, &mut consumer, &mut working) => outcome,
        () = stop.wait() => Ok(()),
    };
    // What is at work is given back, and its command killed.
    drop(working);
    consumer.close().await;
    outcome
}

/// Works until there was enough, or the consumer ends.
async fn work(
    options: &Options,
    bus: &Bus,
    consumer: &mut Consumer,
    working: &mut JoinSet<()>,
) -> Result<(), Failure> {
    let mut left = options.count.unwrap_or(u64::MAX);
    while 0 < left {
        let lease = tokio::select! {
            lease = consumer.next() => lease,
            Some(done) = working.join_next() => {
                done.map_err(|_| Failure::failed("a defect: the work panicked"))?;
                continue;
            }
        };
        let Some(lease) = lease else { return Ok(()) };
        let lease = lease.map_err(bus.failed())?;
        left -= 1;
        if !output::heard(|out| show::delivery(out, &lease, bus.target.json))? {
            return Ok(());
        }
        working.spawn(done(options.clone(), lease));
    }
    while let Some(done) = working.join_next().await {
        done.map_err(|_| Failure::failed("a defect: the work panicked"))?;
    }
    Ok(())
}

/// Does what is to be done for a delivery, and settles it.
async fn done(options: Options, lease: Lease) {
    let outcome = match &options.exec {
        Some(command) => exec::run(command, &lease.event, options.timeout).await.map(drop),
        None => Ok(()),
    };
    let id = output::clean(&lease.id);
    let settled = match outcome {
        Ok(()) => lease.ack().await,
        Err(why) => {
            output::note(format_args!("{id} is given back: {why}"));
            let reason = options.again.reason.as_deref().unwrap_or(&why);
            lease.nack(options.again.delay(), reason).await
        }
    };
    if let Err(error) = settled {
        output::note(format_args!("{id} is not settled: {}: {error}", error.code()));
    }
}
