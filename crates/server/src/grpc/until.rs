//! A body that ends when the node does.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;

/// The body of an answer that may go on for ever, such as that of a health watch. It ends with
/// `UNAVAILABLE` once the node stops, so that nobody's watching holds up a drain.
pub(super) struct Until {
    body: Body,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    ended: bool,
}

impl Until {
    pub(super) fn new(body: Body, stop: CancellationToken) -> Self {
        Self { body, stop: Box::pin(stop.cancelled_owned()), ended: false }
    }
}

impl http_body::Body for Until {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() || self.stop.as_mut().poll(cx).is_pending() {
            return polled;
        }
        self.ended = true;
        let trailers = Status::unavailable("the node is stopping").into_http::<()>();
        Poll::Ready(Some(Ok(Frame::trailers(trailers.into_parts().0.headers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }
}
