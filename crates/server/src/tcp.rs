//! Sessions over plain TCP.
//!
//! The stream in either direction is one endless protobuf message whose fields are the frames
//! ([`switchboard_proto::frame`]). A session is one future without a buffer of its own: what comes
//! is read into one that is lent, handled where it lies, and answered with one write. Only a frame
//! that has not come whole, and what the client does not read, is kept.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use switchboard_core::{Code, Error, session::Reason};
use switchboard_proto::frame;
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::TcpStream,
};

use crate::{
    caller::Caller,
    gateway::{Gateway, Scratch, Seat, Transport},
};

/// For how many seconds what a client still sends is read and thrown away after the end: closing at
/// once would reset the connection, and take what was just sent from it.
const LINGER_SECONDS: u8 = 2;

/// One session.
pub(crate) struct Tcp<H> {
    stream: TcpStream,
    seat: Seat,
    /// The beginning of a frame whose rest has not come.
    inbox: Vec<u8>,
    /// What the client has not read yet.
    outbox: Outbox,
    stage: Stage,
    /// When the client last sent or took something, once it is to do so.
    progress: Option<Instant>,
    /// Its place among the connections, and their count.
    _held: H,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// The client sends nothing more; what it asked for is answered.
    Ended,
    /// What is left is sent, then our side is closed.
    Closing,
    /// The client's side is still open.
    Lingering {
        seconds: u8,
    },
}

/// Bytes that wait to be sent.
#[derive(Debug, Default)]
struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

impl<H> Tcp<H> {
    /// A session on a connection; `held` is let go of with it.
    pub(crate) fn new(stream: TcpStream, gateway: &Arc<Gateway>, caller: Caller, held: H) -> Self {
        Self {
            stream,
            seat: Seat::new(gateway, caller, Transport::Tcp),
            inbox: Vec::new(),
            outbox: Outbox::default(),
            stage: Stage::Open,
            progress: None,
            _held: held,
        }
    }

    fn drive(&mut self, context: &mut Context<'_>, scratch: &mut Scratch) -> Poll<()> {
        let Scratch { read, out } = scratch;
        if self.seat.poll(context, out) {
            self.second(out);
        }
        loop {
            if self.flush(context, out).is_err() {
                return Poll::Ready(());
            }
            // Nothing is taken from where it is kept before there is room for it here.
            if self.outbox.len() == 0 && self.seat.deliver(context, out) {
                continue;
            }
            match self.stage {
                Stage::Open | Stage::Ended if self.seat.over().is_some() => {
                    self.stage = Stage::Closing;
                }
                Stage::Open => {
                    // Whoever does not read is not read from.
                    if self.seat.gateway().node.limits.session_queue_bytes_max < self.outbox.len() {
                        return Poll::Pending;
                    }
                    match ready!(self.read(context, read)) {
                        Ok(0) => self.ended(out),
                        Ok(n) => self.take(&read[..n], out),
                        Err(_broken) => return Poll::Ready(()),
                    }
                    // Answers may be there at once.
                    self.seat.poll(context, out);
                }
                Stage::Ended if self.seat.is_busy() => return Poll::Pending,
                Stage::Ended => self.seat.left(out),
                Stage::Closing => {
                    if 0 < self.outbox.len() {
                        return Poll::Pending;
                    }
                    let reason = self.seat.over();
                    if ready!(Pin::new(&mut self.stream).poll_shutdown(context)).is_err()
                        || reason == Some(Reason::Client)
                    {
                        return Poll::Ready(());
                    }
                    self.stage = Stage::Lingering { seconds: 0 };
                }
                Stage::Lingering { seconds } => {
                    if LINGER_SECONDS <= seconds {
                        return Poll::Ready(());
                    }
                    match ready!(self.read(context, read)) {
                        Ok(0) | Err(_) => return Poll::Ready(()),
                        Ok(_) => {}
                    }
                }
            }
        }
    }

    fn read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Takes what came, frame by frame.
    fn take(&mut self, came: &[u8], out: &mut Vec<u8>) {
        if self.inbox.is_empty() {
            let used = self.frames(came, out);
            if used < came.len() && self.seat.over().is_none() {
                self.inbox.extend_from_slice(&came[used..]);
                self.progress = Some(Instant::now());
            }
        } else {
            let mut inbox = std::mem::take(&mut self.inbox);
            inbox.extend_from_slice(came);
            let used = self.frames(&inbox, out);
            self.progress = (used < inbox.len()).then(Instant::now);
            if self.seat.over().is_none() && used < inbox.len() {
                inbox.drain(..used);
                self.inbox = inbox;
            }
        }
        self.seat.submit();
    }

    /// Takes the whole frames of a buffer and says how many bytes they are.
    fn frames(&mut self, buffer: &[u8], out: &mut Vec<u8>) -> usize {
        let max = self.seat.frame_bytes_max();
        let now = self.seat.now();
        let mut used = 0;
        while self.seat.over().is_none() {
            match frame::next(&buffer[used..], max) {
                Ok(Some(frame)) => {
                    used += frame.whole.len();
                    self.seat.frame(&frame, now, out);
                }
                Ok(None) => break,
                Err(malformed) => {
                    let code = match malformed {
                        frame::Malformed::TooLong(_) => Code::TooLarge,
                        _ => Code::InvalidRequest,
                    };
                    self.seat.malformed(Error::new(code, malformed.to_string()), out);
                }
            }
        }
        used
    }

    /// The client sends nothing more.
    fn ended(&mut self, out: &mut Vec<u8>) {
        self.stage = Stage::Ended;
        if !self.inbox.is_empty() {
            let what = "the stream ended within a frame";
            self.seat.malformed(Error::new(Code::InvalidRequest, what), out);
        }
    }

    /// Sends what there is, as far as it goes.
    fn flush(&mut self, context: &mut Context<'_>, out: &mut Vec<u8>) -> io::Result<()> {
        if self.outbox.len() == 0 {
            let mut sent = 0;
            while sent < out.len() {
                match Pin::new(&mut self.stream).poll_write(context, &out[sent..]) {
                    Poll::Ready(written) => sent += written?,
                    Poll::Pending => {
                        self.progress = Some(Instant::now());
                        break;
                    }
                }
            }
            self.outbox.bytes.extend_from_slice(&out[sent..]);
        } else {
            self.outbox.bytes.extend_from_slice(out);
            while 0 < self.outbox.len() {
                let rest = &self.outbox.bytes[self.outbox.sent..];
                match Pin::new(&mut self.stream).poll_write(context, rest) {
                    Poll::Ready(written) => {
                        self.outbox.sent += written?;
                        self.progress = Some(Instant::now());
                    }
                    Poll::Pending => break,
                }
            }
            self.outbox.tidy();
        }
        out.clear();
        Ok(())
    }

    /// Another second has passed.
    fn second(&mut self, out: &mut Vec<u8>) {
        let limits = &self.seat.gateway().node.limits;
        let stood = self.progress.map(|progress| progress.elapsed()).unwrap_or_default();
        let (stalled, kept_away) = (limits.write_stall <= stood, limits.frame_rest <= stood);
        match self.stage {
            Stage::Lingering { seconds } => self.stage = Stage::Lingering { seconds: seconds + 1 },
            _ if 0 < self.outbox.len() && stalled => {
                self.seat.slow(out);
                self.outbox = Outbox::default();
            }
            Stage::Open if !self.inbox.is_empty() && kept_away => {
                let what = "the rest of a frame did not come in time";
                self.seat.malformed(Error::new(Code::InvalidRequest, what), out);
            }
            _ => {}
        }
    }
}

impl Outbox {
    fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Lets go of what was sent.
    fn tidy(&mut self) {
        if self.len() == 0 {
            *self = Self::default();
        } else if self.bytes.len() / 2 < self.sent {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

/// The future of a session. A panic is the end of this one session: caught here, and not by a
/// future around it, which would take its room twice.
impl<H: Unpin> Future for Tcp<H> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let gateway = Arc::clone(this.seat.gateway());
        let drive = || gateway.scratches.lend(|scratch| this.drive(context, scratch));
        catch_unwind(AssertUnwindSafe(drive)).unwrap_or_else(|_panic| {
            gateway.node.metrics.panicked();
            tracing::error!("a session panicked and was closed");
            Poll::Ready(())
        })
    }
}
