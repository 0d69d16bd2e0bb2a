//! `switchboard ingest`: records keys from arguments, a file or standard input.

use std::{
    fs,
    io::{self, BufRead as _, IsTerminal as _},
    path::PathBuf,
    thread,
    time::Instant,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use switchboard_client::{Client, Receipt};
use switchboard_core::ingest::Key;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};

use super::Target;
use crate::{Failure, output};

/// Keys that were sent and wait for their receipt, at most.
const SENT_MAX: usize = 4_096;

/// Record keys: from arguments, a file, or standard input, a key a line.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,

    /// Whose keys they are.
    #[arg(long, env = "SWITCHBOARD_TENANT", default_value = "default")]
    tenant: String,

    /// Keys, for example K-4bbf1-P. Without any, they come from standard input.
    #[arg(value_name = "KEY", conflicts_with = "file")]
    keys: Vec<String>,

    /// A file with a key a line.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Print the summary alone.
    #[arg(long)]
    quiet: bool,
}

/// What was recorded.
#[derive(Debug, Default)]
struct Tally {
    new: u64,
    repeated: u64,
}

/// Records the keys and prints a receipt for each, and a summary.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let (keys, total) = source(options)?;
    super::block_on(record(options, keys, total))
}

/// Where keys come from, and how many there are if that is known. Arguments and files are looked at
/// whole first: one malformed key, and nothing is recorded.
fn source(options: &Options) -> Result<(mpsc::Receiver<Line>, Option<u64>), Failure> {
    let lines = if let Some(path) = &options.file {
        let text = fs::read_to_string(path)
            .map_err(|error| Failure::failed(format!("can't read {}: {error}", path.display())))?;
        let lines = text.lines().map(str::to_owned).enumerate();
        let keys = lines.filter_map(|(number, line)| parse("line", number, &line).transpose());
        keys.collect::<Result<Vec<_>, _>>().map_err(Failure::failed)?
    } else if !options.keys.is_empty() {
        let keys = options.keys.iter().enumerate();
        let keys = keys.filter_map(|(number, key)| parse("argument", number, key).transpose());
        keys.collect::<Result<Vec<_>, _>>().map_err(Failure::usage)?
    } else {
        return Ok((feed(read_stdin()), None));
    };
    let total = lines.len() as u64;
    Ok((feed(lines.into_iter().map(Ok)), Some(total)))
}

/// A key, or why reading ends.
type Line = Result<String, String>;

fn read_stdin() -> impl Iterator<Item = Line> + Send {
    let lines = io::BufReader::new(io::stdin()).lines().enumerate();
    lines.filter_map(|(number, line)| match line {
        Ok(line) => parse("line", number, &line).transpose(),
        Err(error) => Some(Err(format!("can't read line {}: {error}", number + 1))),
    })
}

/// The key in a line; none in a blank one.
fn parse(what: &str, number: usize, line: &str) -> Result<Option<String>, String> {
    let line = line.trim();
    if line.is_empty() && what == "line" {
        return Ok(None);
    }
    match line.parse::<Key>() {
        Ok(key) => Ok(Some(key.to_string())),
        Err(error) => Err(format!("{what} {}: {line:?}: {error}", number + 1)),
    }
}

/// Reads ahead on a thread of its own, since reading may block. Ends after the first error.
fn feed(lines: impl Iterator<Item = Line> + Send + 'static) -> mpsc::Receiver<Line> {
    let (sender, receiver) = mpsc::channel(SENT_MAX);
    thread::spawn(move || {
        for line in lines {
            let last = line.is_err();
            // The other end is gone when the node refused.
            if sender.blocking_send(line).is_err() || last {
                return;
            }
        }
    });
    receiver
}

async fn record(
    options: &Options,
    mut keys: mpsc::Receiver<Line>,
    total: Option<u64>,
) -> Result<(), Failure> {
    let client = Client::new(&options.target.url)
        .map_err(|error| Failure::usage(error.to_string()))?
        .with_tenant(options.tenant.as_str());
    let (sent, mut waiting) = mpsc::channel(SENT_MAX);
    let (sender, receiver) = mpsc::channel(SENT_MAX);
    let mut bad = None;
    let forward = async {
        while let Some(line) = keys.recv().await {
            match line {
                Ok(key) => {
                    if sent.send(key.clone()).await.is_err() || sender.send(key).await.is_err() {
                        break;
                    }
                }
                Err(what) => bad = Some(what),
            }
        }
        drop((sent, sender));
    };
    let failed = |error: switchboard_client::Error| {
        let url = &options.target.url;
        Failure::failed(format!("{} from {url}: {error}", error.code()))
    };
    let began = Instant::now();
    let bar = progress(options, total);
    let mut tally = Tally::default();
    let receive = async {
        let receipts = client.ingest_stream(ReceiverStream::new(receiver)).await.map_err(failed)?;
        tokio::pin!(receipts);
        while let Some(receipt) = receipts.next().await {
            let receipt = receipt.map_err(failed)?;
            let key = waiting.recv().await.unwrap_or_default();
            tell(options, &key, receipt, &mut tally)?;
            bar.inc(1);
        }
        // Whoever still forwards learns that nobody listens.
        drop(waiting);
        Ok(())
    };
    let ((), outcome) = tokio::join!(forward, receive);
    bar.finish_and_clear();
    summarize(&tally, began);
    outcome?;
    bad.map_or(Ok(()), |what| Err(Failure::failed(what)))
}

fn tell(options: &Options, key: &str, receipt: Receipt, tally: &mut Tally) -> Result<(), Failure> {
    let Receipt { timestamp, id, new } = receipt;
    if new {
        tally.new += 1;
    } else {
        tally.repeated += 1;
    }
    if options.quiet {
        return Ok(());
    }
    if options.target.json {
        let line = json!({"key": key, "timestamp": timestamp, "id": id, "new": new});
        return output::line(format_args!("{line}"));
    }
    output::line(format_args!("{id} {} {key}", if new { "new" } else { "known" }))
}

fn summarize(tally: &Tally, began: Instant) {
    let (keys, seconds) = (tally.new + tally.repeated, began.elapsed().as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 keys")]
    let rate = keys as f64 / seconds.max(0.001);
    output::note(format_args!(
        "{keys} keys: {} new, {} repeated, in {seconds:.1} s ({rate:.0}/s)",
        tally.new, tally.repeated
    ));
}

/// A bar where somebody watches and nothing else is printed to the same terminal.
fn progress(options: &Options, total: Option<u64>) -> ProgressBar {
    let watched = io::stderr().is_terminal() && (options.quiet || !io::stdout().is_terminal());
    if !watched {
        return ProgressBar::hidden();
    }
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{bar:40} {pos}/{len} {per_sec} {eta}"),
        None => (ProgressBar::new_spinner(), "{spinner} {pos} {per_sec}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
