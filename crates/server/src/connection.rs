//! One connection of the main or the admin listener: HTTP/1.1 or HTTP/2, whichever it begins with.
//!
//! The defaults of the libraries are not safe by themselves: axum's server sets no timer, so that a
//! header may take for ever; tonic's takes hyper's limits on streams and resets away; and telling
//! HTTP/1 from HTTP/2 has no time limit. So everything is set here, with its number.

use std::{
    convert::Infallible,
    error::Error,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body};
use bytes::Bytes;
use futures_util::{FutureExt as _, TryFutureExt as _, future::Either};
use http_body::{Frame, SizeHint};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{net::TcpStream, time};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{
    caller::Peer,
    grpc::{self, Services},
    http::Straight,
    limits::{
        CONNECTION_WINDOW, KEEP_ALIVE, KEEP_ALIVE_TIMEOUT, LOCAL_RESETS_MAX, Limits,
        PENDING_RESETS_MAX, STREAM_WINDOW,
    },
};

/// What serves connections. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connections {
    /// Shared: each connection borrows it for as long as it lives.
    builder: Arc<auto::Builder<TokioExecutor>>,
    services: Option<Arc<Services>>,
    straight: Option<Straight>,
    router: Router,
    first_request: Duration,
}

impl Connections {
    pub(crate) fn new(
        (services, straight): (Option<Services>, Option<Straight>),
        router: Router,
        limits: &Limits,
    ) -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams_max)
            .max_header_list_size(limits.header_list_bytes_max)
            .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
            .max_local_error_reset_streams(LOCAL_RESETS_MAX)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        let services = services.map(Arc::new);
        let builder = Arc::new(builder);
        Self { builder, services, straight, router, first_request: limits.first_request }
    }

    /// Serves one connection to its end. When told to stop, finishes what has begun.
    pub(crate) async fn serve(self, stream: TcpStream, stop: CancellationToken) {
        let begun = Arc::new(AtomicBool::new(false));
        let from = stream.peer_addr().ok();
        let service = {
            let (begun, services, router) = (Arc::clone(&begun), self.services, self.router);
            let straight = self.straight;
            service_fn(move |request: Request<Incoming>| {
                begun.store(true, Ordering::Relaxed);
                answer((services.as_ref(), straight.as_ref()), &router, request, from)
            })
        };
        // Pinned where they are made: moving them would take their room twice.
        let io = TokioIo::new(stream);
        let mut connection = pin!(self.builder.serve_connection_with_upgrades(io, service));
        let mut first_request = pin!(time::sleep(self.first_request));
        let (mut waiting, mut stopping) = (true, false);
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended with an error");
                    }
                    return;
                }
                () = first_request.as_mut(), if waiting => {
                    waiting = false;
                    if !begun.load(Ordering::Relaxed) {
                        tracing::debug!("a connection without a request was closed");
                        return;
                    }
                }
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Answers one request: what is called most straight, anything else through the router.
fn answer(
    (services, straight): (Option<&Arc<Services>>, Option<&Straight>),
    router: &Router,
    mut request: Request<Incoming>,
    from: Option<SocketAddr>,
) -> impl Future<Output = Result<Response<Answer>, Infallible>> + use<> {
    if let Some(services) = services
        && let Some(call) = services.call(request.uri().path())
    {
        let answer = services.answer(call, request, from);
        return Either::Left(answer.map(|answer| Ok(answer.map(Answer::Grpc))));
    }
    if let Some(from) = from {
        request.extensions_mut().insert(Peer(from));
    }
    if let Some(straight) = straight
        && let Some(tenant) = Straight::tenant(&request).map(str::to_owned)
    {
        let answer = Box::pin(straight.clone().answer(tenant, request));
        return Either::Right(Either::Left(answer.map(|answer| Ok(answer.map(Answer::Routed)))));
    }
    // Boxed, so that a request to a service does not carry the room that this would take.
    let answer = Box::pin(router.clone().oneshot(request.map(Body::new)));
    Either::Right(Either::Right(answer.map_ok(|answer| answer.map(Answer::Routed))))
}

/// The body of an answer, whoever made it.
enum Answer {
    Grpc(grpc::Answer),
    Routed(Body),
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Grpc(grpc::Answer::Unary(body)) => {
                Pin::new(body).poll_frame(context).map_err(Into::into)
            }
            Self::Grpc(grpc::Answer::Stream(body)) => {
                Pin::new(body).poll_frame(context).map_err(Into::into)
            }
            Self::Grpc(grpc::Answer::Session(body)) => {
                Pin::new(body).poll_frame(context).map_err(Into::into)
            }
            Self::Routed(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
        }
    }

    /// That of a routed answer, so that its length is told before it. gRPC tells lengths by itself.
    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Grpc(_) => SizeHint::default(),
            Self::Routed(body) => body.size_hint(),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Grpc(grpc::Answer::Unary(body)) => body.is_end_stream(),
            Self::Grpc(grpc::Answer::Stream(body)) => body.is_end_stream(),
            Self::Grpc(grpc::Answer::Session(body)) => body.is_end_stream(),
            Self::Routed(body) => body.is_end_stream(),
        }
    }
}
