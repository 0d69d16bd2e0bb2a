//! What waits to be sent: bounded, in number and in bytes.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicUsize, Ordering},
};

use async_nats::connection::State;
use switchboard_core::signals::{PAYLOAD_BYTES_MAX, Subject};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio_util::sync::CancellationToken;

use crate::{message, news::News, wire::Wire};

/// The most signals that wait.
const SIGNALS_MAX: usize = 16_384;

/// The most bytes of signals that wait.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// What waits to be sent.
#[derive(Debug)]
pub(crate) struct Outbox {
    waiting: Sender<(Subject, Vec<u8>)>,
    bytes: Arc<AtomicUsize>,
}

/// Its other end.
#[derive(Debug)]
pub(crate) struct Outgoing {
    waiting: Receiver<(Subject, Vec<u8>)>,
    bytes: Arc<AtomicUsize>,
}

/// Nothing waits.
pub(crate) fn outbox() -> (Outbox, Outgoing) {
    let (sender, receiver) = mpsc::channel(SIGNALS_MAX);
    let bytes = Arc::<AtomicUsize>::default();
    let outbox = Outbox { waiting: sender, bytes: Arc::clone(&bytes) };
    (outbox, Outgoing { waiting: receiver, bytes })
}

impl Outbox {
    /// Puts a signal in, if there is room.
    pub(crate) fn put(&self, subject: &Subject, payload: Vec<u8>) -> bool {
        let length = payload.len();
        if PAYLOAD_BYTES_MAX < length || BYTES_MAX < self.bytes.load(Ordering::Relaxed) {
            return false;
        }
        self.bytes.fetch_add(length, Ordering::Relaxed);
        let put = self.waiting.try_send((subject.clone(), payload)).is_ok();
        if !put {
            self.bytes.fetch_sub(length, Ordering::Relaxed);
        }
        put
    }
}

impl Outgoing {
    /// Sends what waits, in order, until stopped.
    pub(crate) async fn send(mut self, wire: Wire, news: Arc<News>, stop: CancellationToken) {
        let signals = AtomicU32::new(0);
        let send = async {
            while let Some((subject, payload)) = self.waiting.recv().await {
                let signal = signals.fetch_add(1, Ordering::Relaxed);
                let mut sent = wire.client.connection_state() == State::Connected;
                for message in
                    message::write(wire.node, signal, &payload, wire.client.max_payload())
                {
                    // Waits while the server takes nothing; what comes meanwhile is let go of.
                    sent = sent && wire.publish(&subject, message).await.is_ok();
                }
                self.bytes.fetch_sub(payload.len(), Ordering::Relaxed);
                news.sent(sent);
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = send => {}
        }
    }
}
