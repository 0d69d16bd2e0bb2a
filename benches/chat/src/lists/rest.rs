//! The same over REST, beside a bare server that answers as many bytes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use axum::{Router, body::Bytes, http::header, routing::get};
use switchboard_peers::{Error, process::Peer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    process::Command,
    task::JoinSet,
};

use super::{MESSAGES, PAGE, USERS};
use crate::{
    Options, median,
    node::{Node, phone},
    session::{SENT, Session},
};

const CONNECTIONS: usize = 32;
const IN_FLIGHT: usize = 200;

/// Serves so many bytes, whatever is asked.
pub(crate) async fn serve(bytes: usize) -> Result<(), Error> {
    let body = Bytes::from(vec![b'x'; bytes]);
    let answer = move || async { ([(header::CONTENT_TYPE, "application/json")], body) };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening main={}", listener.local_addr()?);
    axum::serve(listener, Router::new().fallback(get(answer))).await?;
    Ok(())
}

pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let node = Node::start(&options.program).await?;
    fill(&node).await?;
    let path = |random: u64| {
        let low = (random >> 33) % (USERS - 1);
        let high = low + 1 + (random >> 13) % (USERS - 1 - low);
        let [low, high] = [low, high].map(|number| phone(usize::try_from(number).unwrap_or(0)));
        format!("/v1/tenants/default/users/{low}/chats/{high}/messages?limit={PAGE}")
    };
    let bytes = Connection::open(&node.main).await?.get(&path(1)).await?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bare-server", &bytes.to_string()]);
    let (_bare, line) = Peer::start_and_listen(&mut command).await?;
    let bare = line.strip_prefix("listening main=").ok_or("no address")?;
    let mut ratios = Vec::new();
    for round in 1..=options.rounds {
        let empty = measure(bare, options, path).await?;
        let ours = measure(&node.main, options, path).await?;
        eprintln!("round {round}: {ours:.0} lists/s, bare {empty:.0}/s, {bytes} bytes each");
        ratios.push(ours / empty);
    }
    println!("messages of a random chat over REST, to an empty answer: {:.2}", median(ratios));
    Ok(())
}

/// Every user writes to those behind him.
async fn fill(node: &Node) -> Result<(), Error> {
    for low in 0..USERS - 1 {
        let mut session = Session::open(node, usize::try_from(low)?).await?;
        let peers = USERS - 1 - low;
        let (mut sent, mut answered) = (0, 0);
        while answered < peers * MESSAGES {
            while sent < peers * MESSAGES && sent - answered < IN_FLIGHT as u64 {
                let to = phone(usize::try_from(low + 1 + sent % peers)?);
                session.send(&to, format!("m-{sent}"), sent + 1);
                sent += 1;
            }
            session.flush().await?;
            session.read(|frame| answered += u64::from(frame.number == SENT)).await?;
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
async fn measure(
    address: &str,
    options: &Options,
    path: impl Fn(u64) -> String + Copy + Send + 'static,
) -> Result<f64, Error> {
    let answers = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + options.length;
    let mut tasks: JoinSet<Result<(), Error>> = JoinSet::new();
    for place in 0..CONNECTIONS {
        let mut connection = Connection::open(address).await?;
        let answers = Arc::clone(&answers);
        tasks.spawn(async move {
            let mut random = place as u64 + 1;
            while Instant::now() < end {
                random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                connection.get(&path(random)).await?;
                answers.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
    }
    let began = Instant::now();
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(answers.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
}

/// A connection of HTTP/1.1 that is kept alive, as thin as it can be.
struct Connection {
    stream: TcpStream,
    came: Vec<u8>,
}

impl Connection {
    async fn open(address: &str) -> Result<Self, Error> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, came: Vec::new() })
    }

    /// Asks for a path, and says how long the body of the answer is.
    async fn get(&mut self, path: &str) -> Result<usize, Error> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await?;
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
            return Ok(length);
        }
    }
}
