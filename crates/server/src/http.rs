//! REST, its description, and what is told of errors.

mod body;
mod bus;
mod chat;
pub(crate) mod connect;
mod ingest;
mod openapi;
mod presence;
mod problem;
mod stream;
mod vault;

pub(crate) use self::vault::Straight;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, rejection::PathRejection},
    response::{IntoResponse as _, Response},
};
use switchboard_core::{Code, Error, Result};
use tower::util::MapResponseLayer;

use self::problem::Problem;
use crate::{node::Node, presence::Tally};

/// All routes of REST.
pub(crate) fn routes(node: &Node, tally: Option<Arc<Tally>>, api: bool) -> Router {
    let api = if api {
        ingest::routes(node)
            .merge(chat::routes(node, tally.clone()))
            .merge(vault::routes(node))
            .merge(bus::routes(node))
    } else {
        Router::new()
    };
    Router::new()
        .merge(api)
        .merge(presence::routes(node, tally))
        .merge(openapi::routes())
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(MapResponseLayer::new(harden))
}

/// The segments of a path, which may be no UTF-8.
type Segments<T> = std::result::Result<Path<T>, PathRejection>;

/// The segments of a path, which must be UTF-8.
fn segments<T>(path: Segments<T>) -> Result<T> {
    path.map(|Path(segments)| segments).map_err(|rejection| {
        Error::new(Code::InvalidRequest, "the path is not what this call takes")
            .caused_by(rejection)
    })
}

async fn not_found(request: axum::extract::Request) -> Response {
    let content_type = request.headers().get(http::header::CONTENT_TYPE);
    if content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
        // gRPC's own word for a call that is not there.
        return tonic::Status::unimplemented("this node has no such call; ask reflection")
            .into_http();
    }
    let path = request.uri().path().to_owned();
    Problem(Error::new(Code::NotFound, format!("there is nothing at {path}; see /docs")))
        .into_response()
}

async fn method_not_allowed(request: axum::extract::Request) -> Problem {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    Problem(Error::new(Code::MethodNotAllowed, format!("{path} does not take {method}; see /docs")))
}

/// What no answer should do without: a browser is to take it for what it says it is.
fn harden(mut response: Response) -> Response {
    let nosniff = http::HeaderValue::from_static("nosniff");
    response.headers_mut().insert(http::header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}
