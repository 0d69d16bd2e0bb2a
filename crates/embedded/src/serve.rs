//! How a writer serves its queue, until that is closed and empty or the store fails.

use std::{
    mem,
    sync::{Arc, mpsc::SyncSender},
};

use switchboard_core::Code;

use crate::{
    Error,
    health::Health,
    queue::{Queue, Waiting},
};

/// Why nothing is taken any more after a failure.
pub(crate) const FAILED: &str = "the store has failed: the node is stopping";

/// The one that writes to a log.
pub(crate) trait Writes {
    /// What it is asked for.
    type Work: Waiting;
    /// What its keeper puts away.
    type Flush;
    /// What it writes, for the log of the node.
    const WHAT: &'static str;

    /// Does what waits, durably, and answers it. An error is the end of the store.
    fn commit(&mut self, works: &mut Vec<Self::Work>) -> Result<(), Error>;

    /// Hands to the keeper what is due; at the end all that there is.
    fn hand_over(&mut self, flushes: &SyncSender<Self::Flush>, at_the_end: bool);

    /// Tells those whose answers wait for the sync that there is none.
    fn refuse_group(&mut self);

    fn health(&self) -> &Arc<Health>;
}

/// Why nothing is done any more.
pub(crate) fn failed() -> switchboard_core::Error {
    switchboard_core::Error::new(Code::Unavailable, FAILED)
}

/// Serves a queue. At its end the rest is handed to the keeper.
pub(crate) fn serve<W: Writes>(
    mut writer: W,
    queue: &Queue<W::Work>,
    flushes: &SyncSender<W::Flush>,
) {
    let mut works = Vec::new();
    while let Some(taken) = queue.take(mem::take(&mut works)) {
        works = taken;
        // Another thread's failure has been told already.
        let mut ended = writer.health().has_failed();
        if !ended && let Err(error) = writer.commit(&mut works) {
            writer.health().fail(&format!("{}: {}", W::WHAT, error.chain()));
            ended = true;
        }
        if ended {
            end(&mut writer, queue, works);
            return;
        }
        writer.hand_over(flushes, false);
    }
    writer.hand_over(flushes, true);
}

/// Tells everybody who waits that the store has failed, and lets nobody wait any more.
fn end<W: Writes>(writer: &mut W, queue: &Queue<W::Work>, works: Vec<W::Work>) {
    queue.close(FAILED);
    writer.refuse_group();
    for work in works.into_iter().chain(queue.take(Vec::new()).unwrap_or_default()) {
        work.refuse(failed());
    }
}
