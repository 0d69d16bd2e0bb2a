//! Sessions over WebSocket.
//!
//! A message is a frame: binary as on the wire, or text as protobuf's JSON, as the subprotocol
//! says. The library's buffers are made small ([`BUFFER`]): its own take 128 KiB and more a
//! connection.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use futures_util::{Sink as _, Stream as _};
use switchboard_core::{
    Code, Error, Tenant,
    session::{Reason, Reply, Request},
};
use switchboard_proto::frame;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Sleep, sleep},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use crate::{
    caller::Caller,
    gateway::{FULL, Gateway, Outgoing, Scratch, Seat, Transport},
    wire::{self, json::ClientFrame},
};

/// What is read from a connection at once, in bytes; each connection has so much.
const BUFFER: usize = 1024;

/// How long the end of a connection may take.
const CLOSING: std::time::Duration = std::time::Duration::from_secs(2);

/// How frames are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Binary messages.
    Proto,
    /// Text messages.
    Json,
}

impl Encoding {
    /// The subprotocol.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Proto => "switchboard.v1.proto",
            Self::Json => "switchboard.v1.json",
        }
    }

    /// How long a message is at the most whose frame has so many bytes on the wire: JSON has bytes
    /// in base64.
    const fn message_bytes_max(self, frame_bytes_max: usize) -> usize {
        match self {
            Self::Proto => frame_bytes_max,
            Self::Json => frame_bytes_max.div_ceil(3) * 4,
        }
    }
}

/// What the handshake says of a client.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) caller: Caller,
    /// That of the path.
    pub(crate) tenant: Tenant,
    /// That of the query, which is its hello.
    pub(crate) client: Option<String>,
    /// From where on it follows its inbox.
    pub(crate) after: Option<String>,
}

/// One session.
pub(crate) struct Socket<S> {
    stream: WebSocketStream<S>,
    seat: Seat,
    encoding: Encoding,
    /// The tenant of the path, until the hello.
    tenant: Option<Box<Tenant>>,
    stage: Stage,
    /// Bytes handed to the library since all was last sent, and when it last went on.
    unsent: usize,
    progress: Instant,
    /// Runs once the session is over.
    closing: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// Our side says that it closes.
    Closing,
    /// The client's side is still open.
    Lingering,
}

/// Frames of either encoding.
struct Frames<'a> {
    encoding: Encoding,
    bytes: &'a mut Vec<u8>,
    texts: Texts,
}

/// Frames as JSON, and how long they are together.
#[derive(Default)]
struct Texts {
    all: Vec<String>,
    bytes: usize,
}

impl Outgoing for Frames<'_> {
    fn push(&mut self, reply: &Reply<'_>) {
        match self.encoding {
            Encoding::Proto => Outgoing::push(self.bytes, reply),
            Encoding::Json => {
                let text = wire::json::write(reply);
                self.texts.bytes += text.len();
                self.texts.all.push(text);
            }
        }
    }

    fn is_full(&self) -> bool {
        FULL <= self.bytes.len() + self.texts.bytes
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// A session on a connection that was just upgraded; `read` came behind the request.
    pub(crate) async fn new(
        stream: S,
        read: Vec<u8>,
        gateway: &Arc<Gateway>,
        greeting: Greeting,
        encoding: Encoding,
    ) -> Self {
        let Greeting { caller, tenant, client, after } = greeting;
        let limits = &gateway.node.limits;
        let message_bytes_max = encoding.message_bytes_max(limits.frame_bytes_max);
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(limits.session_queue_bytes_max + message_bytes_max)
            .max_message_size(Some(message_bytes_max))
            .max_frame_size(Some(message_bytes_max));
        let stream =
            WebSocketStream::from_partially_read(stream, read, Role::Server, Some(config)).await;
        let mut socket = Self {
            stream,
            seat: Seat::new(gateway, caller, Transport::WebSocket),
            encoding,
            tenant: Some(Box::new(tenant)),
            stage: Stage::Open,
            unsent: 0,
            progress: Instant::now(),
            closing: None,
        };
        if let Some(client) = client {
            // The path and the query are the hello.
            gateway.scratches.lend(|Scratch { out, .. }| {
                let mut out = Frames { encoding, bytes: out, texts: Texts::default() };
                socket.hear(
                    Request::Hello {
                        tenant: "",
                        client: &client,
                        cursor: after.as_deref(),
                        traceparent: "",
                    },
                    &mut out,
                );
                let _ = socket.hand_over(&mut out);
            });
        }
        socket
    }

    fn drive(&mut self, context: &mut Context<'_>, scratch: &mut Scratch) -> Poll<()> {
        let mut out =
            Frames { encoding: self.encoding, bytes: &mut scratch.out, texts: Texts::default() };
        if self.seat.poll(context, &mut out) {
            self.second(&mut out);
        }
        loop {
            if self.send(context, &mut out).is_err() {
                return Poll::Ready(());
            }
            // Nothing is taken from where it is kept before there is room for it here.
            if self.unsent == 0 && self.seat.deliver(context, &mut out) {
                continue;
            }
            match self.stage {
                Stage::Open if self.seat.over().is_some() => {
                    self.stage = Stage::Closing;
                    self.closing = Some(Box::pin(sleep(CLOSING)));
                }
                Stage::Open => {
                    // Whoever does not read is not read from.
                    if self.seat.gateway().node.limits.session_queue_bytes_max < self.unsent {
                        return Poll::Pending;
                    }
                    match ready!(Pin::new(&mut self.stream).poll_next(context)) {
                        Some(Ok(message)) => self.take(message, &mut out),
                        Some(Err(tungstenite::Error::Capacity(error))) => {
                            let error = Error::new(Code::TooLarge, error.to_string());
                            self.seat.malformed(error, &mut out);
                        }
                        Some(Err(tungstenite::Error::Protocol(error))) => {
                            let error = Error::new(Code::InvalidRequest, error.to_string());
                            self.seat.malformed(error, &mut out);
                        }
                        Some(Err(tungstenite::Error::Utf8(_))) => {
                            let error = Error::new(Code::InvalidRequest, "a text is not UTF-8");
                            self.seat.malformed(error, &mut out);
                        }
                        Some(Err(_)) | None => return Poll::Ready(()),
                    }
                    self.seat.poll(context, &mut out);
                }
                Stage::Closing => {
                    let close = Message::Close(self.seat.over().map(close_frame));
                    // When the client closed first, the library has answered already.
                    if Pin::new(&mut self.stream).start_send(close).is_err() {
                        return Poll::Ready(());
                    }
                    self.unsent += 1;
                    self.stage = Stage::Lingering;
                }
                Stage::Lingering => {
                    let late = self.closing.as_mut().map(|closing| closing.as_mut().poll(context));
                    if late.is_some_and(|late| late.is_ready()) {
                        return Poll::Ready(());
                    }
                    match ready!(Pin::new(&mut self.stream).poll_next(context)) {
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => return Poll::Ready(()),
                    }
                }
            }
        }
    }

    fn take(&mut self, message: Message, out: &mut Frames<'_>) {
        let max = self.seat.frame_bytes_max();
        match (message, self.encoding) {
            (Message::Binary(bytes), Encoding::Proto) => match frame::next(&bytes, max) {
                Ok(Some(frame)) if frame.whole.len() == bytes.len() => {
                    match wire::frame::read(frame.number, frame.payload) {
                        Ok(request) => self.hear(request, out),
                        Err(error) => self.seat.malformed(error, out),
                    }
                }
                _ => {
                    let what = "a binary message is one ClientFrame";
                    self.seat.malformed(Error::new(Code::InvalidRequest, what), out);
                }
            },
            (Message::Text(text), Encoding::Json) => match ClientFrame::read(&text) {
                Ok(frame) => self.hear(frame.request(), out),
                Err(error) => self.seat.malformed(error, out),
            },
            (Message::Binary(_) | Message::Text(_), encoding) => {
                let what = match encoding {
                    Encoding::Proto => "switchboard.v1.proto takes binary messages",
                    Encoding::Json => "switchboard.v1.json takes text messages",
                };
                self.seat.malformed(Error::new(Code::InvalidRequest, what), out);
            }
            (Message::Close(_), _) => self.seat.left(out),
            // The library answers pings by itself.
            (Message::Ping(_) | Message::Pong(_) | Message::Frame(_), _) => {}
        }
        self.seat.submit();
    }

    /// Takes a frame. A hello is for the tenant of the path.
    fn hear(&mut self, request: Request<'_>, out: &mut Frames<'_>) {
        let now = self.seat.now();
        match (request, &self.tenant) {
            (Request::Hello { tenant, client, cursor, traceparent }, Some(own)) => {
                if !tenant.is_empty() && tenant != own.as_str() {
                    let what = "the tenant of the hello is not that of the path";
                    self.seat.malformed(Error::new(Code::Forbidden, what), out);
                    return;
                }
                let tenant = *own.clone();
                let tenant = tenant.as_str();
                let hello = Request::Hello { tenant, client, cursor, traceparent };
                self.seat.request(hello, now, out);
                self.tenant = None;
            }
            (request, _) => self.seat.request(request, now, out),
        }
    }

    /// Another second has passed.
    fn second(&mut self, out: &mut Frames<'_>) {
        let limits = &self.seat.gateway().node.limits;
        if 0 < self.unsent && limits.write_stall <= self.progress.elapsed() {
            self.seat.slow(out);
        }
    }

    /// Sends what there is, as far as it goes.
    fn send(
        &mut self,
        context: &mut Context<'_>,
        out: &mut Frames<'_>,
    ) -> Result<(), tungstenite::Error> {
        self.hand_over(out)?;
        if 0 < self.unsent
            && let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(context)
        {
            flushed?;
            self.unsent = 0;
        }
        Ok(())
    }

    /// Hands frames to the library.
    fn hand_over(&mut self, out: &mut Frames<'_>) -> Result<(), tungstenite::Error> {
        if self.unsent == 0 {
            self.progress = Instant::now();
        }
        let mut rest = &out.bytes[..];
        // Our own frames are always whole.
        while let Ok(Some(frame)) = frame::next(rest, usize::MAX) {
            rest = &rest[frame.whole.len()..];
            self.unsent += frame.whole.len();
            let message = Message::Binary(frame.whole.to_vec().into());
            Pin::new(&mut self.stream).start_send(message)?;
        }
        out.bytes.clear();
        for text in std::mem::take(&mut out.texts).all {
            self.unsent += text.len();
            Pin::new(&mut self.stream).start_send(Message::Text(text.into()))?;
        }
        Ok(())
    }
}

/// Why the connection is closed, as RFC 6455 tells it.
fn close_frame(reason: Reason) -> CloseFrame {
    let code = match reason {
        Reason::Client => CloseCode::Normal,
        Reason::Malformed => CloseCode::Protocol,
        Reason::Drain => CloseCode::Restart,
        Reason::NoHello | Reason::Refused | Reason::Silent | Reason::Slow => CloseCode::Policy,
    };
    CloseFrame { code, reason: reason.as_str().into() }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Socket<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let gateway = Arc::clone(this.seat.gateway());
        gateway.scratches.lend(|scratch| this.drive(context, scratch))
    }
}
