//! The description of REST: `/openapi.json`, and a page to browse it at `/docs`.
//!
//! The page's script and style are part of the program; nothing is loaded from elsewhere.

use std::sync::Arc;

use axum::{
    Router,
    extract::Path,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use switchboard_core::{Code, Error};
use utoipa::OpenApi;
use utoipa_swagger_ui::Config;

use super::{bus, chat, ingest, presence, problem::Problem, vault};

/// What the page may do: only what comes from this node. Its style sets attributes in place.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Switchboard",
        description = "The back end of a messaging product. Times are milliseconds since the Unix \
            epoch (UTC). Errors are `application/problem+json` (RFC 9457) with a stable `code`.",
    ),
    tags(
        (name = "ingest", description = "Record a (tenant, key) once"),
        (name = "presence", description = "Who is online"),
        (name = "chat", description = "Private conversations between phone numbers"),
        (name = "vault", description = "Values that nobody reads but who holds their key"),
        (name = "bus", description = "Typed events to topics, subscriptions, and shared queues"),
    ),
)]
struct Whole;

/// The description as JSON, pretty and in a stable order.
pub(super) fn description() -> String {
    let mut whole = Whole::openapi();
    whole.merge(ingest::Api::openapi());
    whole.merge(presence::Api::openapi());
    whole.merge(chat::Api::openapi());
    whole.merge(vault::Api::openapi());
    whole.merge(bus::Api::openapi());
    whole.to_pretty_json().unwrap_or_default()
}

pub(super) fn routes() -> Router {
    let description: Arc<str> = description().into();
    let config = Arc::new(Config::from("/openapi.json"));
    let page = move |path: Option<Path<String>>| async move { page(path.as_ref(), config) };
    Router::new()
        .route("/openapi.json", get(|| async move { openapi(&description) }))
        .route("/docs", get(|| async { axum::response::Redirect::permanent("/docs/") }))
        .route("/docs/", get(page.clone()))
        .route("/docs/{*file}", get(page))
}

fn openapi(description: &str) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], description.to_owned()).into_response()
}

fn page(path: Option<&Path<String>>, config: Arc<Config<'static>>) -> Response {
    let path = path.map_or("", |Path(path)| path);
    match utoipa_swagger_ui::serve(path, config) {
        Ok(Some(file)) => {
            let headers = [
                (header::CONTENT_TYPE, file.content_type),
                (header::CONTENT_SECURITY_POLICY, POLICY.to_owned()),
                (HeaderName::from_static("referrer-policy"), "no-referrer".to_owned()),
            ];
            (StatusCode::OK, headers, file.bytes.into_owned()).into_response()
        }
        Ok(None) => {
            let what = format!("there is no file {path} in the documentation");
            Problem(Error::new(Code::NotFound, what)).into_response()
        }
        Err(error) => {
            let what = "the page of the documentation can't be made";
            let error = Error::new(Code::Internal, what).caused_by(error.to_string());
            tracing::error!(error = %error.chain(), "failed");
            Problem(error).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn the_description_is_checked_in() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi.json");
        let before = fs::read_to_string(&path).unwrap_or_default();
        let now = description() + "\n";
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &now).unwrap();
        assert!(before == now, "openapi.json was out of date; it is now up to date, commit it");
    }
}
