//! Frames over gRPC: a connection of HTTP/2 for each session, so that it ends with it.

use std::{collections::VecDeque, error::Error as _};

use prost::Message as _;
use switchboard_proto::v1::{
    ClientFrame, ServerFrame, gateway_service_client::GatewayServiceClient,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Endpoint};

use crate::{Error, session::FRAME_BYTES_MAX};

/// Frames on their way to the connection; HTTP/2 has its own limit behind them.
const SENT_MAX: usize = 16;

/// The tag and the length of a frame, at most.
const HEADER_MAX: usize = 10;

pub(in crate::session) struct Incoming {
    frames: Streaming<ServerFrame>,
}

pub(in crate::session) struct Outgoing {
    frames: mpsc::Sender<ClientFrame>,
    waiting: VecDeque<ClientFrame>,
    bytes: usize,
}

pub(super) async fn open(endpoint: &Endpoint) -> Result<(Incoming, Outgoing), Error> {
    let channel = endpoint.connect().await.map_err(|error| {
        let why = error.source().map(|source| format!(": {source}")).unwrap_or_default();
        Error::new("unavailable", format!("can't reach {}{why}", endpoint.uri()))
    })?;
    let (sender, sent) = mpsc::channel(SENT_MAX);
    let frames = GatewayServiceClient::new(channel)
        .max_decoding_message_size(FRAME_BYTES_MAX + HEADER_MAX)
        .connect(ReceiverStream::new(sent))
        .await?
        .into_inner();
    Ok((Incoming { frames }, Outgoing { frames: sender, waiting: VecDeque::new(), bytes: 0 }))
}

impl Incoming {
    pub(super) async fn next(&mut self) -> Result<Option<ServerFrame>, Error> {
        Ok(self.frames.message().await?)
    }
}

impl Outgoing {
    pub(super) fn push(&mut self, frame: ClientFrame) {
        self.bytes += frame.encoded_len();
        self.waiting.push_back(frame);
    }

    /// How many bytes wait to be sent.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        while !self.waiting.is_empty() {
            let place = self.frames.reserve().await;
            let place = place.map_err(|_| Error::new("unavailable", "the connection broke"))?;
            if let Some(frame) = self.waiting.pop_front() {
                self.bytes -= frame.encoded_len();
                place.send(frame);
            }
        }
        Ok(())
    }
}
