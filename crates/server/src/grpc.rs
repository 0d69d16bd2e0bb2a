//! gRPC: the services of the wire, reflection and health.

mod gateway;
mod ingest;
mod unary;
mod until;

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body};
use http::{Request, Response};
use hyper::body::Incoming;
use switchboard_core::store::Condition;
use tokio::time;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::util::MapResponseLayer;

use self::{ingest::Ingest, until::Until};
use crate::{gateway::Gateway, node::Node, status};

/// How often the health service looks at the store.
const HEALTH: Duration = Duration::from_millis(250);

/// The services whose health is told, beside the node as a whole (the empty name).
const SERVICES: [&str; 3] = ["", "switchboard.v1.GatewayService", "switchboard.v1.IngestService"];

/// The services that a connection calls straight, without the router.
#[derive(Debug)]
pub(crate) struct Services {
    ingest: Ingest,
    gateway: Arc<Gateway>,
}

impl Services {
    pub(crate) fn new(node: &Node, gateway: &Arc<Gateway>) -> Self {
        Self { ingest: Ingest::new(node), gateway: Arc::clone(gateway) }
    }

    /// Answers a request that is such a call.
    pub(crate) fn answer(
        self: &Arc<Self>,
        call: Call,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Answer>> + use<> {
        let services = Arc::clone(self);
        async move {
            let ingest = &services.ingest;
            match call {
                Call::Ingest => ingest.one(request).await,
                // Boxed, so that the commonest call does not carry the room that these take.
                Call::IngestBatch => Box::pin(ingest.batch(request)).await,
                Call::IngestStream => Box::pin(ingest.stream(request)).await,
                Call::Connect => gateway::connect(&services.gateway, request),
            }
        }
    }
}

/// A call that is answered straight.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    Ingest,
    IngestBatch,
    IngestStream,
    Connect,
}

impl Call {
    /// The call that a path names, if it is one of these.
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path.strip_prefix("/switchboard.v1.")? {
            "IngestService/Ingest" => Some(Self::Ingest),
            "IngestService/IngestBatch" => Some(Self::IngestBatch),
            "IngestService/IngestStream" => Some(Self::IngestStream),
            "GatewayService/Connect" => Some(Self::Connect),
            _ => None,
        }
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Of a unary call.
    Unary(unary::Answer),
    /// Of a stream.
    Stream(tonic::body::Body),
    /// A session.
    Session(Box<gateway::Held>),
}

/// The routes of the other services, and what keeps the health of all up to date.
pub(crate) fn routes(node: &Node) -> (Router, Health) {
    let (reporter, health) = tonic_health::server::health_reporter();
    // Not `Routes::default()`: unknown paths are answered by the one fallback of the node.
    let mut routes = Routes::from(Router::new());
    routes = routes.add_service(health);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(switchboard_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1();
    match reflection {
        Ok(reflection) => routes = routes.add_service(reflection),
        // The descriptors are part of the program; a test asks for them.
        Err(error) => tracing::error!(%error, "no reflection: the descriptors can't be read"),
    }
    // What may be watched for ever ends with the node. Our own streams end by themselves, with the
    // answers to what was taken.
    let draining = node.draining.clone();
    let endless = MapResponseLayer::new(move |response: Response<Body>| {
        response.map(|body| Body::new(Until::new(body, draining.clone())))
    });
    let watched = routes.into_axum_router().layer(endless);
    (watched, Health { node: node.clone(), reporter })
}

/// Gives the errors that the transport finds by itself (a message too long, or none) the names and
/// details that all errors have.
fn named<B: Default>(response: Response<B>) -> Response<B> {
    let headers = response.headers();
    if !headers.contains_key("grpc-status") || headers.contains_key("grpc-status-details-bin") {
        return response;
    }
    let Some(found) = tonic::Status::from_header_map(headers) else { return response };
    match status::of_transport(found.code(), found.message()) {
        Some(error) => status::grpc(&error).into_http(),
        None => response,
    }
}

/// Tells gRPC's health service how the node is.
pub(crate) struct Health {
    node: Node,
    reporter: HealthReporter,
}

impl Health {
    /// Looks at the store again and again until stopped. While the node drains nothing is served.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut serving = None;
        loop {
            let writable = self.node.ports.store.vitals().condition == Condition::Writable;
            let now = writable && !self.node.draining.is_cancelled();
            if serving != Some(now) {
                serving = Some(now);
                let status = if now { ServingStatus::Serving } else { ServingStatus::NotServing };
                for service in SERVICES {
                    self.reporter.set_service_status(service, status).await;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = time::sleep(HEALTH) => {}
                () = self.node.draining.cancelled(), if serving == Some(true) => {}
            }
        }
    }
}
