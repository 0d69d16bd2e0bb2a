//! Queues.

use axum::{body::Body, extract::State, response::Response};
use http::{HeaderMap, Request, StatusCode};
use switchboard_core::{Result, bus::QueueId, session::Settle};

use super::{
    Shared,
    bodies::{
        AckRequest, Deleted, Deliveries, Delivery, NackRequest, PullRequest, Queue, QueueRequest,
        Queues, SettledBody,
    },
};
use crate::{
    bus::{Wanted, age_ms, queue},
    caller::Caller,
    http::{
        Segments, body,
        problem::{Problem, ProblemBody, json},
        segments,
    },
};

/// A tenant's queue, of the path.
fn named(caller: Caller, path: Segments<(String, String)>) -> Result<QueueId> {
    let (tenant, name) = segments(path)?;
    queue(caller.tenant(&tenant)?, &name)
}

/// Makes a queue, or finds it as it is: events of some topics and types, shared among consumers.
#[utoipa::path(
    put,
    path = "/v1/tenants/{tenant}/queues/{queue}",
    tag = "bus",
    operation_id = "create_queue",
    params(
        ("tenant" = String, Path, description = "Whose queue", example = "default"),
        ("queue" = String, Path, description = "1 to 64 of `A-Za-z0-9_-`", example = "invoices"),
    ),
    request_body = QueueRequest,
    responses(
        (status = 201, description = "Made now", body = Queue),
        (status = 200, description = "Made before, with these settings", body = Queue),
        (status = 400, description = "`invalid_queue`, `invalid_topic`, `invalid_type`, \
            `invalid_cursor`, `invalid_request`, `invalid_tenant`",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: made before, with other settings",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "`cursor_expired`",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(bus): Shared,
    path: Segments<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (bus, headers) = (&bus, request.headers().clone());
    let work = |caller: Caller| async move {
        let queue = named(caller, path)?;
        let asked: QueueRequest = body::json(request, bus.bytes_max()).await?;
        let wanted = Wanted {
            topics: &asked.topics,
            types: &asked.types,
            ack_timeout_ms: asked.ack_timeout_ms,
            max_deliveries: asked.max_deliveries,
            dead_letter_topic: &asked.dead_letter_topic,
            after: &asked.after,
        };
        bus.node.create_queue(queue, &wanted).await
    };
    let created = bus.entrances.create_queue.pass(&headers, work).await?;
    let status = if created.new { StatusCode::CREATED } else { StatusCode::OK };
    let age = age_ms(&bus.node, &created.queue);
    Ok(json(status, &Queue::of(&created.queue, age)))
}

/// A queue and how it is now.
#[utoipa::path(
    get,
    path = "/v1/tenants/{tenant}/queues/{queue}",
    tag = "bus",
    operation_id = "get_queue",
    params(
        ("tenant" = String, Path, description = "Whose queue", example = "default"),
        ("queue" = String, Path, description = "1 to 64 of `A-Za-z0-9_-`", example = "invoices"),
    ),
    responses(
        (status = 200, description = "As it is", body = Queue),
        (status = 404, description = "`not_found`",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(
    State(bus): Shared,
    path: Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let bus = &bus;
    let work = |caller: Caller| async move { bus.node.ports.log.queue(named(caller, path)?).await };
    let state = bus.entrances.queue.pass(&headers, work).await?;
    Ok(json(StatusCode::OK, &Queue::of(&state, age_ms(&bus.node, &state))))
}

/// All queues of a tenant, by name.
#[utoipa::path(
    get,
    path = "/v1/tenants/{tenant}/queues",
    tag = "bus",
    operation_id = "list_queues",
    params(("tenant" = String, Path, description = "Whose queues", example = "default")),
    responses((status = 200, description = "All", body = Queues))
)]
pub(super) async fn list(
    State(bus): Shared,
    path: Segments<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let bus = &bus;
    let work = |caller: Caller| async move {
        bus.node.ports.log.queues(caller.tenant(&segments(path)?)?).await
    };
    let states = bus.entrances.queues.pass(&headers, work).await?;
    let queues = states.iter().map(|state| Queue::of(state, age_ms(&bus.node, state))).collect();
    Ok(json(StatusCode::OK, &Queues { queues }))
}

/// Removes a queue. The events stay; what was delivered can't be settled any more.
#[utoipa::path(
    delete,
    path = "/v1/tenants/{tenant}/queues/{queue}",
    tag = "bus",
    operation_id = "delete_queue",
    params(
        ("tenant" = String, Path, description = "Whose queue", example = "default"),
        ("queue" = String, Path, description = "1 to 64 of `A-Za-z0-9_-`", example = "invoices"),
    ),
    responses((status = 200, description = "Whether there was one", body = Deleted))
)]
pub(super) async fn delete(
    State(bus): Shared,
    path: Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let bus = &bus;
    let work =
        |caller: Caller| async move { bus.node.ports.log.delete_queue(named(caller, path)?).await };
    let deleted = bus.entrances.delete_queue.pass(&headers, work).await?;
    Ok(json(StatusCode::OK, &Deleted { deleted }))
}

/// Takes events of a queue, for as long as its `ack_timeout_ms`.
#[utoipa::path(
    post,
    path = "/v1/tenants/{tenant}/queues/{queue}/pull",
    tag = "bus",
    operation_id = "pull",
    params(
        ("tenant" = String, Path, description = "Whose queue", example = "default"),
        ("queue" = String, Path, description = "1 to 64 of `A-Za-z0-9_-`", example = "invoices"),
    ),
    request_body = PullRequest,
    responses(
        (status = 200, description = "What there is; nothing when nothing came in time",
            body = Deliveries),
        (status = 404, description = "`not_found`: there is no such queue",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn pull(
    State(bus): Shared,
    path: Segments<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (bus, headers) = (&bus, request.headers().clone());
    let work = |caller: Caller| async move {
        let queue = named(caller, path)?;
        let PullRequest { max, wait_ms } = body::json_or_nothing(request, bus.bytes_max()).await?;
        Ok((bus.node.pull(queue.clone(), max, wait_ms).await?, queue))
    };
    let (pulled, queue) = bus.entrances.pull.pass(&headers, work).await?;
    let deliveries = pulled.iter().map(|delivery| Delivery::of(&queue, delivery)).collect();
    Ok(json(StatusCode::OK, &Deliveries { deliveries }))
}

/// Acknowledges deliveries: their events are done with.
#[utoipa::path(
    post,
    path = "/v1/tenants/{tenant}/queues/{queue}/ack",
    tag = "bus",
    operation_id = "ack",
    params(
        ("tenant" = String, Path, description = "Whose queue", example = "default"),
        ("queue" = String, Path, description = "1 to 64 of `A-Za-z0-9_-`", example = "invoices"),
    ),
    request_body = AckRequest,
    responses(
        (status = 200, description = "How many were settled, and which were not and why",
            body = SettledBody),
        (status = 404, description = "`not_found`: there is no such queue",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn ack(
    State(bus): Shared,
    path: Segments<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (bus, headers) = (&bus, request.headers().clone());
    let work = |caller: Caller| async move {
        let queue = named(caller, path)?;
        let asked: AckRequest = body::json(request, bus.bytes_max()).await?;
        let said = Settle { ack: texts(&asked.deliveries), ..Settle::default() };
        bus.node.settle(queue, &said).await
    };
    let outcomes = bus.entrances.settle.pass(&headers, work).await?;
    Ok(json(StatusCode::OK, &SettledBody::of(outcomes)))
}

/// Gives deliveries back, to be delivered again at once or after a delay.
#[utoipa::path(
    post,
    path = "/v1/tenants/{tenant}/queues/{queue}/nack",
    tag = "bus",
    operation_id = "nack",
    params(
        ("tenant" = String, Path, description = "Whose queue", example = "default"),
        ("queue" = String, Path, description = "1 to 64 of `A-Za-z0-9_-`", example = "invoices"),
    ),
    request_body = NackRequest,
    responses(
        (status = 200, description = "How many were settled, and which were not and why",
            body = SettledBody),
        (status = 404, description = "`not_found`: there is no such queue",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`: the delay, the reason, or how many they are",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn nack(
    State(bus): Shared,
    path: Segments<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (bus, headers) = (&bus, request.headers().clone());
    let work = |caller: Caller| async move {
        let queue = named(caller, path)?;
        let asked: NackRequest = body::json(request, bus.bytes_max()).await?;
        let nack = texts(&asked.deliveries);
        let said =
            Settle { ack: Vec::new(), nack, delay_ms: asked.delay_ms, reason: &asked.reason };
        bus.node.settle(queue, &said).await
    };
    let outcomes = bus.entrances.settle.pass(&headers, work).await?;
    Ok(json(StatusCode::OK, &SettledBody::of(outcomes)))
}

fn texts(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}
