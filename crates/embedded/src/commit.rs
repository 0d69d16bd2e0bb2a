//! Group commit: one writer takes all that waits, makes it durable with one sync, answers all.
//!
//! All decisions of the ledger are made on this one thread, between one sync and the next. So there
//! is no lock to hold over a sync, a repeat of what is being written waits behind it by itself, and
//! a lone request is written as soon as it comes.

use std::{
    mem,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{SyncSender, TrySendError},
    },
    time::Instant,
};

use crate::{
    Error,
    health::{Gate, Health},
    ingest::Ledger,
    keeper::Flush,
    log::Log,
    queue::{Answer, Batch},
    serve::{Writes, failed},
};
use switchboard_core::{
    Code,
    ingest::Receipt,
    store::{Commit, Observer},
};

/// How many times the keys of a flush may wait in memory before the keeper is waited for.
const BEHIND_MAX: usize = 8;

/// The one that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) log: Log,
    pub(crate) ledger: Ledger,
    pub(crate) gate: Arc<Gate>,
    pub(crate) health: Arc<Health>,
    pub(crate) observer: Arc<dyn Observer>,
    /// The longest payload of one record, in bytes.
    pub(crate) payload_max: usize,
    /// After how many new keys they are handed to the keeper.
    pub(crate) flush_keys: usize,
    pub(crate) group: Group,
}

/// The batches that are answered with the next sync.
#[derive(Debug, Default)]
pub(crate) struct Group {
    answers: Vec<(Answer<Vec<Receipt>>, Vec<Receipt>)>,
    commit: Commit,
    payload: Vec<u8>,
}

impl Writer {
    /// Everything that the sorted files do not have yet. Nothing may be under way.
    pub(crate) fn flush(&mut self) -> Flush {
        Flush { fresh: self.ledger.take_fresh(), position: self.log.position() }
    }

    fn add(&mut self, batch: Batch) -> Result<(), Error> {
        let needed = Ledger::bytes_max(&batch.entries);
        if self.payload_max < self.ledger.group_len() + needed {
            self.end_group()?;
        }
        let waited = batch.arrived.elapsed();
        let commit = &mut self.group.commit;
        commit.waited = commit.waited.max(waited);
        commit.batches += 1;
        let room = if needed <= self.payload_max {
            self.log.reserve(self.ledger.group_len() + needed)
        } else {
            Err("the batch is longer than a segment of the log".to_owned())
        };
        let receipts = match room {
            Ok(()) => {
                let (receipts, tally) = self.ledger.record(&batch.entries)?;
                self.group.commit.keys_new += tally.new;
                self.group.commit.keys_repeated += tally.repeated;
                receipts
            }
            Err(why) => {
                let Some(receipts) = self.ledger.known(&batch.entries)? else {
                    self.refuse(batch, &why);
                    return Ok(());
                };
                self.group.commit.keys_repeated += receipts.len() as u64;
                receipts
            }
        };
        self.group.answers.push((batch.answer, receipts));
        Ok(())
    }

    fn refuse(&mut self, batch: Batch, why: &str) {
        self.gate.set_refusing(true);
        let refusal = switchboard_core::Error::new(
            Code::Unavailable,
            format!("the store takes no writes now: {why}; nothing was recorded, try again later"),
        );
        // Nobody may be waiting any more.
        let _ = batch.answer.send(Err(refusal));
    }

    /// Writes the group, if it adds anything, and answers it.
    fn end_group(&mut self) -> Result<(), Error> {
        if !self.ledger.group_is_empty() {
            let began = Instant::now();
            self.group.payload.clear();
            self.ledger.end_group(&mut self.group.payload);
            self.group.commit.bytes = self.log.append(&self.group.payload)?;
            self.group.commit.synced = began.elapsed();
            self.gate.set_refusing(false);
        }
        for (answer, receipts) in self.group.answers.drain(..) {
            let _ = answer.send(Ok(receipts));
        }
        let commit = mem::take(&mut self.group.commit);
        if 0 < commit.batches {
            self.observer.committed(&commit);
        }
        self.publish();
        Ok(())
    }

    /// Lets the rest of the node know how much there is.
    pub(crate) fn publish(&self) {
        self.health.keys.store(self.ledger.keys(), Ordering::Relaxed);
        let bytes = self.ledger.memory_bytes() as u64;
        self.health.index_bytes.store(bytes, Ordering::Relaxed);
    }
}

impl Writes for Writer {
    type Work = Batch;
    type Flush = Flush;
    const WHAT: &'static str = "ingest";

    fn commit(&mut self, batches: &mut Vec<Batch>) -> Result<(), Error> {
        for batch in batches.drain(..) {
            self.add(batch)?;
        }
        self.end_group()
    }

    fn hand_over(&mut self, flushes: &SyncSender<Flush>, at_the_end: bool) {
        let fresh = self.ledger.fresh_len();
        if BEHIND_MAX * self.flush_keys <= fresh || at_the_end && 0 < fresh {
            // A keeper that is this far behind is waited for, so that memory stays bounded. One
            // that is gone has told why.
            let _ = flushes.send(self.flush());
        } else if self.flush_keys <= fresh {
            match flushes.try_send(self.flush()) {
                // The keeper is behind, or gone with the reason told: the log has it all.
                Err(TrySendError::Full(flush) | TrySendError::Disconnected(flush)) => {
                    self.ledger.put_back(flush.fresh);
                }
                Ok(()) => {}
            }
        }
    }

    fn refuse_group(&mut self) {
        for (answer, _) in self.group.answers.drain(..) {
            // Nobody may be waiting any more.
            let _ = answer.send(Err(failed()));
        }
    }

    fn health(&self) -> &Arc<Health> {
        &self.health
    }
}
