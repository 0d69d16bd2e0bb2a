//! One request at a time in each of many lanes: unary and batch calls of gRPC, and REST.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use switchboard_proto::v1::{
    IngestBatchRequest, IngestRequest, ingest_service_client::IngestServiceClient,
};
use tokio::{net::TcpStream, task::JoinSet};
use tonic::transport::Channel;

use super::{
    Run, Transport, connect,
    keys::{Choice, Keys},
    report::Measured,
};
use crate::Failure;

/// What a lane sends through.
enum Lane {
    One(IngestServiceClient<Channel>),
    Batch(IngestServiceClient<Channel>),
    Rest(SendRequest<Full<Bytes>>, Uri),
}

#[derive(Deserialize)]
struct Answer {
    id: u64,
    new: bool,
}

/// Starts all lanes of a run.
pub(super) async fn start(
    run: &Arc<Run>,
    running: &mut JoinSet<Result<Measured, Failure>>,
) -> Result<(), Failure> {
    let options = &run.options;
    let lanes = u64::from(options.connections) * u64::from(options.in_flight);
    for connection in 0..options.connections {
        let channel = match options.transport {
            Transport::Rest => None,
            _ => Some(IngestServiceClient::new(connect(&options.target.url).await?)),
        };
        for place in 0..options.in_flight {
            let lane = match (&channel, options.transport) {
                (Some(client), Transport::GrpcBatch) => Lane::Batch(client.clone()),
                (Some(client), _) => Lane::One(client.clone()),
                (None, _) => rest(run, running).await?,
            };
            let number = u64::from(connection) * u64::from(options.in_flight) + u64::from(place);
            let keys = Keys::new(number, lanes, options.duplicates, options.seed);
            running.spawn(drive(Arc::clone(run), lane, keys));
        }
    }
    Ok(())
}

async fn drive(run: Arc<Run>, mut lane: Lane, mut keys: Keys) -> Result<Measured, Failure> {
    let mut measured = Measured::new();
    let count = if matches!(lane, Lane::Batch(_)) { run.options.batch } else { 1 };
    loop {
        let choices: Vec<Choice> = (0..count).map(|_| keys.choose()).collect();
        let began = Instant::now();
        let answers = lane.send(&run.tenant, &choices).await;
        let now = Instant::now();
        let counts = run.counts(u64::from(count), now);
        match answers {
            Ok(answers) if answers.len() == choices.len() => {
                let micros = now.duration_since(began).as_micros();
                let micros = u64::try_from(micros).unwrap_or(u64::MAX);
                for (choice, Answer { id, new }) in choices.into_iter().zip(answers) {
                    measured.check(&run, choice, id, new);
                    if choice.first_id.is_none() {
                        keys.answered(choice.key, id);
                    }
                    if counts {
                        measured.answer(new, micros);
                    }
                }
            }
            Ok(answers) => measured.error(format!("{} answers to {count}", answers.len())),
            Err(what) => measured.error(what),
        }
        if run.end <= now {
            return Ok(measured);
        }
    }
}

impl Lane {
    async fn send(&mut self, tenant: &str, choices: &[Choice]) -> Result<Vec<Answer>, String> {
        let tenant = tenant.to_owned();
        let told = |status: tonic::Status| status.to_string();
        let mut keys = choices.iter().map(|choice| choice.key.to_string());
        match self {
            Self::One(client) => {
                let key = keys.next().unwrap_or_default();
                let answer = client.ingest(IngestRequest { tenant, key }).await.map_err(told)?;
                let answer = answer.into_inner();
                Ok(vec![Answer { id: answer.id, new: answer.new }])
            }
            Self::Batch(client) => {
                let request = IngestBatchRequest { tenant, keys: keys.collect() };
                let answers = client.ingest_batch(request).await.map_err(told)?.into_inner();
                let answer =
                    |it: switchboard_proto::v1::IngestResponse| Answer { id: it.id, new: it.new };
                Ok(answers.results.into_iter().map(answer).collect())
            }
            Self::Rest(sender, uri) => {
                let body = format!(r#"{{"key":"{}"}}"#, keys.next().unwrap_or_default());
                post(sender, uri, body).await.map(|answer| vec![answer])
            }
        }
    }
}

/// A connection of its own for one lane of REST.
async fn rest(
    run: &Run,
    running: &mut JoinSet<Result<Measured, Failure>>,
) -> Result<Lane, Failure> {
    let url = &run.options.target.url;
    let uri: Uri = url.parse().map_err(|_| Failure::usage(format!("{url} is no URL")))?;
    let unreachable = |_| Failure::failed(format!("can't reach a node at {url}: is one running?"));
    let address = (uri.host().unwrap_or_default().to_owned(), uri.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Failure::failed(error.to_string()))?;
    running.spawn(async move {
        // Ends with the lane; what goes wrong the lane is told.
        let _ = connection.await;
        Ok(Measured::new())
    });
    let path = format!("/v1/tenants/{}/ingest", run.tenant);
    let uri = path.parse().map_err(|_| Failure::usage("the tenant can't stand in a path"))?;
    Ok(Lane::Rest(sender, uri))
}

async fn post(
    sender: &mut SendRequest<Full<Bytes>>,
    uri: &Uri,
    body: String,
) -> Result<Answer, String> {
    let request = Request::post(uri.clone())
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| error.to_string())?;
    sender.ready().await.map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let body = answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
    serde_json::from_slice(&body)
        .map_err(|_| format!("the node said: {}", String::from_utf8_lossy(&body)))
}
