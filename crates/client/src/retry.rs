//! Trying again: growing pauses with full jitter.

use std::{
    error,
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use tokio::time::{self, Instant};
use tonic_types::StatusExt as _;

use crate::{
    Error,
    error::{DOMAIN, causes},
};

/// The first pause is up to this long, and each may be twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Calls until there is an answer, an error that trying again does not mend, or no time left.
pub(crate) async fn until<T, F>(timeout: Duration, call: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, tonic::Status>>,
{
    repeated(timeout, |_| true, call).await
}

/// As [`until`], for what must not be done twice: calls again only where the call before has
/// surely done nothing.
pub(crate) async fn once<T, F>(timeout: Duration, call: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, tonic::Status>>,
{
    repeated(timeout, did_nothing, call).await
}

/// Whether a call did not reach the node, or the node took nothing of it: then it says that it is
/// full. `unavailable` may come after the work.
fn did_nothing(status: &tonic::Status) -> bool {
    let info = status.get_details_error_info();
    causes(status).any(was_not_taken)
        || info.is_some_and(|info| info.domain == DOMAIN && info.reason == "too_many_requests")
}

/// Whether a call failed before the node had it: nobody listened, the connection closed before the
/// call was sent, or the node went away without it (RFC 9113, 6.8 and 8.7).
fn was_not_taken(cause: &(dyn error::Error + 'static)) -> bool {
    let went_away = |error: &h2::Error| match error.reason() {
        // `h2` tells it of the streams only that the node has not taken.
        Some(h2::Reason::NO_ERROR) => error.is_go_away() && error.is_remote(),
        Some(h2::Reason::REFUSED_STREAM) => error.is_reset() && error.is_remote(),
        _ => false,
    };
    cause.is::<tonic::ConnectError>()
        || cause.downcast_ref().is_some_and(hyper::Error::is_canceled)
        || cause.downcast_ref().is_some_and(went_away)
}

/// The pauses of a first failure, and until when to try.
pub(crate) fn afresh(timeout: Duration) -> (Pauses, Instant) {
    (Pauses::new(PAUSE, PAUSE_MAX), Instant::now() + timeout)
}

async fn repeated<T, F>(
    timeout: Duration,
    may_repeat: impl Fn(&tonic::Status) -> bool,
    mut call: impl FnMut() -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, tonic::Status>>,
{
    let (mut pauses, deadline) = afresh(timeout);
    loop {
        let (error, may_repeat) = match time::timeout_at(deadline, call()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(status)) => {
                let may_repeat = may_repeat(&status);
                (Error::from(status), may_repeat)
            }
            Err(_) => {
                let what = format!("there was no answer in {timeout:?}: repeat the call");
                return Err(Error::new("unavailable", what));
            }
        };
        let wait = pauses.after_failure();
        if !may_repeat || !error.is_unavailable() || deadline <= Instant::now() + wait {
            return Err(error);
        }
        time::sleep(wait).await;
    }
}

/// The pauses between tries.
///
/// Full jitter: clients that failed together do not come back together (AWS Architecture Blog,
/// "Exponential Backoff and Jitter").
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pauses {
    bound: Duration,
    max: Duration,
}

impl Pauses {
    /// The first is up to `first` long, each may be twice as long as the one before, none is longer
    /// than `max`.
    pub(crate) fn new(first: Duration, max: Duration) -> Self {
        Self { bound: first, max }
    }

    /// How long to wait now.
    pub(crate) fn after_failure(&mut self) -> Duration {
        let pause = up_to(self.bound);
        self.bound = (self.bound * 2).min(self.max);
        pause
    }
}

/// Any time up to the bound.
pub(crate) fn up_to(bound: Duration) -> Duration {
    bound.mul_f64(random())
}

/// From 0 to 1. The hasher's keys are random, which is all that is needed here.
fn random() -> f64 {
    let bits = RandomState::new().hash_one(0);
    f64::from(u32::try_from(bits >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::future;

    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_differ() {
        let mut pauses = Pauses::new(Duration::from_millis(100), Duration::from_secs(10));
        let taken: Vec<Duration> = (0..12).map(|_| pauses.after_failure()).collect();
        for (exponent, pause) in taken.iter().enumerate() {
            let bound = Duration::from_millis(100 << exponent).min(Duration::from_secs(10));
            assert!(*pause <= bound, "pause {exponent} of {taken:?}");
        }
        assert!(taken.windows(2).any(|pair| pair[0] != pair[1]), "{taken:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_be_mended_is_tried_again_and_nothing_else() {
        let mut tries = 0;
        let answer = until(Duration::from_secs(30), || {
            tries += 1;
            future::ready(match tries {
                4 => Ok(tries),
                _ => Err(tonic::Status::unavailable("full")),
            })
        });
        assert_eq!(answer.await, Ok(4));

        let mut tries = 0;
        let refused: Result<(), _> = until(Duration::from_secs(30), || {
            tries += 1;
            future::ready(Err(tonic::Status::invalid_argument("no key")))
        })
        .await;
        assert_eq!((refused.unwrap_err().code(), tries), ("invalid_request", 1));

        let began = Instant::now();
        let refused: Result<(), _> = until(Duration::from_secs(3), || {
            future::ready(Err(tonic::Status::unavailable("full")))
        })
        .await;
        assert_eq!(refused.unwrap_err().code(), "unavailable");
        assert!(began.elapsed() <= Duration::from_secs(3));
    }
}
