//! `switchboard.v1.VaultService`, each call straight from the connection.

use std::{collections::VecDeque, mem, net::SocketAddr, pin::Pin};

use futures_core::Stream;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response};
use hyper::body::Incoming;
use switchboard_core::{Code, Error, Result, vault::Pattern};
use switchboard_proto::v1::{DeleteRequest, Record, RekeyRequest, RetrieveRequest, StoreRequest};
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    server::{Grpc, ServerStreamingService},
};
use tonic_prost::ProstCodec;

use super::{Answer, named, unary};
use crate::{
    caller::Caller,
    node::Node,
    status,
    vault::{Asker, BESIDE_VALUE, Entrances, Opened, Reading},
    wire::vault as wire,
};

/// Where a call came from, if that is known.
type Address = Option<SocketAddr>;

/// The vault over gRPC.
#[derive(Debug)]
pub(crate) struct Vault {
    node: Node,
    entrances: Entrances,
}

impl Vault {
    pub(crate) fn new(node: &Node) -> Self {
        Self { node: node.clone(), entrances: Entrances::new(node, "grpc") }
    }

    /// The longest message that is taken, in bytes.
    fn bytes_max(&self) -> usize {
        self.node.limits.body_bytes_max + BESIDE_VALUE
    }

    /// Stores a value.
    pub(super) async fn store(
        &self,
        request: Request<Incoming>,
        address: Address,
    ) -> Response<Answer> {
        let work = |caller: Caller, mut sent: StoreRequest| async move {
            let asker = Asker { tenant: caller.tenant(&sent.tenant)?, address };
            let stored = self.node.vault.store(&asker, wire::storing(&mut sent)?).await?;
            Ok(wire::stored(mem::take(&mut sent.id), &stored))
        };
        let entrance = &self.entrances.store;
        unary::pass(entrance, request, self.bytes_max(), work).await.map(Answer::Unary)
    }

    /// Streams the records that a key opens.
    pub(super) async fn retrieve(
        &self,
        request: Request<Incoming>,
        address: Address,
    ) -> Response<Answer> {
        let codec = ProstCodec::<Record, RetrieveRequest>::default();
        let mut grpc = Grpc::new(codec).max_decoding_message_size(self.bytes_max());
        let retrieve = Retrieve { vault: self, address };
        named(grpc.server_streaming(retrieve, request).await).map(Answer::Stream)
    }

    /// Removes what a key opens.
    pub(super) async fn delete(
        &self,
        request: Request<Incoming>,
        address: Address,
    ) -> Response<Answer> {
        let work = |caller: Caller, mut sent: DeleteRequest| async move {
            let asker = Asker { tenant: caller.tenant(&sent.tenant)?, address };
            let (pattern, key) = (Pattern::new(&sent.id)?, wire::key(&mut sent.encryption_key)?);
            let deleted = self.node.vault.delete(asker, pattern, key, &sent.cursor).await?;
            Ok(wire::deleted(deleted))
        };
        let entrance = &self.entrances.delete;
        unary::pass(entrance, request, self.bytes_max(), work).await.map(Answer::Unary)
    }

    /// Seals what an old key opens under a new one.
    pub(super) async fn rekey(
        &self,
        request: Request<Incoming>,
        address: Address,
    ) -> Response<Answer> {
        let work = |caller: Caller, mut sent: RekeyRequest| async move {
            let asker = Asker { tenant: caller.tenant(&sent.tenant)?, address };
            let pattern = Pattern::new(&sent.id)?;
            let old = wire::key(&mut sent.old_encryption_key)?;
            let keys = [old, wire::key(&mut sent.new_encryption_key)?];
            let rekeyed = self.node.vault.rekey(asker, pattern, keys, &sent.cursor).await?;
            Ok(wire::rekeyed(rekeyed))
        };
        let entrance = &self.entrances.rekey;
        unary::pass(entrance, request, self.bytes_max(), work).await.map(Answer::Unary)
    }
}

/// Begins a stream of records.
struct Retrieve<'a> {
    vault: &'a Vault,
    address: Address,
}

type Records = Pin<Box<dyn Stream<Item = Result<Record, Status>> + Send>>;

impl<'a> ServerStreamingService<RetrieveRequest> for Retrieve<'a> {
    type Response = Record;
    type ResponseStream = Records;
    type Future =
        Pin<Box<dyn Future<Output = Result<tonic::Response<Records>, Status>> + Send + 'a>>;

    fn call(&mut self, request: tonic::Request<RetrieveRequest>) -> Self::Future {
        let Self { vault, address } = *self;
        Box::pin(async move {
            let Vault { node, entrances } = vault;
            let (metadata, _, mut sent) = request.into_parts();
            let limit = sent.limit;
            let work = |caller: Caller| async move {
                let asker = Asker { tenant: caller.tenant(&sent.tenant)?, address };
                let (pattern, key) =
                    (Pattern::new(&sent.id)?, wire::key(&mut sent.encryption_key)?);
                node.vault.read(asker, pattern, key, &sent.cursor).await
            };
            let passed = entrances.retrieve.pass(metadata.as_ref(), work).await;
            let reading = passed.map_err(|error| status::grpc(&error))?;
            let left = if limit == 0 { usize::MAX } else { limit as usize };
            let records = records(reading, node.draining.clone()).take(left);
            Ok(tonic::Response::new(Box::pin(records) as Records))
        })
    }
}

/// Records as they are opened. A node that stops breaks it off behind what was read, with an error:
/// an end without one says that there are no more.
fn records(
    reading: Reading,
    draining: CancellationToken,
) -> impl Stream<Item = Result<Record, Status>> + Send {
    let begin = (reading, VecDeque::<Opened>::new(), draining, false);
    stream::try_unfold(begin, async |(mut reading, mut opened, draining, mut begun)| {
        loop {
            if let Some(next) = opened.pop_front() {
                let cursor = reading.cursor(&next.id);
                return Ok(Some((wire::record(&next, cursor), (reading, opened, draining, begun))));
            }
            if mem::replace(&mut begun, true) && draining.is_cancelled() {
                let what = "this node is stopping: read on at another, behind the last record";
                return Err(status::grpc(&Error::new(Code::Unavailable, what)));
            }
            match reading.next().await.map_err(|error| status::grpc(&error))? {
                Some(more) => opened = more.into(),
                None => return Ok(None),
            }
        }
    })
}
