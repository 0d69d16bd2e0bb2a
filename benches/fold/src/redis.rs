//! Redis with a sorted set of last-seen times.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{Error, random};

const MEMBERS: u64 = 1_000_000;

/// Commands sent before their answers are read.
const PIPELINE: u64 = 256;

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It keeps nothing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
pub(crate) fn measure() -> Result<(), Error> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let folder = tempfile::tempdir()?;
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--save", "", "--appendonly", "no", "--dir"]);
    let spawned = command.arg(folder.path()).stdout(Stdio::null()).spawn();
    let _server = match spawned {
        Ok(child) => Server(child),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("\nRedis is not installed: not compared");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let mut stream = connect(port)?;
    let zadd = |score: u64, member: u64| format!("ZADD seen {score} client-{member}\r\n");
    let mut add = |members: &mut dyn Iterator<Item = u64>, score: u64| -> Result<(), Error> {
        let mut commands = String::new();
        let mut count = 0;
        for member in members {
            commands += &zadd(score, member);
            count += 1;
        }
        stream.write_all(commands.as_bytes())?;
        let mut answers = vec![0; 4 * count];
        Ok(stream.read_exact(&mut answers)?)
    };
    for begin in (0..MEMBERS).step_by(PIPELINE as usize) {
        add(&mut (begin..MEMBERS.min(begin + PIPELINE)), begin)?;
    }
    let (mut state, begun, mut done) = (7, Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(3) {
        add(&mut (0..PIPELINE).map(|_| random(&mut state) % MEMBERS), MEMBERS + done)?;
        done += PIPELINE;
    }
    let rate = done as f64 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    for _ in 0..10_000 {
        stream.write_all(b"ZCOUNT seen 500000 +inf\r\n")?;
        let mut answer = [0; 64];
        if stream.read(&mut answer)? == 0 {
            return Err("Redis closed the connection".into());
        }
    }
    let count = begun.elapsed().as_secs_f64() * 1e6 / 10_000.0;
    println!("\nRedis, 1 million members: ZADD {rate:.0}/s pipelined, ZCOUNT {count:.0} us");
    Ok(())
}

fn connect(port: u16) -> Result<TcpStream, Error> {
    for _ in 0..100 {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
            stream.set_nodelay(true)?;
            return Ok(stream);
        }
        thread::sleep(Duration::from_millis(50));
    }
    Err("Redis did not start".into())
}
