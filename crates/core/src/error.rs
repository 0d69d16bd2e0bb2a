//! The one error of the rules.

use std::{borrow::Cow, error, fmt};

/// The result of the rules.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request was refused, or could not be answered.
///
/// The code is for programs, the detail for people, the source for the log. The detail is one
/// sentence without its cause: whoever prints an error prints the chain ([`Error::chain`]).
#[derive(Debug)]
pub struct Error {
    code: Code,
    detail: Cow<'static, str>,
    source: Option<Box<dyn error::Error + Send + Sync>>,
}

/// What a program can tell errors apart by. Part of the public surface: a code is never renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// A key of ingest is not written as one.
    InvalidKey,
    /// A tenant is not written as one.
    InvalidTenant,
    /// A phone number can't exist, or is not written with its country's code.
    InvalidPhone,
    /// A message goes to whom it can't go.
    InvalidRecipient,
    /// A text is empty or has characters that are not taken.
    InvalidText,
    /// A cursor is broken, of another list, or of nothing that has happened.
    InvalidCursor,
    /// An id or pattern of records is not written as one.
    InvalidId,
    /// A string can't be an encryption key.
    InvalidEncryptionKey,
    /// A value is no JSON that is taken, or not of the type that it is said to be.
    InvalidValue,
    /// A topic or filter is not written as one.
    InvalidTopic,
    /// A type of events, or a content type, is not written as one.
    InvalidType,
    /// A queue's name is not written as one.
    InvalidQueue,
    /// A request can't be understood: malformed, of the wrong types, with unknown fields, or empty.
    InvalidRequest,
    /// A request is over a limit of size or number.
    TooLarge,
    /// More requests than allowed at once or per second; later ones may pass.
    TooManyRequests,
    /// The caller did not say who it is, or could not prove it.
    Unauthorized,
    /// The caller is known and may not do this.
    Forbidden,
    /// The same idempotency key came with something else, or what a change is about has changed.
    Conflict,
    /// What was asked for does not exist.
    NotFound,
    /// Some of what is behind a cursor is not kept any more.
    CursorExpired,
    /// The reader was too slow: what was meant for it is let go of.
    SlowConsumer,
    /// The path exists, but not with this HTTP method.
    MethodNotAllowed,
    /// The body is not of the type that is taken here.
    UnsupportedMediaType,
    /// A part that this needs is not there now; trying again can help. Nothing was recorded, or it
    /// is not known: repeat the request, which is safe.
    Unavailable,
    /// A defect in Switchboard itself.
    Internal,
}

impl Code {
    /// Every code, for tables and tests. In the order of declaration, so that `code as usize` is
    /// its index.
    pub const ALL: [Self; 25] = [
        Self::InvalidKey,
        Self::InvalidTenant,
        Self::InvalidPhone,
        Self::InvalidRecipient,
        Self::InvalidText,
        Self::InvalidCursor,
        Self::InvalidId,
        Self::InvalidEncryptionKey,
        Self::InvalidValue,
        Self::InvalidTopic,
        Self::InvalidType,
        Self::InvalidQueue,
        Self::InvalidRequest,
        Self::TooLarge,
        Self::TooManyRequests,
        Self::Unauthorized,
        Self::Forbidden,
        Self::Conflict,
        Self::NotFound,
        Self::CursorExpired,
        Self::SlowConsumer,
        Self::MethodNotAllowed,
        Self::UnsupportedMediaType,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The stable name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidKey => "invalid_key",
            Self::InvalidTenant => "invalid_tenant",
            Self::InvalidPhone => "invalid_phone",
            Self::InvalidRecipient => "invalid_recipient",
            Self::InvalidText => "invalid_text",
            Self::InvalidCursor => "invalid_cursor",
            Self::InvalidId => "invalid_id",
            Self::InvalidEncryptionKey => "invalid_encryption_key",
            Self::InvalidValue => "invalid_value",
            Self::InvalidTopic => "invalid_topic",
            Self::InvalidType => "invalid_type",
            Self::InvalidQueue => "invalid_queue",
            Self::InvalidRequest => "invalid_request",
            Self::TooLarge => "too_large",
            Self::TooManyRequests => "too_many_requests",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Conflict => "conflict",
            Self::NotFound => "not_found",
            Self::CursorExpired => "cursor_expired",
            Self::SlowConsumer => "slow_consumer",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Error {
    /// An error with a sentence for whoever has to act on it.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), source: None }
    }

    /// The same error, with what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error about one of several things: the detail begins with where it is.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.detail = format!("{place}: {}", self.detail).into();
        self
    }

    /// What a program can tell this error by.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Prints the error and all its causes, for the log.
    pub fn chain(&self) -> impl fmt::Display {
        struct Chain<'a>(&'a Error);
        impl fmt::Display for Chain<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)?;
                let mut source = error::Error::source(self.0);
                while let Some(cause) = source {
                    write!(f, ": {cause}")?;
                    source = cause.source();
                }
                Ok(())
            }
        }
        Chain(self)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_its_own_index() {
        for (index, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, index, "{code}");
        }
    }

    #[test]
    fn the_cause_is_in_the_chain_and_not_in_the_sentence() {
        let error =
            Error::new(Code::Unavailable, "the store can't write").caused_by("disk on fire");
        assert_eq!(error.to_string(), "the store can't write");
        assert_eq!(error.chain().to_string(), "the store can't write: disk on fire");
        assert_eq!(error.at("key 7").to_string(), "key 7: the store can't write");
    }
}
