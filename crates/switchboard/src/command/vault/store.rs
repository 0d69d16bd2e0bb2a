//! `switchboard vault store`: keeps a value from an argument, a file or standard input.

use std::{
    convert::Infallible,
    fmt,
    fs::File,
    io::{self, IsTerminal as _, Read},
    path::PathBuf,
    str::FromStr,
};

use clap::Args;
use serde_json::json;
use switchboard_client::vault::{StoreOptions, VaultValue};
use switchboard_core::{
    time::Clock as _,
    vault::{Content, ContentType, Secret, VALUE_BYTES_MAX, Value},
};

use super::key;
use crate::{Failure, clock::SystemClock, output};

/// Keep a value under an id, over any that was there: a JSON text, or bytes.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Under which id: 1 to 256 bytes without *. A name, not a secret.
    id: String,

    /// The value. Everybody on this machine can read arguments: without it, or as -, it comes from
    /// standard input.
    #[arg(allow_negative_numbers = true, conflicts_with = "file")]
    value: Option<Text>,

    /// A file with the value.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// It is bytes, not JSON.
    #[arg(long)]
    bytes: bool,

    /// What the bytes are; by default `application/octet-stream`.
    #[arg(long, value_name = "TYPE", requires = "bytes")]
    content_type: Option<String>,

    /// After which time it is gone: a number and s, m, h, d or w, as 30d.
    #[arg(long, value_name = "TIME", value_parser = span, conflicts_with = "expires_at")]
    expires_in: Option<i64>,

    /// From when on it is gone, in milliseconds since the Unix epoch.
    #[arg(long, value_name = "MS")]
    expires_at: Option<i64>,

    /// Store only if the record has this version; 0: only if there is none.
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,

    #[command(flatten)]
    key: key::Given,
}

/// A value on the command line, which is not printed with the other options.
#[derive(Clone)]
struct Text(String);

impl FromStr for Text {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A time in milliseconds.
fn span(text: &str) -> Result<i64, String> {
    let seconds = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 24 * 3_600,
        Some('w') => 7 * 24 * 3_600,
        _ => return Err("a time is a number and s, m, h, d or w, as 30d".to_owned()),
    };
    let number = &text[..text.len() - 1];
    let number: u32 = number.parse().map_err(|_| format!("{number:?} is no number"))?;
    Ok(i64::from(number) * seconds * 1_000)
}

/// Stores the value and prints what became of it.
pub(super) fn run(options: &Options, vault: &super::Options) -> Result<(), Failure> {
    let value = value(options)?;
    let key = options.key.read(true)?;
    let after = options.expires_in.map(|span| SystemClock.now().0.saturating_add(span));
    let expires_at = options.expires_at.or(after);
    let how = StoreOptions { expires_at, if_version: options.if_version };
    vault.ask(async |client, failed| {
        let stored = client.store(&options.id, &value, &key, how).await.map_err(failed)?;
        let (id, version, updated_at) = (&stored.id, stored.version, stored.updated_at);
        let (new, replaced_key) = (stored.new, stored.replaced_key);
        if vault.target.json {
            let told = json!({
                "id": id, "version": version, "updated_at": updated_at, "new": new,
                "replaced_key": replaced_key,
            });
            return output::line(format_args!("{told}"));
        }
        let before = match (new, replaced_key) {
            (true, _) => "new",
            (false, false) => "replaced",
            (false, true) => "replaced one of another key",
        };
        let id = output::clean(id);
        output::line(format_args!("{id} version {version} ({before})"))
    })
}

/// The value, looked at as the node would: what it would refuse is not sent.
fn value(options: &Options) -> Result<VaultValue, Failure> {
    let (content, wrong): (_, fn(String) -> Failure) = match (&options.value, &options.file) {
        (Some(Text(text)), _) if text != "-" => (text.clone().into_bytes(), Failure::usage),
        (_, Some(path)) => {
            let content = File::open(path).and_then(|file| whole(file, !options.bytes));
            let content = content.map_err(|error| {
                Failure::failed(format!("can't read {}: {error}", path.display()))
            })?;
            (content, Failure::failed)
        }
        (None, None) if io::stdin().is_terminal() => {
            let what = "there is no value: give VALUE or --file, or - to type it in";
            return Err(Failure::usage(what));
        }
        _ => {
            let content = whole(io::stdin().lock(), !options.bytes)
                .map_err(|error| Failure::failed(format!("can't read standard input: {error}")))?;
            (content, Failure::failed)
        }
    };
    checked(content, options).map_err(wrong)
}

/// All of it, up to what is too long for a value.
fn whole(from: impl Read, text: bool) -> io::Result<Vec<u8>> {
    // At once as long as it may get, and a bit: no copy is left behind.
    let mut content = Vec::with_capacity(VALUE_BYTES_MAX + 64);
    from.take(VALUE_BYTES_MAX as u64 + 3).read_to_end(&mut content)?;
    if VALUE_BYTES_MAX + 2 < content.len() {
        return Err(io::Error::other(format!("a value has at most {VALUE_BYTES_MAX} bytes")));
    }
    // A file of text ends with a newline, which is no part of the value.
    if text && content.ends_with(b"\n") {
        content.pop();
        content.pop_if(|last| *last == b'\r');
    }
    Ok(content)
}

/// The value, or why it is none.
fn checked(content: Vec<u8>, options: &Options) -> Result<VaultValue, String> {
    let value = if options.bytes {
        let content_type = options.content_type.as_deref().unwrap_or_default();
        ContentType::new(content_type).and_then(|it| Value::bytes(it, content))
    } else {
        let text = String::from_utf8(content).map_err(|error| {
            drop(Secret::new(error.into_bytes()));
            "the value is no text in UTF-8, and so no JSON: --bytes keeps it as it is"
        })?;
        Value::json(text)
    };
    let value = value.map_err(|error| error.to_string())?;
    Ok(match value.content() {
        Content::Json(text) => VaultValue::json(text),
        Content::Bytes(content_type, data) => VaultValue::bytes(content_type.as_str(), data),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn parsed(arguments: &[&str]) -> Result<Options, String> {
        let arguments = ["store", "config"].iter().chain(arguments);
        Cli::try_parse_from(arguments).map(|cli| cli.options).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn refused(arguments: &[&str], code: u8, says: &str) {
        let failure = value(&parsed(arguments).unwrap()).unwrap_err();
        assert!(failure.to_string().contains(says), "{failure}");
        assert_eq!(failure.code, code, "{failure}");
    }

    fn kept(arguments: &[&str]) -> VaultValue {
        value(&parsed(arguments).unwrap()).unwrap()
    }

    #[test]
    fn a_value_is_an_argument_or_a_file() {
        assert_eq!(kept(&["{\"pi\": 3.10}"]), VaultValue::json("{\"pi\": 3.10}"));
        assert_eq!(kept(&["-1"]), VaultValue::json("-1"));
        assert_eq!(kept(&[" 1\n"]), VaultValue::json(" 1\n"));
        assert_eq!(
            kept(&["nope", "--bytes"]),
            VaultValue::bytes("application/octet-stream", "nope")
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("value");
        let file = path.to_str().unwrap();
        fs::write(&path, "{\n}\r\n").unwrap();
        assert_eq!(kept(&["--file", file]), VaultValue::json("{\n}"));
        let as_bytes = kept(&["--file", file, "--bytes", "--content-type", "image/png"]);
        assert_eq!(as_bytes, VaultValue::bytes("image/png", "{\n}\r\n"));
        fs::write(&path, "1".repeat(VALUE_BYTES_MAX) + "\r\n").unwrap();
        assert_eq!(kept(&["--file", file]), VaultValue::json("1".repeat(VALUE_BYTES_MAX)));
        fs::write(&path, "1".repeat(VALUE_BYTES_MAX + 1)).unwrap();
        refused(&["--file", file], 1, "a value has at most 1048576 bytes");
        fs::write(&path, "1".repeat(VALUE_BYTES_MAX * 2)).unwrap();
        refused(&["--file", file, "--bytes"], 1, "a value has at most 1048576 bytes");
        fs::write(&path, b"\"\xff\"").unwrap();
        refused(&["--file", file], 1, "no text in UTF-8");
        fs::write(&path, "canary").unwrap();
        refused(&["--file", file], 1, "the value is no JSON");
        refused(&["--file", "/no/such/file"], 1, "can't read /no/such/file");
    }

    #[test]
    fn what_is_no_value_is_wrong_usage() {
        refused(&["nope"], 2, "the value is no JSON");
        refused(&["", "--bytes", "--content-type", "\n"], 2, "a content type is");
        for arguments in [
            &["1", "--file", "x"][..],
            &["1", "--content-type", "x"],
            &["1", "--expires-in", "1d", "--expires-at", "1"],
            &["1", "--expires-in", "30"],
            &["1", "--key", "secret"],
        ] {
            assert!(parsed(arguments).is_err(), "{arguments:?}");
        }
        let printed = format!("{:?}", parsed(&["\"canary\""]).unwrap());
        assert!(!printed.contains("canary"), "{printed}");
    }

    #[test]
    fn times() {
        for (text, expected) in [
            ("1s", Some(1_000)),
            ("90m", Some(5_400_000)),
            ("1h", Some(3_600_000)),
            ("30d", Some(2_592_000_000)),
            ("2w", Some(1_209_600_000)),
            ("4294967295w", Some(4_294_967_295 * 7 * 24 * 3_600_000)),
            ("4294967296w", None),
            ("-1d", None),
            ("30", None),
            ("d", None),
            ("1é", None),
            ("", None),
        ] {
            assert_eq!(span(text).ok(), expected, "{text:?}");
        }
    }
}
