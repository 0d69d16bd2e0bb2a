//! Holds sessions, whatever carries them.
//!
//! A carrier (TCP, WebSocket, gRPC) owns a connection and a [`Seat`]: it hands the seat what comes
//! and sends what the seat gives out. All sessions of a node share one [`Gateway`]: who is here
//! ([`registry`]), when each is pinged ([`wheel`]), and what is reported to the status service
//! ([`reporter`]).

mod entrances;
pub(crate) mod registry;
mod reporter;
mod scratch;
mod seat;
mod wheel;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use switchboard_core::{
    ClientId, Result,
    bus::Attendance,
    presence::{GatewayId, Status},
    session::Rules,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use self::{
    entrances::Entrances,
    registry::{Place, Registry, Turned},
    reporter::Reporter,
    wheel::Wheel,
};
pub(crate) use self::{
    scratch::{Scratch, Scratches},
    seat::{FULL, Outgoing, Seat, Transport},
};
use crate::{caller::Caller, node::Node, presence::Reports};

/// How long clients are asked to wait before they connect again, at most, in milliseconds: so that
/// those of a node that stops do not all arrive at another at once.
const DRAIN_DELAY_MS_MAX: u32 = 5_000;

/// What all sessions of a node share.
pub(crate) struct Gateway {
    id: GatewayId,
    pub(crate) node: Node,
    pub(crate) rules: Rules,
    pub(crate) wheel: Wheel,
    pub(crate) scratches: Scratches,
    places: Arc<Semaphore>,
    registry: Registry,
    reporter: Reporter,
    /// By `Transport as usize`.
    entrances: [Entrances; Transport::ALL.len()],
    /// The number of the last session.
    sessions: AtomicU64,
}

impl Gateway {
    /// A gateway without sessions. `id` is random, another with each start.
    pub(crate) fn new(node: &Node, id: GatewayId, reports: Arc<dyn Reports>) -> Arc<Self> {
        let limits = &node.limits;
        let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let rules = Rules {
            hello_ms: ms(limits.hello),
            idle_ms: ms(limits.session_idle),
            in_flight_max: limits.session_requests_max,
        };
        // Later sessions have greater numbers, also after a restart: they begin with the time,
        // which leaves room for a million sessions a millisecond.
        let now = u64::try_from(node.ports.clock.now().0).unwrap_or_default();
        Arc::new(Self {
            id,
            rules,
            wheel: Wheel::new(),
            scratches: Scratches::new(limits.frame_bytes_max),
            places: Arc::new(Semaphore::new(limits.sessions_max)),
            registry: Registry::new(limits.sessions_per_tenant_max, limits.sessions_per_client_max),
            reporter: Reporter::new(id, reports),
            entrances: Transport::ALL.map(|transport| Entrances::new(node, transport)),
            sessions: AtomicU64::new(now << 20),
            node: node.clone(),
        })
    }

    /// A place for a session that came over the main listener; none when there are too many.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Lets a client in, if it may: its place and the number of its session.
    fn admit(&self, caller: Caller, tenant: &str, client: &str) -> Result<(Place, u64)> {
        let (tenant, client) = (caller.tenant(tenant)?, self.name(client)?);
        let session = 1 + self.sessions.fetch_add(1, Ordering::Relaxed);
        let turned = |place: &Place, turned| self.turned(place, turned);
        let place = self.registry.join(tenant, client, session, turned)?;
        Ok((place, session))
    }

    /// A client has come or gone: that is announced.
    fn turned(&self, place: &Place, Turned { present, session }: Turned) {
        let (tenant, client) = (*place.tenant, place.client.clone());
        let (gateway, at) = (self.id, self.node.ports.clock.now());
        let attendance = Attendance { tenant, client, gateway, present, session, at };
        self.node.bus.attendances.note(attendance);
    }

    /// A client by its id. A phone number is one client, however it is written.
    fn name(&self, client: &str) -> Result<ClientId> {
        if client.starts_with('+')
            && let Ok(phone) = self.node.phone(client)
        {
            return ClientId::new(&phone.to_string());
        }
        ClientId::new(client)
    }

    /// Notes what a session knows of its client, for the next report.
    fn note(&self, place: &Place, sighting: (Status, Option<switchboard_core::Millis>)) {
        self.reporter.note(place, sighting);
    }

    /// A client left.
    fn leave(&self, place: &Place, sighting: (Status, Option<switchboard_core::Millis>)) {
        self.registry.leave(place, |place, turned| self.turned(place, turned));
        self.reporter.note(place, sighting);
    }

    /// Pings every session once a second, spread evenly, until stopped.
    pub(crate) async fn ping(self: Arc<Self>, stop: CancellationToken) {
        self.wheel.turn(stop).await;
    }

    /// Reports once a second until stopped, and once more then.
    pub(crate) async fn report(self: Arc<Self>, stop: CancellationToken) {
        let node = &self.node;
        let back = || {
            if !node.relay.is_alone() {
                // Whoever took this gateway for gone has announced that these left.
                self.registry.present(|place, turned| self.turned(place, turned));
            }
        };
        self.reporter.run(&self.registry, &*node.ports.clock, &node.metrics, back, stop).await;
    }

    /// Asks every session to come to its end.
    pub(crate) fn drain(&self) {
        self.wheel.drain();
    }

    /// How long one client is asked to wait before it connects again: another for each session.
    fn drain_delay_ms(&self) -> u32 {
        // Spread by the golden ratio: evenly however many there are.
        let turn =
            self.sessions.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let spread = ((turn >> 32) * u64::from(DRAIN_DELAY_MS_MAX)) >> 32;
        u32::try_from(spread).unwrap_or(DRAIN_DELAY_MS_MAX)
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("rules", &self.rules).finish_non_exhaustive()
    }
}
