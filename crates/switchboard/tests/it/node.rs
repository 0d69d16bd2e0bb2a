//! A node to be tested: started, killed, and looked after.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long anything may take before a test gives up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A running node, and the folder that it keeps its data in.
pub(crate) struct Node {
    pub(crate) folder: TempDir,
    child: Child,
    pub(crate) main: String,
    pub(crate) tcp: String,
    pub(crate) admin: String,
    options: Vec<String>,
    /// Whether an error in the log is what the test is about.
    errs: bool,
}

/// Any free port.
const FREE: &str = "127.0.0.1:0";

/// The program.
pub(crate) fn switchboard() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SWITCHBOARD_")) {
        command.env_remove(name);
    }
    command
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

impl Node {
    pub(crate) fn start() -> Self {
        Self::with(&["--log-segment-mib", "1"])
    }

    pub(crate) fn with(options: &[&str]) -> Self {
        Self::on(TempDir::new().unwrap(), options)
    }

    /// A node on a folder whose data may be there already.
    pub(crate) fn on(folder: TempDir, options: &[&str]) -> Self {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let (child, [main, tcp, admin]) = spawn(folder.path(), [FREE; 3], &options);
        Self { folder, child, main, tcp, admin, options, errs: false }
    }

    /// A node whose data is on a file system of this many MiB, which only it sees.
    pub(crate) fn on_small_disk(mib: u32) -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        let options = vec!["--log-segment-mib".to_owned(), "1".to_owned()];
        let data = folder.path().join("data");
        let script =
            format!("mount -t tmpfs -o size={mib}m tmpfs {} && exec \"$0\" \"$@\"", data.display());
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, env!("CARGO_BIN_EXE_switchboard")]);
        let (child, [main, tcp, admin]) = serve(command, folder.path(), [FREE; 3], &options);
        Self { folder, child, main, tcp, admin, options, errs: false }
    }

    /// A path in the node's data directory, as the node sees it.
    pub(crate) fn seen_by_it(&self, name: &str) -> PathBuf {
        let data = self.data();
        let below_root = data.strip_prefix("/").unwrap();
        Path::new("/proc").join(self.id().to_string()).join("root").join(below_root).join(name)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.main)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// All that the node has written to standard error.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// All that the node has written to standard output since it was started.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("said")).unwrap_or_default()
    }

    /// From now on an error in the log is no failure of the test.
    pub(crate) fn may_err(&mut self) {
        self.errs = true;
    }

    /// Kills the node as a crash would, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts the node again on its data.
    pub(crate) fn start_again(&mut self) {
        let (child, [main, tcp, admin]) = spawn(self.folder.path(), [FREE; 3], &self.options);
        (self.child, self.main, self.tcp, self.admin) = (child, main, tcp, admin);
    }

    /// Starts the node again on its data, where it listened before.
    pub(crate) fn start_again_in_place(&mut self) {
        let addresses = [self.main.as_str(), &self.tcp, &self.admin];
        (self.child, _) = spawn(self.folder.path(), addresses, &self.options);
    }

    /// Asks the node to stop, and returns its exit code.
    pub(crate) fn stop(&mut self) -> i32 {
        self.signal("TERM");
        self.ended()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// The exit code, once the node has ended.
    pub(crate) fn ended(&mut self) -> i32 {
        let mut code = None;
        until("the node ends", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        code.unwrap().code().expect("an exit code")
    }

    /// Records a key over REST; the answer without its time, or the problem.
    pub(crate) fn ingest(&self, tenant: &str, key: &str) -> String {
        let body = format!(r#"{{"key":"{key}"}}"#);
        let (_, answer) = self.post(&format!("/v1/tenants/{tenant}/ingest"), &body);
        match answer.split_once(",\"id\"") {
            Some((_, rest)) => format!("\"id\"{}", rest.trim().trim_end_matches('}')),
            None => answer,
        }
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> (u16, String) {
        let length = body.len();
        http(
            &self.main,
            &format!(
                "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
                 content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            ),
        )
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        http(&self.main, &request)
    }

    pub(crate) fn get_admin(&self, path: &str) -> (u16, String) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        http(&self.admin, &request)
    }

    /// A command of the program, told where the node is.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = switchboard();
        command.args(args).env("SWITCHBOARD_URL", self.url());
        command.env("SWITCHBOARD_TCP_URL", format!("tcp://{}", self.tcp));
        command
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log();
        if thread::panicking() {
            let _ = writeln!(std::io::stderr(), "--- log\n{log}");
            return;
        }
        assert!(self.errs || !log.contains("ERROR"), "the log has an error:\n{log}");
    }
}

/// A node, and where it listens: main, tcp and admin.
type Started = (Child, [String; 3]);

fn spawn(folder: &Path, listen: [&str; 3], options: &[String]) -> Started {
    serve(switchboard(), folder, listen, options)
}

fn serve(mut command: Command, folder: &Path, listen: [&str; 3], options: &[String]) -> Started {
    let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
    let said = folder.join("said");
    let [main, tcp, admin] = listen;
    let mut child = command
        .args(["serve", "--listen", main, "--tcp-listen", tcp, "--admin-listen", admin])
        .arg("--data-dir")
        .arg(folder.join("data"))
        .args(options)
        .stdout(fs::File::create(&said).unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut line = String::new();
    until("the node says where it listens", || {
        let ended = child.try_wait().unwrap().is_some();
        line = fs::read_to_string(&said).unwrap();
        ended || line.contains('\n')
    });
    let told = fs::read_to_string(folder.join("log")).unwrap_or_default();
    let addresses = ["main=", "tcp=", "admin="].map(|name| {
        let address = line.split_whitespace().find_map(|word| word.strip_prefix(name));
        address.unwrap_or_else(|| panic!("said {line:?}\n{told}")).to_owned()
    });
    (child, addresses)
}

fn http(address: &str, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status.expect("an HTTP answer"), body.to_owned())
}

/// Waits until a condition holds.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
