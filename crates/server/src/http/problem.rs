//! Errors as RFC 9457 tells them.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use switchboard_core::{Code, Error};
use utoipa::ToSchema;

use crate::status;

/// An error on its way out. Any handler may use `?`.
#[derive(Debug)]
pub(crate) struct Problem(pub(crate) Error);

/// What went wrong (RFC 9457, `application/problem+json`).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// Names the kind of error: `urn:switchboard:` and the code.
    #[schema(example = "urn:switchboard:invalid_key")]
    r#type: String,
    /// The status in words.
    #[schema(example = "Bad Request")]
    title: &'static str,
    /// The status of the answer.
    #[schema(example = 400)]
    status: u16,
    /// One sentence for whoever has to act on it.
    #[schema(
        example = "a key is K-, five of 0-9 and a-z, -, and one of A-Z, for example K-4bbf1-P"
    )]
    detail: String,
    /// What a program can tell errors apart by; never renamed.
    #[schema(example = "invalid_key")]
    code: &'static str,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let (_, status) = status::of(error.code());
        let code = error.code().as_str();
        let body = ProblemBody {
            r#type: format!("urn:switchboard:{code}"),
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: error.to_string(),
            code,
        };
        let mut response = json(status, &body);
        let headers = response.headers_mut();
        let problem = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, problem);
        if matches!(error.code(), Code::Unavailable | Code::TooManyRequests) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let content_type = HeaderValue::from_static("application/json");
    match serde_json::to_vec(body) {
        Ok(mut bytes) => {
            // For whoever reads it in a terminal.
            bytes.push(b'\n');
            (status, [(header::CONTENT_TYPE, content_type)], bytes).into_response()
        }
        // Our own types always can be written; an empty 500 is what is left to say otherwise.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
