//! The fold of a number of clients.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use switchboard_core::{
    ClientId, Millis, Tenant,
    presence::{GatewayId, Report, Sighting, Status, TenantReport, WINDOW_MS, Window},
};

use crate::{Error, random, resident, spread};

/// Sightings in one report.
const REPORT: usize = 10_000;

/// Reports of one round.
const REPORTS: usize = 200;

const ROUNDS: usize = 15;

/// Counts after each report.
const COUNTS: u32 = 50;

/// How often a client is reported, in milliseconds.
const INTERVAL_MS: u64 = 5_000;

const START: Millis = Millis(1_790_000_000_000);

struct Bench {
    tenant: Tenant,
    window: Window,
    now: Millis,
    /// When each client was last seen, in milliseconds since the start.
    seen: Vec<u32>,
    ticked: Millis,
    longest: Duration,
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
pub(crate) fn measure(clients: u64) -> Result<(), Error> {
    let seen = vec![1; usize::try_from(clients)?];
    let before = resident("self");
    let mut bench = Bench {
        tenant: "default".parse()?,
        window: Window::new(1, START),
        now: START,
        seen,
        ticked: START,
        longest: Duration::ZERO,
    };
    bench.each_once(clients, WINDOW_MS)?;
    let growing = bench.longest;
    let grown = resident("self");
    bench.each_once(clients, WINDOW_MS / 3)?;
    let bytes = (resident("self").max(grown) - before) as f64 / clients as f64;

    bench.longest = Duration::ZERO;
    let (mut state, mut rates, mut counts) = (7, Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (folding, counting) = bench.round(clients, &mut state)?;
        rates.push((REPORT * REPORTS) as f64 / folding.as_secs_f64());
        counts.push(counting.as_secs_f64() * 1e9 / (REPORTS as f64 * f64::from(COUNTS)));
    }
    let folding = bench.longest;
    bench.check(bench.now);
    let leaving = bench.all_leave();
    let ((rate, least, most), (count, _, longest)) = (spread(rates), spread(counts));
    println!(
        "| {clients} | {:.1} M [{:.1}..{:.1}] | {count:.0} [{longest:.0}] | {bytes:.1} | {:.1}; \
         {:.1} | {:.1} |",
        rate / 1e6,
        least / 1e6,
        most / 1e6,
        growing.as_secs_f64() * 1e3,
        folding.as_secs_f64() * 1e3,
        leaving.as_secs_f64() * 1e3,
    );
    Ok(())
}

impl Bench {
    /// Has each client seen once, in a random order, spread over a time.
    fn each_once(&mut self, clients: u64, spread_ms: i64) -> Result<(), Error> {
        let start = self.now;
        let reports = clients.div_ceil(REPORT as u64);
        for place in 0..reports {
            let from = place * REPORT as u64;
            let passed = i64::try_from(place)? * spread_ms / i64::try_from(reports)?;
            // A step that shares no divisor with the number of clients meets each once.
            let numbers = from..clients.min(from + REPORT as u64);
            let numbers = numbers.map(|nth| nth * 7_368_787 % clients);
            self.now = start.plus(passed);
            let report = self.report(self.now, numbers)?;
            self.fold(&report);
        }
        self.now = start.plus(spread_ms);
        Ok(())
    }

    /// Folds reports of random clients, and counts after each; how long either took.
    fn round(&mut self, clients: u64, state: &mut u64) -> Result<(Duration, Duration), Error> {
        let sighted = (REPORT * REPORTS) as u64;
        let round = i64::try_from(INTERVAL_MS * sighted / clients)?;
        let start = self.now;
        let mut reports = Vec::new();
        for place in 0..=REPORTS {
            let at = start.plus(round * i64::try_from(place)? / i64::try_from(REPORTS)?);
            let numbers = (0..REPORT).map(|_| random(state) % clients);
            reports.push(self.report(at, numbers.take(if place < REPORTS { REPORT } else { 0 }))?);
        }
        let (mut folding, mut counting) = (Duration::ZERO, Duration::ZERO);
        for pair in reports.windows(2) {
            self.now = pair[0].at;
            folding += self.fold(&pair[0]);
            let pause = pair[1].at.since(pair[0].at);
            let begun = Instant::now();
            for nth in 0..COUNTS {
                let tenant = (nth % 2 == 0).then_some(&self.tenant);
                let now = self.now.plus(pause * i64::from(nth) / i64::from(COUNTS));
                black_box(self.window.count(tenant, now));
            }
            counting += begun.elapsed();
        }
        self.now = start.plus(round);
        Ok((folding, counting))
    }

    fn report(&mut self, at: Millis, numbers: impl Iterator<Item = u64>) -> Result<Report, Error> {
        let mut sightings = Vec::with_capacity(REPORT);
        for number in numbers {
            self.seen[usize::try_from(number)?] = u32::try_from(at.since(START))?;
            let client = ClientId::new(&format!("client-{number}"))?;
            let seen = Some(at);
            sightings.push(Sighting { client, seen, status: Status::Even, sessions: 1 });
        }
        let tenants = vec![TenantReport { tenant: self.tenant, connected: 1, sightings }];
        Ok(Report { gateway: GatewayId(1), at, tenants })
    }

    /// Folds a report, and lets time pass once a second, as a node does.
    fn fold(&mut self, report: &Report) -> Duration {
        let begun = Instant::now();
        if 1_000 <= self.now.since(self.ticked) {
            self.window.tick(self.now);
            self.ticked = self.now;
        }
        self.window.fold(report, self.now);
        let took = begun.elapsed();
        self.longest = self.longest.max(took);
        took
    }

    /// The count is that of a scan.
    fn check(&mut self, now: Millis) {
        let told = now.since(START);
        let online = self.seen.iter().filter(|&&seen| told - i64::from(seen) < WINDOW_MS).count();
        assert_eq!(self.window.count(None, now).online, online as u64);
    }

    /// Nobody is seen any more; the longest that a second of it took.
    fn all_leave(&mut self) -> Duration {
        let mut longest = Duration::ZERO;
        for second in 1..=WINDOW_MS / 1_000 {
            let now = self.now.plus(1_000 * second);
            let begun = Instant::now();
            self.window.tick(now);
            longest = longest.max(begun.elapsed());
            if second % 30 == 0 {
                self.check(now);
            }
        }
        assert_eq!(self.window.count(None, self.now.plus(WINDOW_MS)).online, 0);
        longest
    }
}
