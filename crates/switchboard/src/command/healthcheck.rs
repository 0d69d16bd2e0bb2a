//! `switchboard healthcheck`: asks a node how it is, for whoever starts and stops it.
//!
//! An image with nothing but the program in it has no other client.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Request, Uri, header, uri::Scheme};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use crate::Failure;

/// How much of an answer is told.
const TOLD_MAX: usize = 4_096;

/// Say by the exit code whether a node is well: 0 if it is ready, 1 if not.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Where the node serves its health.
    #[arg(long, env = "SWITCHBOARD_ADMIN_URL", default_value = "http://127.0.0.1:7402")]
    admin_url: String,

    /// Ask only whether the process runs, not whether it takes work.
    #[arg(long)]
    live: bool,

    /// How long the node may take to answer.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = super::duration)]
    timeout: Duration,
}

/// Asks, and says nothing if all is well.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let path = if options.live { "/healthz" } else { "/readyz" };
    let url = format!("{}{path}", options.admin_url.trim_end_matches('/'));
    let uri: Uri = url.parse().map_err(|_| not_a_url(&options.admin_url))?;
    if uri.scheme() != Some(&Scheme::HTTP) || uri.host().is_none() {
        return Err(not_a_url(&options.admin_url));
    }
    super::block_on(async {
        let answer = tokio::time::timeout(options.timeout, ask(&uri)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer in {:?}", options.timeout)));
        answer.map_err(|why| Failure::failed(format!("{uri}: {why}")))
    })
}

fn not_a_url(url: &str) -> Failure {
    Failure::usage(format!("{url:?} is no address of a node: http://127.0.0.1:7402 is one"))
}

async fn ask(uri: &Uri) -> Result<(), String> {
    // In an address, IPv6 stands between brackets; where to connect to it doesn't.
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80)));
    let stream = stream.await.map_err(|error| format!("can't be reached: {error}"))?;
    let broken = |error: hyper::Error| format!("breaks off: {error}");
    let (mut sender, connection) =
        http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.map_err(broken)?;
    let tasks = TaskTracker::new();
    tasks.spawn(connection);
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let request = Request::get(uri.path())
        .header(header::HOST, authority)
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(broken)?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let body = Limited::new(answer.into_body(), TOLD_MAX).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let told = String::from_utf8_lossy(&body);
    Err(format!("{status}: {}", told.trim().escape_debug()))
}
