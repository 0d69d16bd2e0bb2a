//! gRPC: the services of the wire, reflection and health.

mod bus;
mod chat;
mod gateway;
mod ingest;
mod presence;
mod unary;
mod until;
mod vault;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use http::{Request, Response};
use hyper::body::Incoming;
use switchboard_core::store::Condition;
use switchboard_proto::{
    tenten::interview::status_reader_server::StatusReaderServer as FixedReaderServer,
    v1::{
        bus_service_server::BusServiceServer, chat_service_server::ChatServiceServer,
        report_service_server::ReportServiceServer, status_reader_server::StatusReaderServer,
    },
};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::util::MapResponseLayer;

pub(crate) use self::presence::tally;
use self::{bus::Bus, chat::Chat, ingest::Ingest, presence::Presence, until::Until, vault::Vault};
use crate::{
    bus::BESIDE_DATA, caller::Caller, door::Entrance, gateway::Gateway, node::Node,
    presence::Tally, status,
};

/// How often the health service looks at the store.
const HEALTH: Duration = Duration::from_millis(250);

/// The services whose health is told, beside the node as a whole (the empty name).
const SERVICES: [&str; 9] = [
    "",
    "switchboard.v1.BusService",
    "switchboard.v1.ChatService",
    "switchboard.v1.GatewayService",
    "switchboard.v1.IngestService",
    "switchboard.v1.ReportService",
    "switchboard.v1.StatusReader",
    "switchboard.v1.VaultService",
    "tenten.interview.StatusReader",
];

/// The services that a connection calls straight, without the router.
#[derive(Debug)]
pub(crate) struct Services {
    ingest: Option<Ingest>,
    vault: Option<Vault>,
    gateway: Option<Arc<Gateway>>,
}

impl Services {
    /// Those of the roles that a node has.
    pub(crate) fn new(node: &Node, gateway: Option<Arc<Gateway>>, api: bool) -> Self {
        let vault = api.then(|| Vault::new(node));
        Self { ingest: api.then(|| Ingest::new(node)), vault, gateway }
    }

    /// The call that a path names, if it is one of these.
    pub(crate) fn call(&self, path: &str) -> Option<Call> {
        let call = Call::of(path)?;
        let here = match call {
            Call::Connect => self.gateway.is_some(),
            Call::Ingest | Call::IngestBatch | Call::IngestStream => self.ingest.is_some(),
            Call::Store | Call::Retrieve | Call::Delete | Call::Rekey => self.vault.is_some(),
        };
        here.then_some(call)
    }

    /// Answers a request that is such a call, from an address.
    pub(crate) fn answer(
        self: &Arc<Self>,
        call: Call,
        request: Request<Incoming>,
        from: Option<SocketAddr>,
    ) -> impl Future<Output = Response<Answer>> + use<> {
        let services = Arc::clone(self);
        async move {
            // Boxed, so that the commonest call does not carry the room that the others take.
            match (call, &services.ingest, &services.vault, &services.gateway) {
                (Call::Ingest, Some(ingest), ..) => ingest.one(request).await,
                (Call::IngestBatch, Some(ingest), ..) => Box::pin(ingest.batch(request)).await,
                (Call::IngestStream, Some(ingest), ..) => Box::pin(ingest.stream(request)).await,
                (Call::Store, _, Some(vault), _) => Box::pin(vault.store(request, from)).await,
                (Call::Retrieve, _, Some(vault), _) => {
                    Box::pin(vault.retrieve(request, from)).await
                }
                (Call::Delete, _, Some(vault), _) => Box::pin(vault.delete(request, from)).await,
                (Call::Rekey, _, Some(vault), _) => Box::pin(vault.rekey(request, from)).await,
                (Call::Connect, .., Some(gateway)) => gateway::connect(gateway, request),
                _ => tonic::Status::unimplemented("this node has not the role for this call")
                    .into_http()
                    .map(Answer::Unary),
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
    Store,
    Retrieve,
    Delete,
    Rekey,
}

impl Call {
    /// The call that a path names, if it is one of these.
    fn of(path: &str) -> Option<Self> {
        match path.strip_prefix("/switchboard.v1.")? {
            "IngestService/Ingest" => Some(Self::Ingest),
            "IngestService/IngestBatch" => Some(Self::IngestBatch),
            "IngestService/IngestStream" => Some(Self::IngestStream),
            "GatewayService/Connect" => Some(Self::Connect),
            "VaultService/Store" => Some(Self::Store),
            "VaultService/Retrieve" => Some(Self::Retrieve),
            "VaultService/Delete" => Some(Self::Delete),
            "VaultService/Rekey" => Some(Self::Rekey),
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
pub(crate) fn routes(node: &Node, tally: Option<Arc<Tally>>, api: bool) -> (Router, Health) {
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
    let called = api.then(|| {
        let chat = ChatServiceServer::new(Chat::new(node, tally.clone()));
        let chat = chat.max_decoding_message_size(node.limits.body_bytes_max);
        let bus = BusServiceServer::new(Bus::new(node));
        let bus = bus.max_decoding_message_size(node.limits.body_bytes_max + BESIDE_DATA);
        Routes::from(Router::new()).add_service(chat).add_service(bus)
    });
    let presence = Presence::new(node, tally);
    let limit = node.limits.report_bytes_max;
    let presence = called
        .unwrap_or_else(|| Routes::from(Router::new()))
        .add_service(StatusReaderServer::new(presence.clone()))
        .add_service(FixedReaderServer::new(presence.clone()))
        .add_service(ReportServiceServer::new(presence).max_decoding_message_size(limit))
        .into_axum_router()
        .layer(MapResponseLayer::new(named));
    let watched = routes.into_axum_router().merge(presence).layer(endless);
    (watched, Health { node: node.clone(), reporter })
}

/// Passes a request through its entrance.
async fn pass<Q, A, F>(
    entrance: &Entrance,
    request: tonic::Request<Q>,
    work: impl FnOnce(Caller, Q) -> F,
) -> Result<tonic::Response<A>, tonic::Status>
where
    F: Future<Output = switchboard_core::Result<A>>,
{
    let (metadata, _, message) = request.into_parts();
    let passed = entrance.pass(metadata.as_ref(), |caller| work(caller, message)).await;
    passed.map(tonic::Response::new).map_err(|error| status::grpc(&error))
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
