//! The threads that the store can't do without.

use std::{
    fmt, io, mem,
    sync::{Arc, atomic::AtomicBool, mpsc},
    thread::{self, JoinHandle},
};

use crate::{
    health::Health,
    keeper::{Keeps, keep},
    queue::{Queue, Waiting},
    serve::{FAILED, Writes, serve},
};

/// Threads that run, in the order in which they end.
#[derive(Debug)]
pub(crate) struct Threads {
    guard: Guard,
    /// Whether the store closes.
    closing: Arc<AtomicBool>,
    running: Vec<JoinHandle<()>>,
    /// Those that the others may wait for, to their end.
    preparers: Vec<JoinHandle<()>>,
}

/// The panic of a thread is the store's failure.
#[derive(Clone, Debug)]
struct Guard {
    name: &'static str,
    health: Arc<Health>,
    queues: Arc<[Arc<dyn Ends>]>,
}

/// A queue whose writer may be gone.
pub(crate) trait Ends: fmt::Debug + Send + Sync {
    /// Nothing more is done. Who waits is answered: the other end of his answer is dropped.
    fn end(&self);
}

impl<W: Waiting + fmt::Debug + Send> Ends for Queue<W> {
    fn end(&self) {
        self.close(FAILED);
        drop(self.take(Vec::new()));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking() {
            self.health.fail(&format!("the thread {} panicked", self.name));
            self.queues.iter().for_each(|queue| queue.end());
        }
    }
}

impl Threads {
    /// None yet. The panic of any ends these queues.
    pub(crate) fn new(
        health: &Arc<Health>,
        closing: &Arc<AtomicBool>,
        queues: impl Into<Arc<[Arc<dyn Ends>]>>,
    ) -> Self {
        let guard = Guard { name: "", health: Arc::clone(health), queues: queues.into() };
        let closing = Arc::clone(closing);
        Self { guard, closing, running: Vec::new(), preparers: Vec::new() }
    }

    /// Starts a thread.
    pub(crate) fn spawn(
        &mut self,
        name: &'static str,
        run: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        self.running.push(self.start(name, run)?);
        Ok(())
    }

    /// Starts a writer, which serves a queue, and the keeper that it hands over to, which ends
    /// after it.
    pub(crate) fn spawn_pair<W, K>(
        &mut self,
        [writer_name, keeper_name]: [&'static str; 2],
        queue: &Arc<Queue<W::Work>>,
        writer: W,
        keeper: K,
    ) -> io::Result<()>
    where
        W: Writes<Work: Send, Flush: Send> + Send + 'static,
        K: Keeps<Flush = W::Flush> + Send + 'static,
    {
        let (flushes, taken) = mpsc::sync_channel(1);
        let (health, closing) = (Arc::clone(&self.guard.health), Arc::clone(&self.closing));
        let queue = Arc::clone(queue);
        self.spawn(writer_name, move || serve(writer, &queue, &flushes))?;
        self.spawn(keeper_name, move || keep(&keeper, &taken, &health, &closing))
    }

    /// Starts a thread that others wait for.
    pub(crate) fn spawn_preparer(
        &mut self,
        name: &'static str,
        run: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        self.preparers.push(self.start(name, run)?);
        Ok(())
    }

    /// Waits for the end of all that others do not wait for.
    pub(crate) fn join(&mut self) {
        for thread in mem::take(&mut self.running) {
            // One that panicked has been told of by its guard.
            let _ = thread.join();
        }
    }

    /// Waits for the end of the rest.
    pub(crate) fn join_preparers(&mut self) {
        for thread in mem::take(&mut self.preparers) {
            let _ = thread.join();
        }
    }

    fn start(
        &self,
        name: &'static str,
        run: impl FnOnce() + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let mut guard = self.guard.clone();
        guard.name = name;
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _guard = guard;
            run();
        })
    }
}
