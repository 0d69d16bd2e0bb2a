//! gRPC: the services of the wire, reflection and health.

mod ingest;
mod until;

use std::time::Duration;

use axum::{Router, body::Body, response::Response};
use switchboard_core::store::Condition;
use switchboard_proto::v1::ingest_service_server::IngestServiceServer;
use tokio::time;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::util::MapResponseLayer;

use self::{ingest::Ingest, until::Until};
use crate::{node::Node, status};

/// How often the health service looks at the store.
const HEALTH: Duration = Duration::from_millis(250);

/// The services whose health is told, beside the node as a whole (the empty name).
const SERVICES: [&str; 2] = ["", "switchboard.v1.IngestService"];

/// The routes of all services, and what keeps their health up to date.
pub(crate) fn routes(node: &Node) -> (Router, Health) {
    let limit = node.limits.body_bytes_max;
    let ingest = IngestServiceServer::new(Ingest::new(node)).max_decoding_message_size(limit);
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
    let endless = MapResponseLayer::new(move |response: Response| {
        response.map(|body| Body::new(Until::new(body, draining.clone())))
    });
    let watched = routes.into_axum_router().layer(endless);
    let ours = Routes::from(Router::new()).add_service(ingest).into_axum_router();
    let services = ours.layer(MapResponseLayer::new(named)).merge(watched);
    (services, Health { node: node.clone(), reporter })
}

/// Gives the errors that the transport finds by itself (a message too long, or none) the names and
/// details that all errors have.
fn named(response: Response) -> Response {
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
