//! `switchboard respond`: answers questions with a text, or with what a command writes.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use switchboard_client::bus::{Event, Reply};

use super::{Bus, Stop, Wanted, data::Data, exec, note_break};
use crate::{Failure, output};

/// Answer requests, until Ctrl-C: with a text, or with what a command writes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    bus: Bus,

    #[command(flatten)]
    wanted: Wanted,

    /// A command of the shell, run for each request, up to 64 at once: it gets the data on its
    /// standard input, topic and type as `SWITCHBOARD_EVENT_TOPIC` and `SWITCHBOARD_EVENT_TYPE`,
    /// and what it writes to standard output is the answer. There is none when it ends with
    /// another code than 0.
    #[arg(long, value_name = "COMMAND", required_unless_present = "data")]
    exec: Option<String>,

    /// A text that is the answer to everything.
    #[arg(long, value_name = "TEXT", conflicts_with = "exec")]
    data: Option<String>,

    /// The type of the answers.
    #[arg(long, value_name = "TYPE", default_value = "reply")]
    reply_type: String,

    /// What the answers are, and that they are taken byte for byte. By default those that are JSON
    /// are `application/json`, other texts `text/plain;charset=utf-8`, anything else
    /// `application/octet-stream`; and a line break at the end of what a command wrote is no part
    /// of a text.
    #[arg(long, value_name = "CONTENT_TYPE")]
    content_type: Option<String>,

    /// How long the command may take, for example 5s or 500ms; then it is killed.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = super::super::duration)]
    timeout: Duration,
}

/// Answers until a signal comes.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    super::super::block_on(respond(options))
}

async fn respond(options: &Options) -> Result<(), Failure> {
    let (client, failed) = (options.bus.client()?, options.bus.failed());
    let mut stop = Stop::listen()?;
    let subscribed = tokio::select! {
        subscribed = client.subscribe(options.wanted.interest(), "now") => subscribed,
        () = stop.wait() => return Ok(()),
    };
    let requests = subscribed.map_err(&failed)?.with_breaks(note_break);
    output::note(format_args!("responding"));
    tokio::select! {
        ended = requests.respond(async |request| answer(options, &request).await) => {
            ended.map_err(failed)
        }
        () = stop.wait() => Ok(()),
    }
}

/// The answer to a request, which is told.
async fn answer(options: &Options, request: &Event) -> Option<Reply> {
    let data = match (&options.exec, &options.data) {
        (Some(command), _) => exec::run(command, request, options.timeout).await,
        (None, text) => Ok(text.clone().unwrap_or_default().into_bytes()),
    };
    let error = data.as_ref().err();
    // Where nobody listens, requests are answered all the same.
    let _ = output::line(format_args!("{}", told(options, request, error)));
    let bytes = data.ok()?;
    let Data { bytes, content_type } = match options.content_type.clone() {
        Some(content_type) => Data { bytes, content_type },
        None => Data::guessed(bytes, options.exec.is_some()),
    };
    Some(Reply { content_type, ..Reply::new(options.reply_type.as_str(), bytes) })
}

fn told(options: &Options, request: &Event, error: Option<&String>) -> String {
    let (topic, kind) = (&request.topic, &request.kind);
    if options.bus.target.json {
        let answered = error.is_none();
        return json!({"topic": topic, "type": kind, "answered": answered, "error": error})
            .to_string();
    }
    let (topic, kind) = (output::clean(topic), output::clean(kind));
    match error {
        None => format!("answered {topic} {kind}"),
        Some(error) => format!("not answered {topic} {kind}: {error}"),
    }
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

    fn parsed(arguments: &[&str]) -> Result<Options, clap::Error> {
        Ok(Cli::try_parse_from(["respond"].iter().chain(arguments))?.options)
    }

    #[tokio::test]
    async fn answers() {
        let mut request = Event::from(switchboard_proto::v1::Event::default());
        request.data = b"CHF".to_vec();
        for (arguments, expected) in [
            (&["a", "--data", "1"][..], Some(Reply::json("reply", "1"))),
            (&["a", "--exec", "cat; echo", "--reply-type", "price"], {
                let content_type = "text/plain;charset=utf-8".to_owned();
                Some(Reply { content_type, ..Reply::new("price", "CHF") })
            }),
            (&["a", "--exec", "echo 1", "--content-type", "a/b"], {
                Some(Reply { content_type: "a/b".to_owned(), ..Reply::new("reply", "1\n") })
            }),
            (&["a", "--exec", "exit 1"], None),
            (&["a", "--exec", "sleep 1000", "--timeout", "50ms"], None),
        ] {
            let options = parsed(arguments).unwrap();
            assert_eq!(answer(&options, &request).await, expected, "{arguments:?}");
        }
    }

    #[test]
    fn there_is_one_source_of_answers() {
        for wrong in [&["a"][..], &["--data", "1"], &["a", "--data", "1", "--exec", "cat"]] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }
}
