//! A client's end of a session, over each transport.

use std::{sync::LazyLock, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, prost::Message as _};
use switchboard_proto::{
    DESCRIPTORS, frame,
    v1::{
        self, ClientFrame, ServerFrame, client_frame, gateway_service_client::GatewayServiceClient,
        server_frame,
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};
use tonic::{Streaming, transport::Endpoint};

use crate::node::{DEADLINE, Node};

/// What carries a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Tcp,
    Grpc,
    Socket,
    SocketJson,
}

impl Over {
    pub(crate) const ALL: [Self; 4] = [Self::Tcp, Self::Grpc, Self::Socket, Self::SocketJson];
}

/// A client's end of a session.
pub(crate) struct Line(Kind);

enum Kind {
    Tcp { stream: TcpStream, came: Vec<u8> },
    Grpc { frames: mpsc::Sender<ClientFrame>, replies: Streaming<ServerFrame> },
    Socket { stream: Box<WebSocketStream<TcpStream>>, json: bool },
}

impl Line {
    /// Connects, for the tenant `a`.
    pub(crate) async fn open(node: &Node, over: Over) -> Self {
        Self(match over {
            Over::Tcp => {
                let stream = TcpStream::connect(node.tcp).await.unwrap();
                Kind::Tcp { stream, came: Vec::new() }
            }
            Over::Grpc => {
                let endpoint = Endpoint::from_shared(format!("http://{}", node.main)).unwrap();
                let mut client = GatewayServiceClient::new(endpoint.connect().await.unwrap());
                let (frames, sent) = mpsc::channel(64);
                let replies = client.connect(ReceiverStream::new(sent)).await.unwrap();
                Kind::Grpc { frames, replies: replies.into_inner() }
            }
            Over::Socket => Kind::socket(node, "/v1/tenants/a/connect", false).await,
            Over::SocketJson => Kind::socket(node, "/v1/tenants/a/connect", true).await,
        })
    }

    /// Connects to a path of the main listener.
    pub(crate) async fn socket(node: &Node, path: &str, json: bool) -> Self {
        Self(Kind::socket(node, path, json).await)
    }

    /// Connects and says hello, for the tenant `a`.
    pub(crate) async fn join(node: &Node, over: Over, client: &str) -> Self {
        let mut line = Self::open(node, over).await;
        line.say(hello("a", client)).await;
        let welcome = line.hear().await;
        assert!(matches!(welcome, Some(server_frame::Frame::Welcome(_))), "{welcome:?}");
        line
    }

    /// Sends a frame.
    pub(crate) async fn say(&mut self, frame: client_frame::Frame) {
        assert!(self.try_say(frame).await, "the node listens");
    }

    /// Sends a frame, if the node listens.
    pub(crate) async fn try_say(&mut self, frame: client_frame::Frame) -> bool {
        let frame = ClientFrame { frame: Some(frame) };
        match &mut self.0 {
            Kind::Tcp { stream, .. } => stream.write_all(&frame.encode_to_vec()).await.is_ok(),
            Kind::Grpc { frames, .. } => frames.send(frame).await.is_ok(),
            Kind::Socket { stream, json } => {
                let bytes = frame.encode_to_vec();
                let message = if *json {
                    let message = DynamicMessage::decode(descriptor("ClientFrame"), &*bytes);
                    Message::Text(serde_json::to_string(&message.unwrap()).unwrap().into())
                } else {
                    Message::Binary(bytes.into())
                };
                stream.send(message).await.is_ok()
            }
        }
    }

    /// The next frame; none once the node has closed the session in good order.
    pub(crate) async fn hear(&mut self) -> Option<server_frame::Frame> {
        self.hear_within(DEADLINE).await.expect("a frame in time")
    }

    /// The next frame that is no ping.
    pub(crate) async fn answer(&mut self) -> Option<server_frame::Frame> {
        loop {
            match self.hear().await {
                Some(server_frame::Frame::Ping(_)) => {}
                heard => return heard,
            }
        }
    }

    async fn hear_within(&mut self, limit: Duration) -> Option<Option<server_frame::Frame>> {
        let heard = tokio::time::timeout(limit, self.0.hear()).await.ok()?;
        Some(heard.map(|heard| heard.frame.expect("a frame of this version")))
    }

    /// Sends bytes as they are, over TCP.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let Kind::Tcp { stream, .. } = &mut self.0 else { panic!("only over TCP") };
        stream.write_all(bytes).await.unwrap();
    }

    /// Sends nothing more.
    pub(crate) async fn end(&mut self) {
        match &mut self.0 {
            Kind::Tcp { stream, .. } => stream.shutdown().await.unwrap(),
            Kind::Grpc { frames, .. } => *frames = mpsc::channel(1).0,
            Kind::Socket { stream, .. } => stream.close().await.unwrap(),
        }
    }
}

impl Kind {
    async fn socket(node: &Node, path: &str, json: bool) -> Self {
        let mut request = format!("ws://{}{path}", node.main).into_client_request().unwrap();
        let protocol = if json { "switchboard.v1.json" } else { "switchboard.v1.proto" };
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        let stream = TcpStream::connect(node.main).await.unwrap();
        let (stream, response) = client_async(request, stream).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], protocol);
        Self::Socket { stream: Box::new(stream), json }
    }

    async fn hear(&mut self) -> Option<ServerFrame> {
        match self {
            Self::Tcp { stream, came } => loop {
                if let Some(frame) = frame::next(came, usize::MAX).unwrap() {
                    let heard = ServerFrame::decode(frame.whole).unwrap();
                    let len = frame.whole.len();
                    came.drain(..len);
                    return Some(heard);
                }
                if stream.read_buf(came).await.unwrap() == 0 {
                    assert!(came.is_empty(), "closed within a frame");
                    return None;
                }
            },
            Self::Grpc { replies, .. } => replies.message().await.unwrap(),
            Self::Socket { stream, json } => loop {
                match (stream.next().await?.unwrap(), *json) {
                    (Message::Binary(bytes), false) => {
                        return Some(ServerFrame::decode(bytes).unwrap());
                    }
                    (Message::Text(text), true) => {
                        let mut text = serde_json::Deserializer::from_str(&text);
                        let frame = descriptor("ServerFrame");
                        let heard = DynamicMessage::deserialize(frame, &mut text).unwrap();
                        return Some(heard.transcode_to().unwrap());
                    }
                    (Message::Close(_) | Message::Ping(_) | Message::Pong(_), _) => {}
                    (message, _) => panic!("{message:?}"),
                }
            },
        }
    }
}

fn descriptor(name: &str) -> MessageDescriptor {
    static POOL: LazyLock<DescriptorPool> =
        LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).unwrap());
    POOL.get_message_by_name(&format!("switchboard.v1.{name}")).unwrap()
}

pub(crate) fn hello(tenant: &str, client: &str) -> client_frame::Frame {
    let (tenant, client) = (tenant.to_owned(), client.to_owned());
    client_frame::Frame::Hello(v1::Hello { tenant, client, ..v1::Hello::default() })
}

pub(crate) fn echo(content: &str, request_id: u64) -> client_frame::Frame {
    client_frame::Frame::Echo(v1::EchoMessage { content: content.to_owned(), request_id })
}

#[expect(clippy::unnecessary_wraps, reason = "what is heard may be the end")]
pub(crate) fn echoed(content: &str, request_id: u64) -> Option<server_frame::Frame> {
    let content = content.to_owned();
    Some(server_frame::Frame::Echo(v1::EchoMessage { content, request_id }))
}

pub(crate) fn add(a: i32, b: i32, request_id: u64) -> client_frame::Frame {
    client_frame::Frame::Add(v1::AddRequest { a, b, request_id })
}

pub(crate) fn pong(status: v1::Status) -> client_frame::Frame {
    client_frame::Frame::Pong(v1::Pong { status: status.into(), sequence: 0 })
}

pub(crate) fn ingest(key: &str, request_id: u64) -> client_frame::Frame {
    client_frame::Frame::Ingest(v1::SessionIngestRequest { key: key.to_owned(), request_id })
}

/// The code of an error frame.
#[track_caller]
pub(crate) fn code(heard: Option<server_frame::Frame>) -> (String, u64) {
    match heard {
        Some(server_frame::Frame::Error(error)) => (error.code, error.request_id),
        other => panic!("no error but {other:?}"),
    }
}
