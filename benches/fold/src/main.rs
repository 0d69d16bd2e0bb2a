//! How fast reports are folded, how long a count takes, and how much memory a client takes.
//!
//! Reports are made before the clock is started. Redis does the same with `ZADD` and `ZCOUNT`,
//! where it is installed.
#![expect(clippy::print_stdout, reason = "a benchmark, run by hand")]

mod redis;

use std::{error, fs, hint::black_box, time::Instant};

use switchboard_core::{
    ClientId, Millis, Tenant,
    presence::{GatewayId, Report, Sighting, Status, TenantReport, Window},
};

/// Whatever went wrong.
type Error = Box<dyn error::Error + Send + Sync>;

/// Sightings in one report.
const REPORT: usize = 10_000;

/// Reports of one round.
const REPORTS: u16 = 200;

const ROUNDS: usize = 7;

fn main() -> Result<(), Error> {
    println!("| clients | updates/s, median [min..max] | a count, ns | bytes a client |");
    println!("|---|---|---|---|");
    for clients in [1_000_000, 10_000_000] {
        measure(clients)?;
    }
    redis::measure()
}

/// A random number (splitmix64), the same in each run.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
fn measure(clients: u64) -> Result<(), Error> {
    let tenant: Tenant = "default".parse()?;
    let start = Millis(1_790_000_000_000);
    let report = |at: Millis, numbers: &mut dyn Iterator<Item = u64>| -> Result<Report, Error> {
        let sighting = |number| -> Result<Sighting, Error> {
            let client = ClientId::new(&format!("client-{number}"))?;
            Ok(Sighting { client, seen: Some(at), status: Status::Even, sessions: 1 })
        };
        let sightings = numbers.map(sighting).collect::<Result<_, _>>()?;
        let tenants = vec![TenantReport { tenant, connected: 1, sightings }];
        Ok(Report { gateway: GatewayId(1), at, tenants })
    };

    let before = resident();
    let mut window = Window::new(1, start);
    let mut now = start;
    let all: Vec<u64> = (0..clients).collect();
    for part in all.chunks(REPORT) {
        now = now.plus(3);
        window.fold(&report(now, &mut part.iter().copied())?, now);
    }
    drop(all);
    let bytes = (resident() - before) as f64 / clients as f64;

    let mut state = 7;
    let (mut rates, mut counts) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let reports = (0..REPORTS).map(|place| {
            let at = now.plus(10 * i64::from(place));
            report(at, &mut (0..REPORT).map(|_| random(&mut state) % clients))
        });
        let reports = reports.collect::<Result<Vec<_>, _>>()?;
        let begun = Instant::now();
        for report in &reports {
            window.fold(report, report.at);
        }
        rates.push((REPORT * usize::from(REPORTS)) as f64 / begun.elapsed().as_secs_f64());
        now = now.plus(10 * i64::from(REPORTS));
        // The time passes from one count to the next, as it does in a node.
        let begun = Instant::now();
        for place in 0..10_000 {
            black_box(window.count(Some(&tenant), now.plus(place / 10)));
        }
        counts.push(begun.elapsed().as_secs_f64() * 1e9 / 10_000.0);
        now = now.plus(1_000);
        window.tick(now);
    }
    rates.sort_by(f64::total_cmp);
    counts.sort_by(f64::total_cmp);
    assert_eq!(window.count(None, now).online, clients, "all are online");
    println!(
        "| {clients} | {:.1} M [{:.1}..{:.1}] | {:.0} | {bytes:.0} |",
        rates[ROUNDS / 2] / 1e6,
        rates[0] / 1e6,
        rates[ROUNDS - 1] / 1e6,
        counts[ROUNDS / 2]
    );
    Ok(())
}

/// Resident memory, in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() * 1024
}
