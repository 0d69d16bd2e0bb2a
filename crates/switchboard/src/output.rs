//! The only place that prints.
use crate::Failure;
use std::{fmt, io::Write as _};
/// Prints a line to standard output.
pub(crate) fn line(line: fmt::Arguments<'_>) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(|error| Failure::failed(error.to_string()))
}
