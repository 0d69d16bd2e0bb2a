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

/// What the routes look at.
#[derive(Clone)]
struct Admin {
    metrics: Arc<Metrics>,
    store: Arc<dyn Store>,
    draining: CancellationToken,
}

/// `/metrics`; `/healthz`: the process runs, and nothing else is looked at, so that nobody restarts
/// every node for a full disk; `/readyz`: whether the node takes writes, and what fails.
pub(crate) fn router(
    metrics: Arc<Metrics>,
    store: Arc<dyn Store>,
    draining: CancellationToken,
) -> Router {
    let admin = Admin { metrics, store, draining };
    let (told, ready) = (admin.clone(), admin);
    Router::new()
        .route("/metrics", get(move || async move { told.metrics() }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(move || async move { ready.ready() }))
}

impl Admin {
    fn metrics(&self) -> Response {
        let vitals = self.store.vitals();
        let checks = [
            ("store", vitals.condition == Condition::Writable),
            ("draining", !self.draining.is_cancelled()),
        ];
        let told = self.metrics.encode(&vitals, &checks);
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ([(header::CONTENT_TYPE, kind)], told).into_response()
    }

    fn ready(&self) -> Response {
        let store = match self.store.vitals().condition {
            Condition::Writable => "ok".to_owned(),
            Condition::Full(why) => format!("full: {why}"),
            Condition::Failed(why) => format!("failed: {why}"),
        };
        let draining = if self.draining.is_cancelled() { "draining" } else { "ok" };
        let ready = store == "ok" && draining == "ok";
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let checks = json!({"ready": ready, "checks": {"store": store, "draining": draining}});
        let kind = [(header::CONTENT_TYPE, "application/json")];
        (status, kind, format!("{checks}\n")).into_response()
    }
}
