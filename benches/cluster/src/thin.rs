//! A client over plain TCP, as thin as it can be: there are thousands of them, and they share the
//! cores with what is measured.

use prost::Message as _;
use switchboard_peers::Error;
use switchboard_proto::{
    frame,
    v1::{ClientFrame, Hello, Pong, Status, client_frame},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The numbers of frames of a node.
const ERROR: u32 = 3;
const PING: u32 = 5;

/// Holds a session and answers pings as one who is online, until the connection ends. `seen` is
/// called after each answer.
///
/// # Errors
///
/// The connection was not made, broke, or the node refused the client.
pub(crate) async fn hold(address: &str, client: &str, mut seen: impl FnMut()) -> Result<(), Error> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let hello = client_frame::Frame::Hello(Hello {
        tenant: "default".to_owned(),
        client: client.to_owned(),
        ..Hello::default()
    });
    stream.write_all(&ClientFrame { frame: Some(hello) }.encode_to_vec()).await?;
    let status = Status::Even.into();
    let pong = client_frame::Frame::Pong(Pong { status, sequence: 0 });
    let pong = ClientFrame { frame: Some(pong) }.encode_to_vec();
    let mut came = Vec::new();
    loop {
        if stream.read_buf(&mut came).await? == 0 {
            return Ok(());
        }
        let (mut begin, mut pings) = (0, 0);
        while let Some(frame) = frame::next(&came[begin..], 65_536)? {
            begin += frame.whole.len();
            match frame.number {
                PING => pings += 1,
                ERROR => return Err(format!("refused: {:?}", frame.payload).into()),
                _ => {}
            }
        }
        came.drain(..begin);
        for _ in 0..pings {
            stream.write_all(&pong).await?;
            seen();
        }
    }
}
