//! `/v1/tenants/{tenant}/vault`.

mod bodies;

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse as _, Response},
    routing::post,
};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header, request::Parts};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use switchboard_core::{
    Code, Error, Millis, Result,
    vault::{self, EncryptionKey, Pattern, RecordId, Value},
};

use self::bodies::{
    Array, DeleteRequest, DeleteResponse, Record, RekeyRequest, RekeyResponse, RetrieveRequest,
    StoreRequest, StoreResponse,
};
use super::{
    body, harden,
    problem::{Problem, ProblemBody, json},
};
use crate::{
    caller::{Caller, Peer},
    node::Node,
    vault::{Asker, BESIDE_VALUE, Entrances, Storing, WINDOW_BYTES},
    wire::vault::key,
};

/// Where a list goes on.
const NEXT: HeaderName = HeaderName::from_static("switchboard-next-cursor");

#[derive(Debug)]
struct Vault {
    node: Node,
    entrances: Entrances,
}

type Shared = State<Arc<Vault>>;
type Tenant = std::result::Result<Path<String>, PathRejection>;

/// The routes of the vault.
pub(super) fn routes(node: &Node) -> Router {
    Router::new()
        .route("/v1/tenants/{tenant}/vault/store", post(store))
        .route("/v1/tenants/{tenant}/vault/retrieve", post(retrieve))
        .route("/v1/tenants/{tenant}/vault/delete", post(delete))
        .route("/v1/tenants/{tenant}/vault/rekey", post(rekey))
        .with_state(Vault::new(node))
}

impl Vault {
    fn new(node: &Node) -> Arc<Self> {
        Arc::new(Self { node: node.clone(), entrances: Entrances::new(node, "rest") })
    }

    /// Who asks, and what for.
    async fn asked<T: DeserializeOwned, B>(
        &self,
        caller: Caller,
        tenant: &str,
        (parts, body): (&Parts, B),
    ) -> Result<(Asker, T)>
    where
        B: HttpBody + Unpin,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (tenant, address) = (caller.tenant(tenant)?, Peer::of(&parts.extensions));
        let bytes_max = self.node.limits.body_bytes_max + BESIDE_VALUE;
        let body = body::secret(&parts.headers, body, bytes_max).await?;
        Ok((Asker { tenant, address }, bodies::read(&body)?))
    }
}

/// The tenant of a path, which must be UTF-8.
fn tenant_of(tenant: Tenant) -> Result<String> {
    tenant.map(|Path(tenant)| tenant).map_err(|rejection| {
        let what = "the path is not what this call takes";
        Error::new(Code::InvalidRequest, what).caused_by(rejection)
    })
}

/// Answers the commonest call straight from the connection: routing it costs as much as reading and
/// opening a record.
#[derive(Clone, Debug)]
pub(crate) struct Straight(Arc<Vault>);

impl Straight {
    pub(crate) fn new(node: &Node) -> Self {
        Self(Vault::new(node))
    }

    /// The tenant whose records are asked for, if a request does so and its path is written
    /// plainly.
    pub(crate) fn tenant<B>(request: &Request<B>) -> Option<&str> {
        let path = request.uri().path().strip_prefix("/v1/tenants/")?;
        let tenant = path.strip_suffix("/vault/retrieve")?;
        let plain = !tenant.bytes().any(|byte| matches!(byte, b'/' | b'%'));
        (plain && request.method() == Method::POST).then_some(tenant)
    }

    /// Answers such a request.
    pub(crate) async fn answer(self, tenant: String, request: Request<Incoming>) -> Response {
        let (parts, body) = request.into_parts();
        let answered = self.0.retrieve(Ok(tenant), &parts, body).await;
        harden(answered.unwrap_or_else(|error| Problem(error).into_response()))
    }
}

/// An answer, and where the rest is.
fn with_next(mut response: Response, next: Option<String>) -> Response {
    // A cursor is ASCII.
    if let Some(next) = next.and_then(|next| HeaderValue::try_from(next).ok()) {
        response.headers_mut().insert(NEXT, next);
    }
    response
}

/// Keeps a value under an id, over any that was there, whichever key that had.
#[utoipa::path(
    post,
    path = "/v1/tenants/{tenant}/vault/store",
    tag = "vault",
    operation_id = "vault_store",
    params(("tenant" = String, Path, description = "Whose record", example = "default")),
    request_body = StoreRequest,
    responses(
        (status = 201, description = "There was none before", body = StoreResponse),
        (status = 200, description = "Stored over the one before", body = StoreResponse),
        (status = 400, description = "`invalid_id`, `invalid_encryption_key`, `invalid_value`, \
            `invalid_request`, `invalid_tenant`", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: another version is there than `if_version`, or \
            the tenant's records keep their key", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 413, description = "`too_large`: more than 1 MiB", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: too many new passphrases",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn store(
    State(vault): Shared,
    tenant: Tenant,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (vault, (parts, body)) = (&vault, request.into_parts());
    let parts = &parts;
    let work = |caller: Caller| async move {
        let (asker, mut sent) =
            vault.asked::<StoreRequest, _>(caller, &tenant_of(tenant)?, (parts, body)).await?;
        let value = Box::<str>::from(sent.value).into_string();
        let storing = Storing {
            id: RecordId::new(&sent.id)?,
            value: Value::json(value)?,
            key: key(&mut sent.encryption_key)?,
            expires_at: sent.expires_at.map(Millis),
            if_version: sent.if_version,
        };
        Ok((sent.id, vault.node.vault.store(&asker, storing).await?))
    };
    let (id, stored) = vault.entrances.store.pass(&parts.headers, work).await?;
    let status = if stored.new { StatusCode::CREATED } else { StatusCode::OK };
    let (updated_at, version) = (stored.updated_at.0, stored.version);
    let replaced_key = stored.replaced_key;
    Ok(json(status, &StoreResponse { id, updated_at, version, replaced_key }))
}

/// The records under an id or pattern that the key opens, ordered by id. What it does not open is
/// left out without a word.
#[utoipa::path(
    post,
    path = "/v1/tenants/{tenant}/vault/retrieve",
    tag = "vault",
    operation_id = "vault_retrieve",
    params(("tenant" = String, Path, description = "Whose records", example = "default")),
    request_body = RetrieveRequest,
    responses(
        (status = 200, description = "What opens", body = [Record],
            headers(("Switchboard-Next-Cursor" = String, description = "There is more"))),
        (status = 400, description = "`invalid_id`, `invalid_encryption_key`, `invalid_cursor`, \
            `invalid_request`, `invalid_tenant`", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: too many new passphrases",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn retrieve(
    State(vault): Shared,
    tenant: Tenant,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    Ok(vault.retrieve(tenant_of(tenant), &parts, body).await?)
}

impl Vault {
    async fn retrieve<B>(&self, tenant: Result<String>, parts: &Parts, body: B) -> Result<Response>
    where
        B: HttpBody + Unpin,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let work = |caller: Caller| async move {
            let (asker, mut sent) =
                self.asked::<RetrieveRequest, _>(caller, &tenant?, (parts, body)).await?;
            if sent.limit == Some(0) {
                let what = format!("limit is 1 to {}", vault::PAGE_MAX);
                return Err(Error::new(Code::InvalidRequest, what));
            }
            let limit = vault::page_limit(sent.limit.unwrap_or_default())?;
            let (pattern, key) = (Pattern::new(&sent.id)?, key(&mut sent.encryption_key)?);
            let cursor = sent.cursor.unwrap_or_default();
            page(self, asker, (pattern, key), &cursor, limit).await
        };
        let (array, next) = self.entrances.retrieve.pass(&parts.headers, work).await?;
        let content_type = HeaderValue::from_static("application/json");
        let response = ([(header::CONTENT_TYPE, content_type)], Body::from(array.end()));
        Ok(with_next(response.into_response(), next))
    }
}

/// A page, and where to go on if there is more that opens: whoever has no key to it is not told.
async fn page(
    vault: &Vault,
    asker: Asker,
    (pattern, key): (Pattern, Arc<EncryptionKey>),
    cursor: &str,
    limit: usize,
) -> Result<(Array, Option<String>)> {
    let mut reading = vault.node.vault.read(asker, pattern, key, cursor).await?;
    let (mut array, mut last, mut records) = (Array::default(), None, 0);
    while let Some(opened) = reading.next().await? {
        for opened in opened {
            let full = limit <= records || WINDOW_BYTES <= array.len();
            if let Some(last) = last.as_ref().filter(|_| full) {
                return Ok((array, Some(reading.cursor(last))));
            }
            array.push(&opened);
            records += 1;
            last = Some(opened.id);
        }
    }
    Ok((array, None))
}

/// Removes the records under an id or pattern that the key opens: up to 10,000 in one call.
#[utoipa::path(
    post,
    path = "/v1/tenants/{tenant}/vault/delete",
    tag = "vault",
    operation_id = "vault_delete",
    params(("tenant" = String, Path, description = "Whose records", example = "default")),
    request_body = DeleteRequest,
    responses(
        (status = 200, description = "How many", body = DeleteResponse,
            headers(("Switchboard-Next-Cursor" = String, description = "There is more"))),
        (status = 400, description = "`invalid_id`, `invalid_encryption_key`, `invalid_cursor`, \
            `invalid_request`, `invalid_tenant`", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: too many new passphrases",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn delete(
    State(vault): Shared,
    tenant: Tenant,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (vault, (parts, body)) = (&vault, request.into_parts());
    let parts = &parts;
    let work = |caller: Caller| async move {
        let (asker, mut sent) =
            vault.asked::<DeleteRequest, _>(caller, &tenant_of(tenant)?, (parts, body)).await?;
        let (pattern, key) = (Pattern::new(&sent.id)?, key(&mut sent.encryption_key)?);
        let cursor = sent.cursor.unwrap_or_default();
        vault.node.vault.delete(asker, pattern, key, &cursor).await
    };
    let changed = vault.entrances.delete.pass(&parts.headers, work).await?;
    let response = json(StatusCode::OK, &DeleteResponse { deleted: changed.records });
    Ok(with_next(response, changed.next))
}

/// Seals the records under an id or pattern that the old key opens under the new one, each at once:
/// up to 10,000 in one call. Repeating it does what is left.
#[utoipa::path(
    post,
    path = "/v1/tenants/{tenant}/vault/rekey",
    tag = "vault",
    operation_id = "vault_rekey",
    params(("tenant" = String, Path, description = "Whose records", example = "default")),
    request_body = RekeyRequest,
    responses(
        (status = 200, description = "How many", body = RekeyResponse,
            headers(("Switchboard-Next-Cursor" = String, description = "There is more"))),
        (status = 400, description = "`invalid_id`, `invalid_encryption_key`, `invalid_cursor`, \
            `invalid_request`, `invalid_tenant`", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: too many new passphrases",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn rekey(
    State(vault): Shared,
    tenant: Tenant,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (vault, (parts, body)) = (&vault, request.into_parts());
    let parts = &parts;
    let work = |caller: Caller| async move {
        let (asker, mut sent) =
            vault.asked::<RekeyRequest, _>(caller, &tenant_of(tenant)?, (parts, body)).await?;
        let pattern = Pattern::new(&sent.id)?;
        let keys = [key(&mut sent.old_encryption_key)?, key(&mut sent.new_encryption_key)?];
        let cursor = sent.cursor.unwrap_or_default();
        vault.node.vault.rekey(asker, pattern, keys, &cursor).await
    };
    let changed = vault.entrances.rekey.pass(&parts.headers, work).await?;
    let response = json(StatusCode::OK, &RekeyResponse { rekeyed: changed.records });
    Ok(with_next(response, changed.next))
}

/// What the description of REST says of the vault.
#[derive(utoipa::OpenApi)]
#[openapi(paths(store, retrieve, delete, rekey), components(schemas(Record)))]
pub(super) struct Api;
