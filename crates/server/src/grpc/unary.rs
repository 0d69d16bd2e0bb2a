//! A unary call, straight from the connection to its operation and back.
//!
//! The general way (a router, a codec with its buffers, an encoder with its own) costs more than
//! recording a key does. A unary call is one message in and one message out: it is decoded from the
//! bytes of the connection where they lie, and its answer is one buffer.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use prost::Message;
use switchboard_core::{Code, Error, Result};

use crate::{caller::Caller, door::Entrance, status};

/// The bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// Reads the one message of a call, of at most `bytes_max`.
///
/// # Errors
///
/// [`Code::TooLarge`]; [`Code::InvalidRequest`] for what is not the message, no message, more than
/// one or a compressed one; [`Code::Unavailable`] when the caller left.
async fn message<M: Message + Default>(mut body: Incoming, bytes_max: usize) -> Result<M> {
    let mut whole = Bytes::new();
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        let Ok(data) = frame.map_err(left)?.into_data() else { break };
        if PREFIX + bytes_max < whole.len() + data.len() {
            return Err(Error::new(Code::TooLarge, "the message is longer than this node takes"));
        }
        // Nearly always all of it comes at once.
        whole = if whole.is_empty() { data } else { joined(whole, &data) };
    }
    decoded(whole)
}

fn left(error: hyper::Error) -> Error {
    Error::new(Code::Unavailable, "the caller left within its request").caused_by(error)
}

fn joined(first: Bytes, second: &[u8]) -> Bytes {
    let mut both = first.try_into_mut().unwrap_or_else(|first| BytesMut::from(&first[..]));
    both.extend_from_slice(second);
    both.freeze()
}

fn decoded<M: Message + Default>(mut whole: Bytes) -> Result<M> {
    let refused = |why: &'static str| Err(Error::new(Code::InvalidRequest, why));
    if whole.len() < PREFIX {
        return refused("a unary call takes one message");
    }
    let (compressed, length) = (whole.get_u8(), whole.get_u32());
    if compressed != 0 {
        return refused("this node takes no compressed messages");
    }
    // A length beyond what memory can address is beyond what came.
    if usize::try_from(length) != Ok(whole.len()) {
        return refused("a unary call takes one message, of the length that stands before it");
    }
    M::decode(whole).map_err(|error| {
        let what = "the message is not the protobuf message that this call takes";
        Error::new(Code::InvalidRequest, what).caused_by(error)
    })
}

/// Passes a call through its entrance, and answers it.
pub(super) async fn pass<Q, A, F>(
    entrance: &Entrance,
    request: Request<Incoming>,
    bytes_max: usize,
    work: impl FnOnce(Caller, Q) -> F,
) -> Response<Answer>
where
    Q: Message + Default,
    A: Message,
    F: Future<Output = Result<A>>,
{
    if let Some(refusal) = refusal(&request) {
        return refusal;
    }
    let (parts, body) = request.into_parts();
    let work = |caller| async move { work(caller, message(body, bytes_max).await?).await };
    answer(entrance.pass(&parts.headers, work).await)
}

/// The answer to a call, as gRPC writes it.
fn answer<M: Message>(result: Result<M>) -> Response<Answer> {
    let message = match result {
        Ok(message) => message,
        Err(error) => return status::grpc(&error).into_http(),
    };
    let length = message.encoded_len();
    let mut whole = Vec::with_capacity(PREFIX + length);
    whole.push(0);
    // What a node answers is far below 4 GiB.
    whole.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    message.encode_raw(&mut whole);
    let mut response = Response::new(Answer::Message(whole.into()));
    response.headers_mut().insert(header::CONTENT_TYPE, GRPC);
    response
}

/// The refusal of a request that is no call of gRPC.
pub(super) fn refusal<B>(request: &Request<B>) -> Option<Response<Answer>> {
    if request.method() != http::Method::POST {
        let mut response = Response::new(Answer::End);
        *response.status_mut() = http::StatusCode::METHOD_NOT_ALLOWED;
        return Some(response);
    }
    let content_type = request.headers().get(header::CONTENT_TYPE);
    if content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
        return None;
    }
    let mut response = Response::new(Answer::End);
    *response.status_mut() = http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Some(response)
}

/// The body of an answer: a message, then the status that all is well.
#[derive(Debug, Default)]
pub(crate) enum Answer {
    Message(Bytes),
    Trailers,
    #[default]
    End,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(match std::mem::take(&mut *self) {
            Self::Message(message) => {
                *self = Self::Trailers;
                Some(Ok(Frame::data(message)))
            }
            Self::Trailers => {
                let mut trailers = HeaderMap::with_capacity(1);
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                Some(Ok(Frame::trailers(trailers)))
            }
            Self::End => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::End)
    }
}

#[cfg(test)]
mod tests {
    use switchboard_proto::v1::IngestRequest;

    use super::*;

    #[track_caller]
    fn check(whole: &[u8], expected: Result<(&str, &str), &str>) {
        let decoded = decoded::<IngestRequest>(Bytes::copy_from_slice(whole));
        let decoded = decoded.as_ref().map(|request| (&*request.tenant, &*request.key));
        match (decoded, expected) {
            (Ok(decoded), Ok(expected)) => assert_eq!(decoded, expected),
            (Err(error), Err(sentence)) => {
                assert_eq!(error.code(), Code::InvalidRequest);
                assert!(error.to_string().contains(sentence), "{error}");
            }
            (decoded, expected) => panic!("{decoded:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn messages() {
        check(b"\0\0\0\0\x06\x0a\x01a\x12\x01b", Ok(("a", "b")));
        check(b"\0\0\0\0\0", Ok(("", "")));
        check(b"", Err("takes one message"));
        check(b"\0\0\0\0", Err("takes one message"));
        check(b"\x01\0\0\0\0", Err("compressed"));
        check(b"\0\0\0\0\x07\x0a\x01a\x12\x01b", Err("of the length"));
        check(b"\0\0\0\0\x05\x0a\x01a\x12\x01b", Err("of the length"));
        check(b"\0\xff\xff\xff\xff\x0a\x01a\x12\x01b", Err("of the length"));
        check(b"\0\0\0\0\x06\x0a\x01\xff\x12\x01b", Err("not the protobuf message"));
        check(b"\0\0\0\0\x02\x0a\x09", Err("not the protobuf message"));
    }

    #[test]
    fn what_comes_in_parts_is_joined() {
        let joined = joined(Bytes::from_static(b"\0\0\0"), b"\0\0");
        assert_eq!(&joined[..], b"\0\0\0\0\0");
    }
}
