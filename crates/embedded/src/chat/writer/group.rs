//! What gets durable with the next sync.

use std::{mem, time::Instant};

use switchboard_core::{Code, chat::Signal, store::Commit};

use super::{
    super::{
        entry::{self, Entry, Times},
        recent::Change,
        work::Answered,
    },
    Writer,
};
use crate::{Error, log::Location};

/// The group under way.
#[derive(Debug, Default)]
pub(in super::super) struct Group {
    payload: Vec<u8>,
    /// Where the payload will stand.
    begin: Location,
    changes: Vec<Change>,
    signals: Vec<Signal>,
    answers: Vec<Answered>,
    commit: Commit,
    /// The time by the caller's clock of one of the entries, and when it came.
    clock: Option<(i64, Instant)>,
    arrived: Option<Instant>,
    /// When the record before was durable and signalled, which this one tells.
    times: Option<Times>,
}

impl Group {
    /// The next work is looked at.
    pub(super) fn begin_work(&mut self, arrived: Instant) {
        let waited = arrived.elapsed();
        self.commit.waited = self.commit.waited.max(waited);
        self.commit.batches += 1;
        self.arrived = Some(arrived);
    }

    /// Whether nothing is to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    /// Where the next entry will stand, and where that is from the beginning of the payload.
    pub(super) fn place(&self) -> (u64, u32) {
        let behind = self.payload.len();
        // A payload is half a segment at the most.
        (self.begin.0 + behind as u64, u32::try_from(behind).unwrap_or(u32::MAX))
    }

    /// Adds an entry, for which there must be room.
    pub(super) fn write(&mut self, entry: &Entry<'_>) {
        entry.write(&mut self.payload);
    }

    /// What follows from the last entry. `at` is its time, by the caller's clock.
    pub(super) fn change(&mut self, change: Change, at: i64) {
        self.changes.push(change);
        if let Some(arrived) = self.arrived {
            self.clock.get_or_insert((at, arrived));
        }
    }

    pub(super) fn signal(&mut self, signal: Signal) {
        self.signals.push(signal);
    }

    pub(super) fn answer(&mut self, answered: Answered) {
        self.answers.push(answered);
    }

    pub(super) fn take_answers(&mut self) -> Vec<Answered> {
        mem::take(&mut self.answers)
    }

    /// The entry that is to stand at a place, if that is in this group.
    pub(super) fn entry(&self, place: u64) -> Option<Entry<'_>> {
        let at = usize::try_from(place.checked_sub(self.begin.0)?).ok()?;
        entry::read(self.payload.get(at..)?).map(|(entry, _)| entry)
    }

    fn now(&self) -> i64 {
        // The caller's clock, as far as it has gone since.
        self.clock.map_or(0, |(at, arrived)| {
            at.saturating_add(i64::try_from(arrived.elapsed().as_millis()).unwrap_or(i64::MAX))
        })
    }
}

impl Writer {
    /// Makes room for entries of so many bytes in the group under way, or in the next. Says why
    /// there is none.
    pub(super) fn reserve(&mut self, needed: usize) -> Result<Result<(), String>, Error> {
        let total = self.group.payload.len() + needed + entry::OTHERS_MAX;
        // A group stands in one segment: its places are known from the first entry on.
        if !self.group.is_empty() && (self.payload_max < total || !self.log.fits(total)) {
            self.end_group()?;
        }
        if !self.group.is_empty() {
            return Ok(Ok(()));
        }
        let total = needed + entry::OTHERS_MAX;
        if self.payload_max < total {
            return Ok(Err("the entry is longer than a segment of the log".to_owned()));
        }
        if let Err(why) = self.log.reserve(total) {
            self.gate.set_refusing(true);
            return Ok(Err(why));
        }
        self.group.begin = self.log.next_payload();
        Ok(Ok(()))
    }

    /// Adds an entry, the first in its group behind the times of the record before.
    pub(super) fn begin_entry(&mut self) {
        if self.group.is_empty()
            && let Some(times) = self.group.times
        {
            self.group.write(&Entry::Times(times));
        }
    }

    /// Makes the group durable, lets it be read, answers and signals it.
    pub(super) fn end_group(&mut self) -> Result<(), Error> {
        let written = !self.group.is_empty();
        if written {
            let began = Instant::now();
            self.group.commit.bytes = self.log.append(&self.group.payload)?;
            self.group.commit.synced = began.elapsed();
            self.group.payload.clear();
            self.shared.archive.settle(self.log.next_payload());
            self.gate.set_refusing(false);
            self.publish();
        }
        let stored = self.group.now();
        if written {
            self.tell_times(Times { stored, signalled: stored });
        }
        // The sender first: handing out signals takes longer.
        for answered in self.group.take_answers() {
            self.tell(answered);
        }
        if written {
            let signals = mem::take(&mut self.group.signals);
            if let Some(listener) = self.listener() {
                listener.tell(signals);
            }
            self.tell_times(Times { stored, signalled: self.group.now() });
            self.group.clock = None;
        }
        let commit = mem::take(&mut self.group.commit);
        if 0 < commit.batches {
            self.observer.committed(&commit);
        }
        Ok(())
    }

    /// The times of the record that was just written, for whoever asks and for the next record.
    fn tell_times(&mut self, times: Times) {
        self.group.times = Some(times);
        self.shared.change().newest = Some((self.group.begin, times));
    }

    /// What is durable can be read.
    pub(super) fn publish(&mut self) {
        let mut state = self.shared.change();
        for change in self.group.changes.drain(..) {
            state.apply(change);
        }
    }

    fn tell(&self, answered: Answered) {
        // Nobody may be waiting any more.
        match answered {
            Answered::Sent(answer, sent) => drop(answer.send(Ok(sent))),
            Answered::Marks(answer, marks) => drop(answer.send(Ok(marks))),
            Answered::Registered(answer, registered) => drop(answer.send(registered)),
            Answered::Traced(answer, place) => {
                let steps = place.and_then(|place| {
                    self.shared.steps(place).map_err(|error| {
                        let what = "the store could not be read";
                        switchboard_core::Error::new(Code::Unavailable, what).caused_by(error)
                    })
                });
                drop(answer.send(steps));
            }
        }
    }
}
