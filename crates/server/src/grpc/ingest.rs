//! `switchboard.v1.IngestService`.

mod pipeline;

use switchboard_proto::v1::{
    IngestBatchRequest, IngestBatchResponse, IngestRequest, IngestResponse,
    ingest_service_server::IngestService,
};
use tonic::{Request, Response, Status, Streaming};

use self::pipeline::Pipeline;
use crate::{door::Entrance, node::Node, status, wire};

/// Ingest over gRPC.
#[derive(Debug)]
pub(crate) struct Ingest {
    node: Node,
    one: Entrance,
    batch: Entrance,
    stream: Entrance,
}

impl Ingest {
    pub(crate) fn new(node: &Node) -> Self {
        let entrance = |operation| Entrance::new(node, "ingest", operation, "grpc");
        Self {
            node: node.clone(),
            one: entrance("ingest"),
            batch: entrance("batch"),
            stream: entrance("stream"),
        }
    }
}

#[tonic::async_trait]
impl IngestService for Ingest {
    type IngestStreamStream = Pipeline;

    async fn ingest(
        &self,
        request: Request<IngestRequest>,
    ) -> Result<Response<IngestResponse>, Status> {
        let (metadata, _, IngestRequest { tenant, key }) = request.into_parts();
        let ingest = |tenant| self.node.ingest(tenant, &key);
        let ingested = self.one.pass(metadata.as_ref(), Ok(&tenant), ingest).await;
        let (receipt, at) = ingested.map_err(|error| status::grpc(&error))?;
        Ok(Response::new(wire::to::ingest_response(receipt, at)))
    }

    async fn ingest_batch(
        &self,
        request: Request<IngestBatchRequest>,
    ) -> Result<Response<IngestBatchResponse>, Status> {
        let (metadata, _, IngestBatchRequest { tenant, keys }) = request.into_parts();
        let ingest = |tenant| self.node.ingest_batch(tenant, &keys);
        let ingested = self.batch.pass(metadata.as_ref(), Ok(&tenant), ingest).await;
        let ingested = ingested.map_err(|error| status::grpc(&error))?;
        Ok(Response::new(wire::to::batch_response(ingested)))
    }

    async fn ingest_stream(
        &self,
        request: Request<Streaming<IngestRequest>>,
    ) -> Result<Response<Pipeline>, Status> {
        let pipeline = Pipeline::new(&self.node, self.stream.clone(), request.into_inner());
        Ok(Response::new(pipeline))
    }
}
