//! What is reported to the status service, once a second.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use switchboard_core::{
    ClientId, Error, Millis, Tenant,
    presence::{GatewayId, Report, Sighting, Status, TenantReport},
    session::PING_INTERVAL_MS,
    time::Clock,
};
use tokio::time::{self, Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use super::registry::{Place, Registry};
use crate::{presence::Reports, telemetry::Metrics};

/// How often a report is sent.
const EVERY: Duration = Duration::from_millis(PING_INTERVAL_MS.unsigned_abs());

/// Sightings in one report; more become several, so that none takes much memory on its way.
const SIGHTINGS_MAX: usize = 2_000;

/// After how long without a report others may take this gateway for gone. They wait for longer, and
/// what they decided may come to pass a little later than what is told again at once: so it is told
/// once more after that time.
const LOST: Duration = Duration::from_secs(10);

/// How long the last report may take when the node stops.
const LAST: Duration = Duration::from_secs(2);

/// What a session knew of its client.
#[derive(Debug)]
struct Note {
    tenant: Arc<Tenant>,
    client: ClientId,
    status: Status,
    seen: Option<Millis>,
}

/// Collects what sessions note, and reports it.
#[derive(Debug)]
pub(crate) struct Reporter {
    id: GatewayId,
    reports: Arc<dyn Reports>,
    noted: Mutex<Noted>,
}

/// What was noted since the last report.
#[derive(Debug, Default)]
struct Noted {
    /// In the order in which it came; a client may stand here more than once. Sorted out when it is
    /// sent, so that a pong costs no more than this.
    sightings: Vec<Note>,
    /// The pong that the next report follows from, for whoever looks at traces.
    pong: Option<Span>,
}

impl Reporter {
    pub(crate) fn new(id: GatewayId, reports: Arc<dyn Reports>) -> Self {
        Self { id, reports, noted: Mutex::default() }
    }

    /// Notes what a session knows of its client.
    pub(crate) fn note(&self, place: &Place, (status, seen): (Status, Option<Millis>)) {
        let mut noted = self.lock();
        if noted.pong.is_none() {
            let span = tracing::debug_span!(parent: None, "pong", capability = "presence");
            noted.pong = Some(span).filter(|span| !span.is_disabled());
        }
        let (tenant, client) = (Arc::clone(&place.tenant), place.client.clone());
        noted.sightings.push(Note { tenant, client, status, seen });
    }

    /// Reports once a second until stopped, and once more then. `back` is called when reports are
    /// taken that others may have missed for long.
    pub(crate) async fn run(
        &self,
        registry: &Registry,
        clock: &dyn Clock,
        metrics: &Metrics,
        back: impl Fn(),
        stop: CancellationToken,
    ) {
        let mut seconds = time::interval(EVERY);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Who had sessions here is reported once more, when he has none.
        let mut told = true;
        let (mut taken, mut again) = (Instant::now(), None::<Instant>);
        loop {
            let stopped = tokio::select! {
                () = stop.cancelled() => true,
                _ = seconds.tick() => false,
            };
            let sent = self.send(registry, clock, metrics, &mut told);
            if stopped {
                if time::timeout(LAST, sent).await.is_err() {
                    tracing::warn!("the last report was not taken in time");
                }
                return;
            }
            if sent.await {
                let late = LOST < taken.elapsed();
                taken = Instant::now();
                if late || again.is_some_and(|again| LOST < again.elapsed()) {
                    back();
                    again = late.then_some(taken);
                }
            }
        }
    }

    /// Sends what was noted. What is not taken is noted again; says whether all was.
    async fn send(
        &self,
        registry: &Registry,
        clock: &dyn Clock,
        metrics: &Metrics,
        told: &mut bool,
    ) -> bool {
        let Noted { sightings: noted, pong } = std::mem::take(&mut *self.lock());
        let connected = registry.connected();
        let nothing = connected.is_empty() && noted.is_empty();
        if nothing && *told {
            return true;
        }
        let parent = pong.as_ref().and_then(Span::id);
        let span = tracing::debug_span!(parent: parent, "report", capability = "presence");
        drop(pong);
        let sightings = sightings(registry, noted);
        let mut parts: Vec<_> = sightings.chunks(SIGHTINGS_MAX).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        let mut refused: Option<Error> = None;
        for part in parts {
            let report = Report {
                gateway: self.id,
                at: clock.now(),
                tenants: with_sightings(connected.clone(), part),
            };
            let sent = match &refused {
                // Within the span already when it is handed over: what follows is its child.
                None => {
                    let sent = span.in_scope(|| self.reports.report(report));
                    sent.instrument(span.clone()).await
                }
                // The others would not be taken either.
                Some(_) => Err(Error::new(switchboard_core::Code::Unavailable, "not sent")),
            };
            metrics.sessions.report_sent(sent.is_ok());
            if let Err(error) = sent {
                self.note_again(part);
                refused.get_or_insert(error);
            }
        }
        *told = nothing && refused.is_none();
        if let Some(error) = &refused {
            tracing::warn!(error = %error.chain(), "a report was not taken; it is sent again");
        }
        refused.is_none()
    }

    /// Notes what could not be sent, before what was noted meanwhile.
    fn note_again(&self, sightings: &[(Tenant, Sighting)]) {
        let mut noted = self.lock();
        let again = sightings.chunk_by(|(a, _), (b, _)| a == b).flat_map(|of_tenant| {
            let name = of_tenant.first().map(|(tenant, _)| Arc::new(*tenant));
            of_tenant.iter().filter_map(move |(_, Sighting { client, seen, status, .. })| {
                let (tenant, client) = (name.clone()?, client.clone());
                Some(Note { tenant, client, status: *status, seen: *seen })
            })
        });
        noted.sightings.splice(0..0, again);
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was noted, each client once, with the number of sessions that it has now. A client with
/// several sessions was seen when the latest of them was.
fn sightings(registry: &Registry, noted: Vec<Note>) -> Vec<(Tenant, Sighting)> {
    let mut tenants: HashMap<Tenant, HashMap<ClientId, (Status, Option<Millis>)>> = HashMap::new();
    for Note { tenant, client, status, seen } in noted {
        let known = tenants.entry(*tenant).or_default().entry(client).or_insert((status, None));
        *known = (status, known.1.max(seen));
    }
    let mut all = Vec::new();
    for (tenant, clients) in tenants {
        let begin = all.len();
        all.extend(clients.into_iter().map(|(client, (status, seen))| {
            (tenant, Sighting { client, seen, status, sessions: 0 })
        }));
        let added = all[begin..].iter_mut();
        let clients = added.map(|(_, sighting)| (&sighting.client, &mut sighting.sessions));
        registry.sessions(&tenant, clients);
    }
    all
}

/// A report mentions every tenant that has sessions, and who else there is something to say of.
fn with_sightings(
    mut parts: Vec<TenantReport>,
    sightings: &[(Tenant, Sighting)],
) -> Vec<TenantReport> {
    for of_tenant in sightings.chunk_by(|(a, _), (b, _)| a == b) {
        let Some((tenant, _)) = of_tenant.first() else { continue };
        let seen = of_tenant.iter().map(|(_, sighting)| sighting.clone()).collect();
        match parts.iter_mut().find(|part| part.tenant == *tenant) {
            Some(part) => part.sightings = seen,
            None => {
                parts.push(TenantReport { tenant: *tenant, connected: 0, sightings: seen });
            }
        }
    }
    parts
}
