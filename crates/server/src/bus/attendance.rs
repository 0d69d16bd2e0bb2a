//! Who comes to this node's gateway and goes, announced in order.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use switchboard_core::{
    bus::{Attendance, Gone},
    presence::GatewayId,
};
use tokio::{
    sync::Notify,
    time::{Duration, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::node::Node;

/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// How many wait at the most before only the latest of each client is kept: when the store takes
/// nothing for long, whoever came and went meanwhile did so unseen.
const WAITING_MAX: usize = 100_000;

/// Comings and goings that wait to be noted.
#[derive(Debug, Default)]
pub(crate) struct Attendances {
    waiting: Mutex<Vec<Attendance>>,
    news: Notify,
}

impl Attendances {
    /// Adds one, to be noted behind all others.
    pub(crate) fn note(&self, attendance: Attendance) {
        let mut waiting = self.lock();
        let first = waiting.is_empty();
        waiting.push(attendance);
        if WAITING_MAX <= waiting.len() && waiting.len().is_power_of_two() {
            keep_latest(&mut waiting);
        }
        drop(waiting);
        if first {
            self.news.notify_one();
        }
    }

    fn take(&self) -> Vec<Attendance> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Attendance>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the latest of each client at each gateway, in order.
fn keep_latest(waiting: &mut Vec<Attendance>) {
    let mut seen = HashSet::new();
    let mut kept: Vec<_> = std::mem::take(waiting)
        .into_iter()
        .rev()
        .filter(|it| seen.insert((it.tenant, it.client.clone(), it.gateway)))
        .collect();
    kept.reverse();
    *waiting = kept;
}

impl Node {
    /// Announces who left with an earlier run of this node, then who comes and goes, until stopped
    /// and nobody is left. Where nodes share a store, those of an earlier run are found by those
    /// who know that nothing is heard of it ([`crate::presence`]).
    pub(crate) async fn announce(self, gateway: GatewayId, stop: CancellationToken) {
        while self.relay.is_alone() {
            let all_but = Gone::AllBut(vec![gateway]);
            let abandoned = self.ports.log.abandon(all_but, self.ports.clock.now()).await;
            match abandoned {
                Ok(0) => break,
                Ok(clients) => {
                    tracing::info!(clients, "announced who left while the node was away");
                    break;
                }
                Err(error) if !again(&error, &stop).await => return,
                Err(_) => {}
            }
        }
        loop {
            let noted = self.bus.attendances.take();
            if !noted.is_empty() {
                // In order: nothing overtakes what could not be noted.
                while let Err(error) = self.ports.log.attend(noted.clone()).await {
                    if !again(&error, &stop).await {
                        return;
                    }
                }
                continue;
            }
            tokio::select! {
                () = self.bus.attendances.news.notified() => {}
                () = stop.cancelled() => {
                    if self.bus.attendances.lock().is_empty() {
                        return;
                    }
                }
            }
        }
    }
}

/// Whether it is to be tried again. What a stopped node leaves is announced by its next start.
async fn again(error: &switchboard_core::Error, stop: &CancellationToken) -> bool {
    tracing::warn!(error = %error.chain(), "who came and went could not be noted");
    tokio::select! {
        () = stop.cancelled() => false,
        () = sleep(RETRY) => true,
    }
}
