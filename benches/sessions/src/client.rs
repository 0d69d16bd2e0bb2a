//! A client that answers pings, over each transport.

use futures_util::{SinkExt as _, StreamExt as _};
use prost::Message as _;
use switchboard_proto::{
    frame,
    v1::{
        ClientFrame, Hello, Pong, ServerFrame, Status, client_frame,
        gateway_service_client::GatewayServiceClient, server_frame,
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, client::IntoClientRequest as _, protocol::WebSocketConfig},
};
use tonic::{Streaming, transport::Endpoint};

use crate::{
    Error,
    hold::{Pings, Transport},
    node::Node,
};

/// An open session.
pub(crate) enum Open {
    Tcp { stream: TcpStream, came: Vec<u8> },
    Socket(Box<WebSocketStream<TcpStream>>),
    Grpc { frames: mpsc::Sender<ClientFrame>, replies: Box<Streaming<ServerFrame>> },
}

fn of(frame: client_frame::Frame) -> ClientFrame {
    ClientFrame { frame: Some(frame) }
}

fn pong() -> ClientFrame {
    of(client_frame::Frame::Pong(Pong { status: Status::Even.into(), sequence: 0 }))
}

/// Connects and says hello.
pub(crate) async fn open(node: &Node, transport: Transport, number: usize) -> Result<Open, Error> {
    let client = format!("client-{number}");
    let hello = of(client_frame::Frame::Hello(Hello {
        tenant: "default".to_owned(),
        client: client.clone(),
        ..Hello::default()
    }));
    let mut open = match transport {
        Transport::Tcp => {
            let mut stream = TcpStream::connect(&node.tcp).await?;
            stream.set_nodelay(true)?;
            stream.write_all(&hello.encode_to_vec()).await?;
            Open::Tcp { stream, came: Vec::new() }
        }
        Transport::Websocket => {
            let url = format!("ws://{}/v1/tenants/default/connect?client={client}", node.main);
            let mut request = url.into_client_request()?;
            let protocol = "switchboard.v1.proto".parse()?;
            request.headers_mut().insert("sec-websocket-protocol", protocol);
            let stream = TcpStream::connect(&node.main).await?;
            stream.set_nodelay(true)?;
            let config = WebSocketConfig::default().read_buffer_size(512).write_buffer_size(0);
            let (stream, _) = client_async_with_config(request, stream, Some(config)).await?;
            Open::Socket(Box::new(stream))
        }
        Transport::Grpc => {
            let endpoint = Endpoint::from_shared(format!("http://{}", node.main))?;
            let mut client = GatewayServiceClient::new(endpoint.connect().await?);
            let (frames, sent) = mpsc::channel(2);
            frames.send(hello).await?;
            let replies = client.connect(ReceiverStream::new(sent)).await?.into_inner();
            Open::Grpc { frames, replies: Box::new(replies) }
        }
    };
    match open.hear().await? {
        Some(server_frame::Frame::Welcome(_)) => Ok(open),
        other => Err(format!("no welcome but {other:?}").into()),
    }
}

/// Answers pings until told to stop; says when they came.
pub(crate) async fn hold(mut open: Open, mut stop: watch::Receiver<bool>) -> Result<Pings, Error> {
    let mut pings = Vec::new();
    loop {
        let heard = tokio::select! {
            heard = open.hear() => heard?,
            _ = stop.changed() => return Ok(pings),
        };
        match heard {
            Some(server_frame::Frame::Ping(_)) => {
                pings.push(Instant::now());
                open.say(pong()).await?;
            }
            other => return Err(format!("no ping but {other:?}").into()),
        }
    }
}

impl Open {
    async fn say(&mut self, frame: ClientFrame) -> Result<(), Error> {
        match self {
            Self::Tcp { stream, .. } => stream.write_all(&frame.encode_to_vec()).await?,
            Self::Socket(stream) => {
                stream.send(Message::Binary(frame.encode_to_vec().into())).await?;
            }
            Self::Grpc { frames, .. } => frames.send(frame).await?,
        }
        Ok(())
    }

    async fn hear(&mut self) -> Result<Option<server_frame::Frame>, Error> {
        let heard = match self {
            Self::Tcp { stream, came } => loop {
                if let Some(frame) = frame::next(came, 65_536)? {
                    let heard = ServerFrame::decode(frame.whole)?;
                    let len = frame.whole.len();
                    came.drain(..len);
                    break heard;
                }
                if stream.read_buf(came).await? == 0 {
                    return Ok(None);
                }
            },
            Self::Socket(stream) => match stream.next().await {
                Some(message) => ServerFrame::decode(message?.into_data())?,
                None => return Ok(None),
            },
            Self::Grpc { replies, .. } => match replies.message().await? {
                Some(heard) => heard,
                None => return Ok(None),
            },
        };
        Ok(heard.frame)
    }
}
