//! What can go wrong with a database.

use std::fmt;

use switchboard_core as core;
use tokio_postgres::error::SqlState;

/// Why a database can't be used, as a sentence that says what to do.
#[derive(Debug)]
pub struct Error {
    what: String,
    source: Option<tokio_postgres::Error>,
}

impl Error {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), source: None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(told) = self.source.as_ref().and_then(tokio_postgres::Error::as_db_error) {
            return write!(f, ": {}", told.message());
        }
        // Which certificate, which port: each cause says a part of it.
        let first = self.source.as_ref().map(|source| source as &dyn std::error::Error);
        std::iter::successors(first, |cause| cause.source())
            .try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl std::error::Error for Error {}

impl From<tokio_postgres::Error> for Error {
    fn from(source: tokio_postgres::Error) -> Self {
        let what = match source.code() {
            Some(&SqlState::INSUFFICIENT_PRIVILEGE) => "the database refuses a right",
            Some(_) => "the database refused",
            None => "the database is not reached",
        };
        Self { what: what.to_owned(), source: Some(source) }
    }
}

/// What whoever asks is told.
pub(crate) fn unavailable(error: impl Into<Error>) -> core::Error {
    let what = "the store can't be reached: nothing was recorded, or it is not known";
    core::Error::new(core::Code::Unavailable, what).caused_by(error.into())
}
