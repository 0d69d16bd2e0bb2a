//! `switchboard call`: any call of gRPC, written as JSON.

use std::{fmt::Write as _, time::Duration};

use clap::Args;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};
use serde::de::DeserializeSeed as _;
use tokio_stream::StreamExt as _;
use tonic::{
    Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Endpoint,
};

use super::Target;
use crate::{Failure, output};

/// Make a gRPC call, with messages as JSON; without a method, list the methods.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,

    /// The call, for example switchboard.v1.IngestService/Ingest.
    #[arg(value_name = "SERVICE/METHOD")]
    method: Option<String>,

    /// What is sent, as JSON; several, one behind the other, to a call that takes a stream.
    #[arg(value_name = "JSON", default_value = "{}")]
    messages: Vec<String>,
}

/// Makes the call and prints what is answered.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let pool = DescriptorPool::decode(switchboard_proto::DESCRIPTORS)
        .map_err(|error| Failure::failed(format!("a defect: {error}")))?;
    let Some(name) = &options.method else { return list(&pool) };
    let method = find(&pool, name).ok_or_else(|| {
        Failure::usage(format!("there is no call {name}; `switchboard call` lists all"))
    })?;
    let messages = parse(&method.input(), &options.messages.join("\n"))?;
    if !method.is_client_streaming() && messages.len() != 1 {
        return Err(Failure::usage(format!("{name} takes one message")));
    }
    super::block_on(call(&options.target.url, method, messages))
}

fn list(pool: &DescriptorPool) -> Result<(), Failure> {
    let mut listed = String::new();
    for service in pool.services() {
        for method in service.methods() {
            let stream = |is| if is { "stream " } else { "" };
            let _ = writeln!(
                listed,
                "{}/{} ({}{}) returns ({}{})",
                service.full_name(),
                method.name(),
                stream(method.is_client_streaming()),
                method.input().name(),
                stream(method.is_server_streaming()),
                method.output().name(),
            );
        }
    }
    output::lines(listed.as_bytes())
}

fn find(pool: &DescriptorPool, name: &str) -> Option<MethodDescriptor> {
    let (service, method) = name.split_once('/')?;
    pool.get_service_by_name(service)?.methods().find(|it| it.name() == method)
}

/// Reads messages that stand one behind the other.
fn parse(kind: &MessageDescriptor, text: &str) -> Result<Vec<DynamicMessage>, Failure> {
    let wrong = |error: serde_json::Error| {
        Failure::usage(format!("this is no {} as JSON: {error}", kind.name()))
    };
    let mut messages = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>() {
        messages.push(kind.clone().deserialize(value.map_err(wrong)?).map_err(wrong)?);
    }
    Ok(messages)
}

async fn call(
    url: &str,
    method: MethodDescriptor,
    messages: Vec<DynamicMessage>,
) -> Result<(), Failure> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|_| Failure::usage(format!("{url} is no URL")))?
        .connect_timeout(Duration::from_secs(5));
    let channel = endpoint
        .connect()
        .await
        .map_err(|_| Failure::failed(format!("can't reach a node at {url}: is one running?")))?;
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.map_err(|error| Failure::failed(error.to_string()))?;
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let path = path.parse().map_err(|_| Failure::failed("a defect: the call has no path"))?;
    let requests = Request::new(tokio_stream::iter(messages));
    let answers = grpc.streaming(requests, path, Json(method.output())).await;
    let mut answers = answers.map_err(|status| told(&status))?.into_inner();
    while let Some(answer) = answers.next().await {
        let answer = answer.map_err(|status| told(&status))?;
        let shown = serde_json::to_string_pretty(&Shown(&answer));
        output::line(format_args!("{}", shown.unwrap_or_default()))?;
    }
    Ok(())
}

fn told(status: &Status) -> Failure {
    let error = switchboard_client::Error::from(status.clone());
    Failure::failed(format!("{} ({:?}): {error}", error.code(), status.code()))
}

/// A message with all its fields, those at their defaults too: `"new": false` is an answer.
struct Shown<'a>(&'a DynamicMessage);

impl serde::Serialize for Shown<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let options = prost_reflect::SerializeOptions::new().skip_default_fields(false);
        self.0.serialize_with_options(serializer, &options)
    }
}

/// Messages of a kind that is known at run time only.
#[derive(Debug)]
struct Json(MessageDescriptor);

impl Codec for Json {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Writer;
    type Decoder = Reader;

    fn encoder(&mut self) -> Writer {
        Writer
    }

    fn decoder(&mut self) -> Reader {
        Reader(self.0.clone())
    }
}

#[derive(Debug)]
struct Writer;

impl Encoder for Writer {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        prost::Message::encode(&item, buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

#[derive(Debug)]
struct Reader(MessageDescriptor);

impl Decoder for Reader {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let decoded = DynamicMessage::decode(self.0.clone(), buffer);
        decoded.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
