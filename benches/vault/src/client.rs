//! gRPC as thin as it can be: it shares the cores with what is measured.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{Buf as _, BufMut as _, Bytes};
use prost::Message as _;
use switchboard_peers::{Error, node::Node};
use switchboard_proto::v1::{RetrieveRequest, StoreRequest, StoreResponse, Value, value::Content};
use tokio::{task::JoinSet, time};
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};

use crate::values;

pub(crate) const STORE: &str = "/switchboard.v1.VaultService/Store";

pub(crate) async fn connect(node: &Node) -> Result<Channel, Error> {
    let endpoint = Endpoint::from_shared(format!("http://{}", node.main))?;
    Ok(endpoint.tcp_nodelay(true).connect().await?)
}

/// A unary call of bytes that are a message already.
pub(crate) async fn call(
    client: &mut Grpc<Channel>,
    path: &'static str,
    message: Bytes,
) -> Result<Bytes, Error> {
    client.ready().await?;
    let path = PathAndQuery::from_static(path);
    Ok(client.unary(Request::new(message), path, Raw).await?.into_inner())
}

/// Messages as they are.
#[derive(Debug)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// A request to store 1 KiB.
pub(crate) fn store(tenant: &str, id: String, key: &str) -> StoreRequest {
    let json = Content::Json(values::text(values::VALUE_BYTES));
    StoreRequest {
        tenant: tenant.to_owned(),
        id,
        encryption_key: key.to_owned(),
        value: Some(Value { content: Some(json) }),
        expires_at: None,
        if_version: None,
    }
}

/// A request for all that there is under an id or pattern.
pub(crate) fn retrieve(tenant: &str, id: &str, key: &str) -> RetrieveRequest {
    RetrieveRequest {
        tenant: tenant.to_owned(),
        id: id.to_owned(),
        encryption_key: key.to_owned(),
        limit: 0,
        cursor: String::new(),
    }
}

/// Stores so many records under one key, many at once.
pub(crate) async fn fill(node: &Node, records: usize, key: &str) -> Result<(), Error> {
    let (channel, next) = (connect(node).await?, Arc::new(AtomicUsize::new(0)));
    let mut tasks: JoinSet<Result<(), Error>> = JoinSet::new();
    for _ in 0..64 {
        let (mut client, next) = (Grpc::new(channel.clone()), Arc::clone(&next));
        let key = key.to_owned();
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if records <= number {
                    return Ok(());
                }
                let request = store("default", values::id_text(number), &key);
                let answer = call(&mut client, STORE, request.encode_to_vec().into()).await?;
                if !StoreResponse::decode(answer)?.new {
                    return Err("a record was there already".into());
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// Waits until a node has nothing more to do, and says how much CPU it has used so far, in seconds.
pub(crate) async fn idle(node: &Node) -> Result<f64, Error> {
    const QUIET: Duration = Duration::from_millis(300);
    let end = Instant::now() + Duration::from_secs(30);
    let mut used = node.peer.cpu();
    while Instant::now() < end {
        time::sleep(QUIET).await;
        let now = node.peer.cpu();
        if now - used < 0.015 {
            return Ok(now);
        }
        used = now;
    }
    Err("a node has been busy for 30 s".into())
}
