//! `/v1/tenants/{tenant}/topics`, `/events` and `/queues`: the bus.

mod bodies;
mod events;
mod queues;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::State,
    response::Response,
    routing::{get, post},
};
use http::{Request, StatusCode};
use switchboard_core::{
    Result,
    bus::{Content, JSON},
};

use self::bodies::{PublishRequest, PublishedBody};
use super::{
    Segments, body,
    problem::{Problem, ProblemBody, json},
    segments,
};
use crate::{
    bus::{BESIDE_DATA, Entrances, Publication},
    caller::Caller,
    node::Node,
};

#[derive(Debug)]
struct Bus {
    node: Node,
    entrances: Entrances,
}

type Shared = State<Arc<Bus>>;

/// The routes of the bus.
pub(super) fn routes(node: &Node) -> Router {
    let bus = Bus { node: node.clone(), entrances: Entrances::new(node, "rest") };
    let tenant = "/v1/tenants/{tenant}";
    let queue = format!("{tenant}/queues/{{queue}}");
    Router::new()
        .route(&format!("{tenant}/topics/{{topic}}/events"), post(publish))
        .route(&format!("{tenant}/events"), get(events::read))
        .route(&format!("{tenant}/queues"), get(queues::list))
        .route(&queue, get(queues::get).put(queues::create).delete(queues::delete))
        .route(&format!("{queue}/pull"), post(queues::pull))
        .route(&format!("{queue}/ack"), post(queues::ack))
        .route(&format!("{queue}/nack"), post(queues::nack))
        .with_state(Arc::new(bus))
}

impl Bus {
    fn bytes_max(&self) -> usize {
        self.node.limits.body_bytes_max + BESIDE_DATA
    }
}

/// Publishes an event: durable, answered once it is on disk, or ephemeral, to those who are
/// subscribed right now.
#[utoipa::path(
    post,
    path = "/v1/tenants/{tenant}/topics/{topic}/events",
    tag = "bus",
    operation_id = "publish",
    params(
        ("tenant" = String, Path, description = "Whose event", example = "default"),
        ("topic" = String, Path, description = "Up to 8 words of `A-Za-z0-9_-` with dots between \
            them, up to 256 bytes; those that begin with `sys.` are Switchboard's own",
            example = "orders.eu.created"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same as `key`"),
    ),
    request_body = PublishRequest,
    responses(
        (status = 201, description = "Published now", body = PublishedBody),
        (status = 200, description = "Published before, with this key", body = PublishedBody),
        (status = 202, description = "Ephemeral: handed to those who are there",
            body = PublishedBody),
        (status = 400, description = "`invalid_topic`, `invalid_type`, `invalid_request`, \
            `invalid_tenant`",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: another event has this key",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn publish(
    State(bus): Shared,
    path: Segments<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (bus, headers) = (&bus, &request.headers().clone());
    let work = |caller: Caller| async move {
        let (tenant, topic) = segments(path)?;
        let tenant = caller.tenant(&tenant)?;
        let asked: PublishRequest = body::json(request, bus.bytes_max()).await?;
        let key = body::idempotency_key(headers, asked.key.as_deref())?;
        let content = Content {
            topic: &topic,
            kind: &asked.r#type,
            content_type: JSON,
            data: asked.data.get().as_bytes(),
            key: None,
            reply_to: asked.reply_to.as_deref().unwrap_or_default(),
        };
        let ephemeral = asked.ephemeral;
        let given = Publication { content, key: &key, ephemeral };
        Ok((bus.node.publish(tenant, &given).await?, ephemeral))
    };
    let (published, ephemeral) = bus.entrances.publish.pass(headers, work).await?;
    let status = match (ephemeral, published.new) {
        (true, _) => StatusCode::ACCEPTED,
        (false, true) => StatusCode::CREATED,
        (false, false) => StatusCode::OK,
    };
    Ok(json(status, &PublishedBody::of(published)))
}

/// What the description is made of.
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    publish,
    events::read,
    queues::create,
    queues::get,
    queues::list,
    queues::delete,
    queues::pull,
    queues::ack,
    queues::nack
))]
pub(super) struct Api;
