//! What a user relies on; and the same as the simplest count there is.

use std::collections::HashMap;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::presence::{GatewayId, TenantReport};

const START: i64 = 1_790_000_000_123;

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

fn client(name: &str) -> ClientId {
    ClientId::new(name).unwrap()
}

fn at(ms: i64) -> Millis {
    Millis(START + ms)
}

fn window() -> Window {
    Window::new(7, at(0))
}

/// A gateway reports one client of the tenant `a`.
fn report(gateway: u64, told: i64, name: &str, seen: Option<i64>, sessions: u16) -> Report {
    let status = if seen.is_some() { Status::Odd } else { Status::Unknown };
    let sighting = Sighting { client: client(name), seen: seen.map(at), status, sessions };
    let part =
        TenantReport { tenant: tenant("a"), connected: sessions.into(), sightings: vec![sighting] };
    Report { gateway: GatewayId(gateway), at: at(told), tenants: vec![part] }
}

fn online(window: &mut Window, now: i64) -> u64 {
    let of_tenant = window.count(Some(&tenant("a")), at(now)).online;
    assert_eq!(window.count(None, at(now)).online, of_tenant);
    of_tenant
}

#[test]
fn a_client_counts_until_it_was_seen_three_minutes_ago_to_the_millisecond() {
    let mut window = window();
    window.fold(&report(1, 0, "x", Some(0), 1), at(0));
    window.fold(&report(1, 1, "y", Some(1), 1), at(1));
    assert_eq!(online(&mut window, 179_999), 2);
    assert_eq!(online(&mut window, 180_000), 1);
    assert!(!window.client(&tenant("a"), &client("x"), at(180_000)).online);
    assert!(window.client(&tenant("a"), &client("y"), at(180_000)).online);
    assert_eq!(online(&mut window, 180_001), 0);
}

#[test]
fn a_client_counts_once_however_many_sessions_gateways_and_reports() {
    let mut window = window();
    for gateway in 1..=3 {
        for seen in [0, 500, 250] {
            window.fold(&report(gateway, 1_000, "x", Some(seen), 2), at(1_000));
        }
    }
    assert_eq!(online(&mut window, 1_000), 1);
    let seen = window.client(&tenant("a"), &client("x"), at(1_000));
    assert_eq!(seen.last_seen, Some(at(500)), "late reports change nothing");
    assert_eq!(seen.sessions, 6);
    assert_eq!(window.count(None, at(1_000)).connected, 6);
    window.fold(&report(2, 2_000, "x", Some(500), 0), at(2_000));
    assert_eq!(window.client(&tenant("a"), &client("x"), at(2_000)).sessions, 4);
    assert_eq!(window.count(None, at(2_000)).connected, 4);
}

#[test]
fn being_seen_again_keeps_a_client_online() {
    let mut window = window();
    for second in 0..1_000 {
        window.fold(&report(1, second * 1_000, "x", Some(second * 1_000), 1), at(second * 1_000));
    }
    assert_eq!(online(&mut window, 999_000 + 179_999), 1);
    assert_eq!(online(&mut window, 999_000 + 180_000), 0);
    // And so does being seen in the very second that is at the edge.
    window.fold(&report(1, 2_000_000, "x", Some(2_000_000), 1), at(2_000_000));
    assert_eq!(online(&mut window, 2_179_990), 1);
    window.fold(&report(1, 2_179_995, "x", Some(2_179_995), 1), at(2_179_995));
    assert_eq!(online(&mut window, 2_180_000), 1);
    assert_eq!(online(&mut window, 2_359_994), 1);
    assert_eq!(online(&mut window, 2_359_995), 0);
}

#[test]
fn an_unknown_client_is_connected_and_not_online() {
    let mut window = window();
    window.fold(&report(1, 0, "x", None, 1), at(0));
    assert_eq!(window.count(None, at(0)), Count { online: 0, connected: 1 });
    let seen = window.client(&tenant("a"), &client("x"), at(0));
    let expected = Seen { online: false, status: Status::Unknown, last_seen: None, sessions: 1 };
    assert_eq!(seen, expected);
    assert_eq!(window.client(&tenant("a"), &client("z"), at(0)), Seen::default());
}

#[test]
fn a_gateway_that_is_silent_for_ten_seconds_has_no_sessions_any_more() {
    let mut window = window();
    window.fold(&report(1, 0, "x", Some(0), 1), at(0));
    window.tick(at(9_999));
    assert_eq!(window.count(None, at(9_999)), Count { online: 1, connected: 1 });
    window.tick(at(10_000));
    assert_eq!(window.count(None, at(10_000)), Count { online: 1, connected: 0 });
    assert_eq!(window.client(&tenant("a"), &client("x"), at(10_000)).sessions, 0);
    assert_eq!(online(&mut window, 180_000), 0);
}

#[test]
fn who_left_stays_known_for_a_day() {
    let mut window = window();
    window.fold(&report(1, 0, "x", Some(0), 1), at(0));
    window.fold(&report(1, 1, "x", Some(0), 0), at(1));
    let known = |window: &mut Window, now: i64| {
        window.tick(at(now));
        window.client(&tenant("a"), &client("x"), at(now)).last_seen
    };
    assert_eq!(known(&mut window, KNOWN_MS - 1), Some(at(0)));
    assert_eq!(known(&mut window, KNOWN_MS + 1_200_000), None);
    assert_eq!(window.slots.len(), 0);
}

#[test]
fn clocks_of_two_gateways_a_few_seconds_apart() {
    let mut window = window();
    // One is three seconds ahead, the other four behind; reports take 20 ms.
    for second in 0..20 {
        let now = second * 1_000;
        for (gateway, ahead) in [(1, 3_000), (2, -4_000)] {
            let seen = now - 20 + ahead;
            let mut report = report(gateway, seen, &format!("of {gateway}"), Some(seen), 1);
            window.correct(&mut report, at(now));
            window.fold(&report, at(now));
        }
    }
    assert_eq!(window.skew_ms(), 4_020);
    for gateway in [1, 2] {
        let seen = window.client(&tenant("a"), &client(&format!("of {gateway}")), at(19_000));
        assert_eq!(seen.last_seen, Some(at(19_000)), "of {gateway}");
    }
    assert_eq!(online(&mut window, 19_000 + 179_999), 2);
    assert_eq!(online(&mut window, 19_000 + 180_000), 0);
    // What is no more than the way of a report is left alone.
    let mut late = report(3, 19_000, "z", Some(19_000), 1);
    window.correct(&mut late, at(19_249));
    assert_eq!(late.at, at(19_000));
}

#[test]
fn the_past_is_told_by_the_minute() {
    let mut window = window();
    window.fold(&report(1, 0, "x", Some(0), 1), at(0));
    window.tick(at(600_000));
    let points = window.history(Some(&tenant("a")), 60);
    assert_eq!(points, window.history(None, 60));
    assert_eq!(points.len(), 10);
    assert!(points.iter().all(|point| point.at.0 % 60_000 == 0));
    let told: Vec<_> = points.iter().map(|point| point.online).collect();
    let expected = points.iter().map(|point| u64::from(point.at.0 < at(180_000).0));
    assert_eq!(told, expected.collect::<Vec<_>>());
    assert_eq!(window.history(None, 2), points[8..]);
    assert_eq!(window.history(Some(&tenant("b")), 1)[0].online, 0);
}

/// The simplest count there is.
#[derive(Default)]
struct Model(HashMap<(u8, u8), i64>);

impl Model {
    fn online(&self, tenant: Option<u8>, now: i64) -> u64 {
        let counts = self.0.iter().filter(|((of, _), seen)| {
            tenant.is_none_or(|tenant| tenant == *of) && now - **seen < WINDOW_MS
        });
        counts.count() as u64
    }
}

/// How much time passes before a step, in milliseconds.
fn passes() -> impl Strategy<Value = i64> {
    0_i64..70_000
}

/// Whether that is twenty times as much.
fn pauses() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.05)
}

proptest! {
    #[test]
    fn the_count_is_that_of_a_full_scan(
        steps in vec(
                (passes(), vec((0_u8..3, 0_u8..20, 0_i64..200_000), 0..8), pauses()),
            1..80,
        ),
    ) {
        let (mut window, mut model, mut now) = (window(), Model::default(), 0);
        for (pass, sightings, pause) in steps {
            now += if pause { pass * 20 } else { pass };
            let parts = sightings.iter().map(|&(of, name, ago)| TenantReport {
                tenant: tenant(&of.to_string()),
                connected: 1,
                sightings: vec![Sighting {
                    client: client(&name.to_string()),
                    seen: Some(at(now - ago)),
                    status: Status::Even,
                    sessions: 1,
                }],
            });
            let report = Report { gateway: GatewayId(1), at: at(now), tenants: parts.collect() };
            window.fold(&report, at(now));
            for (of, name, ago) in sightings {
                let seen = model.0.entry((of, name)).or_insert(i64::MIN / 2);
                *seen = (now - ago).max(*seen);
            }
            for of in 0..3 {
                let count = window.count(Some(&tenant(&of.to_string())), at(now)).online;
                prop_assert_eq!(count, model.online(Some(of), now));
            }
            prop_assert_eq!(window.count(None, at(now)).online, model.online(None, now));
            window.tick(at(now));
        }
    }
}
