//! `switchboard publish`: one event, or one for every line.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    thread,
    time::Instant,
};

use clap::Args;
use serde_json::json;
use switchboard_client::bus::{DATA_BYTES_MAX, Draft, Published};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};

use super::{
    Bus,
    data::{Data, Given},
};
use crate::{Failure, output};

/// Events that were sent and wait for their answer, at most.
const SENT_MAX: usize = 4_096;

/// Publish an event to a topic: on disk once its sequence is printed.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    bus: Bus,

    /// Up to 8 words with dots between them, as orders.eu.created.
    topic: String,

    #[command(flatten)]
    given: Given,

    /// What kind of event it is: 1 to 128 of `A-Za-z0-9._-`, as order.created.
    #[arg(long = "type", id = "type", value_name = "TYPE")]
    kind: String,

    /// The idempotency key, 1 to 128 bytes: the same again publishes nothing new. With --lines,
    /// that of each line is this, a dash and the number of the line.
    #[arg(long, value_name = "KEY", conflicts_with = "ephemeral")]
    key: Option<String>,

    /// To those who are subscribed right now, at most once; it is not kept.
    #[arg(long)]
    ephemeral: bool,

    /// Publish each line of standard input or the file as an event of its own, but for empty ones,
    /// and a summary. Lines are sent ahead of their answers.
    #[arg(long, conflicts_with = "data")]
    lines: bool,

    /// With --lines, print the summary alone.
    #[arg(long, requires = "lines", conflicts_with = "data")]
    quiet: bool,
}

/// Publishes and prints what became of it.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if options.lines {
        return super::super::block_on(each_line(options));
    }
    let data = options.given.read()?;
    super::super::block_on(async {
        let draft = options.draft(data, options.key.clone());
        let published = options.bus.client()?.publish(draft).await;
        tell(options, published.map_err(options.bus.failed())?)
    })
}

impl Options {
    fn draft(&self, Data { bytes, content_type }: Data, key: Option<String>) -> Draft {
        let draft = Draft::new(self.topic.as_str(), self.kind.as_str(), bytes);
        Draft { key, ephemeral: self.ephemeral, ..draft.with_content_type(content_type) }
    }
}

fn tell(options: &Options, published: Published) -> Result<(), Failure> {
    let Published { sequence, new } = published;
    if options.bus.target.json {
        return output::line(format_args!("{}", json!({"sequence": sequence, "new": new})));
    }
    match (options.ephemeral, new) {
        (true, _) => output::line(format_args!("published")),
        (false, true) => output::line(format_args!("published {sequence}")),
        (false, false) => output::line(format_args!("published {sequence} (before)")),
    }
}

async fn each_line(options: &Options) -> Result<(), Failure> {
    let (client, failed) = (options.bus.client()?, options.bus.failed());
    let Lines { mut numbers, drafts, reading } = Lines::open(options)?;
    let began = Instant::now();
    let mut count = 0_u64;
    let mut answers = client.publish_stream(ReceiverStream::new(drafts)).await.map_err(&failed)?;
    let outcome = loop {
        match answers.next().await {
            None => break Ok(()),
            Some(Ok(published)) => {
                count += 1;
                let _ = numbers.recv().await;
                if !options.quiet {
                    tell(options, published)?;
                }
            }
            Some(Err(error)) => {
                let line = numbers.recv().await.map(|line| format!("line {line}: "));
                let Failure { message, code } = failed(error);
                let message = format!("{}{message}", line.unwrap_or_default());
                break Err(Failure { message, code });
            }
        }
    };
    let seconds = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 events")]
    let rate = count as f64 / seconds.max(0.001);
    output::note(format_args!("{count} events published in {seconds:.1} s ({rate:.0}/s)"));
    outcome?;
    // All was answered, so all was read.
    reading
        .join()
        .unwrap_or_else(|_| Err("a defect: reading panicked".to_owned()))
        .map_err(Failure::failed)
}

/// Lines that are read on a thread of their own, since reading may block.
struct Lines {
    /// The number of each line that is published.
    numbers: mpsc::Receiver<u64>,
    drafts: mpsc::Receiver<Draft>,
    /// Why reading ended before the end.
    reading: thread::JoinHandle<Result<(), String>>,
}

impl Lines {
    fn open(options: &Options) -> Result<Self, Failure> {
        let input: Box<dyn BufRead + Send> = match &options.given.file {
            None => Box::new(BufReader::new(io::stdin())),
            Some(path) => Box::new(BufReader::new(File::open(path).map_err(|error| {
                Failure::failed(format!("can't read {}: {error}", path.display()))
            })?)),
        };
        let (counted, numbers) = mpsc::channel(SENT_MAX);
        let (sent, drafts) = mpsc::channel(SENT_MAX);
        let options = options.clone();
        let reading = thread::spawn(move || {
            read(input, |number, line| {
                let data = options.given.of(line, false);
                let key = options.key.as_ref().map(|key| format!("{key}-{number}"));
                let draft = options.draft(data, key);
                // The other end is gone when the node refused.
                counted.blocking_send(number).is_ok() && sent.blocking_send(draft).is_ok()
            })
        });
        Ok(Self { numbers, drafts, reading })
    }
}

/// Reads lines, with their numbers, without line breaks and but for empty ones, until `take` wants
/// no more.
fn read(mut input: impl BufRead, mut take: impl FnMut(u64, Vec<u8>) -> bool) -> Result<(), String> {
    for number in 1.. {
        let mut line = Vec::new();
        // No more than an event has, and a line break.
        let mut limited = io::Read::take(&mut input, DATA_BYTES_MAX as u64 + 2);
        let read = limited.read_until(b'\n', &mut line);
        if read.map_err(|error| format!("can't read line {number}: {error}"))? == 0 {
            break;
        }
        line.pop_if(|last| *last == b'\n');
        line.pop_if(|last| *last == b'\r');
        if DATA_BYTES_MAX < line.len() {
            return Err(format!("line {number} has more than {DATA_BYTES_MAX} bytes"));
        }
        if !line.is_empty() && !take(number, line) {
            break;
        }
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

    fn parsed(arguments: &[&str]) -> Result<Options, String> {
        let arguments = ["publish", "a.b"].iter().chain(arguments);
        Cli::try_parse_from(arguments).map(|cli| cli.options).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_said_is_what_is_published() {
        let options = parsed(&["1", "--type", "c", "--key", "k"]).unwrap();
        let draft = options.draft(options.given.read().unwrap(), options.key.clone());
        assert_eq!(draft, Draft::json("a.b", "c", "1").with_key("k"));
        let options = parsed(&["x", "--type", "c", "--ephemeral"]).unwrap();
        let draft = options.draft(options.given.read().unwrap(), None);
        let text = Draft::new("a.b", "c", "x").with_content_type("text/plain;charset=utf-8");
        assert_eq!(draft, text.ephemeral());
    }

    #[test]
    fn wrong_usage() {
        for arguments in [
            &["1"][..],
            &["1", "--type", "c", "--lines"],
            &["1", "--type", "c", "--quiet"],
            &["1", "--type", "c", "--key", "k", "--ephemeral"],
            &["1", "2", "--type", "c"],
        ] {
            assert!(parsed(arguments).is_err(), "{arguments:?}");
        }
    }

    fn lines(text: &[u8]) -> (Vec<(u64, String)>, Result<(), String>) {
        let mut taken = Vec::new();
        let outcome = read(text, |number, line| {
            taken.push((number, String::from_utf8(line).unwrap()));
            taken.len() < 3
        });
        (taken, outcome)
    }

    #[test]
    fn lines_keep_their_numbers() {
        let (taken, outcome) = lines(b"a\n\n \r\nb");
        let expected = [(1, "a".to_owned()), (3, " ".to_owned()), (4, "b".to_owned())];
        assert_eq!((&taken[..], outcome), (&expected[..], Ok(())));
        assert_eq!(lines(b"a\nb\nc\nd\n").0.len(), 3, "until nobody wants more");
        let longest = "x".repeat(DATA_BYTES_MAX);
        let (taken, outcome) = lines(format!("{longest}\r\nb\n").as_bytes());
        assert_eq!((taken.len(), outcome), (2, Ok(())));
        let (taken, outcome) = lines(format!("a\n{longest}x\nb\n").as_bytes());
        assert_eq!(taken.len(), 1);
        assert_eq!(outcome.unwrap_err(), "line 2 has more than 1048576 bytes");
    }
}
