//! A gateway that a test plays: it accepts, hears and says what the test wants.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use prost::Message as _;
use switchboard_client::Client;
use switchboard_proto::{
    frame,
    v1::{
        ClientFrame, Drain, ErrorMessage, Hello, Ping, ServerFrame, Welcome, client_frame,
        gateway_service_server::{GatewayService, GatewayServiceServer},
        server_frame,
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time,
};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};

/// How long anything may take before a test gives up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// What carries a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Tcp,
    Grpc,
}

impl Over {
    pub(crate) const ALL: [Self; 2] = [Self::Tcp, Self::Grpc];
}

/// The gateway.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    over: Over,
    accepted: Accepted,
}

enum Accepted {
    Tcp(TcpListener),
    Grpc { lines: mpsc::Receiver<Line>, _server: JoinSet<()> },
}

/// The node's end of a session.
pub(crate) struct Line(Kind);

enum Kind {
    Tcp { stream: TcpStream, came: Vec<u8> },
    Grpc { frames: Streaming<ClientFrame>, replies: mpsc::Sender<Result<ServerFrame, Status>> },
}

impl Gateway {
    pub(crate) async fn listen(over: Over) -> Self {
        Self::listen_at(over, (Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// Listens where another gateway did.
    pub(crate) async fn listen_at(over: Over, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = match over {
            Over::Tcp => Accepted::Tcp(listener),
            Over::Grpc => {
                let (sender, lines) = mpsc::channel(16);
                let serving = Server::builder()
                    .add_service(GatewayServiceServer::new(Service(sender)))
                    .serve_with_incoming(TcpListenerStream::new(listener));
                let mut server = JoinSet::new();
                server.spawn(async { serving.await.unwrap() });
                Accepted::Grpc { lines, _server: server }
            }
        };
        Self { address, over, accepted }
    }

    /// A client of this gateway, for the tenant `a`.
    pub(crate) fn client(&self) -> Client {
        client(self.over, self.address)
    }

    /// The next connection.
    pub(crate) async fn accept(&mut self) -> Line {
        let accepted = async {
            match &mut self.accepted {
                Accepted::Tcp(listener) => {
                    let (stream, _) = listener.accept().await.unwrap();
                    Line(Kind::Tcp { stream, came: Vec::new() })
                }
                Accepted::Grpc { lines, .. } => lines.recv().await.unwrap(),
            }
        };
        time::timeout(DEADLINE, accepted).await.expect("nobody connects")
    }

    /// The next connection, whose client was welcomed.
    pub(crate) async fn welcome(&mut self, session_id: u64) -> Line {
        let mut line = self.accept().await;
        line.hello().await;
        let welcome = Welcome { session_id, ping_interval_ms: 1_000 };
        line.say(server_frame::Frame::Welcome(welcome)).await;
        line
    }
}

/// A client of the gateway at an address, for the tenant `a`.
pub(crate) fn client(over: Over, address: SocketAddr) -> Client {
    let url = match over {
        Over::Tcp => format!("tcp://{address}"),
        Over::Grpc => format!("http://{address}"),
    };
    Client::new(&url).unwrap().with_tenant("a")
}

impl Line {
    /// The next frame; none at the end, in good order or not.
    pub(crate) async fn hear(&mut self) -> Option<client_frame::Frame> {
        time::timeout(DEADLINE, self.next()).await.expect("no frame comes")
    }

    async fn next(&mut self) -> Option<client_frame::Frame> {
        match &mut self.0 {
            Kind::Tcp { stream, came } => loop {
                if let Some(frame) = frame::next(came, usize::MAX).unwrap() {
                    let len = frame.whole.len();
                    let decoded = ClientFrame::decode(frame.whole).unwrap();
                    came.drain(..len);
                    return decoded.frame;
                }
                if stream.read_buf(came).await.unwrap_or(0) == 0 {
                    assert!(came.is_empty(), "the client left within a frame");
                    return None;
                }
            },
            Kind::Grpc { frames, .. } => frames.message().await.unwrap_or(None)?.frame,
        }
    }

    pub(crate) async fn hello(&mut self) -> Hello {
        match self.hear().await {
            Some(client_frame::Frame::Hello(hello)) => hello,
            other => panic!("{other:?} instead of a hello"),
        }
    }

    pub(crate) async fn say(&mut self, frame: server_frame::Frame) {
        let frame = ServerFrame { frame: Some(frame) };
        match &mut self.0 {
            Kind::Tcp { stream, .. } => stream.write_all(&frame.encode_to_vec()).await.unwrap(),
            Kind::Grpc { replies, .. } => replies.send(Ok(frame)).await.unwrap(),
        }
    }

    pub(crate) async fn ping(&mut self, sequence: u64) {
        self.say(server_frame::Frame::Ping(Ping { sequence })).await;
    }

    pub(crate) async fn refuse(&mut self, request_id: u64, code: &str) {
        let (code, content) = (code.to_owned(), "no".to_owned());
        self.say(server_frame::Frame::Error(ErrorMessage { content, code, request_id })).await;
    }

    pub(crate) async fn drain(&mut self, delay_ms: u32) {
        self.say(server_frame::Frame::Drain(Drain { delay_ms })).await;
    }

    /// Writes bytes as they are, over TCP.
    pub(crate) async fn say_bytes(&mut self, bytes: &[u8]) {
        self.try_say_bytes(bytes).await.unwrap();
    }

    /// Writes bytes as they are, over TCP, while the client is there.
    pub(crate) async fn try_say_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            Kind::Tcp { stream, .. } => stream.write_all(bytes).await,
            Kind::Grpc { .. } => panic!("gRPC carries messages"),
        }
    }
}

struct Service(mpsc::Sender<Line>);

#[tonic::async_trait]
impl GatewayService for Service {
    type ConnectStream = ReceiverStream<Result<ServerFrame, Status>>;

    async fn connect(
        &self,
        request: Request<Streaming<ClientFrame>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let (replies, answered) = mpsc::channel(16);
        let line = Line(Kind::Grpc { frames: request.into_inner(), replies });
        self.0.send(line).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(answered)))
    }
}
