//! Logs to standard error, and traces to a collector where one is named.

use std::{fmt, time::Duration};

use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::TracerProvider as _,
};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracerProvider},
};
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry, filter::Targets, layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// How long the last spans may take to be sent when the node ends.
const FLUSH: Duration = Duration::from_secs(1);

/// How the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// An object of JSON a line, for machines.
    Json,
}

/// What is logged and traced.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How the log looks.
    pub format: LogFormat,
    /// A level, or directives of tracing's `EnvFilter`: `info,switchboard_server=debug`.
    pub filter: String,
    /// Where spans are sent by OTLP over gRPC; no traces without.
    pub otlp_endpoint: Option<String>,
    /// The share of traces that is kept, from 0 to 1, unless a caller has decided.
    pub sample: f64,
}

/// Why logs or traces could not be started: one sentence.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Sends the last spans when it is dropped.
#[derive(Debug)]
pub struct Guard(Option<SdkTracerProvider>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(provider) = &self.0 {
            // A collector that is gone must not keep the node.
            let _ = provider.shutdown_with_timeout(FLUSH);
        }
    }
}

/// Starts logs and traces of this process. Must run within a runtime when traces are wanted.
///
/// # Errors
///
/// A filter that can't be read, an endpoint that is none, a second start.
pub fn start(settings: &Settings) -> Result<Guard, Error> {
    let filter = EnvFilter::try_new(&settings.filter)
        .map_err(|error| Error(format!("the filter {:?}: {error}", settings.filter)))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match settings.format {
        LogFormat::Text => lines.with_ansi(false).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    let provider = settings.otlp_endpoint.as_ref().map(|it| provider(it, settings.sample));
    let provider = provider.transpose()?;
    let spans = provider.as_ref().map(|provider| {
        // Spans of requests are at debug, so that they cost nothing where nobody wants them.
        let ours = Targets::new().with_target("switchboard_server", tracing::Level::DEBUG);
        tracing_opentelemetry::layer().with_tracer(provider.tracer("switchboard")).with_filter(ours)
    });
    Registry::default()
        .with(spans)
        .with(lines)
        .try_init()
        .map_err(|error| Error(format!("already started: {error}")))?;
    Ok(Guard(provider))
}

fn provider(endpoint: &str, sample: f64) -> Result<SdkTracerProvider, Error> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|error| Error(format!("the endpoint {endpoint:?}: {error}")))?;
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(sample)));
    let provider = SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name("switchboard").build())
        .with_sampler(sampler)
        .with_batch_exporter(exporter);
    Ok(provider.build())
}

/// Tells a call that is made the trace that it is part of.
pub(crate) fn inject_parent(metadata: &mut tonic::metadata::MetadataMap) {
    struct Metadata<'a>(&'a mut tonic::metadata::MetadataMap);
    impl Injector for Metadata<'_> {
        fn set(&mut self, key: &str, value: String) {
            if let (Ok(key), Ok(value)) =
                (key.parse::<tonic::metadata::MetadataKey<_>>(), value.parse())
            {
                self.0.insert(key, value);
            }
        }
    }
    let context = tracing_opentelemetry::OpenTelemetrySpanExt::context(&tracing::Span::current());
    TraceContextPropagator::new().inject_context(&context, &mut Metadata(metadata));
}

/// The trace that a caller says he is in (W3C Trace Context, `traceparent`).
pub(crate) fn parent_of(headers: &http::HeaderMap) -> Context {
    struct Headers<'a>(&'a http::HeaderMap);
    impl Extractor for Headers<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            self.0.get(key)?.to_str().ok()
        }

        fn keys(&self) -> Vec<&str> {
            self.0.keys().map(http::HeaderName::as_str).collect()
        }
    }
    TraceContextPropagator::new().extract(&Headers(headers))
}
