//! A histogram of plain counters.
//!
//! The library's own takes a lock for each observation; on a path of a million requests a second
//! that is where they would meet. This one also takes many equal observations as one.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, TypedMetric},
};

/// Bounds for durations of requests, in nanoseconds: 0.5 ms to 10 s.
pub(super) const REQUEST_NANOS: &[u64] = &[
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    10_000_000_000,
];

/// Bounds for durations of the disk and of waiting for it, in nanoseconds: 50 us to 5 s.
pub(super) const SYNC_NANOS: &[u64] = &[
    50_000,
    100_000,
    200_000,
    400_000,
    800_000,
    1_600_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    500_000_000,
    1_000_000_000,
    5_000_000_000,
];

/// Bounds for numbers of things.
pub(super) const COUNTS: &[u64] = &[1, 4, 16, 64, 256, 1_024, 4_096, 16_384];

/// No exemplars are told, so their labels have no type of interest.
type NoLabels = Vec<(String, String)>;

/// A histogram. Cheap to clone; clones count together.
#[derive(Clone, Debug)]
pub(super) struct Histogram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bounds: &'static [u64],
    /// What one unit of the values is in the metric's unit: 1e-9 for nanoseconds told in seconds.
    unit: f64,
    /// One more than bounds: the last is for what is beyond all.
    counts: Vec<AtomicU64>,
    sum: AtomicU64,
}

impl Histogram {
    /// Of durations, taken in nanoseconds and told in seconds.
    pub(super) fn of_durations(bounds: &'static [u64]) -> Self {
        Self::new(bounds, 1e-9)
    }

    /// Of numbers of things.
    pub(super) fn of_counts() -> Self {
        Self::new(COUNTS, 1.0)
    }

    fn new(bounds: &'static [u64], unit: f64) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Inner { bounds, unit, counts, sum: AtomicU64::new(0) }))
    }

    /// Counts `times` observations of `value`.
    pub(super) fn observe(&self, value: u64, times: u64) {
        let Inner { bounds, counts, sum, .. } = &*self.0;
        let place = bounds.partition_point(|&bound| bound < value);
        counts[place].fetch_add(times, Ordering::Relaxed);
        sum.fetch_add(value.saturating_mul(times), Ordering::Relaxed);
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    #[expect(clippy::cast_precision_loss, reason = "a metric is told as a float")]
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> std::fmt::Result {
        let Inner { bounds, unit, counts, sum } = &*self.0;
        let bounds = bounds.iter().map(|&bound| bound as f64 * unit).chain([f64::INFINITY]);
        let counts = counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = sum.load(Ordering::Relaxed) as f64 * unit;
        encoder.encode_histogram::<NoLabels>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::{encoding::text, registry::Registry};

    use super::*;

    #[test]
    fn buckets_are_told_cumulatively_and_in_the_unit() {
        let histogram = Histogram::of_durations(REQUEST_NANOS);
        histogram.observe(400_000, 3);
        histogram.observe(500_000, 1);
        histogram.observe(700_000, 2);
        histogram.observe(60_000_000_000, 1);
        let mut registry = Registry::default();
        registry.register("took_seconds", "How long", histogram);
        let mut told = String::new();
        text::encode(&mut told, &registry).unwrap();
        for line in [
            "took_seconds_bucket{le=\"0.0005\"} 4",
            "took_seconds_bucket{le=\"0.001\"} 6",
            "took_seconds_bucket{le=\"10.0\"} 6",
            "took_seconds_bucket{le=\"+Inf\"} 7",
            "took_seconds_count 7",
        ] {
            assert!(told.contains(line), "{line} is not in\n{told}");
        }
    }
}
