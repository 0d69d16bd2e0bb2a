//! Why a call did not do what it should.

use tonic_types::StatusExt as _;

/// Whose errors a node tells.
pub(crate) const DOMAIN: &str = "switchboard";

/// What a node said, or why it could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    code: String,
    message: String,
}

impl Error {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }

    /// What a program can tell errors apart by: `invalid_key`, `unavailable` and so on, as REST
    /// names them.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Whether trying again can help. Every write can be repeated, so it is always safe; only a
    /// store of the vault with `if_version` may then find what it has stored itself.
    pub fn is_unavailable(&self) -> bool {
        self.code == "unavailable" || self.code == "too_many_requests"
    }
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        let info = status.get_details_error_info();
        let code = info.filter(|info| info.domain == DOMAIN).map(|info| info.reason);
        let code = code.unwrap_or_else(|| {
            // Not from a node of ours: a transport that broke, or something in between.
            let code = match status.code() {
                tonic::Code::Unavailable
                | tonic::Code::Cancelled
                | tonic::Code::Unknown
                | tonic::Code::DeadlineExceeded => "unavailable",
                tonic::Code::Internal if broke(&status) => "unavailable",
                tonic::Code::InvalidArgument => "invalid_request",
                tonic::Code::ResourceExhausted => "too_many_requests",
                tonic::Code::NotFound | tonic::Code::Unimplemented => "not_found",
                _ => "internal",
            };
            code.to_owned()
        });
        let message = match (status.message(), causes(&status).next()) {
            (message, None) => message.to_owned(),
            (message, Some(source)) => format!("{message}: {source}"),
        };
        Self { code, message }
    }
}

/// Why a call failed on the way, the outermost cause first. What a node answered has none.
pub(crate) fn causes(
    status: &tonic::Status,
) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    let first = std::error::Error::source(status);
    std::iter::successors(first, |cause| cause.source())
}

/// Whether a connection broke on the way: one that a node reset as it stopped, say. Where HTTP/2
/// itself was not understood, who answers is no node, and asking again does not make it one.
fn broke(status: &tonic::Status) -> bool {
    let mut causes = causes(status).peekable();
    causes.peek().is_some()
        && !causes.any(|cause| cause.downcast_ref().is_some_and(h2::Error::is_library))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_broke_is_worth_another_try() {
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let mut status = tonic::Status::internal("h2 protocol error");
        status.set_source(std::sync::Arc::new(broken));
        assert!(Error::from(status).is_unavailable());
        let told = Error::from(tonic::Status::internal("a defect"));
        assert_eq!((told.code(), told.is_unavailable()), ("internal", false));
    }
}
