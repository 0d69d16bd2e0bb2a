//! How many new passphrases a tenant may bring.
//!
//! Deriving is what costs, so it is what is limited; never failures, so that the limit tells
//! nothing of a key.

use std::{collections::HashMap, time::Duration};

use switchboard_core::Tenant;
use tokio::time::Instant;

/// One bucket of tokens for each tenant that has not got all of them.
#[derive(Debug)]
pub(super) struct Quota {
    burst: f64,
    per_second: f64,
    buckets: HashMap<Tenant, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Quota {
    pub(super) fn new(burst: u32, per_second: u32) -> Self {
        let (burst, per_second) = (f64::from(burst.max(1)), f64::from(per_second));
        Self { burst, per_second, buckets: HashMap::new() }
    }

    /// Takes one, or says when there may be one again.
    pub(super) fn take(&mut self, tenant: Tenant, now: Instant) -> Result<(), Duration> {
        let Self { burst, per_second, .. } = *self;
        let bucket = self.buckets.entry(tenant).or_insert(Bucket { tokens: burst, at: now });
        bucket.fill(burst, per_second, now);
        if 1.0 <= bucket.tokens {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let seconds = (1.0 - bucket.tokens) / per_second.max(0.001);
        Err(Duration::from_secs_f64(seconds))
    }

    /// Forgets tenants that have got all again.
    pub(super) fn forget(&mut self, now: Instant) {
        let Self { burst, per_second, .. } = *self;
        self.buckets.retain(|_, bucket| {
            bucket.fill(burst, per_second, now);
            bucket.tokens < burst
        });
    }
}

impl Bucket {
    fn fill(&mut self, burst: f64, per_second: f64, now: Instant) {
        let gone = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + gone * per_second).min(burst);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_gets_a_burst_and_then_some_a_second() {
        let (one, other) = ("a".parse().unwrap(), "b".parse().unwrap());
        let mut quota = Quota::new(2, 4);
        let begin = Instant::now();
        assert_eq!(quota.take(one, begin), Ok(()));
        assert_eq!(quota.take(one, begin), Ok(()));
        assert_eq!(quota.take(one, begin), Err(Duration::from_millis(250)));
        assert_eq!(quota.take(other, begin), Ok(()));
        let later = begin + Duration::from_millis(250);
        assert_eq!(quota.take(one, later), Ok(()));
        assert!(quota.take(one, later).is_err());
        quota.forget(later);
        assert_eq!(quota.buckets.len(), 1, "the other has got all again");
        quota.forget(later + Duration::from_secs(1));
        assert_eq!(quota.buckets.len(), 0);
    }
}
