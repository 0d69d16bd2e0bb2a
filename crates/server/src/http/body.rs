//! The body of a request, read strictly.

use axum::body::Body;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use switchboard_core::{Code, Error, Result};

/// Reads a JSON body of at most `bytes_max` bytes.
///
/// # Errors
///
/// [`Code::UnsupportedMediaType`] unless the request says `application/json`: a browser sends
/// nothing else across sites without asking first, so a page can't post to a node on loopback.
/// [`Code::TooLarge`]; [`Code::InvalidRequest`] for what is no JSON, of other types, or with fields
/// that are unknown or stand twice, with line and column.
pub(super) async fn json<T: DeserializeOwned>(
    request: Request<Body>,
    bytes_max: usize,
) -> Result<T> {
    if !is_json(request.headers()) {
        let what = "the body must be JSON, with the header content-type: application/json";
        return Err(Error::new(Code::UnsupportedMediaType, what));
    }
    let body = Limited::new(request.into_body(), bytes_max).collect().await;
    let bytes = body.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Error::new(Code::TooLarge, format!("the body is longer than {bytes_max} bytes"))
        } else {
            Error::new(Code::InvalidRequest, "the body ended before its time").caused_by(error)
        }
    })?;
    serde_json::from_slice(&bytes.to_bytes()).map_err(|error| {
        Error::new(Code::InvalidRequest, format!("the body is not what this call takes: {error}"))
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}
