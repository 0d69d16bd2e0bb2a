//! What the connection lets the rest know.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use async_nats::{Event, ServerError};
use switchboard_core::signals::{Counts, Listener};
use tokio::sync::Notify;

/// What is known of the connection, and who is told.
#[derive(Debug, Default)]
pub(crate) struct News {
    listener: Mutex<Option<Arc<dyn Listener>>>,
    /// Woken when something may have been missed, or is about to be heard.
    pub(crate) doubt: Notify,
    /// What the server refused last.
    refused: Mutex<Option<String>>,
    connects: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    unsent: AtomicU64,
    spilt: AtomicU64,
    foreign: AtomicU64,
}

impl News {
    /// Something happened to the connection.
    pub(crate) fn happened(&self, event: &Event) {
        match event {
            Event::Connected => {
                if 0 < self.connects.fetch_add(1, Ordering::Relaxed) {
                    tracing::info!("signals reach other nodes again");
                }
                self.doubt.notify_one();
            }
            Event::Disconnected => {
                tracing::warn!("signals do not reach other nodes: NATS is away");
            }
            Event::SlowConsumer(_) | Event::ServerError(ServerError::SlowConsumer(_)) => {
                self.spilt();
            }
            Event::ServerError(error) => {
                let what = error.to_string();
                tracing::warn!(error = what, "NATS refused something");
                *lock(&self.refused) = Some(what);
            }
            Event::ClientError(error) => tracing::debug!(%error, "NATS is not reached"),
            Event::LameDuckMode => tracing::info!("the NATS server is about to stop"),
            Event::Draining | Event::Closed => {}
        }
    }

    /// Takes what the server refused since this was asked.
    pub(crate) fn take_refused(&self) -> Option<String> {
        lock(&self.refused).take()
    }

    /// From now on tells this one.
    pub(crate) fn listen(&self, listener: Arc<dyn Listener>) {
        *lock(&self.listener) = Some(listener);
        self.doubt.notify_one();
    }

    /// Whoever listens.
    pub(crate) fn listener(&self) -> Option<Arc<dyn Listener>> {
        lock(&self.listener).clone()
    }

    /// A signal of another node came.
    pub(crate) fn received(&self, payload: &[u8]) {
        self.received.fetch_add(1, Ordering::Relaxed);
        if let Some(listener) = self.listener() {
            listener.heard(payload);
        }
    }

    /// A signal came for which there was no room, or not all of it came.
    pub(crate) fn spilt(&self) {
        self.spilt.fetch_add(1, Ordering::Relaxed);
        self.doubt.notify_one();
    }

    /// Something came that is no signal.
    pub(crate) fn foreign(&self) {
        if self.foreign.fetch_add(1, Ordering::Relaxed).is_power_of_two() {
            tracing::warn!("somebody else tells of our subjects, or messages are broken");
        }
    }

    /// A signal was sent, or was not.
    pub(crate) fn sent(&self, sent: bool) {
        let counter = if sent { &self.sent } else { &self.unsent };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// What became of signals.
    pub(crate) fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            sent: read(&self.sent),
            received: read(&self.received),
            unsent: read(&self.unsent),
            spilt: read(&self.spilt),
            foreign: read(&self.foreign),
            reconnects: read(&self.connects).saturating_sub(1),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
