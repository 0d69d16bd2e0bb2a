//! The only place that prints.
#![expect(clippy::print_stderr, reason = "this is the one place")]

use std::{
    fmt,
    io::{self, Write as _},
};

use crate::Failure;

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
pub(crate) fn printed(
    print: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> Result<(), Failure> {
    let mut out = io::BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    told(print(&mut out).and_then(|()| out.flush()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_elsewhere_does_not_steer_the_terminal() {
        assert_eq!(clean("grüezi 🦀"), "grüezi 🦀");
        assert_eq!(clean("a\nb\t\u{1b}[31m"), "a\\nb\\t\\u{1b}[31m");
    }
}
