//! The work: keys of which half repeat one sent before.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crate::Error;

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// Requests a second.
    pub rate: f64,
    /// CPU of the server for each request, in microseconds.
    pub server_us: f64,
}

/// Keys of one connection, none in common with another.
#[derive(Debug)]
pub struct Keys {
    connection: u64,
    sent: u64,
    random: u64,
}

impl Keys {
    /// Those of a connection, by its number.
    pub fn new(connection: u64) -> Self {
        Self { connection, sent: 0, random: connection.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    /// The next key, and whether it is sent for the first time.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> (String, bool) {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let repeat = self.random & 1 == 0 && 0 < self.sent;
        let number = if repeat {
            // Among the last 4,096.
            self.sent - 1 - (self.random >> 40) % self.sent.min(4_096)
        } else {
            self.sent += 1;
            self.sent - 1
        };
        (format!("t:{:02}{number:07}", self.connection), !repeat)
    }
}

/// What all connections of a run count together.
#[derive(Debug)]
pub struct Run {
    measure_from: Instant,
    /// When no more is asked.
    pub end: Instant,
    length: Duration,
    answers: AtomicU64,
    measured: AtomicU64,
}

impl Run {
    /// A run of this length, after a second of warm-up.
    pub fn new(length: Duration) -> Self {
        let measure_from = Instant::now() + Duration::from_secs(1);
        let (answers, measured) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { measure_from, end: measure_from + length, length, answers, measured }
    }

    /// Counts answers.
    pub fn count(&self, answers: u64) {
        self.answers.fetch_add(answers, Ordering::Relaxed);
        let now = Instant::now();
        if self.measure_from <= now && now < self.end {
            self.measured.fetch_add(answers, Ordering::Relaxed);
        }
    }

    /// What was measured, with the CPU that the server took, in seconds.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn figure(&self, cpu_seconds: f64) -> Figure {
        let rate = self.measured.load(Ordering::Relaxed) as f64 / self.length.as_secs_f64();
        let server_us = cpu_seconds * 1e6 / self.answers.load(Ordering::Relaxed).max(1) as f64;
        Figure { rate, server_us }
    }
}

/// Fails when an answer is not what it must be.
pub fn check(first: bool, new: bool) -> Result<(), Error> {
    if first == new { Ok(()) } else { Err("a key was answered wrongly".into()) }
}
