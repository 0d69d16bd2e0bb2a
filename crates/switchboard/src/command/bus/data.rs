//! The data of an event: from an argument, a file or standard input.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read},
    path::PathBuf,
};

use clap::Args;
use serde::de::IgnoredAny;
use switchboard_client::bus::DATA_BYTES_MAX;

use crate::Failure;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain;charset=utf-8";

/// Where data comes from.
#[derive(Clone, Debug, Args)]
pub(super) struct Given {
    /// The data, up to 1 MiB. Without it, or as -, it comes from standard input.
    #[arg(allow_negative_numbers = true, conflicts_with = "file")]
    data: Option<String>,

    /// A file with the data.
    #[arg(long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,

    /// What the data is, and that it is taken byte for byte. By default data that is JSON is
    /// `application/json`, other text `text/plain;charset=utf-8`, anything else
    /// `application/octet-stream`; and a line break at the end of a text of a file or standard
    /// input is no part of it.
    #[arg(long, value_name = "CONTENT_TYPE")]
    content_type: Option<String>,
}

/// Data, and what it is; nothing for any bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Data {
    pub(super) bytes: Vec<u8>,
    pub(super) content_type: String,
}

impl Given {
    /// Reads it.
    pub(super) fn read(&self) -> Result<Data, Failure> {
        let (bytes, from_file) = match (&self.data, &self.file) {
            (Some(text), _) if text != "-" => (text.clone().into_bytes(), false),
            (_, Some(path)) => {
                let bytes = File::open(path).and_then(whole).map_err(|error| {
                    Failure::failed(format!("can't read {}: {error}", path.display()))
                })?;
                (bytes, true)
            }
            (None, None) if io::stdin().is_terminal() => {
                let what = "there is no data: give DATA or --file, or - to type it in";
                return Err(Failure::usage(what));
            }
            _ => {
                let bytes = whole(io::stdin().lock()).map_err(|error| {
                    Failure::failed(format!("can't read standard input: {error}"))
                })?;
                (bytes, true)
            }
        };
        let data = self.of(bytes, from_file);
        if DATA_BYTES_MAX < data.bytes.len() {
            let what = format!("an event has at most {DATA_BYTES_MAX} bytes of data");
            return Err(if from_file { Failure::failed(what) } else { Failure::usage(what) });
        }
        Ok(data)
    }

    /// Bytes that came, as data.
    pub(super) fn of(&self, bytes: Vec<u8>, ends_with_break: bool) -> Data {
        match &self.content_type {
            Some(content_type) => Data { bytes, content_type: content_type.clone() },
            None => Data::guessed(bytes, ends_with_break),
        }
    }
}

impl Data {
    /// Bytes, and what they seem to be. A text of which one expects it loses the line break at its
    /// end.
    pub(super) fn guessed(mut bytes: Vec<u8>, ends_with_break: bool) -> Self {
        let content_type = if bytes.is_empty() {
            ""
        } else if serde_json::from_slice::<IgnoredAny>(&bytes).is_ok() {
            JSON
        } else if str::from_utf8(&bytes).is_ok() {
            TEXT
        } else {
            ""
        };
        if ends_with_break && !content_type.is_empty() && bytes.ends_with(b"\n") {
            bytes.pop();
            bytes.pop_if(|last| *last == b'\r');
        }
        Self { bytes, content_type: content_type.to_owned() }
    }
}

/// All of it, up to a bit more than an event has, a line break included.
fn whole(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(DATA_BYTES_MAX as u64 + 3).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        given: Given,
    }

    fn read(arguments: &[&str]) -> Result<(String, String), (u8, String)> {
        let cli = Cli::try_parse_from(["x"].iter().chain(arguments)).unwrap();
        let data = cli.given.read().map_err(|failure| (failure.code, failure.to_string()))?;
        Ok((String::from_utf8_lossy(&data.bytes).into_owned(), data.content_type))
    }

    #[track_caller]
    fn check(arguments: &[&str], data: &str, content_type: &str) {
        assert_eq!(read(arguments), Ok((data.to_owned(), content_type.to_owned())));
    }

    #[test]
    fn what_data_is_shows() {
        check(&["{\"pi\": 3.10}"], "{\"pi\": 3.10}", JSON);
        check(&["-1"], "-1", JSON);
        check(&["\"a\""], "\"a\"", JSON);
        check(&["a"], "a", TEXT);
        check(&["{\"a\": }"], "{\"a\": }", TEXT);
        check(&["a\n"], "a\n", TEXT);
        check(&[""], "", "");
        check(&["1", "--content-type", "text/csv"], "1", "text/csv");
    }

    #[test]
    fn a_file_ends_with_a_line_break_that_is_no_part_of_a_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let file = path.to_str().unwrap();
        for (content, data, content_type) in [
            (&b"{}\n"[..], "{}", JSON),
            (b"a\nb\r\n", "a\nb", TEXT),
            (b"a\n\n", "a\n", TEXT),
            (b"\n", "", TEXT),
            (b"", "", ""),
            (b"\xff\n", "\u{fffd}\n", ""),
        ] {
            fs::write(&path, content).unwrap();
            check(&["--file", file], data, content_type);
        }
        fs::write(&path, "{}\n").unwrap();
        check(&["--file", file, "--content-type", "a/b"], "{}\n", "a/b");
        fs::write(&path, "1".repeat(DATA_BYTES_MAX) + "\r\n").unwrap();
        assert_eq!(read(&["--file", file]).unwrap().0.len(), DATA_BYTES_MAX);
        fs::write(&path, "1".repeat(DATA_BYTES_MAX + 1)).unwrap();
        let (code, says) = read(&["--file", file]).unwrap_err();
        assert_eq!((code, says.as_str()), (1, "an event has at most 1048576 bytes of data"));
        let (code, says) = read(&["--file", "/no/such/file"]).unwrap_err();
        assert_eq!(code, 1);
        assert!(says.contains("can't read /no/such/file"), "{says}");
        let long = "x".repeat(DATA_BYTES_MAX + 1);
        assert_eq!(read(&[&long]).unwrap_err().0, 2);
    }

    #[test]
    fn one_source_is_enough() {
        assert!(Cli::try_parse_from(["x", "1", "--file", "a"]).is_err());
    }
}
