//! The segment behind the current one, prepared ahead of need.

use std::{
    io, mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{Layout, segment::Segment};
use crate::disk::Disk;

/// How long after a failure (mostly a full disk) the next attempt follows.
const RETRY: Duration = Duration::from_millis(500);

/// What the writer of the log gets when it asks for the next segment.
#[derive(Debug)]
pub(super) enum Prepared {
    Ready(Segment),
    /// There is none, and why.
    None(String),
}

/// Why there is no next segment.
#[derive(Clone, Debug)]
pub(crate) enum Missing {
    /// The disk is full.
    Room(String),
    /// The disk said something else. Nothing depends on the segment yet, so it is tried again with
    /// a new file.
    Error(String),
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
    missing: Option<Missing>,
    stopped: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Missing {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            // A quota ends like a disk, and is mended like one.
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Room(error.to_string())
            }
            _ => Self::Error(format!("I/O error: {error}")),
        }
    }

    fn why(&self) -> &str {
        let (Self::Room(why) | Self::Error(why)) = self;
        why
    }
}

impl Preparer {
    pub(super) fn new(layout: Layout, number: u64) -> Self {
        let state = State { number, spare: None, missing: None, stopped: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        Self { layout, shared }
    }

    pub(super) fn spare(&self, disk: Arc<dyn Disk>) -> Spare {
        Spare { disk, layout: self.layout, shared: Arc::clone(&self.shared) }
    }

    /// Takes the segment that was prepared; waits while it is being prepared, but not after that
    /// has failed.
    pub(super) fn take(&self) -> Prepared {
        let mut state = self.shared.lock();
        loop {
            if let Some(segment) = state.spare.take() {
                state.number += 1;
                self.shared.changed.notify_all();
                return Prepared::Ready(segment);
            }
            if let Some(missing) = &state.missing {
                return Prepared::None(missing.why().to_owned());
            }
            if state.stopped {
                return Prepared::None("the store is closing".to_owned());
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Spare {
    /// Prepares a segment whenever one was taken, until stopped. Tries again when that has failed.
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
                if state.missing.take().is_some() {
                    tracing::info!("the next segment of the log is there: the store takes writes");
                }
                true
            }
            Err(error) => {
                let missing = Missing::of(&error);
                let kind = Some(mem::discriminant(&missing));
                // Told once, not with each attempt.
                if state.missing.as_ref().map(mem::discriminant) != kind {
                    let why = missing.why();
                    tracing::warn!(why, "the next segment of the log can't be prepared");
                }
                state.missing = Some(missing);
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

    /// Why there is no next segment, if preparing it has failed.
    pub(crate) fn missing(&self) -> Option<Missing> {
        self.shared.lock().missing.clone()
    }

    /// Ends [`Spare::run`].
    pub(crate) fn stop(&self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
    }
}
