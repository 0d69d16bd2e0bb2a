//! A user's inbox: page by page, or as events that a server sends (SSE).

use std::{convert::Infallible, future, pin::Pin};

use axum::{extract::State, response::Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderMap, StatusCode, Uri};
use switchboard_core::{Result, chat::Cursor};
use tokio::time;

use super::{
    Query, Segments, Shared,
    bodies::{Inbox, Known},
    segments,
};
use crate::{
    caller::Caller,
    chat::{Follower, Told},
    http::{
        problem::{Problem, ProblemBody, json},
        stream::{self as sse, KEEP_ALIVE, wants_events},
    },
    telemetry::delivered,
};

/// A user's inbox: everything that happened to him, in order. With `Accept: text/event-stream` the
/// events of the past, then live, without a seam: `id` is the cursor, and `Last-Event-ID` resumes.
#[utoipa::path(
    get,
    path = "/v1/tenants/{tenant}/users/{phone}/inbox",
    tag = "chat",
    operation_id = "read_inbox",
    params(
        ("tenant" = String, Path, description = "Whose user", example = "default"),
        ("phone" = String, Path, description = "A phone number", example = "+41791234567"),
        ("after" = Option<String>, Query, description = "A cursor, `now`, or nothing: then from \
            the first"),
        ("limit" = Option<u32>, Query, description = "Of a page: 1 to 1,000; 50 where it is \
            absent"),
        ("Last-Event-ID" = Option<String>, Header, description = "Of a stream: before `after`"),
    ),
    responses(
        (status = 200, description = "A page, or a stream of entries", body = Inbox),
        (status = 400, description = "`invalid_phone`, `invalid_cursor`, `invalid_tenant`",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn read(
    State(chat): Shared,
    path: Segments<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if wants_events(&headers) {
        return follow(chat, path, uri, headers).await;
    }
    let (chat, headers) = (&chat, &headers);
    let work = |caller: Caller| async move {
        let (tenant, phone) = segments(path)?;
        let user = chat.user(caller, &tenant, &phone)?;
        let query = Query::read(&uri, "after")?;
        Ok((user, chat.node.read_inbox(user, &query.cursor, query.limit).await?))
    };
    let (user, read) = chat.entrances.inbox.pass(headers, work).await?;
    let cursor = Cursor::of_inbox(&user);
    let known = read.entries.iter();
    let entries = known.map(|it| Known::of(user.phone, it, &cursor.write(it.sequence))).collect();
    Ok(json(StatusCode::OK, &Inbox { entries, next_cursor: &read.next }))
}

async fn follow(
    chat: std::sync::Arc<super::Chat>,
    path: Segments<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (chat, headers) = (&chat, &headers);
    let work = |caller: Caller| async move {
        let (tenant, phone) = segments(path)?;
        let user = chat.user(caller, &tenant, &phone)?;
        let query = Query::read(&uri, "after")?;
        let after = sse::last_event(headers)?.unwrap_or(query.cursor);
        let mut follower = Follower::new(&chat.node, user, &after)?;
        // That the cursor is one of this inbox is told before the stream begins.
        future::poll_fn(|context| follower.poll_next(context)).await?;
        Ok(follower)
    };
    let follower = chat.entrances.follow.pass(headers, work).await?;
    let draining = chat.node.draining.clone().cancelled_owned();
    Ok(sse::answer(events(follower).take_until(draining)))
}

/// The entries of an inbox as events.
fn events(
    follower: Follower,
) -> Pin<Box<dyn Stream<Item = std::result::Result<Bytes, Infallible>> + Send>> {
    Box::pin(stream::unfold(Some(follower), async |follower| {
        let mut follower = follower?;
        loop {
            let next = future::poll_fn(|context| follower.poll_next(context));
            match time::timeout(KEEP_ALIVE, next).await {
                Err(_nothing_happened) => {
                    return Some((Ok(sse::NOTHING), Some(follower)));
                }
                Ok(Ok(Told::Entry(entry, since))) => {
                    let user = follower.user().phone;
                    let cursor = follower.cursor(entry.sequence);
                    follower.handed_out(since);
                    delivered(user, &entry);
                    let kind = entry.what.as_str();
                    let known = Known::of(user, &entry, &cursor);
                    // Our own types always can be written, on one line.
                    let data = serde_json::to_string(&known).unwrap_or_default();
                    let event = format!("id: {cursor}\nevent: {kind}\ndata: {data}\n\n");
                    return Some((Ok(event.into()), Some(follower)));
                }
                Ok(Ok(Told::Began(_) | Told::Typing(..))) => {}
                Ok(Err(error)) => {
                    // The client connects again, and resumes.
                    tracing::debug!(error = %error.chain(), "a stream of an inbox ended");
                    return Some((Ok(sse::AGAIN), None));
                }
            }
        }
    }))
}
