//! The same as the simplest count there is, whatever comes in whatever order.

use std::collections::{HashMap, HashSet};

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::presence::window::gateways::SILENT_MS;

/// Everything as it was told, and a scan of it for each question.
#[derive(Default)]
struct Model {
    seen: HashMap<(Tenant, ClientId), (Option<Millis>, Status)>,
    /// The newest report of each gateway.
    gateways: HashMap<GatewayId, Report>,
    sessions: HashMap<(GatewayId, Tenant, ClientId), u16>,
}

impl Model {
    fn pass(&mut self, now: Millis) {
        self.gateways.retain(|_, newest| now.since(newest.at) < SILENT_MS);
        self.sessions.retain(|(gateway, ..), _| self.gateways.contains_key(gateway));
    }

    fn fold(&mut self, report: &Report, now: Millis) {
        self.pass(now);
        let newest = self.gateways.get(&report.gateway).map(|newest| newest.at);
        let told =
            newest.is_none_or(|newest| newest <= report.at) && now.since(report.at) < SILENT_MS;
        let first = told && newest != Some(report.at);
        for part in &report.tenants {
            for sighting in &part.sightings {
                let client = (part.tenant, sighting.client.clone());
                let latest = sighting.seen.map(|seen| seen.min(now.plus(WINDOW_MS)));
                let known = self.seen.entry(client).or_insert((None, sighting.status));
                let last_word = first || told && known.0 <= latest;
                if known.0 < latest || last_word && !sighting.status.is_online() {
                    known.1 = sighting.status;
                }
                known.0 = known.0.max(latest);
                if told {
                    let at = (report.gateway, part.tenant, sighting.client.clone());
                    self.sessions.insert(at, sighting.sessions);
                }
            }
        }
        if told {
            if report.tenants.iter().all(|part| part.connected == 0) {
                self.sessions.retain(|(gateway, ..), _| *gateway != report.gateway);
            }
            self.gateways.insert(report.gateway, report.clone());
        }
    }

    fn count(&self, tenant: Option<&Tenant>, now: Millis) -> Count {
        let of_it = |other: &Tenant| tenant.is_none_or(|tenant| tenant == other);
        let online = self.seen.iter().filter(|((other, _), (seen, _))| {
            of_it(other) && seen.is_some_and(|seen| now.since(seen) < WINDOW_MS)
        });
        let parts = self.gateways.values().flat_map(|newest| &newest.tenants);
        let parts = parts.filter(|part| of_it(&part.tenant));
        Count {
            online: online.count() as u64,
            connected: parts.map(|part| u64::from(part.connected)).sum(),
        }
    }

    fn client(&self, tenant: Tenant, client: &ClientId, now: Millis) -> Seen {
        let known = self.seen.get(&(tenant, client.clone()));
        let (last_seen, status) = known.copied().unwrap_or_default();
        let here = |at: &(GatewayId, Tenant, ClientId)| (at.1, &at.2) == (tenant, client);
        let sessions = self.sessions.iter().filter(|(at, _)| here(at));
        Seen {
            online: last_seen.is_some_and(|seen| now.since(seen) < WINDOW_MS),
            status,
            last_seen,
            sessions: sessions.map(|(_, &sessions)| u32::from(sessions)).sum(),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// So much time passes.
    Pass(i64),
    Tick,
    /// A gateway reports; so long ago, and of clients seen so long before.
    Report(u64, i64, Vec<Part>),
    /// A report comes once more.
    Again(prop::sample::Index),
}

/// A tenant, its sessions, and its clients: who, seen when, the status, the sessions.
type Part = (u8, u32, Vec<(u8, Option<i64>, u8, u16)>);

fn step() -> impl Strategy<Value = Step> {
    let pass = prop_oneof![
        8 => 0_i64..3_000,
        3 => 0_i64..70_000,
        1 => 0_i64..1_000_000,
    ];
    let ago = prop_oneof![6 => 0_i64..5_000, 3 => 0_i64..200_000, 1 => -200_000_i64..0];
    let sighting = (0_u8..20, prop::option::weighted(0.9, ago), 0_u8..3, 0_u16..3);
    let part = (0_u8..3, 0_u32..3, vec(sighting, 0..8));
    let delay = prop_oneof![3 => Just(0_i64), 1 => 0_i64..15_000];
    prop_oneof![
        4 => pass.prop_map(Step::Pass),
        1 => Just(Step::Tick),
        6 => (0_u64..3, delay, vec(part, 0..4)).prop_map(|(gateway, delay, parts)| {
            Step::Report(gateway, delay, parts)
        }),
        1 => any::<prop::sample::Index>().prop_map(Step::Again),
    ]
}

fn made(gateway: u64, at: Millis, parts: &[Part]) -> Report {
    let sighting = |&(name, ago, status, sessions): &(u8, Option<i64>, u8, u16)| Sighting {
        client: client(&name.to_string()),
        seen: ago.map(|ago| at.plus(-ago)),
        status: [Status::Unknown, Status::Even, Status::Odd][usize::from(status)],
        sessions,
    };
    let mut tenants = HashSet::new();
    let parts = parts.iter().filter(|(of, ..)| tenants.insert(*of));
    let parts = parts.map(|(of, connected, sightings)| {
        let mut clients = HashSet::new();
        let sightings = sightings.iter().filter(|(name, ..)| clients.insert(*name));
        TenantReport {
            tenant: tenant(&of.to_string()),
            connected: *connected,
            sightings: sightings.map(sighting).collect(),
        }
    });
    Report { gateway: GatewayId(gateway), at, tenants: parts.collect() }
}

proptest! {
    #[test]
    fn every_answer_is_that_of_a_full_scan(steps in vec(step(), 1..120)) {
        let (mut window, mut model, mut now) = (window(), Model::default(), at(0));
        let mut reports = Vec::new();
        for step in steps {
            match step {
                Step::Pass(ms) => now = now.plus(ms),
                Step::Tick => window.tick(now),
                Step::Report(gateway, delay, parts) => {
                    let report = made(gateway, now.plus(-delay), &parts);
                    window.fold(&report, now);
                    model.fold(&report, now);
                    reports.push(report);
                }
                Step::Again(which) if !reports.is_empty() => {
                    window.fold(which.get(&reports), now);
                    model.fold(which.get(&reports), now);
                }
                Step::Again(_) => {}
            }
            model.pass(now);
            // Before the window is told of the time by a count.
            for of in 0..3 {
                let (of, name) = (tenant(&of.to_string()), client(&(now.0 % 20).to_string()));
                prop_assert_eq!(window.client(&of, &name, now), model.client(of, &name, now));
            }
            for of in 0..3 {
                let of = tenant(&of.to_string());
                prop_assert_eq!(window.count(Some(&of), now), model.count(Some(&of), now));
            }
            prop_assert_eq!(window.count(None, now), model.count(None, now));
            let standing = usize::try_from(window.count(None, now).online).unwrap();
            prop_assert_eq!(window.queues.len(), standing);
        }
    }
}
