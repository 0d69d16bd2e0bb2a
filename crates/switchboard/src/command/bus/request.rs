//! `switchboard request`: asks a question, and prints the answer.

use std::{
    io::{self, IsTerminal as _, Write},
    time::Duration,
};

use clap::Args;
use switchboard_client::bus::{Draft, Event};

use super::{Bus, data::Given, show};
use crate::{Failure, output};

/// Ask whoever responds on a topic, and print the data of the first answer.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    bus: Bus,

    /// Up to 8 words with dots between them, as prices.get.
    topic: String,

    #[command(flatten)]
    given: Given,

    /// What kind of event the question is: 1 to 128 of `A-Za-z0-9._-`.
    #[arg(long = "type", id = "type", value_name = "TYPE")]
    kind: String,

    /// How long to wait for an answer, for example 5s or 500ms; then it fails.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = super::super::duration)]
    timeout: Duration,
}

/// Asks, waits, and prints the answer.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let data = options.given.read()?;
    super::super::block_on(async {
        let draft = Draft::new(options.topic.as_str(), options.kind.as_str(), data.bytes);
        let draft = draft.with_content_type(data.content_type);
        let answer = options.bus.client()?.request(draft, options.timeout).await;
        let answer = answer.map_err(options.bus.failed())?;
        output::printed(|out| {
            if options.bus.target.json {
                return show::event(out, &answer, true);
            }
            print(out, &answer, io::stdout().is_terminal())
        })
    })
}

/// The data of an answer: a text with a line break behind it, on a terminal escaped; other bytes as
/// they are.
fn print(out: &mut dyn Write, answer: &Event, to_terminal: bool) -> io::Result<()> {
    match str::from_utf8(&answer.data) {
        Ok(text) if to_terminal => writeln!(out, "{}", output::clean(text)),
        Ok(text) if !text.ends_with('\n') => writeln!(out, "{text}"),
        _ => out.write_all(&answer.data),
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

    #[test]
    fn a_time_has_a_unit() {
        let timeout = |arguments: &[&str]| {
            let arguments = ["request", "a", "1", "--type", "c"].iter().chain(arguments);
            Cli::try_parse_from(arguments).ok().map(|cli| cli.options.timeout)
        };
        assert_eq!(timeout(&[]), Some(Duration::from_secs(5)));
        assert_eq!(timeout(&["--timeout", "500ms"]), Some(Duration::from_millis(500)));
        assert_eq!(timeout(&["--timeout", "5 days"]), None);
    }

    #[test]
    fn an_answer_is_printed_as_it_is_but_not_to_a_terminal() {
        let check = |data: &[u8], to_terminal, expected: &[u8]| {
            let mut answer = Event::from(switchboard_proto::v1::Event::default());
            answer.data = data.to_vec();
            let mut out = Vec::new();
            print(&mut out, &answer, to_terminal).unwrap();
            assert_eq!(out, expected);
        };
        check(b"1", false, b"1\n");
        check(b"1\n", false, b"1\n");
        check(b"\x1b[31m", false, b"\x1b[31m\n");
        check(b"\x1b[31m", true, b"\\u{1b}[31m\n");
        check(b"\xff", false, b"\xff");
    }
}
