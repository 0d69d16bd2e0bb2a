//! The only place that prints.
#![expect(clippy::print_stderr, reason = "this is the one place")]

use std::{
    fmt,
    io::{self, Write},
};

use base64ct::{Base64, Encoding as _};

use crate::Failure;

/// Bytes that are encoded at once: they become four characters for every three.
const CHUNK: usize = 3 * 1024;

/// Prints a line to standard output, at once. A reader who has heard enough is no error.
pub(crate) fn line(line: fmt::Arguments<'_>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    told(writeln!(out, "{line}").and_then(|()| out.flush()))
}

/// Prints a line over the one before, on a terminal.
pub(crate) fn over(line: fmt::Arguments<'_>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    // Back to the beginning, and clear to the end (ECMA-48, EL).
    told(write!(out, "\r{line}\x1b[K").and_then(|()| out.flush()))
}

/// Prints many lines to standard output.
pub(crate) fn lines(text: &[u8]) -> Result<(), Failure> {
    told(io::stdout().lock().write_all(text))
}

/// Prints what `print` writes to standard output, at once.
pub(crate) fn printed(print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut out = io::BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    told(print(&mut out).and_then(|()| out.flush()))
}

/// As [`printed`], and says whether anybody still reads: whoever prints without end stops then.
pub(crate) fn heard(print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<bool, Failure> {
    let mut out = io::BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    let written = print(&mut out).and_then(|()| out.flush());
    let gone = written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
    told(written).map(|()| !gone)
}

fn told(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("can't write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Says why a command failed.
pub(crate) fn complain(failure: &Failure) {
    eprintln!("{failure}");
}

/// Tells a person something beside the result.
pub(crate) fn note(note: fmt::Arguments<'_>) {
    eprintln!("{note}");
}

/// What came from elsewhere, safe to print on a terminal: control characters are escaped.
pub(crate) fn clean(text: &str) -> String {
    let escaped = |symbol: char| {
        let plain = !symbol.is_control();
        let shown: Box<dyn Iterator<Item = char>> = if plain {
            Box::new(std::iter::once(symbol))
        } else {
            Box::new(symbol.escape_default())
        };
        shown
    };
    text.chars().flat_map(escaped).collect()
}

/// A JSON text on one line, safe to print on a terminal, and still the same value: a line break
/// stands between tokens only, and another control character in a string.
pub(crate) fn one_line(out: &mut impl Write, text: &str) -> io::Result<()> {
    let mut rest = text;
    let special = |symbol: char| symbol.is_control() && symbol != '\t';
    while let Some((at, symbol)) = rest.char_indices().find(|(_, symbol)| special(*symbol)) {
        out.write_all(&rest.as_bytes()[..at])?;
        match symbol {
            '\n' | '\r' => out.write_all(b" ")?,
            _ => write!(out, "\\u{:04x}", u32::from(symbol))?,
        }
        rest = &rest[at + symbol.len_utf8()..];
    }
    out.write_all(rest.as_bytes())
}

/// Bytes in base64 (RFC 4648, section 4).
pub(crate) fn base64(out: &mut impl Write, data: &[u8]) -> io::Result<()> {
    let mut encoded = [0; CHUNK / 3 * 4];
    for chunk in data.chunks(CHUNK) {
        let text = Base64::encode(chunk, &mut encoded).map_err(|_| io::ErrorKind::InvalidData)?;
        out.write_all(text.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_elsewhere_does_not_steer_the_terminal() {
        assert_eq!(clean("grüezi 🦀"), "grüezi 🦀");
        assert_eq!(clean("a\nb\t\u{1b}[31m"), "a\\nb\\t\\u{1b}[31m");
    }

    #[test]
    fn base64_of_any_length() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, CHUNK * 2 + 2] {
            let data = vec![7; length];
            let mut out = Vec::new();
            base64(&mut out, &data).unwrap();
            assert_eq!(Base64::decode_vec(str::from_utf8(&out).unwrap()).unwrap(), data);
        }
    }
}
