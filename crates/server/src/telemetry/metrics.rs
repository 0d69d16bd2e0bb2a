//! The metrics of a node.
//!
//! They belong to the node that counts them; there are no statics, so two nodes in one process
//! share nothing. What a request touches is resolved when the node starts ([`Metrics::route`]).
//! No label has a tenant, a key or an address: there is no end to them.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Metric, Registry},
};
use switchboard_core::{
    Code,
    store::{Commit, Condition, Observer, Vitals},
};

use super::{
    Bus, Chat, Presence, Sessions, Signals, Vault,
    histogram::{Histogram, REQUEST_NANOS, SYNC_NANOS},
    known::Known,
    process,
};

pub(super) type Labels = Vec<(&'static str, &'static str)>;
type Float = Gauge<f64, AtomicU64>;
type Seconds = Counter<f64, AtomicU64>;

/// All metrics of a node.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    durations: Family<Labels, Histogram, fn() -> Histogram>,
    in_flight: Family<Labels, Gauge>,
    keys: [Counter; 3],
    batch: Histogram,
    commit_batch: Histogram,
    commit_wait: Histogram,
    sync: Histogram,
    bytes_written: Counter,
    recovery: Family<Labels, Float>,
    checkpoint: Histogram,
    connections: Gauge,
    rejected: Family<Labels, Counter>,
    panics: Counter,
    lag: Histogram,
    /// Those of the bus.
    pub(crate) bus: Bus,
    /// Those of chat.
    pub(crate) chat: Chat,
    /// Those of the status service.
    pub(crate) presence: Presence,
    /// Those of sessions.
    pub(crate) sessions: Sessions,
    /// Those of signals between nodes.
    pub(crate) signals: Signals,
    /// Those of the vault.
    pub(crate) vault: Vault,
    scraped: Scraped,
    /// Counters that are read elsewhere are told as what has come since.
    told: Mutex<(f64, bool)>,
}

/// What is set when somebody asks.
#[derive(Debug)]
struct Scraped {
    queue_depth: Gauge,
    ingest_keys: Gauge,
    index_bytes: Gauge,
    size_bytes: Gauge,
    free_bytes: Known,
    sync_errors: Counter,
    ready: Family<Labels, Gauge>,
    cpu: Seconds,
    resident: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
    started: Float,
}

/// The counters of one operation over one transport. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    ok: Counter,
    /// By `Code as usize`.
    errors: Arc<[Counter; Code::ALL.len()]>,
    duration: Histogram,
    in_flight: Gauge,
}

/// Counts a connection for as long as it is held.
#[derive(Debug)]
pub(crate) struct ConnectionGuard(Gauge);

/// Registers metrics under the names that they are told by.
pub(super) struct Registrar(Registry);

impl Registrar {
    pub(super) fn add<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.tell(name, help, metric.clone());
        metric
    }

    fn tell(&mut self, name: &str, help: &str, metric: impl Metric) {
        // The registry ends each help text with a full stop of its own.
        self.0.register(name, help.strip_suffix('.').unwrap_or(help), metric);
    }

    pub(super) fn counter(&mut self, name: &str, help: &str) -> Counter {
        self.add(name, help, Counter::default())
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str) -> Gauge {
        self.add(name, help, Gauge::default())
    }

    pub(super) fn durations(
        &mut self,
        name: &str,
        help: &str,
        bounds: &'static [u64],
    ) -> Histogram {
        self.add(name, help, Histogram::of_durations(bounds))
    }
}

impl Metrics {
    /// Metrics that have counted nothing yet.
    pub fn new() -> Arc<Self> {
        let mut r = Registrar(Registry::default());
        r.tell("switchboard_build", "The version that runs.", build_info());
        let keys = keys(&mut r);
        let (requests, durations, in_flight) = requests(&mut r);
        let metrics = Self {
            requests,
            durations,
            in_flight,
            keys,
            batch: r.add(
                "switchboard_ingest_batch_size",
                "Keys that came in one request, or together on one stream.",
                Histogram::of_counts(),
            ),
            commit_batch: r.add(
                "switchboard_commit_batch_size",
                "Batches that one group commit answered.",
                Histogram::of_counts(),
            ),
            commit_wait: r.durations(
                "switchboard_commit_queue_wait_seconds",
                "How long the oldest batch of a group waited for its turn.",
                SYNC_NANOS,
            ),
            sync: r.durations(
                "switchboard_store_sync_seconds",
                "How long the write and the sync of a group took.",
                SYNC_NANOS,
            ),
            bytes_written: r
                .counter("switchboard_store_bytes_written", "Bytes appended to the commit log."),
            recovery: r.add(
                "switchboard_recovery_seconds",
                "How long the parts of the last start took: snapshot, replay.",
                Family::default(),
            ),
            checkpoint: r.durations(
                "switchboard_checkpoint_seconds",
                "How long putting away what the log holds took.",
                REQUEST_NANOS,
            ),
            connections: r.gauge("switchboard_connections", "Open connections."),
            rejected: r.add(
                "switchboard_accept_rejected",
                "Connections that could not be accepted.",
                Family::default(),
            ),
            panics: r.counter("switchboard_panics", "Requests given up for a defect."),
            lag: r.durations(
                "switchboard_event_loop_lag_seconds",
                "How late a timer fired: the node is short of CPU.",
                REQUEST_NANOS,
            ),
            bus: Bus::new(&mut r),
            chat: Chat::new(&mut r),
            presence: Presence::new(&mut r),
            sessions: Sessions::new(&mut r),
            signals: Signals::new(&mut r),
            vault: Vault::new(&mut r),
            scraped: Scraped::new(&mut r),
            told: Mutex::default(),
            registry: r.0,
        };
        for phase in ["snapshot", "replay"] {
            drop(metrics.recovery.get_or_create(&vec![("phase", phase)]));
        }
        drop(metrics.rejected.get_or_create(&vec![("reason", "error")]));
        Arc::new(metrics)
    }

    /// The counters of an operation, which are told from now on, with zero.
    pub(crate) fn route(
        &self,
        capability: &'static str,
        operation: &'static str,
        transport: &'static str,
    ) -> Route {
        let labels =
            vec![("capability", capability), ("operation", operation), ("transport", transport)];
        let counter = |code| {
            let labels = [labels.as_slice(), &[("code", code)]].concat();
            self.requests.get_or_create(&labels).clone()
        };
        Route {
            ok: counter("ok"),
            errors: Arc::new(Code::ALL.map(|code| counter(code.as_str()))),
            duration: self.durations.get_or_create(&labels).clone(),
            in_flight: self.in_flight.get_or_create(&labels).clone(),
        }
    }

    /// Keys were recorded.
    pub(crate) fn ingested(&self, new: u64, repeated: u64) {
        self.keys[0].inc_by(new);
        self.keys[1].inc_by(repeated);
    }

    /// Keys were refused for their form.
    pub(crate) fn rejected(&self, keys: u64) {
        self.keys[2].inc_by(keys);
    }

    /// Keys came together.
    pub(crate) fn batch(&self, keys: u64) {
        self.batch.observe(keys, 1);
    }

    /// A connection was opened; it counts until the guard is dropped.
    pub(crate) fn connection(&self) -> ConnectionGuard {
        self.connections.inc();
        ConnectionGuard(self.connections.clone())
    }

    /// A connection could not be accepted.
    pub(crate) fn accept_rejected(&self, reason: &'static str) {
        self.rejected.get_or_create(&vec![("reason", reason)]).inc();
    }

    /// A request was given up for a defect.
    pub(crate) fn panicked(&self) {
        self.panics.inc();
    }

    /// A timer fired so late.
    pub(crate) fn event_loop_lag(&self, lag: Duration) {
        self.lag.observe(nanos(lag), 1);
    }

    /// All metrics as `OpenMetrics` text, with what is read only now.
    pub(crate) fn encode(&self, vitals: &Vitals, checks: &[(&'static str, bool)]) -> String {
        self.scrape(vitals, checks);
        let mut told = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut told, &self.registry);
        told
    }

    fn scrape(&self, vitals: &Vitals, checks: &[(&'static str, bool)]) {
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let to = &self.scraped;
        to.queue_depth.set(whole(vitals.commits_waiting));
        to.ingest_keys.set(whole(vitals.ingest_keys));
        to.index_bytes.set(whole(vitals.ingest_index_bytes));
        to.size_bytes.set(whole(vitals.size_bytes));
        to.free_bytes.set(vitals.free_bytes.map(whole));
        for (check, well) in checks {
            to.ready.get_or_create(&vec![("check", check)]).set(i64::from(*well));
        }
        let reading = process::read();
        to.resident.set(whole(reading.resident_bytes));
        to.open_fds.set(whole(reading.open_fds));
        to.max_fds.set(whole(reading.max_fds));
        to.started.set(process::boot_time() + reading.started_after_boot);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        to.cpu.inc_by((reading.cpu_seconds - told.0).max(0.0));
        told.0 = reading.cpu_seconds.max(told.0);
        if matches!(vitals.condition, Condition::Failed(_)) && !told.1 {
            told.1 = true;
            to.sync_errors.inc();
        }
    }
}

impl Scraped {
    fn new(r: &mut Registrar) -> Self {
        Self {
            queue_depth: r
                .gauge("switchboard_commit_queue_depth", "Batches that wait for their commit."),
            ingest_keys: r.gauge("switchboard_ingest_recorded_keys", "Keys recorded, ever."),
            index_bytes: r
                .gauge("switchboard_ingest_index_bytes", "Memory of the index of ingest."),
            size_bytes: r.gauge("switchboard_store_size_bytes", "What the store takes on disk."),
            free_bytes: r.add(
                "switchboard_store_free_bytes",
                "Free room where the store lives; left out while it is not known.",
                Known::default(),
            ),
            sync_errors: r.counter(
                "switchboard_store_sync_errors",
                "Failed writes and syncs; the first ends the node.",
            ),
            ready: r.add(
                "switchboard_ready",
                "Whether a check of /readyz passes: store, draining.",
                Family::default(),
            ),
            cpu: r.add("process_cpu_seconds", "CPU used.", Seconds::default()),
            resident: r.gauge("process_resident_memory_bytes", "Resident memory."),
            open_fds: r.gauge("process_open_fds", "Open file descriptors."),
            max_fds: r.gauge("process_max_fds", "How many there may be."),
            started: r.add(
                "process_start_time_seconds",
                "When the process started, since the Unix epoch.",
                Float::default(),
            ),
        }
    }
}

type Requests =
    (Family<Labels, Counter>, Family<Labels, Histogram, fn() -> Histogram>, Family<Labels, Gauge>);

/// Rate, errors and duration.
fn requests(r: &mut Registrar) -> Requests {
    let durations: fn() -> Histogram = || Histogram::of_durations(REQUEST_NANOS);
    let requests = r.add(
        "switchboard_requests",
        "Requests by how they ended: ok, or the code of the error.",
        Family::default(),
    );
    let durations = r.add(
        "switchboard_request_duration_seconds",
        "From a request's arrival to its answer, the sync included.",
        Family::new_with_constructor(durations),
    );
    let in_flight = r.add(
        "switchboard_requests_in_flight",
        "Requests that have begun and not ended.",
        Family::default(),
    );
    (requests, durations, in_flight)
}

/// New, duplicate, rejected.
fn keys(r: &mut Registrar) -> [Counter; 3] {
    let keys: Family<Labels, Counter> = r.add(
        "switchboard_ingest_keys",
        "Keys by what became of them: new, duplicate, or rejected as malformed.",
        Family::default(),
    );
    ["new", "duplicate", "rejected"]
        .map(|result| keys.get_or_create(&vec![("result", result)]).clone())
}

fn build_info() -> prometheus_client::metrics::info::Info<Labels> {
    prometheus_client::metrics::info::Info::new(vec![("version", env!("CARGO_PKG_VERSION"))])
}

impl Route {
    /// Requests have begun.
    pub(crate) fn begin(&self, requests: u64) {
        self.in_flight.inc_by(i64::try_from(requests).unwrap_or(i64::MAX));
    }

    /// Requests that had begun have ended.
    pub(crate) fn end(&self, outcome: Result<(), Code>, requests: u64, took: Duration) {
        self.in_flight.dec_by(i64::try_from(requests).unwrap_or(i64::MAX));
        match outcome {
            Ok(()) => self.ok.inc_by(requests),
            Err(code) => self.errors[code as usize].inc_by(requests),
        };
        self.duration.observe(nanos(took), requests);
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Observer for Metrics {
    fn committed(&self, commit: &Commit) {
        self.commit_batch.observe(commit.batches, 1);
        self.commit_wait.observe(nanos(commit.waited), 1);
        if 0 < commit.bytes {
            self.sync.observe(nanos(commit.synced), 1);
            self.bytes_written.inc_by(commit.bytes);
        }
    }

    fn recovered(&self, phase: &'static str, took: Duration) {
        self.recovery.get_or_create(&vec![("phase", phase)]).set(took.as_secs_f64());
    }

    fn checkpointed(&self, took: Duration) {
        self.checkpoint.observe(nanos(took), 1);
    }
}

pub(super) fn nanos(took: Duration) -> u64 {
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

    use super::*;

    const VITALS: Vitals = Vitals {
        condition: Condition::Writable,
        commits_waiting: 0,
        ingest_keys: 7,
        ingest_index_bytes: 0,
        size_bytes: 0,
        free_bytes: Some(0),
    };

    fn told() -> String {
        let metrics = Metrics::new();
        let _route = metrics.route("ingest", "ingest", "grpc");
        metrics.encode(&VITALS, &[("store", true), ("draining", true)])
    }

    /// The reference: one row a metric, as its samples are named.
    fn reference() -> String {
        let told = told();
        let mut page = String::from(
            "# Metrics\n\nWhat `/metrics` on the admin listener tells. Written by a test from the \
             program itself.\n\n| metric | type | labels | what |\n|---|---|---|---|\n",
        );
        let mut lines = told.lines().filter_map(|line| line.strip_prefix("# HELP "));
        while let Some((name, help)) = lines.next().and_then(|line| line.split_once(' ')) {
            let of = |line: &&str| line.starts_with(&format!("# TYPE {name} "));
            let kind = told.lines().find(of).and_then(|line| line.rsplit(' ').next()).unwrap();
            let end = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            // Not those of a metric whose name begins likewise.
            let ends = ["{", " ", "_total{", "_total ", "_info{", "_bucket{", "_sum", "_count"];
            let samples = told.lines().filter(|line| {
                let rest = line.strip_prefix(name);
                rest.is_some_and(|rest| ends.iter().any(|end| rest.starts_with(end)))
            });
            let labels: BTreeSet<&str> = samples
                .filter_map(|line| line.split_once('{')?.1.split_once('}'))
                .flat_map(|(labels, _)| labels.split(','))
                .filter_map(|label| label.split_once('=').map(|(name, _)| name))
                .filter(|name| *name != "le")
                .collect();
            let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
            writeln!(page, "| `{name}{end}` | {kind} | {} | {help} |", labels.join(", ")).unwrap();
        }
        page
    }

    #[test]
    fn the_reference_is_checked_in() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/metrics.md");
        let before = fs::read_to_string(&path).unwrap_or_default();
        let now = reference();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &now).unwrap();
        assert!(before == now, "metrics.md was out of date; it is now up to date, commit it");
    }

    #[test]
    fn what_was_counted_is_told() {
        let metrics = Metrics::new();
        let route = metrics.route("ingest", "stream", "grpc");
        route.begin(5);
        route.end(Ok(()), 3, Duration::from_millis(2));
        route.end(Err(Code::InvalidKey), 1, Duration::ZERO);
        metrics.ingested(2, 1);
        let _connection = metrics.connection();
        let vitals =
            Vitals { condition: Condition::Failed("x".to_owned()), commits_waiting: 4, ..VITALS };
        let told = metrics.encode(&vitals, &[("store", false)]);
        let labels = "capability=\"ingest\",operation=\"stream\",transport=\"grpc\"";
        for line in [
            &format!("switchboard_requests_total{{{labels},code=\"ok\"}} 3"),
            &format!("switchboard_requests_total{{{labels},code=\"invalid_key\"}} 1"),
            &format!("switchboard_requests_in_flight{{{labels}}} 1"),
            "switchboard_ingest_keys_total{result=\"new\"} 2",
            "switchboard_ingest_keys_total{result=\"duplicate\"} 1",
            "switchboard_store_sync_errors_total 1",
            "switchboard_commit_queue_depth 4",
            "switchboard_ready{check=\"store\"} 0",
            "switchboard_connections 1",
        ] {
            assert!(told.contains(line), "{line} is not in\n{told}");
        }
    }
    /// A zero would tell of a full disk.
    #[test]
    fn free_room_is_told_only_while_it_is_known() {
        let metrics = Metrics::new();
        let room = "switchboard_store_free_bytes";
        for (free_bytes, expected) in [(None, None), (Some(9), Some("9")), (None, None)] {
            let told = metrics.encode(&Vitals { free_bytes, ..VITALS }, &[]);
            let sample = told.lines().find_map(|line| line.strip_prefix(room)?.strip_prefix(' '));
            assert_eq!(sample, expected, "{told}");
            assert_eq!(told.contains(room), expected.is_some(), "{told}");
        }
    }
}
