//! `/v1/tenants/{tenant}/connect`: from a request to a WebSocket.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse as _, Response},
    routing::get,
};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::{rt::TokioIo, server::conn::auto};
use switchboard_core::{ClientId, Code, Error, Result};
use tokio::{net::TcpStream, time};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::problem::Problem;
use crate::{
    caller::Caller,
    gateway::Gateway,
    socket::{Encoding, Greeting, Socket},
    tasks::Tasks,
};

/// How long the connection may take to become a WebSocket, once that was agreed.
const UPGRADE: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Connect {
    gateway: Arc<Gateway>,
    sessions: Tasks,
}

/// The route of sessions.
pub(crate) fn routes(gateway: &Arc<Gateway>, sessions: &Tasks) -> Router {
    let connect = Connect { gateway: Arc::clone(gateway), sessions: sessions.clone() };
    Router::new().route("/v1/tenants/{tenant}/connect", get(connect_to)).with_state(connect)
}

async fn connect_to(
    State(connect): State<Connect>,
    tenant: std::result::Result<Path<String>, PathRejection>,
    mut request: Request<Body>,
) -> Result<Response, Problem> {
    let Connect { gateway, sessions } = connect;
    let caller = Caller::of(request.headers());
    let Ok(Path(tenant)) = tenant else {
        return Err(refused("the tenant in the path is not UTF-8").into());
    };
    let tenant = caller.tenant(&tenant)?;
    let (client, after) = client(request.uri().query().unwrap_or_default())?;
    let greeting = Greeting { caller, tenant, client, after };
    check_origin(request.headers(), &gateway.node.origins)?;
    let accept = accept(request.headers())?;
    let encoding = encoding(request.headers())?;
    if gateway.node.draining.is_cancelled() {
        return Err(Error::new(Code::Unavailable, "this node is stopping").into());
    }
    let Some(place) = gateway.place() else {
        let what = "this node holds as many sessions as it may";
        return Err(Error::new(Code::TooManyRequests, what).into());
    };
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return Err(refused("only HTTP/1.1 can become a WebSocket").into());
    };
    let metrics = Arc::clone(&gateway.node.metrics);
    let held = async move {
        let _held = (place, metrics.connection());
        let held = AssertUnwindSafe(hold(upgrade, gateway, greeting, encoding));
        if held.catch_unwind().await.is_err() {
            metrics.panicked();
            tracing::error!("a session panicked and was closed");
        }
    };
    // Boxed: the upgrade takes more than the session, which is held for long.
    sessions.hold(held);
    let answer = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
        (header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(encoding.as_str())),
    ];
    let mut response = (StatusCode::SWITCHING_PROTOCOLS, answer).into_response();
    if !request.headers().contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
        // One that was not offered must not be chosen.
        response.headers_mut().remove(header::SEC_WEBSOCKET_PROTOCOL);
    }
    Ok(response)
}

/// Waits for the connection, then holds the session.
async fn hold(upgrade: OnUpgrade, gateway: Arc<Gateway>, who: Greeting, encoding: Encoding) {
    // The request is gone when this is here.
    let Ok(Ok(upgraded)) = time::timeout(UPGRADE, upgrade).await else { return };
    match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => {
            // The buffer of the request is not kept with the session.
            let (stream, read) = {
                let auto::upgrade::Parts { io, read_buf, .. } = parts;
                (io.into_inner(), read_buf.to_vec())
            };
            Box::pin(Socket::new(stream, read, &gateway, who, encoding)).await.await;
        }
        Err(upgraded) => {
            let stream: TokioIo<Upgraded> = TokioIo::new(upgraded);
            Box::pin(Socket::new(stream, Vec::new(), &gateway, who, encoding)).await.await;
        }
    }
}

fn refused(what: &'static str) -> Error {
    Error::new(Code::InvalidRequest, what)
}

/// The client that the query names, and from where on it follows its inbox.
fn client(query: &str) -> Result<(Option<String>, Option<String>)> {
    let (mut client, mut after) = (None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "client" => {
                // A plus in a query stands for a space, but a phone number has none before it.
                let value = match value.strip_prefix(' ') {
                    Some(rest) if rest.starts_with(|it: char| it.is_ascii_digit()) => {
                        format!("+{rest}")
                    }
                    _ => value.into_owned(),
                };
                client = Some(ClientId::new(&value)?.as_str().to_owned());
            }
            "after" => after = Some(value.into_owned()),
            "token" | "access_token" | "api_key" | "key" => {
                return Err(refused("credentials never travel in the query: it is logged"));
            }
            name => {
                let what = format!("the query knows no {name:?}: it takes client and after");
                return Err(Error::new(Code::InvalidRequest, what));
            }
        }
    }
    if after.is_some() && client.is_none() {
        return Err(refused("after says where a client resumes: name the client, too"));
    }
    Ok((client, after))
}

/// A browser says where the page is from that connects: only pages of this node may, and those of
/// origins that are allowed by name.
fn check_origin(headers: &HeaderMap, allowed: &[String]) -> Result<()> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let own = origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == host);
    if own || allowed.iter().any(|allowed| allowed == origin) {
        return Ok(());
    }
    let what = "pages of this origin may not connect; see --allowed-origins";
    Err(Error::new(Code::Forbidden, what))
}

/// The answer to the handshake's key (RFC 6455, 4.2).
fn accept(headers: &HeaderMap) -> Result<HeaderValue> {
    let says = |name, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let mut words = values.flat_map(|value| value.split(','));
        words.any(|said| said.trim().eq_ignore_ascii_case(word))
    };
    if !says(header::UPGRADE, "websocket") || !says(header::CONNECTION, "upgrade") {
        return Err(refused("this is for WebSockets: ask for the upgrade"));
    }
    if !says(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(refused("this node speaks version 13 of WebSocket"));
    }
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        return Err(refused("the handshake has no Sec-WebSocket-Key"));
    };
    HeaderValue::try_from(derive_accept_key(key.as_bytes()))
        .map_err(|_| refused("the Sec-WebSocket-Key is none"))
}

/// The first subprotocol of the client that this node speaks; JSON where it names none.
fn encoding(headers: &HeaderMap) -> Result<Encoding> {
    let mut offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().peekable();
    if offered.peek().is_none() {
        return Ok(Encoding::Json);
    }
    let names = offered.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let known = names.filter_map(|name| {
        [Encoding::Proto, Encoding::Json].into_iter().find(|known| known.as_str() == name.trim())
    });
    let none = "this node speaks the subprotocols switchboard.v1.proto and switchboard.v1.json";
    known.into_iter().next().ok_or_else(|| refused(none))
}
