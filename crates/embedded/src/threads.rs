//! The threads that the store can't do without.

use std::{
    io, mem,
    sync::Arc,
    thread::{self, JoinHandle},
};

use crate::{
    chat,
    commit::FAILED,
    health::Health,
    queue::{Queue, Waiting},
};

/// Threads that run, in the order in which they end.
#[derive(Debug)]
pub(crate) struct Threads {
    guard: Guard,
    running: Vec<JoinHandle<()>>,
    /// Those that the others may wait for, to their end.
    preparers: Vec<JoinHandle<()>>,
}

/// The panic of a thread is the store's failure.
#[derive(Clone, Debug)]
struct Guard {
    name: &'static str,
    health: Arc<Health>,
    queue: Arc<Queue>,
    chats: Arc<Queue<chat::Work>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking() {
            self.health.fail(&format!("the thread {} panicked", self.name));
            end(&self.queue);
            end(&self.chats);
        }
    }
}

/// Who waits is answered: the other end of his answer is dropped.
fn end<W: Waiting>(queue: &Queue<W>) {
    queue.close(FAILED);
    drop(queue.take(Vec::new()));
}

impl Threads {
    pub(crate) fn new(
        health: &Arc<Health>,
        queue: &Arc<Queue>,
        chats: &Arc<Queue<chat::Work>>,
    ) -> Self {
        let (health, queue, chats) = (Arc::clone(health), Arc::clone(queue), Arc::clone(chats));
        let guard = Guard { name: "", health, queue, chats };
        Self { guard, running: Vec::new(), preparers: Vec::new() }
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
