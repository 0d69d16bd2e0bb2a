//! An ingest service that does as a test says.

use std::{
    convert::Infallible,
    future::{self, Future},
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

use http_body_util::{BodyExt as _, Full};
use prost::{Message as _, bytes::Bytes};
use switchboard_client::Client;
use switchboard_proto::v1::{IngestBatchResponse, IngestResponse};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Status, body::Body, server::NamedService, transport::Server};

/// How the service answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mood {
    /// Unavailable so often, then well.
    Unavailable(u32),
    /// Never.
    Silent,
    /// With this status.
    Refusing(Code),
    /// With these bytes as the message.
    Saying(&'static [u8]),
}

/// A running service, which ends when this is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    calls: Arc<AtomicU32>,
    _server: JoinSet<()>,
}

impl Running {
    pub(crate) async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Arc::new(AtomicU32::new(0));
        let serving = Server::builder()
            .add_service(Service { mood, calls: Arc::clone(&calls) })
            .serve_with_incoming(TcpListenerStream::new(listener));
        let mut server = JoinSet::new();
        server.spawn(async { serving.await.unwrap() });
        Self { address, calls, _server: server }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&format!("http://{}", self.address)).unwrap()
    }

    /// How often it was called.
    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Service {
    mood: Mood,
    calls: Arc<AtomicU32>,
}

impl NamedService for Service {
    const NAME: &'static str = "switchboard.v1.IngestService";
}

impl tower::Service<http::Request<Body>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let receipt = IngestResponse { timestamp: 5, id: 1, new: true };
        let message = if request.uri().path().ends_with("IngestBatch") {
            IngestBatchResponse { results: vec![receipt] }.encode_to_vec()
        } else {
            receipt.encode_to_vec()
        };
        let mood = self.mood;
        Box::pin(async move {
            Ok(match mood {
                Mood::Silent => future::pending().await,
                Mood::Unavailable(times) if call < times => refusal(Code::Unavailable),
                Mood::Unavailable(_) => answer(&message),
                Mood::Refusing(code) => refusal(code),
                Mood::Saying(bytes) => answer(bytes),
            })
        })
    }
}

fn refusal(code: Code) -> http::Response<Body> {
    Status::new(code, "as the test says").into_http()
}

fn answer(message: &[u8]) -> http::Response<Body> {
    let length = u32::try_from(message.len()).unwrap();
    let framed = [&[0], &length.to_be_bytes()[..], message].concat();
    let trailers = http::HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        http::HeaderValue::from_static("0"),
    )]);
    let body = Full::new(Bytes::from(framed)).with_trailers(future::ready(Some(Ok(trailers))));
    let mut response = http::Response::new(Body::new(body));
    let grpc = http::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
    response
}
