//! `switchboard vault retrieve`: prints the records that a key opens, as they come.

use std::io::{self, Write};

use clap::Args;
use serde_json::json;
use switchboard_client::vault::{Record, RetrieveOptions, VaultContent};
use tokio_stream::StreamExt as _;

use super::key;
use crate::{
    Failure,
    output::{self, base64, one_line},
};

/// Print the records that the key opens, ordered by id: the id, a tab, and the JSON or, of bytes, a
/// `data:` URL.
#[derive(Clone, Debug, Args)]
pub(super) struct Options {
    /// An id, or a pattern: each * stands for any characters.
    pattern: String,

    /// The most records; 0: all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    limit: u32,

    /// Print the values alone: JSON as it was stored and a newline, or exactly the bytes.
    #[arg(long)]
    value_only: bool,

    #[command(flatten)]
    key: key::Given,
}

/// How records are printed.
#[derive(Clone, Copy, Debug)]
enum Form {
    Line,
    Json,
    ValueOnly,
}

pub(super) fn run(options: &Options, vault: &super::Options) -> Result<(), Failure> {
    let Options { pattern, limit, value_only, key } = options;
    let key = key.read(false)?;
    let form = match (value_only, vault.target.json) {
        (true, _) => Form::ValueOnly,
        (false, true) => Form::Json,
        (false, false) => Form::Line,
    };
    vault.ask(async |client, failed| {
        let from = RetrieveOptions { limit: *limit, cursor: String::new() };
        let mut records = client.retrieve(pattern, &key, from).await.map_err(failed)?;
        let mut any = false;
        while let Some(record) = records.next().await {
            any = true;
            let record = record.map_err(failed)?;
            output::printed(|mut out| show(&mut out, &record, form))?;
        }
        if !any {
            output::note(format_args!("nothing under {pattern} opens with this key"));
        }
        Ok(())
    })
}

fn show(out: &mut impl Write, record: &Record, form: Form) -> io::Result<()> {
    match (form, record.value.content()) {
        (Form::ValueOnly, VaultContent::Json(text)) => writeln!(out, "{text}"),
        (Form::ValueOnly, VaultContent::Bytes { data, .. }) => out.write_all(data),
        (Form::Line, content) => {
            write!(out, "{}\t", output::clean(&record.id))?;
            match content {
                VaultContent::Json(text) => one_line(out, text)?,
                VaultContent::Bytes { content_type, data } => {
                    write!(out, "data:{};base64,", output::clean(content_type))?;
                    base64(out, data)?;
                }
                _ => write!(out, "something that this version does not know")?,
            }
            writeln!(out)
        }
        (Form::Json, content) => {
            let Record { id, version, updated_at, expires_at, .. } = record;
            write!(out, "{{\"id\":{}", json!(id))?;
            match content {
                VaultContent::Json(text) => {
                    // As it is written: read as a number and written again, it may be another.
                    write!(out, ",\"value\":")?;
                    one_line(out, text)?;
                }
                VaultContent::Bytes { content_type, data } => {
                    write!(out, ",\"content_type\":{},\"bytes\":\"", json!(content_type))?;
                    base64(out, data)?;
                    write!(out, "\"")?;
                }
                _ => {}
            }
            let expires_at = json!(expires_at);
            let times = format_args!("\"updated_at\":{updated_at},\"expires_at\":{expires_at}");
            writeln!(out, ",\"version\":{version},{times}}}")
        }
        (Form::ValueOnly, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use switchboard_client::vault::VaultValue;

    use super::*;

    fn shown(value: VaultValue, form: Form) -> String {
        let id = "a \"b\"".to_owned();
        let (updated_at, cursor) = (1_790_000_000_000, "c".to_owned());
        let record = Record { id, value, version: 7, updated_at, expires_at: Some(9), cursor };
        let mut out = Vec::new();
        show(&mut out, &record, form).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_is_printed_as_it_is_written() {
        let value = || VaultValue::json("{\"pi\": 3.10, \"big\":10000000000000000000001}");
        assert_eq!(
            shown(value(), Form::Line),
            "a \"b\"\t{\"pi\": 3.10, \"big\":10000000000000000000001}\n"
        );
        assert_eq!(
            shown(value(), Form::ValueOnly),
            "{\"pi\": 3.10, \"big\":10000000000000000000001}\n"
        );
        assert_eq!(
            shown(value(), Form::Json),
            "{\"id\":\"a \\\"b\\\"\",\"value\":{\"pi\": 3.10, \
             \"big\":10000000000000000000001},\"version\":7,\"updated_at\":1790000000000,\
             \"expires_at\":9}\n"
        );
    }

    #[test]
    fn one_record_is_one_line_and_does_not_steer_the_terminal() {
        let text = "{\r\n\t\"a\": \"\u{9b}31m\u{7f}é\"\n}";
        let value = || VaultValue::json(text);
        assert_eq!(shown(value(), Form::Line), "a \"b\"\t{  \t\"a\": \"\\u009b31m\\u007fé\" }\n");
        assert_eq!(shown(value(), Form::ValueOnly), format!("{text}\n"));
        let read: serde_json::Value = serde_json::from_str(&shown(value(), Form::Json)).unwrap();
        assert_eq!(read["value"], serde_json::from_str::<serde_json::Value>(text).unwrap());
    }

    #[test]
    fn bytes_are_a_url_base64_or_themselves() {
        let value = || VaultValue::bytes("image/png", [0, 255, 10]);
        assert_eq!(shown(value(), Form::Line), "a \"b\"\tdata:image/png;base64,AP8K\n");
        let read: serde_json::Value = serde_json::from_str(&shown(value(), Form::Json)).unwrap();
        assert_eq!(read["bytes"], "AP8K");
        assert_eq!(read["content_type"], "image/png");
        assert_eq!(shown(VaultValue::bytes("", "a\nb"), Form::ValueOnly), "a\nb");
    }
}
