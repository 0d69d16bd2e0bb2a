//! Coming back: what ends a stream for good, and what only breaks it.

use std::{error::Error as _, fmt, sync::Arc, time::Duration};

use tokio::time::Instant;
use tonic_types::StatusExt as _;

use crate::{Error, error::DOMAIN, retry::Pauses};

/// The first pause before a stream is opened again is up to this long.
const PAUSE: Duration = Duration::from_millis(50);

/// No pause is longer. A stream that held for so long, or gave anything, was a good one: the next
/// pause is short again.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// A connection that is gone, and comes back by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Break {
    /// Why: `unavailable`, `too_many_requests`, or `slow_consumer` where what came was not read
    /// fast enough.
    pub error: Error,
    /// How long until the next try.
    pub retry_in: Duration,
}

/// Who is told of breaks.
pub(super) type Told = Arc<dyn Fn(Break) + Send + Sync>;

/// How a stream comes back.
pub(super) struct Resume {
    pauses: Pauses,
    told: Option<Told>,
    /// When the stream was opened last.
    since: Instant,
    /// Whether it gave anything since.
    good: bool,
}

impl Resume {
    pub(super) fn new() -> Self {
        let pauses = Pauses::new(PAUSE, PAUSE_MAX);
        Self { pauses, told: None, since: Instant::now(), good: false }
    }

    /// Whom to tell.
    pub(super) fn tell(&mut self, told: Told) {
        self.told = Some(told);
    }

    /// The stream is open.
    pub(super) fn opened(&mut self) {
        self.since = Instant::now();
    }

    /// The stream gave something.
    pub(super) fn came(&mut self) {
        self.good = true;
    }

    /// The stream broke, or could not be opened: how long to wait before the next try.
    ///
    /// # Errors
    ///
    /// What trying again does not mend.
    pub(super) fn broke(&mut self, status: tonic::Status) -> Result<Duration, Error> {
        let mendable = is_mendable(&status);
        let mut error = Error::from(status);
        if !mendable {
            return Err(error);
        }
        if error.code() == "internal" {
            // Of the transport; the node said nothing.
            error = Error::new("unavailable", error.to_string());
        }
        if std::mem::take(&mut self.good) || PAUSE_MAX <= self.since.elapsed() {
            self.pauses = Pauses::new(PAUSE, PAUSE_MAX);
        }
        self.since = Instant::now();
        let retry_in = self.pauses.after_failure();
        if let Some(told) = &self.told {
            told(Break { error, retry_in });
        }
        Ok(retry_in)
    }
}

impl fmt::Debug for Resume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resume").field("pauses", &self.pauses).finish_non_exhaustive()
    }
}

/// Whether a stream that ended so can be taken up again.
fn is_mendable(status: &tonic::Status) -> bool {
    if let Some(info) = status.get_details_error_info()
        && info.domain == DOMAIN
    {
        return ["unavailable", "too_many_requests", "slow_consumer"].contains(&&*info.reason);
    }
    match status.code() {
        tonic::Code::Unavailable
        | tonic::Code::Cancelled
        | tonic::Code::Unknown
        | tonic::Code::DeadlineExceeded
        | tonic::Code::ResourceExhausted => true,
        // With a cause the connection broke; without one, what came was no message.
        tonic::Code::Internal => status.source().is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    fn of_node(code: Code, reason: &str) -> Status {
        let details = ErrorDetails::with_error_info(reason, DOMAIN, []);
        Status::with_error_details(code, "as the test says", details)
    }

    #[tokio::test(start_paused = true)]
    async fn what_only_broke_is_taken_up_again() {
        let mut resume = Resume::new();
        for status in [
            of_node(Code::Unavailable, "unavailable"),
            of_node(Code::ResourceExhausted, "too_many_requests"),
            of_node(Code::ResourceExhausted, "slow_consumer"),
            Status::unknown("the connection was reset"),
            Status::cancelled("the connection was closed"),
        ] {
            assert!(resume.broke(status.clone()).is_ok(), "{status}");
        }
        for (status, code) in [
            (of_node(Code::NotFound, "cursor_expired"), "cursor_expired"),
            (of_node(Code::NotFound, "not_found"), "not_found"),
            (of_node(Code::ResourceExhausted, "too_large"), "too_large"),
            (of_node(Code::Internal, "internal"), "internal"),
            (Status::internal("this is no message"), "internal"),
            (Status::unimplemented("no such call"), "not_found"),
        ] {
            assert_eq!(resume.broke(status.clone()).unwrap_err().code(), code, "{status}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_are_short_again_after_a_good_stream() {
        let mut resume = Resume::new();
        let mut broke = |good| {
            if good {
                resume.opened();
                resume.came();
            }
            resume.broke(Status::unavailable("gone")).unwrap()
        };
        for exponent in 0..8 {
            let bound = (PAUSE * (1 << exponent)).min(PAUSE_MAX);
            assert!(broke(false) <= bound, "{exponent}");
        }
        assert!(broke(true) <= PAUSE);
    }
}
