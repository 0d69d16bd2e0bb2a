//! A process that ends with its owner.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::Result;

/// How long a server may take to be there, or to be gone.
const DEADLINE: Duration = Duration::from_secs(30);

/// Starts what it is given, says under which number it runs, and ends it when nobody holds the
/// other end of its standard input any more: also when that one was killed.
const WATCH: &str = r#"
"$@" </dev/null >"$SERVER_LOG" 2>&1 &
echo $!
read -r nothing
pkill -CONT -P $! 2>/dev/null
kill -CONT $! 2>/dev/null
kill -"$SERVER_END" $! 2>/dev/null
wait
"#;

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Process {
    watch: Child,
    pid: Pid,
}

/// A port that is free now.
///
/// # Errors
///
/// There is none.
pub fn free_port() -> Result<u16> {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(|error| format!("no port is free: {error}"))
}

impl Process {
    /// Starts a program with its arguments; `end` is the signal that ends it at once.
    pub(crate) fn start(arguments: &[String], log: &Path, end: &str) -> Result<Self> {
        let failed = |error| format!("{} can't be started: {error}", arguments[0]);
        File::create(log).map_err(failed)?;
        let mut command = Command::new("sh");
        command.args(["-c", WATCH, "watch"]).args(arguments);
        command.env("SERVER_LOG", log).env("SERVER_END", end).current_dir("/");
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
