//! The same service with nothing behind it: what gRPC itself costs here.

use std::{path::Path, time::Duration};

use switchboard_proto::v1::{
    IngestBatchRequest, IngestBatchResponse, IngestRequest, IngestResponse,
    ingest_service_server::{IngestService, IngestServiceServer},
};
use tokio::process::Command;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming, transport::Server};

use switchboard_peers::{
    Error,
    process::{Peer, free_port},
    work::Figure,
};

use crate::switchboard;

struct Empty;

const ANSWER: IngestResponse = IngestResponse { timestamp: 1, id: 1, new: true };

#[tonic::async_trait]
impl IngestService for Empty {
    type IngestStreamStream =
        std::pin::Pin<Box<dyn Stream<Item = Result<IngestResponse, Status>> + Send>>;

    async fn ingest(&self, _: Request<IngestRequest>) -> Result<Response<IngestResponse>, Status> {
        Ok(Response::new(ANSWER))
    }

    async fn ingest_batch(
        &self,
        _: Request<IngestBatchRequest>,
    ) -> Result<Response<IngestBatchResponse>, Status> {
        Ok(Response::new(IngestBatchResponse::default()))
    }

    async fn ingest_stream(
        &self,
        requests: Request<Streaming<IngestRequest>>,
    ) -> Result<Response<Self::IngestStreamStream>, Status> {
        let answers = requests.into_inner().map(|request| request.map(|_| ANSWER));
        Ok(Response::new(Box::pin(answers)))
    }
}

/// Serves on the port that the environment names, as tonic does by default.
pub(crate) async fn serve() -> Result<(), Error> {
    let port: u16 = std::env::var("PORT")?.parse()?;
    let service = IngestServiceServer::new(Empty);
    Ok(Server::builder().add_service(service).serve(([127, 0, 0, 1], port).into()).await?)
}

pub(crate) async fn measure(
    program: &Path,
    transport: &str,
    connections: u32,
    length: Duration,
) -> Result<Figure, Error> {
    let port = free_port()?;
    let mut command = Command::new(std::env::current_exe()?);
    let peer = Peer::start(command.arg("empty-server").env("PORT", port.to_string()))?;
    peer.ready(port).await?;
    let url = format!("http://127.0.0.1:{port}");
    switchboard::drive(program, &url, &peer, transport, connections, length).await
}
