//! A session over plain TCP, as thin as it can be: it shares the cores with what is measured.

use prost::Message as _;
use switchboard_peers::Error;
use switchboard_proto::{
    frame::{self, Frame},
    v1::{ClientFrame, Follow, Hello, Pong, SessionSendRequest, Status, client_frame},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::node::{Node, TEXT, phone};

/// The numbers of frames of a node.
pub(crate) const ERROR: u32 = 3;
pub(crate) const SENT: u32 = 20;
pub(crate) const INBOX: u32 = 22;
pub(crate) const FOLLOWING: u32 = 24;
const PING: u32 = 5;

pub(crate) struct Session {
    stream: TcpStream,
    came: Vec<u8>,
    begin: usize,
    pub(crate) out: Vec<u8>,
}

impl Session {
    /// Connects, and says hello as a user.
    pub(crate) async fn open(node: &Node, user: usize) -> Result<Self, Error> {
        let stream = TcpStream::connect(&node.tcp).await?;
        stream.set_nodelay(true)?;
        let mut session = Self { stream, came: Vec::new(), begin: 0, out: Vec::new() };
        session.put(client_frame::Frame::Hello(Hello {
            tenant: "default".to_owned(),
            client: phone(user),
            ..Hello::default()
        }));
        session.flush().await?;
        Ok(session)
    }

    /// Follows the inbox from a cursor on, and waits until it does.
    pub(crate) async fn follow(&mut self, after: &str) -> Result<(), Error> {
        self.put(client_frame::Frame::Follow(Follow { after: after.to_owned(), request_id: 1 }));
        self.flush().await?;
        let mut following = false;
        while !following {
            self.read(|frame| following |= frame.number == FOLLOWING).await?;
        }
        Ok(())
    }

    fn put(&mut self, frame: client_frame::Frame) {
        // Appends: the stream is one endless message.
        let _ = ClientFrame { frame: Some(frame) }.encode(&mut self.out);
    }

    /// Adds a message to what is sent next.
    pub(crate) fn send(&mut self, to: &str, client_message_id: String, request_id: u64) {
        self.put(client_frame::Frame::Send(SessionSendRequest {
            to: to.to_owned(),
            text: TEXT.to_owned(),
            client_message_id,
            request_id,
            traceparent: String::new(),
        }));
    }

    pub(crate) async fn flush(&mut self) -> Result<(), Error> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out).await?;
            self.out.clear();
        }
        Ok(())
    }

    /// Waits for frames, answers pings, and hands over the others.
    pub(crate) async fn read(&mut self, mut each: impl FnMut(&Frame<'_>)) -> Result<(), Error> {
        self.came.drain(..self.begin);
        self.begin = 0;
        self.came.reserve(64 * 1024);
        if self.stream.read_buf(&mut self.came).await? == 0 {
            return Err("the node closed a session".into());
        }
        let mut pings = 0;
        while let Some(frame) = frame::next(&self.came[self.begin..], 1 << 20)? {
            self.begin += frame.whole.len();
            match frame.number {
                PING => pings += 1,
                ERROR => return Err(format!("refused: {:?}", frame.payload).into()),
                _ => each(&frame),
            }
        }
        for _ in 0..pings {
            let status = Status::Even.into();
            self.put(client_frame::Frame::Pong(Pong { status, sequence: 0 }));
        }
        if 0 < pings {
            self.flush().await?;
        }
        Ok(())
    }
}
