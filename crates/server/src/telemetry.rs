//! What a node tells of itself.
use std::{sync::Arc, time::Duration};
use switchboard_core::{
    Code,
    store::{Commit, Observer, Store},
};
#[derive(Debug)]
pub struct Metrics;
#[derive(Clone, Debug)]
pub(crate) struct Route;
pub(crate) struct ConnectionGuard;
#[allow(unused_variables, reason = "stub")]
impl Metrics {
    pub fn new() -> Arc<Self> {
        Arc::new(Self)
    }
    pub(crate) fn route(
        &self,
        capability: &'static str,
        operation: &'static str,
        transport: &'static str,
    ) -> Route {
        Route
    }
    pub(crate) fn ingested(&self, new: u64, repeated: u64) {}
    pub(crate) fn rejected(&self, keys: u64) {}
    pub(crate) fn batch(&self, keys: u64) {}
    pub(crate) fn connection(&self) -> ConnectionGuard {
        ConnectionGuard
    }
    pub(crate) fn accept_rejected(&self, reason: &'static str) {}
    pub(crate) fn panicked(&self) {}
    pub(crate) fn event_loop_lag(&self, lag: Duration) {}
}
#[allow(unused_variables, reason = "stub")]
impl Route {
    pub(crate) fn begin(&self, requests: u64) {}
    pub(crate) fn end(&self, outcome: Result<(), Code>, requests: u64, took: Duration) {}
}
impl Observer for Metrics {
    fn committed(&self, _: &Commit) {}
    fn recovered(&self, _: &'static str, _: Duration) {}
    fn checkpointed(&self, _: Duration) {}
}
pub(crate) fn parent_of(_: &http::HeaderMap) -> opentelemetry::Context {
    opentelemetry::Context::new()
}
pub(crate) fn admin(
    _: Arc<Metrics>,
    _: Arc<dyn Store>,
    _: tokio_util::sync::CancellationToken,
) -> axum::Router {
    axum::Router::new()
}
pub enum LogFormat {
    Text,
    Json,
}
pub struct Settings {
    pub format: LogFormat,
    pub filter: String,
    pub otlp_endpoint: Option<String>,
    pub sample: f64,
}
pub struct Guard;
pub fn start(_: &Settings) -> Result<Guard, std::io::Error> {
    Ok(Guard)
}
