//! What came of a run.

use std::fmt::Write as _;

use clap::ValueEnum as _;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::{Run, keys::Choice};

/// What was measured on one connection, or on all.
#[derive(Debug)]
pub(super) struct Measured {
    /// Microseconds from sending to the answer.
    latency: Histogram<u64>,
    new: u64,
    repeated: u64,
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
}

impl Measured {
    pub(super) fn new() -> Self {
        Self {
            // One microsecond to a minute and a half, three digits.
            latency: Histogram::new_with_bounds(1, 100_000_000, 3)
                .unwrap_or_else(|_| unreachable!("the bounds are in order")),
            new: 0,
            repeated: 0,
            errors: 0,
            first_error: None,
        }
    }

    /// Counts an answer.
    pub(super) fn answer(&mut self, new: bool, micros: u64) {
        self.latency.saturating_record(micros.max(1));
        if new { self.new += 1 } else { self.repeated += 1 }
    }

    /// Holds an answer to the promise.
    pub(super) fn check(&mut self, run: &Run, choice: Choice, id: u64, new: bool) {
        let kept = match choice.first_id {
            Some(first) => id == first && !new,
            None => new || !run.alone,
        };
        if !kept {
            let key = choice.key;
            self.error(format!("{key} was answered {id}, new {new}; {:?} before", choice.first_id));
        }
    }

    /// Counts what should not be.
    pub(super) fn error(&mut self, what: String) {
        self.errors += 1;
        self.first_error.get_or_insert(what);
    }

    pub(super) fn add(&mut self, other: &Self) {
        // Of the same bounds.
        let _ = self.latency.add(&other.latency);
        self.new += other.new;
        self.repeated += other.repeated;
        self.errors += other.errors;
        if let (None, Some(error)) = (&self.first_error, &other.first_error) {
            self.first_error = Some(error.clone());
        }
    }
}

/// The report, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    transport: String,
    connections: u32,
    in_flight: u32,
    duplicates: f64,
    seconds: f64,
    requests: u64,
    requests_per_second: f64,
    new: u64,
    repeated: u64,
    errors: u64,
    latency_us: Latency,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50: u64,
    p90: u64,
    p99: u64,
    p99_9: u64,
    max: u64,
}

impl Report {
    pub(super) fn new(run: &Run, measured: &Measured) -> Self {
        let options = &run.options;
        let seconds = options.duration.as_secs_f64();
        let requests = measured.new + measured.repeated;
        let at = |quantile| measured.latency.value_at_quantile(quantile);
        let name = options.transport.to_possible_value();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 requests")]
        let requests_per_second = (requests as f64 / seconds).round();
        Self {
            transport: name.map(|name| name.get_name().to_owned()).unwrap_or_default(),
            connections: options.connections,
            in_flight: options.in_flight,
            duplicates: options.duplicates,
            seconds,
            requests,
            requests_per_second,
            new: measured.new,
            repeated: measured.repeated,
            errors: measured.errors,
            latency_us: Latency {
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p99_9: at(0.999),
                max: measured.latency.max(),
            },
        }
    }

    pub(super) fn show(&self, json: bool) -> String {
        if json {
            return serde_json::to_string(self).unwrap_or_default();
        }
        let Latency { p50, p90, p99, p99_9, max } = self.latency_us;
        let mut shown = String::new();
        let Self { transport, connections, in_flight, seconds, requests, .. } = self;
        let _ = writeln!(
            shown,
            "{transport}: {connections} connections x {in_flight} in flight, {seconds} s"
        );
        let _ = writeln!(
            shown,
            "{:.0} requests/s ({requests} requests: {} new, {} repeated, {} errors)",
            self.requests_per_second, self.new, self.repeated, self.errors
        );
        let _ = write!(
            shown,
            "latency in us: p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p99_9}, max {max}"
        );
        shown
    }
}
