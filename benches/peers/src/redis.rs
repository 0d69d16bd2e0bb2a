//! Redis: a script that gives each key its number, every write synced before the answer.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::Command,
    task::JoinSet,
};

use switchboard_peers::process::{Peer, free_port};
use switchboard_peers::{
    Error,
    work::{Figure, Keys, Run, check},
};

/// Answers 0 for a known key, and 1 after giving it a number.
const SCRIPT: &str = "if redis.call('EXISTS',KEYS[1])==1 then return 0 end \
     redis.call('SET',KEYS[1],redis.call('INCR','seq')) return 1";

pub(crate) async fn measure(
    connections: u64,
    in_flight: usize,
    length: Duration,
) -> Result<Figure, Error> {
    let folder = tempfile::tempdir()?;
    let port = free_port()?;
    let mut command = Command::new("redis-server");
    command.current_dir(folder.path()).args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
    let peer = Peer::start(&mut command)?;
    peer.ready(port).await?;
    let before = peer.cpu();
    let run = Arc::new(Run::new(length));
    let mut running = JoinSet::new();
    for connection in 0..connections {
        running.spawn(drive(Arc::clone(&run), port, connection, in_flight));
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(run.figure(peer.cpu() - before))
}

async fn drive(run: Arc<Run>, port: u16, connection: u64, in_flight: usize) -> Result<(), Error> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let load = format!("*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n${}\r\n{SCRIPT}\r\n", SCRIPT.len());
    stream.write_all(load.as_bytes()).await?;
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut line = String::new();
    read.read_line(&mut line).await?;
    let mut sha = vec![0; 42];
    read.read_exact(&mut sha).await?;
    let sha = String::from_utf8(sha)?;
    let sha = sha.trim();
    let mut keys = Keys::new(connection);
    let mut sent = VecDeque::new();
    let mut out = String::new();
    loop {
        while sent.len() < in_flight && Instant::now() < run.end {
            let (key, first) = keys.next();
            sent.push_back(first);
            let _ =
                write!(out, "*4\r\n$7\r\nEVALSHA\r\n$40\r\n{sha}\r\n$1\r\n1\r\n${}\r\n", key.len());
            out += &key;
            out += "\r\n";
        }
        write.write_all(out.as_bytes()).await?;
        out.clear();
        if sent.is_empty() {
            return Ok(());
        }
        let mut answers = 0;
        loop {
            line.clear();
            read.read_line(&mut line).await?;
            check(sent.pop_front().ok_or("an answer to nothing")?, line.starts_with(":1"))?;
            answers += 1;
            if sent.is_empty() || !read.buffer().contains(&b'\n') {
                break;
            }
        }
        run.count(answers);
    }
}
