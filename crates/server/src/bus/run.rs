//! Events that go the same way together.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use switchboard_core::bus::Event;

use crate::wire;

/// For how many numbers of subscriptions the frames of a run are kept: nearly all clients count
/// theirs from 1.
const WRITTEN_MAX: usize = 4;

/// What an event takes in memory beside its bytes, about.
const BESIDE: usize = 64;

/// Events of one topic and type, one behind the other: whoever wants one of them wants all.
///
/// However many get them, they are there once; and so are the frames of sessions, which are the
/// same for all sessions that gave their subscriptions the same number.
pub(crate) struct Run {
    events: Vec<Event>,
    /// What it takes, in bytes.
    bytes: usize,
    /// When it was told.
    at: Instant,
    written: Mutex<Vec<(u32, Arc<[u8]>)>>,
    /// What all runs of the node take.
    held: Arc<AtomicUsize>,
}

impl Run {
    /// Events that were told at a time.
    pub(super) fn new(events: Vec<Event>, at: Instant, held: &Arc<AtomicUsize>) -> Self {
        let bytes = events.iter().map(|event| BESIDE + event.body.as_bytes().len()).sum();
        held.fetch_add(bytes, Ordering::Relaxed);
        Self { events, bytes, at, written: Mutex::default(), held: Arc::clone(held) }
    }

    /// The events, in order.
    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }

    /// When they were told.
    pub(crate) fn told_at(&self) -> Instant {
        self.at
    }

    /// What it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The frames of the events for a subscription with this number.
    pub(crate) fn frames(&self, subscription: u32) -> Arc<[u8]> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, frames)) = written.iter().find(|(number, _)| *number == subscription) {
            return Arc::clone(frames);
        }
        let mut frames = Vec::with_capacity(self.bytes);
        for event in &self.events {
            wire::frame::write_event(subscription, event, &mut frames);
        }
        let frames: Arc<[u8]> = frames.into();
        if written.len() < WRITTEN_MAX {
            written.push((subscription, Arc::clone(&frames)));
        }
        frames
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("events", &self.events.len()).finish_non_exhaustive()
    }
}
