//! A process that ends with its owner.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::Result;

/// How long a server may take to be there, or to be gone.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Starts what it is given, says under which number it runs, and ends it when nobody holds the
/// other end of its standard input any more: also when that one was killed.
const WATCH: &str = r#"
"$@" </dev/null >"$SERVER_LOG" 2>&1 &
echo $!
read -r nothing
pkill -CONT -P $! 2>/dev/null
kill -CONT $! 2>/dev/null
kill -"$SERVER_END" $! 2>/dev/null
wait $!
"#;

/// Ports below those that the kernel gives to whoever connects: a server that is started again
/// finds its port free, however many clients there are.
const PORTS: (u16, u16) = (12_000, 32_000);

/// How many ports were given out by this process.
static GIVEN: AtomicU16 = AtomicU16::new(0);

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Process {
    watch: Child,
    pid: Pid,
}

/// A port that is free now, also for a server that is started again later.
///
/// # Errors
///
/// There is none.
pub fn free_port() -> Result<u16> {
    let span = PORTS.1 - PORTS.0;
    // Processes that look at the same time begin at different places.
    let begin = u16::try_from(process::id().wrapping_mul(37) % u32::from(span)).unwrap_or_default();
    for _ in 0..span {
        let turn = GIVEN.fetch_add(1, Ordering::Relaxed) % span;
        let port = PORTS.0 + (begin + turn) % span;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no port is free".to_owned())
}

impl Process {
    /// Starts a program with its arguments; `end` is the signal that ends it at once.
    pub(crate) fn start(arguments: &[String], log: &Path, end: &str) -> Result<Self> {
        let failed = |error| format!("{} can't be started: {error}", arguments[0]);
        File::create(log).map_err(failed)?;
        let mut command = Command::new("sh");
        command.args(["-c", WATCH, "watch"]).args(arguments);
        command.env("SERVER_LOG", log).env("SERVER_END", end).current_dir("/");
        // Ctrl-C is for the owner, who then ends them in order.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut watch = command.spawn().map_err(failed)?;
        let mut line = String::new();
        if let Some(said) = watch.stdout.take() {
            BufReader::new(said).read_line(&mut line).map_err(failed)?;
        }
        let pid = line.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| format!("{} was not started", arguments[0]))?;
        Ok(Self { watch, pid })
    }

    /// Waits until it listens.
    pub(crate) fn listens(&self, port: u16) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < DEADLINE {
            if rustix::process::test_kill_process(self.pid).is_err() {
                return Err(format!("it ended before it listened on port {port}"));
            }
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(format!("nobody listens on port {port}"))
    }

    /// Sends a signal to it, and to its children where there are some.
    pub(crate) fn signal(&self, signal: Signal) {
        let name = format!("-{}", signal.as_raw());
        let parent = self.pid.as_raw_nonzero().to_string();
        // It may have no children.
        let _ = Command::new("pkill").args([&name, "-P", &parent]).status();
        // It may be gone.
        let _ = kill_process(self.pid, signal);
    }

    /// Kills it as a crash would, with its children, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.gone();
    }

    /// The number that it runs under.
    pub(crate) fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Whether it has ended, by itself or by a signal.
    pub(crate) fn ended(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()));
        // What has ended and was not asked for its code is a Z (proc(5)).
        stat.map_or(true, |stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
    }

    /// Waits until it has ended by itself, and returns its exit code; none when it took too long.
    pub(crate) fn code(&mut self, deadline: Duration) -> Option<i32> {
        let begun = Instant::now();
        while !self.ended() {
            if deadline < begun.elapsed() {
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
        drop(self.watch.stdin.take());
        self.watch.wait().ok()?.code()
    }

    /// Waits until it is gone.
    pub(crate) fn gone(&mut self) {
        let begun = Instant::now();
        while rustix::process::test_kill_process(self.pid).is_ok() && begun.elapsed() < DEADLINE {
            // Its parent waits for it once it is told to.
            drop(self.watch.stdin.take());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        // There is nobody to tell.
        let _ = self.watch.wait();
    }
}
