//! PostgreSQL.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{Result, certified::Certified, free_port, process::Process};

/// Where Debian has its versions.
const VERSIONS: &str = "/usr/lib/postgresql";

/// The user that runs it where root may not.
const USER: &str = "postgres";

/// A running server, with nothing in it.
#[derive(Debug)]
pub struct Postgres {
    bin: PathBuf,
    data: PathBuf,
    port: u16,
    settings: Vec<String>,
    databases: AtomicU32,
    process: Process,
    /// Goes with the server, if it is its own.
    folder: Option<TempDir>,
}

impl Postgres {
    /// Starts one with the defaults of its version.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not start.
    pub fn start() -> Result<Self> {
        Self::with(&[])
    }

    /// Starts one with these settings, as `name=value`.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not start.
    pub fn with(settings: &[&str]) -> Result<Self> {
        Self::within(its_folder()?, settings)
    }

    /// Starts one that takes only connections by TLS, and says in which file the authority's
    /// certificate is. It is certified as `localhost`.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not start.
    pub fn encrypted() -> Result<(Self, PathBuf)> {
        let folder = its_folder()?;
        let [authority, certificate, key, rules] =
            ["authority.pem", "certificate.pem", "key.pem", "rules"]
                .map(|it| folder.path().join(it));
        let certified = Certified::new("localhost")?;
        for (file, text) in [
            (&authority, &*certified.authority),
            (&certificate, &certified.certificate),
            (&key, &certified.key),
            (&rules, "hostssl all all all trust\n"),
        ] {
            fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        // A key that others may read is refused.
        run(Command::new("chmod").arg("600").arg(&key))?;
        give(&key)?;
        let settings = [
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", path(&certificate)),
            format!("ssl_key_file={}", path(&key)),
            format!("hba_file={}", path(&rules)),
        ];
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        Ok((Self::within(folder, &settings)?, authority))
    }

    /// Starts one whose data is in a folder that goes with it.
    fn within(folder: TempDir, settings: &[&str]) -> Result<Self> {
        let mut started = Self::at(&folder.path().join("data"), free_port()?, settings)?;
        started.folder = Some(folder);
        Ok(started)
    }

    /// Starts one on data that stays, where it is to listen; makes the data where there is none.
    /// Who runs it must be able to reach the directory: as root that is the user `postgres`.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not start.
    pub fn at(data: &Path, port: u16, settings: &[&str]) -> Result<Self> {
        let (bin, data) = (binaries()?, data.to_owned());
        if !data.exists() {
            let words = ["-D", path(&data), "-U", USER, "-A", "trust", "-N"];
            run_as_user(&bin.join("initdb"), &words)?;
        }
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let process = spawn(&bin, &data, port, &settings)?;
        let databases = AtomicU32::new(0);
        Ok(Self { bin, data, port, settings, databases, process, folder: None })
    }

    /// Starts a standby, which gets everything that is committed here as `name`; for how many
    /// standbys a commit waits says `synchronous_standby_names`.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn standby(&self, name: &str) -> Result<Self> {
        let folder = its_folder()?;
        let data = folder.path().join("data");
        let source =
            format!("host=127.0.0.1 port={} user={USER} application_name={name}", self.port);
        let words = ["-D", path(&data), "-d", &source, "-R", "-X", "stream", "-c", "fast"];
        run_as_user(&self.bin.join("pg_basebackup"), &words)?;
        let source = format!("primary_conninfo={source}");
        Self::within(folder, &[&source])
    }

    /// Makes a standby the primary, and waits until it is.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn promote(&self) -> Result<()> {
        let words = ["promote", "-w", "-D", path(&self.data)];
        run_as_user(&self.bin.join("pg_ctl"), &words).map(drop)
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How to connect to a database of it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes a new and empty database, and says how to connect to it.
    ///
    /// # Errors
    ///
    /// It can't be made.
    pub fn database(&self) -> Result<String> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut command = Command::new(self.bin.join("createdb"));
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", USER]);
        // Another that is made at the same time reads the same template.
        command.args(["-T", "template0", &name]);
        run(&mut command)?;
        Ok(self.url(&name))
    }

    /// Runs statements in a database, and returns what they print, unaligned.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub fn sql(&self, url: &str, statements: &str) -> Result<String> {
        let mut command = Command::new(self.bin.join("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", url, "-c", statements]);
        run(&mut command)
    }

    /// Kills it and all its processes, as a crash of the machine would but for the disk's cache.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on its data, where it listened before.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn start_again(&mut self) -> Result<()> {
        // What was killed can't remove it.
        let _ = fs::remove_file(self.data.join("postmaster.pid"));
        self.process = spawn(&self.bin, &self.data, self.port, &self.settings)?;
        Ok(())
    }

    /// Lets none of its processes run until it is thawed. Connections stay open.
    pub fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets its processes run again.
    pub fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }

    /// The directory that its data is in.
    pub fn data(&self) -> &Path {
        &self.data
    }
}

fn spawn(bin: &Path, data: &Path, port: u16, settings: &Vec<String>) -> Result<Process> {
    let mut command = as_user(&bin.join("postgres"));
    let port_text = port.to_string();
    command.extend(["-D", path(data), "-p", &port_text, "-k", ""].map(ToOwned::to_owned));
    command.extend(["-c", "listen_addresses=127.0.0.1"].map(ToOwned::to_owned));
    command.extend(["-c", "max_connections=300"].map(ToOwned::to_owned));
    for setting in settings {
        command.extend(["-c".to_owned(), setting.clone()]);
    }
    let log = data.with_file_name("log");
    let process = Process::start(&command, &log, "QUIT")?;
    let told = |error| format!("{error}; {}", fs::read_to_string(&log).unwrap_or_default());
    process.listens(port).map_err(told)?;
    // It may listen before it takes connections.
    for _ in 0..600 {
        let mut ready = Command::new(bin.join("pg_isready"));
        let ready = ready.args(["-q", "-h", "127.0.0.1", "-p", &port_text]).status();
        if ready.is_ok_and(|status| status.success()) {
            return Ok(process);
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Err(told("PostgreSQL takes no connections".to_owned()))
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

/// A program as a user that may run it: the server refuses root.
fn as_user(program: &Path) -> Vec<String> {
    let program = path(program).to_owned();
    if !is_root() {
        return vec![program];
    }
    let words = ["setpriv", "--reuid", USER, "--regid", USER, "--init-groups", "--"];
    words.into_iter().map(ToOwned::to_owned).chain([program]).collect()
}

fn run_as_user(program: &Path, words: &[&str]) -> Result<String> {
    let command = as_user(program);
    run(Command::new(&command[0]).args(&command[1..]).args(words).current_dir("/"))
}

/// A new directory that belongs to who runs it.
fn its_folder() -> Result<TempDir> {
    let folder = tempfile::tempdir_in("/var/tmp")
        .map_err(|error| format!("/var/tmp can't be written: {error}"))?;
    give(folder.path())?;
    Ok(folder)
}

/// Gives a file or a directory to who runs it.
fn give(file: &Path) -> Result<()> {
    if is_root() {
        run(Command::new("chown").arg(USER).arg(file))?;
    }
    Ok(())
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

/// The newest version that is installed.
fn binaries() -> Result<PathBuf> {
    let versions = fs::read_dir(VERSIONS).map_err(|_| "PostgreSQL is not installed".to_owned())?;
    let bins = versions.flatten().map(|version| version.path().join("bin"));
    let newest = bins.filter(|bin| bin.join("postgres").exists()).max();
    newest.ok_or_else(|| "PostgreSQL is not installed".to_owned())
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
