//! Frames over plain TCP.

use std::io;

use bytes::{Buf as _, BytesMut};
use prost::Message as _;
use switchboard_proto::{
    frame,
    v1::{ClientFrame, ServerFrame},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::{Error, node::Address, session::FRAME_BYTES_MAX};

/// How many bytes are asked for at once. Most frames have less than 20.
const READ: usize = 4 * 1024;

pub(in crate::session) struct Incoming {
    stream: OwnedReadHalf,
    came: BytesMut,
}

pub(in crate::session) struct Outgoing {
    stream: OwnedWriteHalf,
    waiting: BytesMut,
}

pub(super) async fn open(Address { host, port }: &Address) -> Result<(Incoming, Outgoing), Error> {
    // Every address that the name has, until one answers.
    let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(|error| {
        Error::new("unavailable", format!("can't reach tcp://{host}:{port}: {error}"))
    })?;
    stream.set_nodelay(true).map_err(|error| broken(&error))?;
    let (read, write) = stream.into_split();
    let incoming = Incoming { stream: read, came: BytesMut::new() };
    Ok((incoming, Outgoing { stream: write, waiting: BytesMut::new() }))
}

impl Incoming {
    pub(super) async fn next(&mut self) -> Result<Option<ServerFrame>, Error> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(Some(frame));
            }
            self.came.reserve(READ);
            let read = self.stream.read_buf(&mut self.came).await;
            if read.map_err(|error| broken(&error))? == 0 {
                if self.came.is_empty() {
                    return Ok(None);
                }
                return Err(Error::new("unavailable", "the connection ended within a frame"));
            }
        }
    }

    fn take(&mut self) -> Result<Option<ServerFrame>, Error> {
        let wrong = |what: &dyn std::fmt::Display| {
            Error::new("internal", format!("this is no node, or of another version: {what}"))
        };
        let found = frame::next(&self.came, FRAME_BYTES_MAX).map_err(|error| wrong(&error))?;
        let Some(found) = found else { return Ok(None) };
        let frame = ServerFrame::decode(found.whole).map_err(|error| wrong(&error))?;
        let taken = found.whole.len();
        self.came.advance(taken);
        Ok(Some(frame))
    }
}

impl Outgoing {
    pub(super) fn push(&mut self, frame: &ClientFrame) {
        self.waiting.reserve(frame.encoded_len());
        // Never fails: there is room.
        let _ = frame.encode(&mut self.waiting);
    }

    /// How many bytes wait to be sent.
    pub(super) fn bytes(&self) -> usize {
        self.waiting.len()
    }

    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        while !self.waiting.is_empty() {
            let sent = self.stream.write_buf(&mut self.waiting).await;
            if sent.map_err(|error| broken(&error))? == 0 {
                return Err(broken(&io::ErrorKind::WriteZero.into()));
            }
        }
        Ok(())
    }

    pub(super) async fn finish(&mut self) -> Result<(), Error> {
        self.stream.shutdown().await.map_err(|error| broken(&error))
    }
}

fn broken(error: &io::Error) -> Error {
    Error::new("unavailable", format!("the connection broke: {error}"))
}
