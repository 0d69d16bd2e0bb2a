//! `switchboard.v1.GatewayService`.
//!
//! A session is the body of its own answer: whoever sends it asks for the next bytes, and what came
//! from the client is handled then. No task, no channel, no codec with buffers of its own: what an
//! idle session takes is what HTTP/2 takes.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use switchboard_core::{Code, Error};
use switchboard_proto::frame;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Answer,
    unary::{self, refusal},
};
use crate::{
    caller::Caller,
    gateway::{Gateway, Scratch, Seat, Transport},
    status,
};

/// The bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Opens a session.
pub(super) fn connect(gateway: &Arc<Gateway>, request: Request<Incoming>) -> Response<Answer> {
    if let Some(refusal) = refusal(&request) {
        return refusal.map(Answer::Unary);
    }
    let refused = |code, what| {
        let refused = status::grpc(&Error::new(code, what)).into_http::<unary::Answer>();
        refused.map(Answer::Unary)
    };
    if gateway.node.draining.is_cancelled() {
        return refused(Code::Unavailable, "this node is stopping");
    }
    let Some(place) = gateway.place() else {
        return refused(Code::TooManyRequests, "this node holds as many sessions as it may");
    };
    let caller = Caller::of(request.headers());
    let held = Held {
        requests: Some(request.into_body()),
        seat: Some(Seat::new(gateway, caller, Transport::Grpc)),
        inbox: Vec::new(),
        trailers: false,
        _place: place,
    };
    let mut response = Response::new(Answer::Session(Box::new(held)));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, grpc);
    response
}

/// One session.
#[derive(Debug)]
pub(crate) struct Held {
    /// None once there is nothing more to read.
    requests: Option<Incoming>,
    /// None once the session is over.
    seat: Option<Seat>,
    /// The beginning of a message whose rest has not come.
    inbox: Vec<u8>,
    /// Whether the end was told.
    trailers: bool,
    _place: OwnedSemaphorePermit,
}

impl Held {
    fn drive(
        &mut self,
        context: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<Option<Frame<Bytes>>> {
        let Some(seat) = &mut self.seat else { return Poll::Ready(None) };
        let out = &mut scratch.out;
        seat.poll(context, out);
        while seat.over().is_none() && out.is_empty() {
            if seat.deliver(context, out) {
                // What was done may have given nothing to send.
                continue;
            }
            let Some(requests) = &mut self.requests else {
                // What was asked for is still answered.
                if seat.is_busy() {
                    return Poll::Pending;
                }
                seat.left(out);
                break;
            };
            match Pin::new(requests).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    take(seat, &mut self.inbox, &data, out);
                }
                Poll::Ready(Some(Err(_)) | None) => {
                    self.requests = None;
                    if !self.inbox.is_empty() {
                        let what = "the stream ended within a message";
                        seat.malformed(Error::new(Code::InvalidRequest, what), out);
                    }
                }
                Poll::Pending => return Poll::Pending,
            }
            // Answers may be there at once.
            seat.poll(context, out);
        }
        if out.is_empty() {
            self.seat = None;
            return Poll::Ready(None);
        }
        let messages = messages(out);
        out.clear();
        Poll::Ready(Some(Frame::data(messages)))
    }

    /// A defect: the session ends, the connection goes on.
    fn give_up(&mut self) -> Frame<Bytes> {
        if let Some(seat) = self.seat.take() {
            seat.gateway().node.metrics.panicked();
        }
        tracing::error!("a session panicked and was closed");
        self.trailers = true;
        let error = Error::new(Code::Internal, "a defect in this node: the session was given up");
        let (parts, ()) = status::grpc(&error).into_http::<()>().into_parts();
        Frame::trailers(parts.headers)
    }
}

/// Takes what came, message by message.
fn take(seat: &mut Seat, inbox: &mut Vec<u8>, data: &[u8], out: &mut Vec<u8>) {
    if inbox.is_empty() {
        let used = whole_messages(seat, data, out);
        inbox.extend_from_slice(&data[used..]);
    } else {
        inbox.extend_from_slice(data);
        let used = whole_messages(seat, inbox, out);
        inbox.drain(..used);
        if inbox.is_empty() {
            // Most sessions get whole messages only, and need no buffer.
            *inbox = Vec::new();
        }
    }
    seat.submit();
}

/// Takes the whole messages of a buffer and says how many bytes they are.
fn whole_messages(seat: &mut Seat, buffer: &[u8], out: &mut Vec<u8>) -> usize {
    let max = seat.frame_bytes_max();
    let now = seat.now();
    let mut used = 0;
    while seat.over().is_none()
        && let Some((prefix, rest)) = buffer[used..].split_first_chunk::<PREFIX>()
    {
        let [compressed, length @ ..] = *prefix;
        let length = u32::from_be_bytes(length);
        let refused = match usize::try_from(length) {
            _ if compressed != 0 => {
                Some(Error::new(Code::InvalidRequest, "this node takes no compressed messages"))
            }
            // A little more, for the tag and the length of the frame in it.
            Ok(length) if length <= max + 2 * PREFIX => {
                let Some(message) = rest.get(..length) else { break };
                used += PREFIX + length;
                match frame::next(message, max) {
                    Ok(Some(frame)) if frame.whole.len() == message.len() => {
                        seat.frame(&frame, now, out);
                        None
                    }
                    Err(error @ frame::Malformed::TooLong(_)) => {
                        Some(Error::new(Code::TooLarge, error.to_string()))
                    }
                    _ => Some(Error::new(Code::InvalidRequest, "a message is one ClientFrame")),
                }
            }
            _ => {
                let what = format!("a message of {length} bytes is too long");
                Some(Error::new(Code::TooLarge, what))
            }
        };
        if let Some(error) = refused {
            seat.malformed(error, out);
        }
    }
    used
}

/// Frames, each as a message of gRPC.
fn messages(frames: &[u8]) -> Bytes {
    let mut messages = Vec::with_capacity(frames.len() + 2 * PREFIX);
    let mut rest = frames;
    // Our own frames are always whole.
    while let Ok(Some(frame)) = frame::next(rest, usize::MAX) {
        rest = &rest[frame.whole.len()..];
        messages.push(0);
        let length = u32::try_from(frame.whole.len()).unwrap_or(u32::MAX);
        messages.extend(length.to_be_bytes());
        messages.extend_from_slice(frame.whole);
    }
    messages.into()
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let polled = match &this.seat {
            None => Poll::Ready(None),
            Some(seat) => {
                let gateway = Arc::clone(seat.gateway());
                let drive = AssertUnwindSafe(|| {
                    gateway.scratches.lend(|scratch| this.drive(context, scratch))
                });
                catch_unwind(drive).unwrap_or_else(|_panic| Poll::Ready(Some(this.give_up())))
            }
        };
        match polled {
            Poll::Ready(None) if !this.trailers => {
                this.trailers = true;
                let mut trailers = HeaderMap::with_capacity(1);
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            polled => polled.map(|frame| frame.map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.trailers
    }
}
