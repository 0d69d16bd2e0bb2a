//! `/v1/tenants/{tenant}/ingest`.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    response::Response,
    routing::post,
};
use http::{Request, StatusCode};
use serde::{Deserialize, Serialize};
use switchboard_core::{Code, Error, Millis, Result, ingest::Receipt};
use utoipa::ToSchema;

use super::{
    body,
    problem::{Problem, ProblemBody, json},
};
use crate::{caller::Caller, door::Entrance, node::Node};

/// One key to record.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = IngestRequest)]
pub(super) struct One {
    /// `K-`, five of `0-9` and `a-z`, `-`, one of `A-Z`.
    #[schema(example = "K-4bbf1-P", pattern = "^K-[0-9a-z]{5}-[A-Z]$")]
    key: String,
}

/// Keys to record: all of them, or none.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = IngestBatchRequest)]
pub(super) struct Batch {
    /// 1 to 10,000 keys.
    #[schema(min_items = 1, max_items = 10_000, example = json!(["K-4bbf1-P", "K-h53dk-A"]))]
    keys: Vec<String>,
}

/// What is recorded of a key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IngestResponse)]
pub(super) struct Recorded {
    /// When this request was processed, in milliseconds since the Unix epoch.
    #[schema(example = 1_790_000_000_000_i64)]
    timestamp: i64,
    /// The number of the key, from 1: one sequence over all tenants.
    #[schema(example = 1)]
    id: u64,
    /// Whether this request recorded it, rather than an earlier one.
    new: bool,
}

/// The answers to a batch.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IngestBatchResponse)]
pub(super) struct RecordedBatch {
    /// One for each key, in the order of the keys.
    results: Vec<Recorded>,
}

#[derive(Debug)]
struct Ingest {
    node: Node,
    one: Entrance,
    batch: Entrance,
}

type Tenant = std::result::Result<Path<String>, PathRejection>;

/// The routes of ingest.
pub(super) fn routes(node: &Node) -> Router {
    let entrance = |operation| Entrance::new(node, "ingest", operation, "rest");
    let ingest = Ingest { node: node.clone(), one: entrance("ingest"), batch: entrance("batch") };
    Router::new()
        .route("/v1/tenants/{tenant}/ingest", post(one))
        .route("/v1/tenants/{tenant}/ingest/batch", post(batch))
        .with_state(Arc::new(ingest))
}

/// Records one key and says whether it is new for its tenant.
///
/// The answer is given after the record is on disk. The call may be repeated: the same tenant and
/// key get the same id for ever.
#[utoipa::path(
    post,
    path = "/v1/tenants/{tenant}/ingest",
    tag = "ingest",
    operation_id = "ingest",
    params(("tenant" = String, Path, description = "Whose key it is: 1 to 64 of `A-Za-z0-9._-`")),
    request_body = One,
    responses(
        (status = 200, description = "Recorded, now or earlier", body = Recorded),
        (status = 400, description = "`invalid_key`, `invalid_tenant`, `invalid_request`",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: nothing was recorded, try again later",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn one(
    State(ingest): State<Arc<Ingest>>,
    tenant: Tenant,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (headers, node) = (request.headers().clone(), &ingest.node);
    let work = |caller: Caller| async move {
        let tenant = caller.tenant(named(&tenant)?)?;
        let One { key } = body::json(request, node.limits.body_bytes_max).await?;
        node.ingest(tenant, &key).await
    };
    let (receipt, at) = ingest.one.pass(&headers, work).await?;
    Ok(json(StatusCode::OK, &recorded(receipt, at)))
}

/// Records up to 10,000 keys: all of them, or none.
///
/// One malformed key refuses the whole batch and is named by its index.
#[utoipa::path(
    post,
    path = "/v1/tenants/{tenant}/ingest/batch",
    tag = "ingest",
    operation_id = "ingest_batch",
    params(
        ("tenant" = String, Path, description = "Whose keys they are: 1 to 64 of `A-Za-z0-9._-`"),
    ),
    request_body = Batch,
    responses(
        (status = 200, description = "All recorded, now or earlier", body = RecordedBatch),
        (status = 400, description = "`invalid_key`, `invalid_tenant`, `invalid_request`",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`: more than 10,000 keys, or the body",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: nothing was recorded, try again later",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn batch(
    State(ingest): State<Arc<Ingest>>,
    tenant: Tenant,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (headers, node) = (request.headers().clone(), &ingest.node);
    let work = |caller: Caller| async move {
        let tenant = caller.tenant(named(&tenant)?)?;
        let Batch { keys } = body::json(request, node.limits.body_bytes_max).await?;
        node.ingest_batch(tenant, &keys).await
    };
    let ingested = ingest.batch.pass(&headers, work).await?;
    let results = ingested.receipts.into_iter().map(|receipt| recorded(receipt, ingested.at));
    Ok(json(StatusCode::OK, &RecordedBatch { results: results.collect() }))
}

fn named(tenant: &Tenant) -> Result<&str> {
    match tenant {
        Ok(Path(tenant)) => Ok(tenant),
        Err(_) => Err(Error::new(Code::InvalidTenant, "the tenant in the path is not UTF-8")),
    }
}

fn recorded(receipt: Receipt, at: Millis) -> Recorded {
    Recorded { timestamp: at.0, id: receipt.id, new: receipt.new }
}

/// What the description is made of.
#[derive(utoipa::OpenApi)]
#[openapi(paths(one, batch), components(schemas(ProblemBody)))]
pub(super) struct Api;
