//! The segment behind the current one, prepared ahead of need.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{Layout, segment::Segment};
use crate::disk::Disk;

/// How long after a failure (a full disk) the next attempt follows.
const RETRY: Duration = Duration::from_millis(500);

/// What the writer of the log gets when it asks for the next segment.
#[derive(Debug)]
pub(super) enum Prepared {
    Ready(Segment),
    /// There is none, and why.
    Full(String),
}

/// The writer's side.
#[derive(Debug)]
pub(super) struct Preparer {
    layout: Layout,
    shared: Arc<Shared>,
}

/// The other side: prepares one segment whenever there is none.
#[derive(Clone, Debug)]
pub(crate) struct Spare {
    disk: Arc<dyn Disk>,
    layout: Layout,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// The number of the segment to be prepared, or that is prepared.
    number: u64,
    spare: Option<Segment>,
    /// Why the last attempt failed.
    full: Option<String>,
    stopped: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Preparer {
    pub(super) fn new(layout: Layout, number: u64) -> Self {
        let state = State { number, spare: None, full: None, stopped: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        Self { layout, shared }
    }

    pub(super) fn spare(&self, disk: Arc<dyn Disk>) -> Spare {
        Spare { disk, layout: self.layout, shared: Arc::clone(&self.shared) }
    }

    /// Takes the segment that was prepared; waits while it is being prepared, but not while the
    /// disk is full.
    pub(super) fn take(&self) -> Prepared {
        let mut state = self.shared.lock();
        loop {
            if let Some(segment) = state.spare.take() {
                state.number += 1;
                self.shared.changed.notify_all();
                return Prepared::Ready(segment);
            }
            if let Some(why) = &state.full {
                return Prepared::Full(why.clone());
            }
            if state.stopped {
                return Prepared::Full("the store is closing".to_owned());
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Spare {
    /// Prepares a segment whenever one was taken, until stopped. Tries again while the disk is
    /// full.
    pub(crate) fn run(&self) {
        let mut state = self.shared.lock();
        while !state.stopped {
            if state.spare.is_some() {
                state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            drop(state);
            let prepared = self.prepare();
            state = self.shared.lock();
            if !prepared && !state.stopped {
                let waited = self.shared.changed.wait_timeout(state, RETRY);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    /// Prepares one segment, if there is none. Returns whether there is one now.
    pub(crate) fn prepare(&self) -> bool {
        let number = {
            let state = self.shared.lock();
            if state.spare.is_some() {
                return true;
            }
            state.number
        };
        let header = self.layout.header(number);
        let prepared = self
            .room()
            .and_then(|()| Segment::prepare(&*self.disk, header, self.layout.segment_bytes));
        let mut state = self.shared.lock();
        let ready = match prepared {
            Ok(segment) => {
                state.spare = Some(segment);
                if state.full.take().is_some() {
                    tracing::info!("there is room again: the store takes writes");
                }
                true
            }
            Err(error) => {
                if state.full.is_none() {
                    tracing::warn!(%error, "no room for the next segment of the log");
                }
                state.full = Some(error.to_string());
                false
            }
        };
        drop(state);
        self.shared.changed.notify_all();
        ready
    }

    /// Asks before writing, so that a disk that is nearly full is not filled to the brim first.
    fn room(&self) -> io::Result<()> {
        let needed = self.layout.segment_bytes as u64;
        let free = self.disk.free_bytes()?;
        if free < needed {
            let why = format!("{needed} bytes are needed for the log, {free} are free");
            return Err(io::Error::new(io::ErrorKind::StorageFull, why));
        }
        Ok(())
    }

    /// Why there is no next segment, if the disk is full.
    pub(crate) fn full(&self) -> Option<String> {
        self.shared.lock().full.clone()
    }

    /// Ends [`Spare::run`].
    pub(crate) fn stop(&self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
    }
}
