//! What carries the frames of one connection: two halves, which are used at the same time.
//!
//! Each `async` function here may be dropped before it is done, and called again: nothing is lost.

mod grpc;
mod tcp;

use switchboard_proto::v1::{ClientFrame, client_frame, server_frame};

use super::FRAME_BYTES_MAX;
use crate::{Error, node::Node};

/// Once so many bytes wait to be sent, requests are held back.
const ROOM_BYTES: usize = 64 * 1024;

/// What may wait to be sent, in bytes: a request of any length behind others, and many pongs, which
/// are not held back.
const WAITING_BYTES_MAX: usize = 2 * FRAME_BYTES_MAX;
const _: () = assert!(ROOM_BYTES + FRAME_BYTES_MAX < WAITING_BYTES_MAX);

/// From the node.
pub(super) enum Incoming {
    Tcp(tcp::Incoming),
    Grpc(grpc::Incoming),
}

/// To the node.
pub(super) enum Outgoing {
    Tcp(tcp::Outgoing),
    Grpc(grpc::Outgoing),
}

/// Connects.
pub(super) async fn open(node: &Node) -> Result<(Incoming, Outgoing), Error> {
    match node {
        Node::Tcp(address) => {
            let (incoming, outgoing) = tcp::open(address).await?;
            Ok((Incoming::Tcp(incoming), Outgoing::Tcp(outgoing)))
        }
        Node::Http { endpoint, .. } => {
            let (incoming, outgoing) = grpc::open(endpoint).await?;
            Ok((Incoming::Grpc(incoming), Outgoing::Grpc(outgoing)))
        }
    }
}

impl Incoming {
    /// The next frame that this version knows; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<server_frame::Frame>, Error> {
        loop {
            let came = match self {
                Self::Tcp(incoming) => incoming.next().await?,
                Self::Grpc(incoming) => incoming.next().await?,
            };
            match came {
                Some(frame) if frame.frame.is_none() => {}
                came => return Ok(came.and_then(|frame| frame.frame)),
            }
        }
    }
}

impl Outgoing {
    /// Adds a frame to what waits to be sent.
    pub(super) fn push(&mut self, frame: client_frame::Frame) {
        let frame = ClientFrame { frame: Some(frame) };
        match self {
            Self::Tcp(outgoing) => outgoing.push(&frame),
            Self::Grpc(outgoing) => outgoing.push(frame),
        }
    }

    /// Whether nothing waits to be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// Whether requests may be added.
    pub(super) fn has_room(&self) -> bool {
        self.bytes() < ROOM_BYTES
    }

    /// Whether so much waits that the node must have ceased to read, although it still sends.
    pub(super) fn is_stuck(&self) -> bool {
        WAITING_BYTES_MAX < self.bytes()
    }

    /// How much waits to be sent.
    fn bytes(&self) -> usize {
        match self {
            Self::Tcp(outgoing) => outgoing.bytes(),
            Self::Grpc(outgoing) => outgoing.bytes(),
        }
    }

    /// Sends all that waits.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        match self {
            Self::Tcp(outgoing) => outgoing.flush().await,
            Self::Grpc(outgoing) => outgoing.flush().await,
        }
    }

    /// Sends all that waits, and says that nothing follows.
    pub(super) async fn finish(mut self) -> Result<(), Error> {
        self.flush().await?;
        match self {
            Self::Tcp(mut outgoing) => outgoing.finish().await,
            // Dropping it is the end of the stream.
            Self::Grpc(_) => Ok(()),
        }
    }
}
