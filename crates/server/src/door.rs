//! The one way in, for every request of every transport.
//!
//! A request passes an [`Entrance`]: who calls and for which tenant is established, it runs in a
//! span and within a time limit, it is measured, and a panic becomes an error of this one request.
//! What an entrance needs is resolved once, when the node starts: a request costs a few counters.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use switchboard_core::{Code, Error, Result};
use tokio::time;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::{
    caller::Caller,
    node::Node,
    telemetry::{Metrics, Route, parent_of},
};

/// The way in of one operation over one transport.
#[derive(Clone, Debug)]
pub(crate) struct Entrance {
    capability: &'static str,
    operation: &'static str,
    transport: &'static str,
    route: Route,
    metrics: Arc<Metrics>,
    limit: Duration,
}

impl Entrance {
    pub(crate) fn new(
        node: &Node,
        capability: &'static str,
        operation: &'static str,
        transport: &'static str,
    ) -> Self {
        let route = node.metrics.route(capability, operation, transport);
        let (metrics, limit) = (Arc::clone(&node.metrics), node.limits.request);
        Self { capability, operation, transport, route, metrics, limit }
    }

    /// Lets one request in and runs it to its end: reading its body is part of it.
    pub(crate) async fn pass<T, F>(
        &self,
        headers: &http::HeaderMap,
        work: impl FnOnce(Caller) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let passing = self.begin(1);
        let span = self.span(headers);
        let limit = timeout_of(headers).map_or(self.limit, |timeout| timeout.min(self.limit));
        let work = AssertUnwindSafe(time::timeout(limit, work(Caller::of(headers)))).catch_unwind();
        let outcome =
            if span.is_disabled() { work.await } else { work.instrument(span.clone()).await };
        let result = match outcome {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Error::new(
                Code::Unavailable,
                "the request took too long: it is not known what was done, repeat it",
            )),
            Err(_panic) => {
                self.metrics.panicked();
                Err(Error::new(Code::Internal, "a defect in this node: the request was given up"))
            }
        };
        if let Err(error) = &result {
            span.record("code", error.code().as_str());
            self.tell(error);
        }
        passing.end(result)
    }

    /// Lets several requests of one stream in, whose tenants are established one by one with
    /// [`Caller::tenant`]. They end together.
    pub(crate) fn begin(&self, requests: u64) -> Passing<'_> {
        self.route.begin(requests);
        Passing { entrance: self, requests, began: Instant::now(), ended: false }
    }

    /// Counts requests whose end is told with [`Entrance::ended`].
    pub(crate) fn began(&self, requests: u64) {
        self.route.begin(requests);
    }

    /// The end of requests that began some time ago.
    pub(crate) fn ended(&self, outcome: Result<(), &Error>, requests: u64, took: Duration) {
        if let Err(error) = outcome {
            self.tell(error);
        }
        self.route.end(outcome.map_err(Error::code), requests, took);
    }

    /// The span of a request; disabled unless somebody looks at spans.
    pub(crate) fn span(&self, headers: &http::HeaderMap) -> Span {
        let Self { capability, operation, transport, .. } = *self;
        let code = tracing::field::Empty;
        let span = tracing::debug_span!("request", capability, operation, transport, code);
        if !span.is_disabled() {
            // A span that is only logged has no parent to take.
            let _ = span.set_parent(parent_of(headers));
        }
        span
    }

    /// What is not the caller's doing is told to the operator, once, here.
    fn tell(&self, error: &Error) {
        let Self { capability, operation, transport, .. } = *self;
        let (code, error) = (error.code(), error.chain());
        if code == Code::Internal {
            tracing::error!(capability, operation, transport, %error, "failed");
        } else {
            tracing::debug!(capability, operation, transport, %code, %error, "refused");
        }
    }
}

/// Requests on their way through the door.
#[must_use = "dropping it means that the caller left"]
pub(crate) struct Passing<'a> {
    entrance: &'a Entrance,
    requests: u64,
    began: Instant,
    ended: bool,
}

impl Passing<'_> {
    /// Measures the end.
    pub(crate) fn end<T>(mut self, result: Result<T>) -> Result<T> {
        self.ended = true;
        let outcome = result.as_ref().map(|_| ()).map_err(Error::code);
        self.entrance.route.end(outcome, self.requests, self.began.elapsed());
        result
    }
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // The caller left before the answer.
            let took = self.began.elapsed();
            self.entrance.route.end(Err(Code::Unavailable), self.requests, took);
        }
    }
}

/// How long the caller is ready to wait, where it says so as gRPC does: up to eight digits and a
/// unit. What is not written so is not heeded.
fn timeout_of(headers: &http::HeaderMap) -> Option<Duration> {
    let value = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if 8 < digits.len() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_hours(amount)),
        "M" => Some(Duration::from_mins(amount)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: Option<Duration>) {
        let mut headers = http::HeaderMap::new();
        headers.insert("grpc-timeout", value.parse().unwrap());
        assert_eq!(timeout_of(&headers), expected, "{value}");
    }

    #[test]
    fn timeouts() {
        check("5S", Some(Duration::from_secs(5)));
        check("99999999H", Some(Duration::from_hours(99_999_999)));
        check("20m", Some(Duration::from_millis(20)));
        check("20u", Some(Duration::from_micros(20)));
        check("0n", Some(Duration::ZERO));
        check("2M", Some(Duration::from_mins(2)));
        check("123456789S", None);
        check("5", None);
        check("S", None);
        check("+5S", None);
        check("5s", None);
        check("", None);
        assert_eq!(timeout_of(&http::HeaderMap::new()), None);
    }
}
