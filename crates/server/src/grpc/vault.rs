//! `switchboard.v1.VaultService`.

use std::{collections::VecDeque, mem, net::SocketAddr, pin::Pin, sync::Arc};

use futures_core::Stream;
use futures_util::{StreamExt as _, stream};
use http::Request as HttpRequest;
use hyper::body::Incoming;
use switchboard_core::Result;
use switchboard_proto::v1::{
    DeleteRequest, DeleteResponse, Record, RekeyRequest, RekeyResponse, RetrieveRequest,
    StoreRequest, StoreResponse, vault_service_server::VaultService,
};
use tonic::{Request, Response, Status};

use super::{
    Answer,
    unary::{answer, message, refusal},
};
use crate::{
    caller::{Caller, Peer},
    node::Node,
    status,
    vault::{Asker, BESIDE_VALUE, Entrances, Opened, Reading},
    wire::vault as wire,
};

/// The vault over gRPC.
#[derive(Clone, Debug)]
pub(crate) struct Vault(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    node: Node,
    entrances: Entrances,
}

impl Vault {
    pub(crate) fn new(node: &Node) -> Self {
        let entrances = Entrances::new(node, "grpc");
        Self(Arc::new(Inner { node: node.clone(), entrances }))
    }

    /// The longest message that is taken, in bytes.
    pub(super) fn bytes_max(&self) -> usize {
        self.0.node.limits.body_bytes_max + BESIDE_VALUE
    }

    /// Stores a value, straight from the connection.
    pub(super) async fn store_straight(
        &self,
        request: HttpRequest<Incoming>,
    ) -> http::Response<Answer> {
        if let Some(refusal) = refusal(&request) {
            return refusal.map(Answer::Unary);
        }
        let (parts, body) = request.into_parts();
        let address = Peer::of(&parts.extensions);
        let work = |caller: Caller| async move {
            let request = message(body, self.bytes_max()).await?;
            self.stored(caller, address, request).await
        };
        let passed = self.0.entrances.store.pass(&parts.headers, work).await;
        answer(passed).map(Answer::Unary)
    }

    async fn stored(
        &self,
        caller: Caller,
        address: Option<SocketAddr>,
        mut request: StoreRequest,
    ) -> Result<StoreResponse> {
        let asker = Asker { tenant: caller.tenant(&request.tenant)?, address };
        let storing = wire::storing(&mut request)?;
        let stored = self.0.node.vault.store(&asker, storing).await?;
        Ok(wire::stored(mem::take(&mut request.id), &stored))
    }
}

#[tonic::async_trait]
impl VaultService for Vault {
    type RetrieveStream = Pin<Box<dyn Stream<Item = Result<Record, Status>> + Send>>;

    async fn store(
        &self,
        request: Request<StoreRequest>,
    ) -> Result<Response<StoreResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let address = Peer::of_tonic(&extensions);
        let work = |caller| self.stored(caller, address, request);
        let passed = self.0.entrances.store.pass(metadata.as_ref(), work).await;
        passed.map(Response::new).map_err(|error| status::grpc(&error))
    }

    async fn retrieve(
        &self,
        request: Request<RetrieveRequest>,
    ) -> Result<Response<Self::RetrieveStream>, Status> {
        let (metadata, extensions, mut request) = request.into_parts();
        let address = Peer::of_tonic(&extensions);
        let work = |caller: Caller| async move {
            let asker = Asker { tenant: caller.tenant(&request.tenant)?, address };
            let pattern = wire::pattern(&request.id)?;
            let key = wire::key(&mut request.encryption_key)?;
            let vault = &self.0.node.vault;
            let reading = vault.read(asker, pattern, key, &request.cursor).await?;
            Ok((reading, request.limit))
        };
        let passed = self.0.entrances.retrieve.pass(metadata.as_ref(), work).await;
        let (reading, limit) = passed.map_err(|error| status::grpc(&error))?;
        let left = if limit == 0 { usize::MAX } else { limit as usize };
        let draining = self.0.node.draining.clone().cancelled_owned();
        Ok(Response::new(Box::pin(records(reading).take(left).take_until(draining))))
    }

    async fn delete(
        &self,
        request: Request<DeleteRequest>,
    ) -> Result<Response<DeleteResponse>, Status> {
        let (metadata, extensions, mut request) = request.into_parts();
        let address = Peer::of_tonic(&extensions);
        let work = |caller: Caller| async move {
            let asker = Asker { tenant: caller.tenant(&request.tenant)?, address };
            let pattern = wire::pattern(&request.id)?;
            let key = wire::key(&mut request.encryption_key)?;
            self.0.node.vault.delete(asker, pattern, key, &request.cursor).await
        };
        let passed = self.0.entrances.delete.pass(metadata.as_ref(), work).await;
        passed.map(wire::deleted).map(Response::new).map_err(|error| status::grpc(&error))
    }

    async fn rekey(
        &self,
        request: Request<RekeyRequest>,
    ) -> Result<Response<RekeyResponse>, Status> {
        let (metadata, extensions, mut request) = request.into_parts();
        let address = Peer::of_tonic(&extensions);
        let work = |caller: Caller| async move {
            let asker = Asker { tenant: caller.tenant(&request.tenant)?, address };
            let pattern = wire::pattern(&request.id)?;
            let old = wire::key(&mut request.old_encryption_key)?;
            let new = wire::key(&mut request.new_encryption_key)?;
            self.0.node.vault.rekey(asker, pattern, [old, new], &request.cursor).await
        };
        let passed = self.0.entrances.rekey.pass(metadata.as_ref(), work).await;
        passed.map(wire::rekeyed).map(Response::new).map_err(|error| status::grpc(&error))
    }
}

/// Records as they are opened.
fn records(reading: Reading) -> impl Stream<Item = Result<Record, Status>> + Send {
    let begin = (reading, VecDeque::<Opened>::new());
    stream::try_unfold(begin, async |(mut reading, mut opened)| {
        loop {
            if let Some(next) = opened.pop_front() {
                let cursor = reading.cursor(&next.id);
                return Ok(Some((wire::record(&next, cursor), (reading, opened))));
            }
            match reading.next().await.map_err(|error| status::grpc(&error))? {
                Some(more) => opened = more.into(),
                None => return Ok(None),
            }
        }
    })
}
