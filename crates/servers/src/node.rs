//! A node: the program, started as an operator would.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{Result, free_port, process::DEADLINE, process::Process};

/// A running node, or one that will run again.
#[derive(Debug)]
pub struct Node {
    program: PathBuf,
    folder: PathBuf,
    options: Vec<String>,
    environment: Vec<String>,
    ports: [u16; 3],
    starts: u32,
    process: Process,
}

impl Node {
    /// Starts a program as a node with these options of `serve`, on free ports; its logs, and its
    /// data where it has any, are kept in a folder, which is made.
    ///
    /// # Errors
    ///
    /// It does not start; what it said is in the sentence.
    pub fn start(program: &Path, folder: &Path, options: &[String]) -> Result<Self> {
        Self::on(program, folder, options, [free_port()?, free_port()?, free_port()?])
    }

    /// As [`Node::start`], where it is to listen: main, TCP and admin.
    ///
    /// # Errors
    ///
    /// Those of [`Node::start`].
    pub fn on(program: &Path, folder: &Path, options: &[String], ports: [u16; 3]) -> Result<Self> {
        fs::create_dir_all(folder)
            .map_err(|error| format!("{} can't be made: {error}", folder.display()))?;
        let (program, folder) = (program.to_owned(), folder.to_owned());
        let (options, environment) = (options.to_vec(), Vec::new());
        let process = spawn(&program, &folder, &options, &environment, ports, 1)?;
        Ok(Self { program, folder, options, environment, ports, starts: 1, process })
    }

    /// From the next start on these variables are set, as `NAME=value`.
    pub fn set_environment(&mut self, variables: &[&str]) {
        self.environment = variables.iter().map(|&it| it.to_owned()).collect();
    }

    /// Where it serves REST and gRPC.
    pub fn main(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// Where it holds sessions over plain TCP.
    pub fn tcp(&self) -> String {
        format!("127.0.0.1:{}", self.ports[1])
    }

    /// Where it tells how it is.
    pub fn admin(&self) -> String {
        format!("127.0.0.1:{}", self.ports[2])
    }

    /// The URL of its main listener.
    pub fn url(&self) -> String {
        format!("http://{}", self.main())
    }

    /// The number that it runs under.
    pub fn id(&self) -> i32 {
        self.process.id()
    }

    /// Whether it has ended.
    pub fn ended(&self) -> bool {
        self.process.ended()
    }

    /// Kills it as a crash would, and waits until it is gone.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks it to stop, and returns its exit code once it has; none when it took too long.
    pub fn stop(&mut self) -> Option<i32> {
        self.process.signal(Signal::TERM);
        self.process.code(DEADLINE)
    }

    /// Starts it again where it listened before.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn start_again(&mut self) -> Result<()> {
        self.starts += 1;
        let Self { program, folder, options, environment, ports, starts, .. } = &*self;
        self.process = spawn(program, folder, options, environment, *ports, *starts)?;
        Ok(())
    }

    /// Does not let it run until it is thawed. Connections stay open.
    pub fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets it run again.
    pub fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Waits until it is ready, for as long as that may take.
    ///
    /// # Errors
    ///
    /// It has ended, or never is; its answer or its log is in the sentence.
    pub fn ready(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let answer = get(&self.admin(), "/readyz", Duration::from_secs(1));
            if answer.as_ref().is_some_and(|(status, _)| *status == 200) {
                return Ok(());
            }
            if self.ended() || DEADLINE < begun.elapsed() {
                let told = answer.map(|(_, body)| body).unwrap_or_default();
                return Err(format!("a node is not ready: {told}; {}", self.log()));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// CPU that it has used since it was started, in seconds (proc(5); 100 ticks a second).
    pub fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
        let rest = stat.rsplit(')').next().unwrap_or_default();
        let ticks = |place| rest.split(' ').nth(place).and_then(|it| it.parse::<f64>().ok());
        let used = [12, 13].into_iter().filter_map(ticks).sum::<f64>();
        used / 100.0
    }

    /// Asks its main listener, and returns the status and the body of the answer, if one came.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        get(&self.main(), path, Duration::from_secs(5))
    }

    /// Asks its admin listener, as [`Node::get`].
    pub fn get_admin(&self, path: &str) -> Option<(u16, String)> {
        get(&self.admin(), path, Duration::from_secs(5))
    }

    /// All that it has said, over all its starts.
    pub fn log(&self) -> String {
        let logs = (1..=self.starts).map(|start| log(&self.folder, start));
        logs.filter_map(|path| fs::read_to_string(path).ok()).collect()
    }
}

fn log(folder: &Path, start: u32) -> PathBuf {
    folder.join(format!("log-{start}"))
}

fn spawn(
    program: &Path,
    folder: &Path,
    options: &[String],
    environment: &[String],
    ports: [u16; 3],
    start: u32,
) -> Result<Process> {
    let address = |port: u16| format!("127.0.0.1:{port}");
    let mut words = vec!["env".to_owned()];
    // What a developer has set is no part of a test.
    let set = std::env::vars().map(|(name, _)| name).filter(|it| it.starts_with("SWITCHBOARD_"));
    words.extend(set.flat_map(|name| ["-u".to_owned(), name]));
    words.extend_from_slice(environment);
    words.extend([program.display().to_string(), "serve".to_owned()]);
    for (name, port) in ["--listen", "--tcp-listen", "--admin-listen"].into_iter().zip(ports) {
        words.extend([name.to_owned(), address(port)]);
    }
    words.extend(["--data-dir".to_owned(), folder.join("data").display().to_string()]);
    words.extend_from_slice(options);
    let said = log(folder, start);
    let process = Process::start(&words, &said, "KILL")?;
    let begun = Instant::now();
    loop {
        let told = fs::read_to_string(&said).unwrap_or_default();
        if told.lines().any(|line| line.starts_with("listening ")) {
            return Ok(process);
        }
        if process.ended() || DEADLINE < begun.elapsed() {
            return Err(format!("a node did not start: {told}"));
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Asks a listener; none where nobody answers in time.
pub(crate) fn get(address: &str, path: &str, patience: Duration) -> Option<(u16, String)> {
    let address = address.parse().ok()?;
    let mut stream = TcpStream::connect_timeout(&address, patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok())?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Some((status, body.to_owned()))
}
