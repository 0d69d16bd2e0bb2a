//! Buffers that are lent for as long as one session is looked at.
//!
//! An idle session has no buffer of its own; only as many are there as sessions are looked at at
//! once, which is one for each worker.

use std::sync::{Mutex, PoisonError};

/// How much is read from a connection at once, in bytes, at the least.
const READ: usize = 64 * 1024;

/// What a session needs while it is looked at.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// What is read from the connection.
    pub(crate) read: Box<[u8]>,
    /// What is to be sent.
    pub(crate) out: Vec<u8>,
}

/// Buffers that nobody uses now.
#[derive(Debug)]
pub(crate) struct Scratches {
    free: Mutex<Vec<Scratch>>,
    read: usize,
}

impl Scratches {
    /// None yet; each will hold a frame of `frame_bytes_max` at least.
    pub(crate) fn new(frame_bytes_max: usize) -> Self {
        Self { free: Mutex::default(), read: READ.max(frame_bytes_max) }
    }

    /// Lends a buffer for the time of `work`. It is not to be lent within.
    pub(crate) fn lend<T>(&self, work: impl FnOnce(&mut Scratch) -> T) -> T {
        let lent = self.lock().pop();
        let mut scratch = lent.unwrap_or_else(|| Scratch {
            read: vec![0; self.read].into_boxed_slice(),
            out: Vec::with_capacity(self.read),
        });
        let done = work(&mut scratch);
        scratch.out.clear();
        if scratch.out.capacity() <= 4 * self.read {
            self.lock().push(scratch);
        } else {
            // One that had to grow for a flood is not kept.
            let Scratch { read, out: _ } = scratch;
            self.lock().push(Scratch { read, out: Vec::new() });
        }
        done
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Scratch>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
