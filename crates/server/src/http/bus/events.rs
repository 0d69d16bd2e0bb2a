//! Events: page by page, or as a server sends them (SSE).

use std::{convert::Infallible, future, sync::Arc};

use axum::{extract::State, response::Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderMap, StatusCode, Uri};
use switchboard_core::{
    Code, Error, Result,
    bus::{Interest, PAGE_MAX, Since},
};
use tokio::time;

use super::{
    Bus, Shared,
    bodies::{Event, Events},
};
use crate::{
    bus::{Fed, Feed},
    caller::Caller,
    http::{
        Segments,
        problem::{Problem, ProblemBody, json},
        segments,
        stream::{self as sse, KEEP_ALIVE, wants_events},
    },
};

/// What is asked for.
#[derive(Debug, Default)]
struct Query {
    topics: String,
    types: String,
    after: String,
    limit: u32,
}

impl Query {
    fn read(uri: &Uri) -> Result<Self> {
        let refused = |what: String| Err(Error::new(Code::InvalidRequest, what));
        let mut query = Self::default();
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            if seen.contains(&name) {
                return refused(format!("the query has {name} twice: separate by commas"));
            }
            match &*name {
                "topics" => query.topics = value.into_owned(),
                "types" => query.types = value.into_owned(),
                "after" => query.after = value.into_owned(),
                "limit" => match value.parse() {
                    Ok(limit) if 0 < limit => query.limit = limit,
                    _ => return refused(format!("limit is 1 to {PAGE_MAX}")),
                },
                _ => {
                    let takes = "it takes topics, types, after and limit";
                    return refused(format!("the query knows no {name:?}: {takes}"));
                }
            }
            seen.push(name);
        }
        Ok(query)
    }

    fn interest(&self) -> Result<Interest> {
        let parts = |text: &'_ str| -> Vec<String> {
            if text.is_empty() { Vec::new() } else { text.split(',').map(str::to_owned).collect() }
        };
        crate::bus::interest(&parts(&self.topics), &parts(&self.types))
    }
}

/// Events of some topics. With `Accept: text/event-stream` those of the past, then live, without a
/// seam: each `data:` line is one event, `id` its cursor, and `Last-Event-ID` resumes.
#[utoipa::path(
    get,
    path = "/v1/tenants/{tenant}/events",
    tag = "bus",
    operation_id = "read_events",
    params(
        ("tenant" = String, Path, description = "Whose events", example = "default"),
        ("topics" = String, Query, description = "Filters, separated by commas, of which one must \
            match: `*` stands for any one word, a last `>` for one or more", example = "orders.>"),
        ("types" = Option<String>, Query, description = "Types, separated by commas, of which one \
            must be that of the event; absent: any"),
        ("after" = Option<String>, Query, description = "`now`, `start`, a cursor, a sequence, or \
            a time as `@` and milliseconds. Absent: `now` for a stream, `start` for a page"),
        ("limit" = Option<u32>, Query, description = "Of a page: 1 to 1,000; 100 where it is \
            absent"),
        ("Last-Event-ID" = Option<String>, Header, description = "Of a stream: before `after`"),
    ),
    responses(
        (status = 200, description = "A page, or a stream of events", body = Events),
        (status = 400, description = "`invalid_topic`, `invalid_type`, `invalid_cursor`, \
            `invalid_request`, `invalid_tenant`",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "`cursor_expired`: the oldest sequence left is in `detail`",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn read(
    State(bus): Shared,
    path: Segments<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if wants_events(&headers) {
        return follow(&bus, path, &uri, &headers).await;
    }
    let bus = &bus;
    let work = |caller: Caller| async move {
        let tenant = caller.tenant(&segments(path)?)?;
        let query = Query::read(&uri)?;
        let place = (&*query.after, query.limit);
        bus.node.read_events(tenant, query.interest()?, place).await
    };
    let read = bus.entrances.read.pass(&headers, work).await?;
    let events = read.events.iter().map(Event::of).collect();
    Ok(json(StatusCode::OK, &Events { events, next_cursor: read.next }))
}

async fn follow(
    bus: &Arc<Bus>,
    path: Segments<String>,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let work = |caller: Caller| async move {
        let tenant = caller.tenant(&segments(path)?)?;
        let query = Query::read(uri)?;
        let after = sse::last_event(headers)?.unwrap_or_else(|| query.after.clone());
        let since = Since::read(&tenant, &after, Since::Now)?;
        let mut feed = Feed::new(&bus.node, tenant, query.interest()?, since);
        // That there is such a place is told before the stream begins.
        let began = future::poll_fn(|context| feed.poll_next(context)).await?;
        Ok((began, feed))
    };
    let (began, feed) = bus.entrances.subscribe.pass(headers, work).await?;
    let draining = bus.node.draining.clone().cancelled_owned();
    // Whoever is cut off before the first event resumes where he began.
    let first = match began {
        Fed::Began(cursor) => Bytes::from(format!("id: {cursor}\n\n")),
        Fed::Event(event) => written(&feed, &event),
    };
    let events = stream::iter([Ok(first)]).chain(events(feed));
    Ok(sse::answer(events.take_until(draining)))
}

/// What a feed hands out, from now on.
fn events(feed: Feed) -> impl Stream<Item = std::result::Result<Bytes, Infallible>> + Send {
    stream::unfold(Some(feed), async |feed| {
        let mut feed = feed?;
        loop {
            let next = future::poll_fn(|context| feed.poll_next(context));
            match time::timeout(KEEP_ALIVE, next).await {
                Err(_nothing_happened) => return Some((Ok(sse::NOTHING), Some(feed))),
                Ok(Ok(Fed::Began(_))) => {}
                Ok(Ok(Fed::Event(event))) => {
                    let written = written(&feed, &event);
                    return Some((Ok(written), Some(feed)));
                }
                Ok(Err(error)) => {
                    // Told as an event of its own type; the client connects again, and resumes.
                    tracing::debug!(error = %error.chain(), "a stream of events ended");
                    let (code, again) = (error.code(), &*sse::AGAIN);
                    let mut told = format!("event: error\ndata: {{\"code\":\"{code}\"}}\n\n");
                    told.push_str(str::from_utf8(again).unwrap_or_default());
                    return Some((Ok(told.into()), None));
                }
            }
        }
    })
}

/// An event as it is sent. One that is kept nowhere is no place to resume at.
fn written(feed: &Feed, event: &switchboard_core::bus::Event) -> Bytes {
    let data = Event::line(event);
    let written = match event.sequence {
        0 => format!("data: {data}\n\n"),
        sequence => format!("id: {}\ndata: {data}\n\n", feed.cursor(sequence)),
    };
    written.into()
}
