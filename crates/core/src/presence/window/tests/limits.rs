//! What is bounded, and what must not break at the bounds.

use super::*;

/// Two clients of the tenant `a` that share the part of their ids by which they stand in queues.
fn sharing(window: &mut Window) -> [String; 2] {
    let number = window.tenants.number(tenant("a")).unwrap();
    let mut names = std::collections::HashMap::new();
    for name in (0..).map(|n: u32| n.to_string()) {
        if let Some(other) = names.insert(window.ids.of(number, &name).short(), name.clone()) {
            return [other, name];
        }
    }
    unreachable!("there are more names than parts")
}

#[test]
fn clients_that_share_a_place_in_the_queues_are_two() {
    let mut window = window();
    let names = sharing(&mut window);
    // Seen in the same second for hours: each stands in one queue, however often they are moved.
    let hours = 4 * 3_600;
    for second in (0..hours).step_by(5) {
        let now = second * 1_000;
        for (name, seen) in names.iter().zip([now, now + 7]) {
            window.fold(&report(1, now, name, Some(seen), 1), at(now));
        }
        window.tick(at(now));
        assert_eq!(online(&mut window, now), 2);
        assert!(window.queues.len() <= 4, "{} at {second} s", window.queues.len());
    }
    let last = (hours - 5) * 1_000;
    assert_eq!(online(&mut window, last + 179_999), 2);
    assert_eq!(online(&mut window, last + 180_000), 1);
    assert_eq!(online(&mut window, last + 180_006), 1);
    assert_eq!(online(&mut window, last + 180_007), 0);
    assert_eq!(window.queues.len(), 0);
    // One comes back while the other is away.
    window.fold(&report(1, last + 190_000, &names[0], Some(last + 190_000), 1), at(last + 190_000));
    assert_eq!(online(&mut window, last + 190_000), 1);
    assert_eq!(online(&mut window, last + 190_000 + 180_000), 0);
}

#[test]
fn clients_that_share_a_place_and_stay_connected_stay_known() {
    let mut window = window();
    let names = sharing(&mut window);
    for hour in 0..20 * 24 {
        let now = hour * 3_600_000;
        for name in &names {
            window.fold(&report(1, now, name, None, 1), at(now));
        }
        window.tick(at(now));
    }
    assert_eq!(window.slots.len(), 2);
    assert!(window.away.len() <= 2, "{}", window.away.len());
}

#[test]
fn of_more_than_may_be_known_those_that_left_first_are_forgotten() {
    let mut window = window();
    window.known_max = 100;
    for n in 0..1_000 {
        let (now, name) = (n * 1_000, n.to_string());
        window.fold(&report(1, now, &name, Some(now), 1), at(now));
        window.fold(&report(1, now, &name, Some(now), 0), at(now));
        window.tick(at(now));
    }
    let now = 999_000;
    assert_eq!(online(&mut window, now), 180);
    assert!(window.slots.len() <= 281, "{}", window.slots.len());
    let known = |name: &str| window.client(&tenant("a"), &client(name), at(now)).last_seen;
    assert_eq!(known("0"), None);
    assert_eq!(known("600"), None);
    assert!((750..1_000).all(|n| known(&n.to_string()).is_some()));
    assert!(window.away.len() <= window.slots.len());
    // When many leave at once as well.
    window.tick(at(now + WINDOW_MS));
    assert_eq!(window.slots.len(), 100);
}

#[test]
fn who_is_online_or_connected_is_never_forgotten() {
    let mut window = window();
    window.known_max = 0;
    for n in 0..1_000 {
        window.fold(&report(n % 3, 0, &n.to_string(), Some(0), 1), at(0));
    }
    for n in 1_000..1_100 {
        window.fold(&report(n % 3, 1, &n.to_string(), None, 1), at(1));
    }
    window.tick(at(1));
    assert_eq!(online(&mut window, 1), 1_000);
    let sessions = |n: u64| window.client(&tenant("a"), &client(&n.to_string()), at(1)).sessions;
    assert!((0..1_100).all(|n| sessions(n) == 1));
}

#[test]
fn nobody_inherits_the_sessions_of_a_dead_gateway() {
    let mut window = window();
    window.fold(&report(1, 0, "x", Some(0), 3), at(0));
    window.tick(at(20_000));
    window.gateways.run_out();
    for gateway in 2..10 {
        window.fold(&report(gateway, 20_000, "y", Some(20_000), 1), at(20_000));
    }
    let sessions = |name| window.client(&tenant("a"), &client(name), at(20_000)).sessions;
    assert_eq!(sessions("x"), 0);
    assert_eq!(sessions("y"), 8);
}

#[test]
fn a_tenant_without_clients_and_sessions_is_let_go() {
    let mut window = window();
    let nothing = |n: i64, connected| Report {
        gateway: GatewayId(1),
        at: at(n),
        tenants: vec![TenantReport {
            tenant: tenant(&format!("t{n}")),
            connected,
            sightings: Vec::new(),
        }],
    };
    for n in 0..1_000 {
        window.fold(&nothing(n, u32::try_from(n % 2).unwrap()), at(n));
        // Late, or of one that has no sessions, it is not even taken in.
        window.fold(&nothing(n / 2, 1), at(n));
    }
    assert!(window.tenants.len() <= 1, "{}", window.tenants.len());
}

#[test]
fn absurd_times_and_numbers_do_no_harm() {
    let mut window = window();
    let absurd = [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX];
    for (n, told) in (2..).zip(absurd) {
        for seen in absurd {
            let mut report = report(n, 0, "z", None, u16::MAX);
            report.at = Millis(told);
            report.tenants[0].connected = u32::MAX;
            report.tenants[0].sightings[0].seen = Some(Millis(seen));
            window.fold(&report, at(0));
            window.correct(&mut report, at(0));
            window.fold(&report, at(0));
        }
    }
    window.skew_ms();
    window.fold(&report(1, 0, "x", Some(0), 1), at(0));
    let z = window.client(&tenant("a"), &client("z"), at(0));
    assert!(z.online, "it was seen in the future");
    assert_eq!(online(&mut window, 179_999), 2);
    assert_eq!(online(&mut window, 180_000), 1);
    assert_eq!(online(&mut window, 360_000), 0);
    window.fold(&report(1, 0, "x", Some(0), 1), Millis(i64::MIN));
    assert_eq!(online(&mut window, 360_000), 0);
}
