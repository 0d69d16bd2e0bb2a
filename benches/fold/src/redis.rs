//! Redis with a sorted set of last-seen times.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{Error, random, resident, spread};

const MEMBERS: u64 = 1_000_000;

/// Commands sent before their answers are read.
const PIPELINE: usize = 256;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);

/// Counts of a round; each waits for the answer before.
const COUNTS: u32 = 10_000;

/// How long the server may take to start.
const START: Duration = Duration::from_secs(5);

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It keeps nothing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn measure() -> Result<(), Error> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let folder = tempfile::tempdir()?;
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--save", "", "--appendonly", "no", "--dir"]);
    let spawned = command.arg(folder.path()).stdout(Stdio::null()).spawn();
    let server = match spawned {
        Ok(child) => Server(child),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("\nRedis is not installed: not compared");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let mut redis = Redis(connect(port)?);
    let before = resident(&server.0.id().to_string());
    let all: Vec<u64> = (0..MEMBERS).collect();
    for members in all.chunks(PIPELINE) {
        redis.add(members, 1)?;
    }
    let grown = resident(&server.0.id().to_string()) - before;

    let (mut state, mut score, mut rates, mut counts) = (7, 1, Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (mut done, mut members) = (0_u32, [0; PIPELINE]);
        let begun = Instant::now();
        while begun.elapsed() < ROUND {
            score += 1;
            members.fill_with(|| random(&mut state) % MEMBERS);
            redis.add(&members, score)?;
            done += u32::try_from(PIPELINE)?;
        }
        rates.push(f64::from(done) / begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        for _ in 0..COUNTS {
            assert_eq!(redis.count(1)?, MEMBERS);
        }
        counts.push(begun.elapsed().as_secs_f64() * 1e9 / f64::from(COUNTS));
    }
    let ((rate, least, most), (count, _, longest)) = (spread(rates), spread(counts));
    println!(
        "| Redis, {MEMBERS} | {:.2} M [{:.2}..{:.2}] | {count:.0} [{longest:.0}] | {} | | |",
        rate / 1e6,
        least / 1e6,
        most / 1e6,
        grown / MEMBERS,
    );
    Ok(())
}

fn connect(port: u16) -> Result<TcpStream, Error> {
    let begun = Instant::now();
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(START))?;
                return Ok(stream);
            }
            Err(error) if START < begun.elapsed() => return Err(error.into()),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

struct Redis(TcpStream);

impl Redis {
    /// Sets the scores of members that may be new.
    fn add(&mut self, members: &[u64], score: u64) -> Result<(), Error> {
        let commands =
            members.iter().map(|member| format!("ZADD seen {score} client-{member}\r\n"));
        self.0.write_all(commands.collect::<String>().as_bytes())?;
        // Each is answered `:0` or `:1`.
        let mut answers = vec![0; 4 * members.len()];
        Ok(self.0.read_exact(&mut answers)?)
    }

    /// How many have at least a score.
    fn count(&mut self, score: u64) -> Result<u64, Error> {
        self.0.write_all(format!("ZCOUNT seen {score} +inf\r\n").as_bytes())?;
        let mut answer = [0; 64];
        let length = self.0.read(&mut answer)?;
        let answer = std::str::from_utf8(&answer[..length])?;
        Ok(answer.trim_start_matches(':').trim_end().parse()?)
    }
}
