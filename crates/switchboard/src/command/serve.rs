//! `switchboard serve`: a node.

mod bus;
mod nodes;
mod sessions;
mod vault;

use std::{net::SocketAddr, path::PathBuf, process, sync::Arc, time::Duration};

use clap::Args;
use switchboard_core::Error;
use switchboard_server::{
    Limits, Listeners, Ports, Roles, Server,
    telemetry::{self, LogFormat, Metrics},
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{Failure, output, store};

/// Start a node; no options needed.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Where REST, gRPC and the documentation are served.
    #[arg(long, env = "SWITCHBOARD_LISTEN", default_value = "127.0.0.1:7400")]
    listen: SocketAddr,

    /// Where sessions over plain TCP are held; on loopback, on that of either family.
    #[arg(long, env = "SWITCHBOARD_TCP_LISTEN", default_value = "127.0.0.1:7401")]
    tcp_listen: SocketAddr,

    /// Where metrics (/metrics) and health (/healthz, /readyz) are served.
    #[arg(long, env = "SWITCHBOARD_ADMIN_LISTEN", default_value = "127.0.0.1:7402")]
    admin_listen: SocketAddr,

    /// Where everything is kept; made if it is not there.
    #[arg(long, env = "SWITCHBOARD_DATA_DIR", default_value = "./switchboard-data")]
    pub(crate) data_dir: PathBuf,

    /// The parts of the work that this node takes: a list of `gateway` (holds sessions), `status`
    /// (knows who is online) and `api` (takes the requests of programs).
    #[arg(long, env = "SWITCHBOARD_ROLES", default_value = "gateway,status,api")]
    roles: String,

    /// The node with the role `status`, for a gateway that has it not, where nodes share no store;
    /// for example `http://127.0.0.1:7400`.
    #[arg(long, env = "SWITCHBOARD_STATUS_URL")]
    status_url: Option<String>,

    /// Origins whose pages may open sessions, beside those that this node serves itself; for
    /// example `https://chat.example`.
    #[arg(long, env = "SWITCHBOARD_ALLOWED_ORIGINS", value_delimiter = ',')]
    allowed_origins: Vec<String>,

    /// Tell the 20 largest tenants apart in metrics, by name.
    #[arg(long, env = "SWITCHBOARD_METRICS_PER_TENANT")]
    metrics_per_tenant: bool,

    #[command(flatten)]
    pub(crate) nodes: nodes::Nodes,

    /// Listen on other addresses than loopback although anybody who reaches them may do anything.
    #[arg(long, env = "SWITCHBOARD_INSECURE")]
    insecure: bool,

    /// How the log is written to standard error: `text` or `json`.
    #[arg(long, env = "SWITCHBOARD_LOG_FORMAT", default_value = "text")]
    log_format: Format,

    /// What is logged: a level, or directives such as `info,switchboard_server=debug`.
    #[arg(long, env = "SWITCHBOARD_LOG_FILTER", default_value = "info")]
    log_filter: String,

    /// Where traces are sent by OTLP over gRPC, for example `http://127.0.0.1:4317`;
    /// none by default.
    #[arg(long, env = "SWITCHBOARD_OTLP_ENDPOINT")]
    otlp_endpoint: Option<String>,

    /// The share of traces that is kept, from 0 to 1, unless a caller has decided.
    #[arg(long, env = "SWITCHBOARD_TRACE_SAMPLE", default_value_t = 0.01)]
    trace_sample: f64,

    /// How long accepted work may take to finish when the node stops, in seconds.
    #[arg(long, env = "SWITCHBOARD_DRAIN_SECONDS", default_value_t = 8)]
    drain_seconds: u64,

    /// The longest body of a request and the longest gRPC message, in bytes.
    #[arg(
        long,
        env = "SWITCHBOARD_BODY_BYTES_MAX",
        default_value_t = Limits::default().body_bytes_max
    )]
    body_bytes_max: usize,

    /// Open connections to the main listener; more wait to be accepted.
    #[arg(
        long,
        env = "SWITCHBOARD_CONNECTIONS_MAX",
        default_value_t = Limits::default().connections_max
    )]
    connections_max: usize,

    /// Requests at once on one HTTP/2 connection.
    #[arg(long, env = "SWITCHBOARD_STREAMS_MAX", default_value_t = Limits::default().streams_max)]
    streams_max: u32,

    /// Requests of one ingest stream that may wait for their sync.
    #[arg(
        long,
        env = "SWITCHBOARD_STREAM_REQUESTS_MAX",
        default_value_t = Limits::default().stream_requests_max
    )]
    stream_requests_max: usize,

    /// How long a unary request may take, in seconds.
    #[arg(long, env = "SWITCHBOARD_REQUEST_SECONDS_MAX", default_value_t = 30)]
    request_seconds_max: u64,

    #[command(flatten)]
    sessions: sessions::SessionLimits,

    #[command(flatten)]
    pub(crate) vault: vault::Records,

    #[command(flatten)]
    pub(crate) bus: bus::Topics,

    /// Let the machine write the memory of the node to disk when it crashes, and debuggers look
    /// into it: keys and values may be in there.
    #[arg(long, env = "SWITCHBOARD_CORE_DUMPS")]
    core_dumps: bool,

    /// Memory for the index of ingest, in MiB; beyond it look-ups go to disk.
    #[arg(long, env = "SWITCHBOARD_INGEST_MEMORY_MIB", default_value_t = 1024)]
    pub(crate) ingest_memory_mib: u32,

    /// The size of one file of the commit log, in MiB, from 1; two are on disk at the least.
    #[arg(
        long,
        env = "SWITCHBOARD_LOG_SEGMENT_MIB",
        default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..=1024)
    )]
    pub(crate) log_segment_mib: u32,

    /// After how many new keys they are moved from the log to the sorted files.
    #[arg(long, env = "SWITCHBOARD_CHECKPOINT_KEYS", default_value_t = 1_000_000)]
    pub(crate) checkpoint_keys: u32,

    /// Memory for chat: half of it for messages that were read lately, in MiB.
    #[arg(
        long,
        env = "SWITCHBOARD_CHAT_MEMORY_MIB",
        default_value_t = 1024,
        value_parser = clap::value_parser!(u32).range(2..=1_048_576)
    )]
    pub(crate) chat_memory_mib: u32,

    /// After how many messages and receipts they are put into tables.
    #[arg(long, env = "SWITCHBOARD_CHECKPOINT_MESSAGES", default_value_t = 500_000)]
    pub(crate) checkpoint_messages: u32,
}

/// How the log looks.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Runs a node until it is told to stop.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    options.check_addresses()?;
    options.nodes.check()?;
    options.check_roles()?;
    if !options.core_dumps {
        keep_memory_to_itself()?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("can't start: {error}")))?;
    let outcome = runtime.block_on(serve(options));
    // What was left behind is not waited for a second time.
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}

async fn serve(options: &Options) -> Result<(), Failure> {
    let _telemetry = telemetry::start(&options.telemetry())
        .map_err(|error| Failure::usage(format!("the log can't be started: {error}")))?;
    let stop = stop_on_signals()?;
    // The sockets first: a port that is taken fails before anything is opened.
    let listeners = Listeners::bind(options.listen, options.tcp_listen, options.admin_listen)
        .await
        .map_err(|error| Failure::failed(error.to_string()))?;
    let metrics = Metrics::new();
    let store = store::open(options, Arc::clone(&metrics) as _).await?;
    let signals = options.nodes.signals(store.cluster()).await?;
    let ports = Ports {
        signals,
        chats: Arc::clone(&store.chats),
        ledger: Arc::clone(&store.ledger),
        journal: Arc::clone(&store.journal),
        records: Arc::clone(&store.records),
        log: Arc::clone(&store.log),
        store: Arc::clone(&store.store),
        clock: Arc::clone(&store.clock),
    };
    let server = options.roles(Server::new(ports, metrics, options.limits(), listeners))?;
    tracing::info!(addresses = %server.addresses(), "ready");
    output::line(format_args!("listening {}", server.addresses()))?;
    let ended = server.run(stop, Duration::from_secs(options.drain_seconds)).await;
    store.close().await;
    match ended {
        Ok(()) => {
            tracing::info!("stopped");
            Ok(())
        }
        Err(stopped) => Err(Failure::failed(stopped.to_string())),
    }
}

impl Options {
    /// Before anything is opened: the roles and where to report fit together.
    fn check_roles(&self) -> Result<Roles, Failure> {
        let usage = |error: Error| Failure::usage(format!("--roles, --status-url: {error}"));
        let roles = self.roles.parse::<Roles>().map_err(usage)?;
        roles.check(self.status_url.as_deref(), self.nodes.is_shared()).map_err(usage)?;
        Ok(roles)
    }

    /// The server with the roles that it is to have.
    fn roles(&self, server: Server) -> Result<Server, Failure> {
        let usage = |error: Error| Failure::usage(format!("--roles, --status-url: {error}"));
        let roles = self.check_roles()?;
        let server = server.with_roles(roles, self.status_url.as_deref()).map_err(usage)?;
        let origins = self.allowed_origins.iter().cloned();
        let server = server.with_vault(self.vault.options()).map_err(|error| {
            Failure::usage(format!("--vault-memory-kib, --vault-passes: {error}"))
        })?;
        let server = server.with_origins(origins).with_retention(self.bus.retention());
        let server = server.with_looks(self.nodes.looks());
        Ok(server.with_metrics_per_tenant(self.metrics_per_tenant))
    }

    fn limits(&self) -> Limits {
        self.bus.limit(self.sessions.limit(Limits {
            body_bytes_max: self.body_bytes_max,
            connections_max: self.connections_max,
            streams_max: self.streams_max,
            stream_requests_max: self.stream_requests_max.max(1),
            request: Duration::from_secs(self.request_seconds_max),
            ..Limits::default()
        }))
    }

    fn telemetry(&self) -> telemetry::Settings {
        telemetry::Settings {
            format: match self.log_format {
                Format::Text => LogFormat::Text,
                Format::Json => LogFormat::Json,
            },
            // What it has to say is said by whoever uses it, once.
            filter: format!("async_nats=off,{}", self.log_filter),
            otlp_endpoint: self.otlp_endpoint.clone(),
            sample: self.trace_sample,
        }
    }

    /// Without credentials only who is on this machine may reach the node.
    fn check_addresses(&self) -> Result<(), Failure> {
        let addresses = [
            ("--listen", self.listen),
            ("--tcp-listen", self.tcp_listen),
            ("--admin-listen", self.admin_listen),
        ];
        for (option, address) in addresses {
            if !address.ip().is_loopback() && !self.insecure {
                return Err(Failure::usage(format!(
                    "{option} {address} is not loopback, and this node asks for no credentials: \
                     listen on 127.0.0.1 behind a proxy that does, or insist with --insecure"
                )));
            }
        }
        Ok(())
    }
}

/// No core dump is written, and nobody but the administrator looks into the memory of the process.
fn keep_memory_to_itself() -> Result<(), Failure> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, setrlimit};
    let failed = |error| Failure::failed(format!("core dumps can't be turned off: {error}"));
    let limit = Rlimit { current: Some(0), ..getrlimit(Resource::Core) };
    setrlimit(Resource::Core, limit).map_err(failed)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(failed)
}

/// Cancelled by the first SIGTERM or SIGINT; a second one ends the process at once.
fn stop_on_signals() -> Result<CancellationToken, Failure> {
    let failed = |error| Failure::failed(format!("can't listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let stop = CancellationToken::new();
    let told = stop.clone();
    let watch = async move {
        for signals in 0.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if 0 < signals {
                tracing::warn!("stopped at once by a second signal");
                end_now();
            }
            told.cancel();
        }
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "lives as long as the process, beside the server"
    )]
    tokio::spawn(watch);
    Ok(stop)
}

#[expect(clippy::exit, reason = "the operator is impatient; everything acknowledged is on disk")]
fn end_now() -> ! {
    process::exit(1)
}
