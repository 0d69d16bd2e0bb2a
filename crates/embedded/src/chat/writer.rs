//! The one that writes: takes all that waits, decides it, makes it durable with one sync, lets it
//! be read, signals and answers it.
//!
//! Everything is decided here, between one sync and the next, in the order in which it came; so
//! there is no lock to hold over a sync, and a repeat of what is being written finds it.

mod decide;
mod group;
mod load;

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError, mpsc::SyncSender},
};

use switchboard_core::{chat::Signals, store::Observer};

pub(super) use self::group::Group;
use super::{
    heads::Heads,
    keeper::Flush,
    reader::Shared,
    work::{Task, Work},
};
use crate::{
    Error,
    health::{Gate, Health},
    log::Log,
    serve::{Writes, failed},
    slots::{Names, Pair},
    tenants::Tenants,
};

/// Who is told what happens.
pub(super) type Listener = Mutex<Option<Arc<dyn Signals>>>;

#[derive(Debug)]
pub(crate) struct Writer {
    pub(super) log: Log,
    pub(super) tenants: Tenants,
    pub(super) names: Names,
    pub(super) heads: Heads,
    pub(super) shared: Arc<Shared>,
    pub(super) listener: Arc<Listener>,
    pub(super) gate: Arc<Gate>,
    pub(super) health: Arc<Health>,
    pub(super) observer: Arc<dyn Observer>,
    /// The longest payload of one record, in bytes.
    pub(super) payload_max: usize,
    /// After how many entries they are handed to the keeper.
    pub(super) flush_entries: usize,
    pub(super) group: Group,
    pub(super) fresh: Fresh,
}

/// What the sorted files and the tables do not have yet, beside the current generation.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    pub(super) pairs: Vec<Pair>,
    pub(super) tenants: Vec<switchboard_core::Tenant>,
    pub(super) tenants_from: u32,
    /// Messages ever sent.
    pub(super) sent: u64,
}

impl Writer {
    fn decide(&mut self, task: Task) -> Result<(), Error> {
        match task {
            Task::Send { drafts, answer } => self.send(drafts, answer),
            Task::Acknowledge { receipts, answer } => self.acknowledge(receipts, answer),
            Task::Register { user, name, at, answer } => self.register(&user, name, at, answer),
            Task::Trace { sender, id, answer } => self.trace(&sender, &id, answer),
        }
    }

    /// Everything that the tables do not have yet. Waits for the keeper to be done with the last;
    /// none when it has failed.
    pub(crate) fn flush(&mut self) -> Option<Flush> {
        let position = self.log.position();
        let mut state = self.shared.change_when_flushed(|| self.health.has_failed())?;
        let fresh = self.fresh.take(self.tenants.count());
        let generation = Arc::new(mem::take(&mut state.recent.current));
        state.recent.flushing = Some(Arc::clone(&generation));
        Some(Flush { generation, fresh, position, last: state.last })
    }

    fn listener(&self) -> Option<Arc<dyn Signals>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Writes for Writer {
    type Work = Work;
    type Flush = Flush;
    const WHAT: &'static str = "chat";

    fn commit(&mut self, works: &mut Vec<Work>) -> Result<(), Error> {
        for work in works.drain(..) {
            self.group.begin_work(work.arrived);
            self.decide(work.task)?;
        }
        self.end_group()?;
        self.heads.tidy();
        Ok(())
    }

    fn hand_over(&mut self, flushes: &SyncSender<Flush>, at_the_end: bool) {
        let (recent, flushing) = {
            let state = self.shared.read();
            (state.recent.current.entries, state.recent.flushing.is_some())
        };
        // A keeper that is far behind is waited for, so that memory stays bounded.
        let due = self.flush_entries <= recent && !flushing || 4 * self.flush_entries <= recent;
        if (due || at_the_end && 0 < recent)
            && let Some(flush) = self.flush()
        {
            // A keeper that is gone has told why.
            let _ = flushes.send(flush);
        }
    }

    fn refuse_group(&mut self) {
        for answered in self.group.take_answers() {
            answered.fail(failed());
        }
    }

    fn health(&self) -> &Arc<Health> {
        &self.health
    }
}

impl Fresh {
    /// Hands over what there is.
    fn take(&mut self, tenants: u32) -> Self {
        let next = Self { tenants_from: tenants, sent: self.sent, ..Self::default() };
        mem::replace(self, next)
    }
}
