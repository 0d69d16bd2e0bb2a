//! Events that a server sends (SSE), as the HTML standard says.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use switchboard_core::{Code, Error, Result};

/// How often something is sent when nothing happens, so that nobody in between ends the stream.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What is sent then: a comment.
pub(super) const NOTHING: Bytes = Bytes::from_static(b":\n\n");

/// The end of a stream whose client is to connect again, and resume.
pub(super) const AGAIN: Bytes = Bytes::from_static(b"retry: 1000\n\n");

/// Whether a caller asks for a stream of events.
pub(super) fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted.flat_map(|value| value.split(','));
    types.any(|it| {
        it.split(';').next().is_some_and(|it| it.trim().eq_ignore_ascii_case("text/event-stream"))
    })
}

/// The last event that a client has got, if it says so.
///
/// # Errors
///
/// [`Code::InvalidCursor`] for what is no text.
pub(super) fn last_event(headers: &HeaderMap) -> Result<Option<String>> {
    let id = headers.get("last-event-id").map(HeaderValue::to_str).transpose();
    let id = id.map_err(|_| Error::new(Code::InvalidCursor, "Last-Event-ID is no cursor"))?;
    Ok(id.map(str::to_owned))
}

/// A stream of events as an answer.
pub(super) fn answer(
    events: impl Stream<Item = std::result::Result<Bytes, Infallible>> + Send + 'static,
) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (StatusCode::OK, headers, Body::from_stream(events)).into_response()
}
