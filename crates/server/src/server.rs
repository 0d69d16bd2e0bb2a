//! A node on its sockets, from the first request to the last.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use switchboard_core::{Error, bus::Retention, presence::GatewayId};
use tokio::{net::TcpListener, time};
use tokio_util::sync::CancellationToken;

use crate::{
    Addresses, Limits, Listeners, Ports, accept,
    bus::Bus,
    caller::Caller,
    connection::Connections,
    gateway::Gateway,
    grpc, http,
    node::Node,
    presence::{Here, Journaled, Remote, Reports, Tally},
    relay::Looks,
    roles::Roles,
    tasks::{Kind, Tasks, Unfinished},
    tcp::Tcp,
    telemetry::{self, Metrics},
    vault::{Vault, VaultOptions},
};

/// The connections that the admin listener takes at once.
const ADMIN_CONNECTIONS_MAX: usize = 64;

/// How often the lag of the event loop is measured.
const LAG: Duration = Duration::from_millis(500);

/// A node, bound and ready to run.
#[derive(Debug)]
pub struct Server {
    node: Node,
    listeners: Listeners,
    roles: Roles,
    /// The node that knows who is online, where this one does not.
    status: Option<Remote>,
    metrics_per_tenant: bool,
    looks: Looks,
}

/// Why a node ended other than in good order.
#[derive(Debug)]
pub enum Stopped {
    /// The store failed. Nothing was acknowledged since.
    Store(Error),
    /// A part that the node can't do without ended by itself.
    Defect,
    /// Some work did not end in time.
    Unfinished(Unfinished),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Defect => f.write_str("a part of the node ended by itself; the log says which"),
            Self::Unfinished(unfinished) => unfinished.fmt(f),
        }
    }
}

impl std::error::Error for Stopped {}

impl Server {
    /// A node on these ports and sockets.
    pub fn new(ports: Ports, metrics: Arc<Metrics>, limits: Limits, listeners: Listeners) -> Self {
        let node = Node::new(ports, metrics, limits);
        let (roles, looks) = (Roles::ALL, Looks::default());
        Self { node, listeners, roles, status: None, metrics_per_tenant: false, looks }
    }

    /// The same node, where pages of these origins may open sessions, beside its own.
    #[must_use]
    pub fn with_origins(mut self, origins: impl IntoIterator<Item = String>) -> Self {
        self.node.origins = origins.into_iter().collect();
        self
    }

    /// The same node, with a vault that works so.
    ///
    /// # Errors
    ///
    /// [`switchboard_core::Code::InvalidRequest`] for keys that can't be derived so.
    pub fn with_vault(mut self, options: VaultOptions) -> Result<Self, Error> {
        options.work.check()?;
        self.node.vault = Vault::new(&self.node.ports, Arc::clone(&self.node.metrics), options);
        Ok(self)
    }

    /// The same node, which keeps events so long. Those that no rule speaks of are kept for ever.
    #[must_use]
    pub fn with_retention(mut self, rules: impl IntoIterator<Item = Retention>) -> Self {
        let (hub, rules) = (Arc::clone(&self.node.bus.hub), rules.into_iter().collect());
        self.node.bus = Arc::new(Bus::with(hub, rules));
        self
    }

    /// The same node with some of the roles. The sessions of one that has not the role `status` are
    /// reported to the node at `status_url`; where the store is one that nodes share, there is
    /// none: they are in its journal.
    ///
    /// # Errors
    ///
    /// Those of [`Roles::check`].
    pub fn with_roles(mut self, roles: Roles, status_url: Option<&str>) -> Result<Self, Error> {
        roles.check(status_url, !self.node.relay.is_alone())?;
        self.status = status_url.map(Remote::new).transpose()?;
        self.roles = roles;
        Ok(self)
    }

    /// The same node, with metrics that tell the largest tenants apart.
    #[must_use]
    pub fn with_metrics_per_tenant(mut self, apart: bool) -> Self {
        self.metrics_per_tenant = apart;
        self
    }

    /// The same node, which looks so often whether it missed a signal of another.
    #[must_use]
    pub fn with_looks(mut self, looks: Looks) -> Self {
        self.looks = looks;
        self
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.listeners.addresses()
    }

    /// Serves until `stop` is cancelled, then drains: not ready, no new connections, what has begun
    /// is finished, for at most `grace`. The admin listener answers till the end.
    ///
    /// # Errors
    ///
    /// [`Stopped`]: the store failed, or work was left behind.
    pub async fn run(self, stop: CancellationToken, grace: Duration) -> Result<(), Stopped> {
        let Self { node, listeners, roles, status, metrics_per_tenant, looks } = self;
        let Listeners { main, tcp, admin, .. } = listeners;
        // Cancelled when an essential task ends.
        let broken = CancellationToken::new();
        let part = || Tasks::new(broken.clone());
        let (accepting, connections, background) = (part(), part(), part());
        let (sessions, reports) = (part(), part());

        let tally = roles.status.then(|| tally(&node, metrics_per_tenant, looks, &background));
        let here = tally.clone().map(|tally| Arc::new(Here(tally)) as Arc<dyn Reports>);
        let sink = here.or_else(|| status.map(|status| Arc::new(status) as Arc<dyn Reports>));
        let journaled = || Arc::new(Journaled::new(&node)) as Arc<dyn Reports>;
        let sink = roles.gateway.then(|| sink.unwrap_or_else(journaled));
        let gateway = sink.map(|sink| gateway(&node, sink, &background, &reports));
        let (sweeping, expiring) = (node.clone(), node.clone());
        let relay = Arc::clone(&node.relay);
        background.spawn(Kind::Essential, "relay", move |stop| relay.run(looks, stop));
        background.spawn(Kind::Essential, "queues", |stop| sweeping.sweep_queues(stop));
        background.spawn(Kind::Essential, "retention", |stop| expiring.expire_events(stop));

        let (grpc, health) = grpc::routes(&node, tally.clone(), roles.api);
        let mut routes = http::routes(&node, tally.clone(), roles.api).merge(grpc);
        if let Some(gateway) = &gateway {
            routes = routes.merge(http::connect::routes(gateway, &sessions));
            for listener in tcp {
                hold(gateway, listener, &accepting, &sessions);
            }
        }
        let services = Some(grpc::Services::new(&node, gateway.clone(), roles.api));
        let straight = roles.api.then(|| http::Straight::new(&node));
        let serving = Connections::new((services, straight), routes, &node.limits);
        serve(&node, "main", main, serving, node.limits.connections_max, &accepting, &connections);
        let (store, draining) = (Arc::clone(&node.ports.store), node.draining.clone());
        let routes = telemetry::admin(Arc::clone(&node.metrics), store, tally, draining);
        let serving = Connections::new((None, None), routes, &node.limits);
        serve(&node, "admin", admin, serving, ADMIN_CONNECTIONS_MAX, &background, &background);
        background.spawn(Kind::Essential, "health", |stop| health.run(stop));
        let (metrics, vault) = (Arc::clone(&node.metrics), Arc::clone(&node.vault));
        background.spawn(Kind::Essential, "lag", |stop| watch_lag(metrics, stop));
        background.spawn(Kind::Essential, "vault", |stop| vault.tidy(stop));

        let failed = tokio::select! {
            () = stop.cancelled() => None,
            () = broken.cancelled() => Some(Stopped::Defect),
            error = node.ports.store.failed() => Some(Stopped::Store(error)),
        };
        tracing::info!("draining");
        node.draining.cancel();
        if let Some(gateway) = gateway {
            gateway.drain();
        }
        let deadline = time::Instant::now() + grace;
        let mut unfinished = 0;
        for part in [accepting, connections, sessions, reports] {
            let left = deadline.saturating_duration_since(time::Instant::now());
            unfinished += part.drain(left).await.map_or_else(|Unfinished(count)| count, |()| 0);
        }
        // Who asks how the node is may hold a connection open: nobody waits for him.
        let _ = background.drain(Duration::from_millis(100)).await;
        match failed {
            Some(failed) => Err(failed),
            None if unfinished == 0 => Ok(()),
            None => Err(Stopped::Unfinished(Unfinished(unfinished))),
        }
    }
}

/// Accepts on a listener, and serves each connection on a task of its own.
fn serve(
    node: &Node,
    name: &'static str,
    listener: TcpListener,
    serving: Connections,
    places: usize,
    accepting: &Tasks,
    connections: &Tasks,
) {
    let metrics = Arc::clone(&node.metrics);
    let connections = connections.clone();
    accepting.spawn(Kind::Essential, name, move |stop| {
        let counted = Arc::clone(&metrics);
        accept::accept(listener, places, metrics, stop, move |stream, place| {
            let (serving, metrics) = (serving.clone(), Arc::clone(&counted));
            // Boxed where it is made: each future around it would take its room twice.
            let served = Box::pin(serving.serve(stream, connections.stopping()));
            connections.hold(async move {
                let _held = (place, metrics.connection());
                if AssertUnwindSafe(served).catch_unwind().await.is_err() {
                    metrics.panicked();
                    tracing::error!("a connection panicked and was closed");
                }
            });
        })
    });
}

/// The status service, folding from now on.
fn tally(node: &Node, by_tenant: bool, looks: Looks, background: &Tasks) -> Arc<Tally> {
    let tally = Tally::new(node, by_tenant, RandomState::new().hash_one(0));
    let running = Arc::clone(&tally);
    background.spawn(Kind::Essential, "status", |stop| running.run(stop));
    if !node.relay.is_alone() {
        let (following, node) = (Arc::clone(&tally), node.clone());
        background.spawn(Kind::Essential, "gateways", move |stop| {
            following.follow_others(node, looks.silence, stop)
        });
    }
    tally
}

/// A gateway that pings and reports from now on. Its reports go on until all sessions have ended.
fn gateway(
    node: &Node,
    sink: Arc<dyn Reports>,
    background: &Tasks,
    reports: &Tasks,
) -> Arc<Gateway> {
    let id = gateway_id();
    let gateway = Gateway::new(node, id, sink);
    let (pinging, reporting) = (Arc::clone(&gateway), Arc::clone(&gateway));
    let announcing = node.clone();
    reports.spawn(Kind::Essential, "announce", |stop| announcing.announce(id, stop));
    background.spawn(Kind::Essential, "ping", |stop| pinging.ping(stop));
    reports.spawn(Kind::Essential, "report", |stop| reporting.report(stop));
    gateway
}

/// A number that no other gateway has, nor this one after its next start.
fn gateway_id() -> GatewayId {
    GatewayId(RandomState::new().hash_one(0))
}

/// Accepts on the TCP listener, and holds each session on a task of its own.
fn hold(gateway: &Arc<Gateway>, listener: TcpListener, accepting: &Tasks, sessions: &Tasks) {
    let (gateway, sessions) = (Arc::clone(gateway), sessions.clone());
    accepting.spawn(Kind::Essential, "tcp", move |stop| {
        let metrics = Arc::clone(&gateway.node.metrics);
        let places = gateway.node.limits.sessions_max;
        accept::accept(listener, places, Arc::clone(&metrics), stop, move |stream, place| {
            let held = (place, metrics.connection());
            sessions.hold(Tcp::new(stream, &gateway, Caller::Open, held));
        })
    });
}

/// Measures how late a timer fires: what no other number shows so well is a busy event loop.
async fn watch_lag(metrics: Arc<Metrics>, stop: CancellationToken) {
    loop {
        let began = Instant::now();
        tokio::select! {
            () = stop.cancelled() => return,
            () = time::sleep(LAG) => metrics.event_loop_lag(began.elapsed().saturating_sub(LAG)),
        }
    }
}
