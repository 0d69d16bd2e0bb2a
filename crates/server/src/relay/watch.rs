//! Looks in the store for what was never told.

use std::{sync::Arc, time::Duration};

use rand::RngExt as _;
use switchboard_core::{Result, chat::User};
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

use super::{Looks, Relay};

/// How long what is in the store may take to be told: it is on its way, perhaps.
const PATIENCE: Duration = Duration::from_millis(50);

/// The least time between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// How often counts are told to the metrics.
const COUNT: Duration = Duration::from_secs(1);

/// How many users or tenants the store is asked about at once.
const ASKED_MAX: usize = 10_000;

impl Relay {
    /// Looks now and then, and reads what is missing, until stopped.
    pub(crate) async fn run(self: Arc<Self>, looks: Looks, stop: CancellationToken) {
        if self.is_alone {
            return stop.cancelled().await;
        }
        tokio::join!(self.order.run(&stop), self.watch(looks, &stop), self.count(&stop));
    }

    async fn count(&self, stop: &CancellationToken) {
        loop {
            let signals = &self.ports.signals;
            self.metrics.signals.tell(&signals.counts(), signals.is_connected());
            tokio::select! {
                () = stop.cancelled() => return,
                () = time::sleep(COUNT) => {}
            }
        }
    }

    async fn watch(&self, looks: Looks, stop: &CancellationToken) {
        let mut failing = false;
        loop {
            let looking = async {
                self.wait(looks).await;
                self.look().await
            };
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = looking => looked,
            };
            if let Err(error) = &looked
                && !failing
            {
                tracing::warn!(error = %error.chain(), "what was missed can't be looked for");
            }
            failing = looked.is_err();
        }
    }

    /// Until it is time to look again, or there is a reason.
    async fn wait(&self, looks: Looks) {
        let began = Instant::now();
        // Nodes that began together do not all ask at the same moment.
        let reconcile = looks.reconcile.mul_f64(rand::rng().random_range(0.9..1.1));
        time::sleep(PAUSE).await;
        loop {
            let connected = self.ports.signals.is_connected();
            let period = if connected { reconcile } else { looks.poll };
            let left = period.saturating_sub(began.elapsed());
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = self.doubt.notified() => return,
                // The connection may go meanwhile.
                () = time::sleep(left.min(looks.poll.max(PAUSE))) => {}
            }
        }
    }

    /// Looks whether there is more in the store than was told, and has that read.
    async fn look(&self) -> Result<()> {
        self.ears.tidy();
        // Whoever waits for a queue looks for himself.
        self.bus.look_again();
        let (chats, logs) = tokio::join!(self.look_at_inboxes(), self.look_at_logs());
        let (found, suspected) = (chats?, logs?);
        if found || !suspected {
            // What is missing of logs is counted when it is read.
            self.metrics.signals.reconciled(found);
        }
        Ok(())
    }

    /// Says whether something was missed.
    async fn look_at_inboxes(&self) -> Result<bool> {
        let followed = self.chat.followed();
        let mut suspected: Vec<(User, u64)> = Vec::new();
        for some in followed.chunks(ASKED_MAX) {
            let users = some.iter().map(|(user, _)| *user).collect();
            let newest = self.ports.chats.newest(users).await?;
            let behind = some.iter().zip(newest).filter(|((_, known), newest)| known < newest);
            suspected.extend(behind.map(|((user, _), newest)| (*user, newest)));
        }
        if suspected.is_empty() {
            return Ok(false);
        }
        time::sleep(PATIENCE).await;
        let missed = suspected.iter().filter(|(user, newest)| self.chat.reaches(user, *newest));
        Ok(missed.count() != 0)
    }

    /// Says whether something may have been missed.
    async fn look_at_logs(&self) -> Result<bool> {
        let mut suspected = false;
        for some in self.bus.all_told().chunks(ASKED_MAX) {
            let tenants = some.iter().map(|(tenant, _)| *tenant).collect();
            let newest = self.ports.log.newest(tenants).await?;
            for ((tenant, told), newest) in some.iter().zip(newest) {
                if *told < newest {
                    suspected = true;
                    self.order.reaches(*tenant, newest);
                }
            }
        }
        Ok(suspected)
    }
}
