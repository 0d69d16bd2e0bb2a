//! The admin listener: metrics and health.

use std::sync::Arc;

use axum::{
    Router,
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{StatusCode, header};
use serde_json::json;
use switchboard_core::store::{Condition, Store};
use tokio_util::sync::CancellationToken;

use super::Metrics;
use crate::presence::Tally;

/// What the routes look at.
#[derive(Clone)]
struct Admin {
    metrics: Arc<Metrics>,
    store: Arc<dyn Store>,
    /// None on a node without the role.
    tally: Option<Arc<Tally>>,
    draining: CancellationToken,
}

/// `/metrics`; `/healthz`: the process runs, and nothing else is looked at, so that nobody restarts
/// every node for a full disk; `/readyz`: whether the node takes writes, and what fails.
pub(crate) fn router(
    metrics: Arc<Metrics>,
    store: Arc<dyn Store>,
    tally: Option<Arc<Tally>>,
    draining: CancellationToken,
) -> Router {
    let admin = Admin { metrics, store, tally, draining };
    let (told, ready) = (admin.clone(), admin);
    Router::new()
        .route("/metrics", get(move || async move { told.metrics() }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(move || async move { ready.ready() }))
}

impl Admin {
    fn metrics(&self) -> Response {
        let vitals = self.store.vitals();
        let mut checks = vec![
            ("store", vitals.condition == Condition::Writable),
            ("draining", !self.draining.is_cancelled()),
        ];
        checks.extend(self.tally.iter().map(|tally| ("journal", tally.is_ready())));
        let told = self.metrics.encode(&vitals, &checks);
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ([(header::CONTENT_TYPE, kind)], told).into_response()
    }

    fn ready(&self) -> Response {
        let store = match self.store.vitals().condition {
            Condition::Writable => "ok".to_owned(),
            Condition::Full(why) => format!("full: {why}"),
            Condition::Refusing(why) => format!("refusing: {why}"),
            Condition::Failed(why) => format!("failed: {why}"),
        };
        let draining = if self.draining.is_cancelled() { "draining" } else { "ok" };
        let folded = self.tally.as_ref().is_none_or(|tally| tally.is_ready());
        let ready = store == "ok" && draining == "ok" && folded;
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let mut checks = json!({"store": store, "draining": draining});
        if self.tally.is_some() {
            checks["journal"] = if folded { "ok" } else { "being read" }.into();
        }
        let checks = json!({"ready": ready, "checks": checks});
        let kind = [(header::CONTENT_TYPE, "application/json")];
        (status, kind, format!("{checks}\n")).into_response()
    }
}

#[cfg(test)]
mod tests {
    use std::{future, pin::Pin};

    use http_body_util::BodyExt as _;
    use switchboard_core::{Error, store::Vitals};

    use super::*;

    /// A store that is always as it is.
    #[derive(Debug)]
    struct Fixed(Condition);

    impl Store for Fixed {
        fn vitals(&self) -> Vitals {
            Vitals {
                condition: self.0.clone(),
                commits_waiting: 0,
                ingest_keys: 0,
                ingest_index_bytes: 0,
                size_bytes: 0,
                free_bytes: None,
            }
        }

        fn failed(&self) -> Pin<Box<dyn Future<Output = Error> + Send>> {
            Box::pin(future::pending())
        }
    }

    async fn check(condition: Condition, drains: bool, status: u16, expected: &str) {
        let (store, draining) = (Arc::new(Fixed(condition)), CancellationToken::new());
        if drains {
            draining.cancel();
        }
        let answer = Admin { metrics: Metrics::new(), store, tally: None, draining }.ready();
        assert_eq!(answer.status().as_u16(), status, "{expected}");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(str::from_utf8(&body).unwrap().trim_end(), expected);
    }

    #[tokio::test]
    async fn readiness() {
        let why = || "no room".to_owned();
        let ready = r#"{"checks":{"draining":"ok","store":"ok"},"ready":true}"#;
        check(Condition::Writable, false, 200, ready).await;
        let full = r#"{"checks":{"draining":"ok","store":"full: no room"},"ready":false}"#;
        check(Condition::Full(why()), false, 503, full).await;
        let refusing = r#"{"checks":{"draining":"ok","store":"refusing: no room"},"ready":false}"#;
        check(Condition::Refusing(why()), false, 503, refusing).await;
        let failed = r#"{"checks":{"draining":"ok","store":"failed: no room"},"ready":false}"#;
        check(Condition::Failed(why()), false, 503, failed).await;
        let drains = r#"{"checks":{"draining":"draining","store":"ok"},"ready":false}"#;
        check(Condition::Writable, true, 503, drains).await;
        let both = r#"{"checks":{"draining":"draining","store":"full: no room"},"ready":false}"#;
        check(Condition::Full(why()), true, 503, both).await;
    }
}
