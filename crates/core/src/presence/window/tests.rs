//! What a user relies on.

mod limits;
mod model;

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
    assert_eq!(window.count(None, at(9_999)), Count { online: 1, connected: 1 });
    assert_eq!(window.client(&tenant("a"), &client("x"), at(9_999)).sessions, 1);
    assert_eq!(window.client(&tenant("a"), &client("x"), at(10_000)).sessions, 0);
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
    assert_eq!(window.count(None, at(19_000)), Count { online: 2, connected: 2 });
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

#[test]
fn a_report_that_comes_again_or_late_changes_nothing() {
    let mut window = window();
    let older = report(1, 1_000, "x", Some(1_000), 1);
    let newer = report(1, 2_000, "x", Some(1_500), 2);
    let mut last = report(1, 3_000, "x", Some(1_500), 3);
    last.tenants[0].sightings[0].status = Status::Unknown;
    let elsewhere = report(2, 2_500, "x", Some(1_400), 4);
    for report in [&older, &newer, &elsewhere, &last] {
        window.fold(report, report.at);
    }
    let told = |window: &mut Window| {
        let seen = window.client(&tenant("a"), &client("x"), at(3_000));
        (window.count(None, at(3_000)), seen)
    };
    let before = told(&mut window);
    let seen =
        Seen { online: true, status: Status::Unknown, last_seen: Some(at(1_500)), sessions: 7 };
    assert_eq!(before, (Count { online: 1, connected: 7 }, seen));
    for report in [&older, &last, &newer, &older, &elsewhere, &newer] {
        window.fold(report, at(3_000));
        assert_eq!(told(&mut window), before);
    }
}

#[test]
fn a_report_in_parts_of_the_same_millisecond_is_one() {
    let mut window = window();
    window.fold(&report(1, 0, "x", Some(0), 1), at(0));
    let mut of_x = report(1, 1_000, "x", Some(0), 1);
    of_x.tenants[0].sightings[0].status = Status::Unknown;
    for part in [&report(1, 1_000, "y", Some(1_000), 1), &of_x] {
        window.fold(part, at(1_000));
    }
    let seen = window.client(&tenant("a"), &client("x"), at(1_000));
    assert_eq!((seen.status, seen.sessions), (Status::Unknown, 1));
}

#[test]
fn who_was_seen_counts_however_late_the_report() {
    let mut window = window();
    window.fold(&report(1, 170_000, "x", Some(170_000), 1), at(170_000));
    window.fold(&report(1, 1_000, "y", Some(1_000), 1), at(170_000));
    // Nothing is said of sessions so late.
    assert_eq!(window.count(None, at(170_000)), Count { online: 2, connected: 1 });
    assert_eq!(online(&mut window, 180_999), 2);
    assert_eq!(online(&mut window, 181_000), 1);
}

#[test]
fn a_gateway_that_is_dead_does_not_rise_with_an_old_report() {
    let mut window = window();
    let old = report(1, 0, "x", Some(0), 1);
    window.fold(&old, at(0));
    window.fold(&old, at(10_000));
    assert_eq!(window.count(None, at(10_000)), Count { online: 1, connected: 0 });
    assert_eq!(window.client(&tenant("a"), &client("x"), at(10_000)).sessions, 0);
    // With a new one it does.
    window.fold(&report(1, 11_000, "x", Some(11_000), 1), at(11_000));
    assert_eq!(window.count(None, at(11_000)), Count { online: 1, connected: 1 });
}

#[test]
fn a_gateway_that_says_it_has_nobody_has_no_sessions_of_any_client() {
    let mut window = window();
    for gateway in [1, 2] {
        window.fold(&report(gateway, 0, "x", Some(0), 2), at(0));
    }
    let nobody = Report { gateway: GatewayId(1), at: at(1_000), tenants: Vec::new() };
    window.fold(&nobody, at(1_000));
    assert_eq!(window.count(None, at(1_000)), Count { online: 1, connected: 2 });
    assert_eq!(window.client(&tenant("a"), &client("x"), at(1_000)).sessions, 2);
    // What it had before does not come back with what it has later.
    window.fold(&report(1, 2_000, "y", Some(2_000), 1), at(2_000));
    assert_eq!(window.client(&tenant("a"), &client("x"), at(2_000)).sessions, 2);
    assert_eq!(window.count(None, at(2_000)).connected, 3);
}

#[test]
fn a_client_seen_in_the_future_is_online() {
    let mut window = window();
    window.fold(&report(1, 0, "x", Some(20_000), 1), at(0));
    assert_eq!(online(&mut window, 0), 1);
    assert_eq!(online(&mut window, 20_000 + 179_999), 1);
    assert_eq!(online(&mut window, 20_000 + 180_000), 0);
    // But not for years.
    window.fold(&report(1, 200_000, "y", Some(KNOWN_MS * 365), 1), at(200_000));
    assert_eq!(online(&mut window, 200_000 + 2 * WINDOW_MS - 1), 1);
    assert_eq!(online(&mut window, 200_000 + 2 * WINDOW_MS), 0);
}

#[test]
fn the_count_stays_exact_for_months() {
    let mut window = window();
    for day in 1..=120 {
        let now = day * KNOWN_MS;
        window.fold(&report(1, now, "x", Some(now), 1), at(now));
        window.tick(at(now));
        assert_eq!(online(&mut window, now + 179_999), 1, "day {day}");
        assert_eq!(window.client(&tenant("a"), &client("x"), at(now)).last_seen, Some(at(now)));
        assert_eq!(online(&mut window, now + 180_000), 0, "day {day}");
    }
    // And after a leap of half a year.
    let now = 300 * KNOWN_MS;
    window.fold(&report(1, now, "x", Some(now), 1), at(now));
    assert_eq!(online(&mut window, now + 179_999), 1);
    assert_eq!(online(&mut window, now + 180_000), 0);
}

#[test]
fn the_past_is_that_of_a_day() {
    let mut window = window();
    window.fold(&report(1, 0, "x", Some(0), 1), at(0));
    window.tick(at(KNOWN_MS - 60_000));
    let online = |window: &Window, of: Option<&Tenant>| {
        let points = window.history(of, 10_000);
        (points.len(), points.iter().map(|point| point.online).sum::<u64>())
    };
    let a = tenant("a");
    assert_eq!(online(&window, Some(&a)), (1_439, 3));
    window.tick(at(KNOWN_MS + 60_000));
    assert_eq!(online(&window, None), (1_440, 2));
    assert_eq!(online(&window, Some(&a)), (1_440, 2));
    window.tick(at(2 * KNOWN_MS));
    assert_eq!(online(&window, Some(&a)), (1_440, 0));
}

#[test]
fn the_largest_tenants_come_first() {
    let mut window = window();
    for (gateway, (of, clients)) in (1..).zip([("a", 1), ("b", 3), ("c", 0), ("d", 1)]) {
        for n in 0..clients {
            let mut report = report(gateway, 0, &n.to_string(), Some(0), 1);
            report.tenants[0].tenant = tenant(of);
            window.fold(&report, at(0));
        }
    }
    let (a, b, d) = ((tenant("a"), 1), (tenant("b"), 3), (tenant("d"), 1));
    assert_eq!(window.largest(2), [b, a]);
    assert_eq!(window.largest(9), [b, a, d]);
    window.tick(at(180_000));
    assert_eq!(window.largest(9), []);
}
