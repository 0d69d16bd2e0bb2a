//! The body of a request, read strictly.

use axum::body::{Body, HttpBody};
use bytes::Buf as _;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use switchboard_core::{Code, Error, Result, vault::Secret};

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
    let (parts, body) = request.into_parts();
    let body = limited(&parts.headers, body, bytes_max)?.collect().await;
    let body = body.map_err(|error| refused(error, bytes_max))?;
    serde_json::from_slice(&body.to_bytes()).map_err(|error| {
        Error::new(Code::InvalidRequest, format!("the body is not what this call takes: {error}"))
    })
}

/// Reads the bytes of a JSON body that holds secrets: they are wiped when they are dropped.
///
/// # Errors
///
/// Those of [`json`], but for what stands in it.
pub(super) async fn secret<B>(headers: &HeaderMap, body: B, bytes_max: usize) -> Result<Secret>
where
    B: HttpBody + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut body = limited(headers, body, bytes_max)?;
    let expected = usize::try_from(body.size_hint().exact().unwrap_or(0)).unwrap_or(0);
    let mut bytes = Secret::with_room(expected.min(bytes_max));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| refused(error, bytes_max))?;
        if let Ok(mut data) = frame.into_data() {
            while data.has_remaining() {
                bytes.push(data.chunk());
                data.advance(data.chunk().len());
            }
        }
    }
    Ok(bytes)
}

fn limited<B>(headers: &HeaderMap, body: B, bytes_max: usize) -> Result<Limited<B>> {
    if !is_json(headers) {
        let what = "the body must be JSON, with the header content-type: application/json";
        return Err(Error::new(Code::UnsupportedMediaType, what));
    }
    Ok(Limited::new(body, bytes_max))
}

fn refused(error: Box<dyn std::error::Error + Send + Sync>, bytes_max: usize) -> Error {
    if error.is::<LengthLimitError>() {
        Error::new(Code::TooLarge, format!("the body is longer than {bytes_max} bytes"))
    } else {
        Error::new(Code::InvalidRequest, "the body ended before its time").caused_by(error)
    }
}

/// Reads a JSON body, or takes the default where there is none.
///
/// # Errors
///
/// Those of [`json`].
pub(super) async fn json_or_nothing<T: DeserializeOwned + Default>(
    request: Request<Body>,
    bytes_max: usize,
) -> Result<T> {
    let none = request.body().size_hint().exact() == Some(0);
    if none && !request.headers().contains_key(header::CONTENT_TYPE) {
        return Ok(T::default());
    }
    json(request, bytes_max).await
}

/// The name by which a repeated write is known: of the body, or of the customary header. Empty
/// where neither says it.
///
/// # Errors
///
/// [`Code::Conflict`] when both do, and differ; [`Code::InvalidRequest`] for a header that is no
/// text, or empty.
pub(super) fn idempotency_key(headers: &HeaderMap, field: Option<&str>) -> Result<String> {
    let Some(header) = headers.get("idempotency-key") else {
        return match field {
            Some("") => Err(Error::new(Code::InvalidRequest, "the idempotency field is empty")),
            field => Ok(field.unwrap_or_default().to_owned()),
        };
    };
    let header = str::from_utf8(header.as_bytes()).ok().filter(|header| !header.is_empty());
    let Some(header) = header else {
        return Err(Error::new(Code::InvalidRequest, "the Idempotency-Key is empty or no text"));
    };
    match field {
        Some(field) if field != header => {
            let what = "the Idempotency-Key and the field of the body differ";
            Err(Error::new(Code::Conflict, what))
        }
        _ => Ok(header.to_owned()),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}
