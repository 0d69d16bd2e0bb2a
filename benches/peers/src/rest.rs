//! HTTP/1.1 with as little around it as can be: a server that answers as many bytes as are wanted,
//! and a client.

use std::path::Path;

use axum::{Router, body::Bytes, http::header, routing::any};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    process::Command,
};

use crate::{Error, process::Peer};

/// The argument with which a benchmark's own program [`serve`]s.
pub const BARE_SERVER: &str = "bare-server";

/// Serves so many bytes, whatever is asked.
pub async fn serve(bytes: usize) -> Result<(), Error> {
    let body = Bytes::from(vec![b'x'; bytes]);
    let answer = move || async { ([(header::CONTENT_TYPE, "application/json")], body) };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    #[expect(clippy::print_stdout, reason = "what whoever has started it waits for")]
    {
        println!("listening main={}", listener.local_addr()?);
    }
    axum::serve(listener, Router::new().fallback(any(answer))).await?;
    Ok(())
}

/// Starts a benchmark's program as a server of so many bytes, and says where it listens.
pub async fn start(program: &Path, bytes: usize) -> Result<(Peer, String), Error> {
    let mut command = Command::new(program);
    command.args([BARE_SERVER, &bytes.to_string()]);
    let (peer, line) = Peer::start_and_listen(&mut command).await?;
    let address = line.strip_prefix("listening main=").ok_or("no address")?;
    Ok((peer, address.to_owned()))
}

/// A connection that is kept alive.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    came: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(address: &str) -> Result<Self, Error> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, came: Vec::new() })
    }

    /// Asks for a path, and says how long the body of the answer is.
    pub async fn get(&mut self, path: &str) -> Result<usize, Error> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        Ok(self.ask(request.as_bytes()).await?.len())
    }

    /// Sends a body of JSON to a path, and gives back that of the answer.
    pub async fn post(&mut self, path: &str, body: &str) -> Result<&[u8], Error> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.ask(request.as_bytes()).await
    }

    async fn ask(&mut self, request: &[u8]) -> Result<&[u8], Error> {
        self.stream.write_all(request).await?;
        self.came.clear();
        loop {
            if self.stream.read_buf(&mut self.came).await? == 0 {
                return Err("the server closed the connection".into());
            }
            let Some(end) = self.came.windows(4).position(|it| it == b"\r\n\r\n") else { continue };
            let head = str::from_utf8(&self.came[..end])?;
            if !head.starts_with("HTTP/1.1 200") {
                return Err(format!("refused: {}", String::from_utf8_lossy(&self.came)).into());
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.ok_or("no length")?.parse()?;
            while self.came.len() < end + 4 + length {
                self.stream.read_buf(&mut self.came).await?;
            }
            return Ok(&self.came[end + 4..]);
        }
    }
}
