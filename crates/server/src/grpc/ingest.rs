//! `switchboard.v1.IngestService`.

mod pipeline;

use std::future::{self, Ready};

use http::{Request, Response};
use hyper::body::Incoming;
use switchboard_core::Result;
use switchboard_proto::v1::{IngestBatchRequest, IngestRequest, IngestResponse};
use tonic::{
    Status, Streaming,
    server::{Grpc, StreamingService},
};
use tonic_prost::ProstCodec;

use self::pipeline::Pipeline;
use super::{Answer, named, unary};
use crate::{caller::Caller, door::Entrance, node::Node, wire};

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

    /// Records one key.
    pub(super) async fn one(&self, request: Request<Incoming>) -> Response<Answer> {
        let work = |caller: Caller, IngestRequest { tenant, key }| async move {
            let (receipt, at) = self.node.ingest(caller.tenant(&tenant)?, &key).await?;
            Ok(wire::to::ingest_response(receipt, at))
        };
        unary::pass(&self.one, request, self.bytes_max(), work).await.map(Answer::Unary)
    }

    /// Records a batch.
    pub(super) async fn batch(&self, request: Request<Incoming>) -> Response<Answer> {
        let work = |caller: Caller, IngestBatchRequest { tenant, keys }| async move {
            let ingested = self.node.ingest_batch(caller.tenant(&tenant)?, &keys).await?;
            Ok(wire::to::batch_response(ingested))
        };
        unary::pass(&self.batch, request, self.bytes_max(), work).await.map(Answer::Unary)
    }

    /// Records keys as they come.
    pub(super) async fn stream(&self, request: Request<Incoming>) -> Response<Answer> {
        let codec = ProstCodec::<IngestResponse, IngestRequest>::default();
        let mut grpc = Grpc::new(codec).max_decoding_message_size(self.bytes_max());
        named(grpc.streaming(Begin(self), request).await).map(Answer::Stream)
    }

    fn bytes_max(&self) -> usize {
        self.node.limits.body_bytes_max
    }
}

/// Begins a stream.
struct Begin<'a>(&'a Ingest);

impl StreamingService<IngestRequest> for Begin<'_> {
    type Response = IngestResponse;
    type ResponseStream = Pipeline;
    type Future = Ready<Result<tonic::Response<Pipeline>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<IngestRequest>>) -> Self::Future {
        let Self(Ingest { node, stream, .. }) = self;
        let headers = request.metadata().as_ref();
        let (caller, span) = (Caller::of(headers), stream.span(headers));
        let pipeline = Pipeline::new(node, stream.clone(), (caller, span), request.into_inner());
        future::ready(Ok(tonic::Response::new(pipeline)))
    }
}
