//! `/v1/tenants/{tenant}/presence`, and `/v1/presence` for all tenants.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State, rejection::PathRejection},
    response::Response,
    routing::get,
};
use http::{HeaderMap, StatusCode, Uri};
use serde::Serialize;
use switchboard_core::{ClientId, Code, Error, Result};
use utoipa::ToSchema;

use super::problem::{Problem, ProblemBody, json};
use crate::{
    caller::Caller,
    door::Entrance,
    grpc::tally,
    node::Node,
    presence::{Online, Tally, WINDOW_SECONDS},
};

/// How many are online.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Presence {
    /// Unique clients seen `EVEN` or `ODD` in the window.
    #[schema(example = 42)]
    online: u64,
    /// Sessions open, as the gateways last reported.
    #[schema(example = 45)]
    connected: u64,
    /// The length of the window.
    #[schema(example = 180)]
    window_seconds: u32,
    /// When this was true, in milliseconds since the Unix epoch.
    #[schema(example = 1_790_000_000_000_i64)]
    as_of: i64,
}

/// One client.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names of the answer")]
pub(super) struct Client {
    /// Which.
    #[schema(example = "phone-7")]
    client: String,
    /// Whether it was seen in the window.
    online: bool,
    /// What it reported last: `EVEN`, `ODD` or `UNKNOWN`.
    #[schema(example = "EVEN")]
    status: &'static str,
    /// When it last reported `EVEN` or `ODD`, to within the interval of the reports; `null` if that
    /// is not known.
    #[schema(example = 1_790_000_000_000_i64)]
    last_seen: Option<i64>,
    /// Its sessions, as the gateways last reported.
    #[schema(example = 1)]
    sessions: u32,
}

/// The past.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct History {
    /// One for each minute since the start of this node, and what its journal held then; the oldest
    /// first.
    points: Vec<Point>,
}

/// One minute.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Point {
    /// Its beginning, in milliseconds since the Unix epoch.
    #[schema(example = 1_790_000_040_000_i64)]
    at: i64,
    /// How many were online then.
    #[schema(example = 42)]
    online: u64,
}

#[derive(Debug)]
struct Reader {
    tally: Option<Arc<Tally>>,
    count: Entrance,
    client: Entrance,
    history: Entrance,
}

type Segments<T> = std::result::Result<Path<T>, PathRejection>;

/// The routes of presence; without a tally they say where to ask.
pub(super) fn routes(node: &Node, tally: Option<Arc<Tally>>) -> Router {
    let entrance = |operation| Entrance::new(node, "presence", operation, "rest");
    let reader = Reader {
        tally,
        count: entrance("count"),
        client: entrance("client"),
        history: entrance("history"),
    };
    Router::new()
        .route("/v1/presence", get(all))
        .route("/v1/tenants/{tenant}/presence", get(count))
        .route("/v1/tenants/{tenant}/presence/history", get(history))
        .route("/v1/tenants/{tenant}/presence/{client}", get(client))
        .with_state(Arc::new(reader))
}

/// How many are online now, of all tenants.
#[utoipa::path(
    get,
    path = "/v1/presence",
    tag = "presence",
    operation_id = "presence_of_all",
    responses(
        (status = 200, description = "The count", body = Presence),
        (status = 503, description = "`unavailable`: the journal is being read, or this node has \
            not the role `status`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn all(
    State(reader): State<Arc<Reader>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let known = reader.tally.as_ref();
    let work = |caller: Caller| async move {
        no_query(&uri)?;
        caller.all_tenants()?;
        tally(known)?.count(None)
    };
    Ok(counted(&reader.count.pass(&headers, work).await?))
}

/// How many are online now: unique clients seen `EVEN` or `ODD` less than 180 seconds ago.
#[utoipa::path(
    get,
    path = "/v1/tenants/{tenant}/presence",
    tag = "presence",
    operation_id = "presence",
    params(("tenant" = String, Path, description = "Whose clients: 1 to 64 of `A-Za-z0-9._-`")),
    responses(
        (status = 200, description = "The count", body = Presence),
        (status = 400, description = "`invalid_tenant`, `invalid_request`",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the journal is being read, or this node has \
            not the role `status`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn count(
    State(reader): State<Arc<Reader>>,
    tenant: Segments<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let known = reader.tally.as_ref();
    let work = |caller: Caller| async move {
        no_query(&uri)?;
        let tenant = caller.tenant(&segments(tenant)?)?;
        tally(known)?.count(Some(&tenant))
    };
    Ok(counted(&reader.count.pass(&headers, work).await?))
}

/// What is known of one client.
///
/// A client whose id is `history` is asked for as `%68istory`.
#[utoipa::path(
    get,
    path = "/v1/tenants/{tenant}/presence/{client}",
    tag = "presence",
    operation_id = "presence_of_client",
    params(
        ("tenant" = String, Path, description = "Whose client: 1 to 64 of `A-Za-z0-9._-`"),
        ("client" = String, Path, description = "Its id: 1 to 128 bytes, percent-encoded"),
    ),
    responses(
        (status = 200, description = "What is known; of a client that was never seen, nothing",
            body = Client),
        (status = 400, description = "`invalid_tenant`, `invalid_request`",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn client(
    State(reader): State<Arc<Reader>>,
    path: Segments<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let known = reader.tally.as_ref();
    let work = |caller: Caller| async move {
        no_query(&uri)?;
        let (tenant, client) = segments(path)?;
        let (tenant, client) = (caller.tenant(&tenant)?, ClientId::new(&client)?);
        let seen = tally(known)?.client(&tenant, &client)?;
        Ok(Client {
            client: client.as_str().to_owned(),
            online: seen.online,
            status: seen.status.as_str(),
            last_seen: seen.last_seen.map(|at| at.0),
            sessions: seen.sessions,
        })
    };
    Ok(json(StatusCode::OK, &reader.client.pass(&headers, work).await?))
}

/// How many were online, minute by minute.
#[utoipa::path(
    get,
    path = "/v1/tenants/{tenant}/presence/history",
    tag = "presence",
    operation_id = "presence_history",
    params(
        ("tenant" = String, Path, description = "Whose clients: 1 to 64 of `A-Za-z0-9._-`"),
        ("minutes" = Option<u32>, Query, description = "How far back: 1 to 1440; 60 by default"),
    ),
    responses(
        (status = 200, description = "The past, as far as this node has run", body = History),
        (status = 400, description = "`invalid_tenant`, `invalid_request`",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn history(
    State(reader): State<Arc<Reader>>,
    tenant: Segments<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let known = reader.tally.as_ref();
    let work = |caller: Caller| async move {
        let minutes = minutes(uri.query().unwrap_or_default())?;
        let tenant = caller.tenant(&segments(tenant)?)?;
        tally(known)?.history(&tenant, minutes)
    };
    let points = reader.history.pass(&headers, work).await?;
    let points = points.iter().map(|point| Point { at: point.at.0, online: point.online });
    Ok(json(StatusCode::OK, &History { points: points.collect() }))
}

fn counted(online: &Online) -> Response {
    let Online { count, as_of } = online;
    let presence = Presence {
        online: count.online,
        connected: count.connected,
        window_seconds: WINDOW_SECONDS,
        as_of: as_of.0,
    };
    json(StatusCode::OK, &presence)
}

fn segments<T>(path: Segments<T>) -> Result<T> {
    match path {
        Ok(Path(segments)) => Ok(segments),
        Err(_) => Err(Error::new(Code::InvalidRequest, "the path is not UTF-8")),
    }
}

fn no_query(uri: &Uri) -> Result<()> {
    match uri.query() {
        None | Some("") => Ok(()),
        Some(_) => Err(Error::new(Code::InvalidRequest, "this call takes no query")),
    }
}

fn minutes(query: &str) -> Result<u32> {
    let mut minutes = 60;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let wrong = |what: String| Error::new(Code::InvalidRequest, what);
        if name != "minutes" {
            return Err(wrong(format!("the query knows no {name:?}: it takes minutes")));
        }
        // 0 is the default over gRPC only.
        let parsed = value.parse().ok().filter(|minutes| *minutes != 0);
        minutes = parsed.ok_or_else(|| wrong(format!("minutes is 1 to 1440, not {value:?}")))?;
    }
    Ok(minutes)
}

/// What the description is made of.
#[derive(utoipa::OpenApi)]
#[openapi(paths(all, count, client, history), components(schemas(ProblemBody)))]
pub(super) struct Api;
