//! What is read while it is handed from memory to the tables.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

/// How often a writer that waits for the keeper looks whether it still may.
const LOOK: Duration = Duration::from_millis(100);

/// What readers see: what came lately, what is being put into tables, and the tables.
pub(crate) trait HandedOver {
    /// Whether something is being put into tables.
    fn is_flushing(&self) -> bool;
}

/// A state with many readers, one writer, and a keeper that the writer may have to wait for.
#[derive(Debug, Default)]
pub(crate) struct Handover<S> {
    state: RwLock<S>,
    turn: Mutex<()>,
    put_away: Condvar,
}

impl<S: HandedOver> Handover<S> {
    pub(crate) fn new(state: S) -> Self {
        Self { state: RwLock::new(state), turn: Mutex::new(()), put_away: Condvar::new() }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, S> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change(&self) -> RwLockWriteGuard<'_, S> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, once the last generation was put away. None once `given_up` says that it won't be.
    pub(crate) fn change_when_flushed(
        &self,
        given_up: impl Fn() -> bool,
    ) -> Option<RwLockWriteGuard<'_, S>> {
        let mut turn = self.turn();
        loop {
            let state = self.change();
            if !state.is_flushing() {
                return Some(state);
            }
            drop(state);
            if given_up() {
                return None;
            }
            let waited = self.put_away.wait_timeout(turn, LOOK);
            turn = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What was put away is read from the tables from now on: `change` says so.
    pub(crate) fn flushed(&self, change: impl FnOnce(&mut S)) {
        let turn = self.turn();
        change(&mut self.change());
        drop(turn);
        self.put_away.notify_all();
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
