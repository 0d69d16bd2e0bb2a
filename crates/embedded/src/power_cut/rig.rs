//! A store on a simulated disk, driven step by step on one thread.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use switchboard_core::{
    Result as Answered,
    ingest::{Entry, Key, Receipt},
    store::Unobserved,
};
use tokio::sync::oneshot;

use super::{
    disk::SimDisk,
    model::{Image, Op},
};
use crate::{
    Error, Options,
    health::Health,
    keeper::Keeps as _,
    open::{self, Parts},
    queue::Batch,
    serve::Writes as _,
};

/// Small, so that everything that has an end is met soon.
pub(super) const OPTIONS: Options = Options {
    chat_segment_bytes: 128 * 1024,
    chat_memory_bytes: 1 << 20,
    chat_cache_bytes: 1 << 20,
    chat_flush_entries: 3,
    vault_segment_bytes: 8 * 1024,
    vault_flush_bytes: usize::MAX,
    bus_segment_bytes: 16 * 1024,
    bus_flush_bytes: usize::MAX,
    bus_memory_bytes: 1 << 20,
    bus_cache_bytes: 1 << 20,
    reports_segment_bytes: 4 * 1024,
    segment_bytes: 4096,
    ingest_memory_bytes: 1 << 20,
    flush_keys: 1,
    waiting_entries_max: 10_000,
    entropy: 7,
};

/// An entry of one of a few tenants.
pub(super) fn entry(tenant: usize, key: u32) -> Entry {
    Entry {
        tenant: format!("tenant{tenant}").parse().unwrap(),
        key: Key::from_number(key).unwrap(),
    }
}

/// An answer that is there.
pub(super) fn now<T>(answer: impl Future<Output = T>) -> T {
    match pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("not answered"),
    }
}

/// Somebody to be told of a failure, of which there is none here.
pub(super) fn health() -> Result<Arc<Health>, Error> {
    let elsewhere = Arc::new(SimDisk::new(Image::default()));
    Ok(open::open(elsewhere, &OPTIONS, Arc::new(Unobserved))?.health)
}

/// What happened to a disk and what must be there after it.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    pub(super) base: Image,
    pub(super) ops: Vec<Op>,
    /// What was acknowledged before the base was left.
    pub(super) acked: Vec<(Entry, u64)>,
    /// Everything that was ever sent.
    pub(super) sent: Vec<Entry>,
    /// The last id of every batch that was ever sent.
    pub(super) ends: Vec<u64>,
    /// Whether the power is cut at the end alone.
    pub(super) at_end: bool,
}

impl Story {
    /// Leaves out the cuts: only what is left at the end is of interest.
    pub(super) fn settle(&mut self) {
        self.at_end = true;
    }
}

/// The store.
#[derive(Debug)]
pub(super) struct Rig {
    pub(super) disk: SimDisk,
    pub(super) parts: Parts,
    story: Story,
}

/// Opens a store. A panic, which must never be, is told like an error.
pub(super) fn open(disk: &SimDisk) -> Result<Parts, String> {
    match catch_unwind(AssertUnwindSafe(|| try_open(disk))) {
        Ok(opened) => opened.map_err(|error| error.chain()),
        Err(_) => Err("opening panicked".to_owned()),
    }
}

pub(super) fn try_open(disk: &SimDisk) -> Result<Parts, Error> {
    open::open(Arc::new(disk.clone()), &OPTIONS, Arc::new(Unobserved))
}

/// The answer to a batch, if it got one.
pub(super) type Answer = Option<Answered<Vec<Receipt>>>;

/// Records batches in one commit, and returns their answers: none for who was left without one.
pub(super) fn record(parts: &mut Parts, batches: &[&[Entry]]) -> (Result<(), Error>, Vec<Answer>) {
    parts.spare.prepare();
    let mut waiting = Vec::new();
    let mut sent = Vec::new();
    for entries in batches {
        let (answer, answered) = oneshot::channel();
        sent.push(Batch { entries: entries.to_vec(), answer, arrived: Instant::now() });
        waiting.push(answered);
    }
    let committed = parts.writer.commit(&mut sent);
    let answers = waiting.iter_mut().map(|answered| answered.try_recv().ok()).collect();
    (committed, answers)
}

impl Rig {
    /// Opens a store on what another story left.
    pub(super) fn open(disk: SimDisk, before: Story) -> Result<Self, String> {
        let parts = open(&disk)?;
        Ok(Self { disk, parts, story: before })
    }

    pub(super) fn fresh() -> Self {
        Self::open(SimDisk::new(Image::default()), Story::default()).unwrap()
    }

    /// Records batches in one commit; all must be acknowledged.
    pub(super) fn commit(&mut self, batches: &[&[Entry]]) {
        self.try_commit(batches).unwrap();
    }

    pub(super) fn try_commit(&mut self, batches: &[&[Entry]]) -> Result<(), Error> {
        // What fails may have been written all the same.
        let mut end = self.parts.writer.ledger.keys();
        for entries in batches {
            let new: std::collections::BTreeSet<_> =
                entries.iter().filter(|entry| !self.story.sent.contains(entry)).collect();
            end += new.len() as u64;
            self.story.ends.push(end);
            self.story.sent.extend_from_slice(entries);
        }
        let (committed, answers) = record(&mut self.parts, batches);
        for (entries, answer) in batches.iter().zip(answers) {
            if let Some(Ok(receipts)) = answer {
                assert_eq!(entries.len(), receipts.len());
                let ids = receipts.iter().map(|receipt| receipt.id);
                self.disk.acked(entries.iter().copied().zip(ids).collect());
                self.story.ends.push(receipts.iter().map(|receipt| receipt.id).max().unwrap());
            }
        }
        committed
    }

    pub(super) fn checkpoint(&mut self) {
        self.try_checkpoint().unwrap();
    }

    pub(super) fn try_checkpoint(&mut self) -> Result<(), Error> {
        let mut flush = self.parts.writer.flush();
        self.parts.keeper.checkpoint(&mut flush)
    }

    /// All that happened.
    pub(super) fn story(&self) -> Story {
        let (base, ops) = self.disk.history();
        Story { base, ops, ..self.story.clone() }
    }

    /// All that happened, once the store was dropped.
    pub(super) fn end(self) -> Story {
        let Self { disk, parts, story } = self;
        drop(parts);
        let (base, ops) = disk.history();
        Story { base, ops, ..story }
    }
}
