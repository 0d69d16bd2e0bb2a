//! What the log holds, when it is opened again.
//!
//! One record is one write, and the next is written only after the sync of the one before. So after
//! a power cut at most the last record can be in pieces: that is a *torn tail*, it was never
//! acknowledged, and is cleared. A bad record with a good one anywhere behind it can't come from a
//! power cut: that is *corruption*, and nothing is opened, because what was acknowledged is
//! damaged.

use std::io;

use super::{
    Location, Position,
    record::{self, ALIGN, RECORD_HEADER, SEGMENT_HEADER},
    segment::{self, FOLDER, Segment},
    zeros,
};
use crate::{Error, disk::Disk};

/// How far beyond the position a sequence may be and still be believed, when a record is looked for
/// in damaged bytes. No log holds so many records.
const SEQUENCES_AHEAD_MAX: u64 = 1 << 40;

/// The log as it was found.
#[derive(Debug)]
pub(super) struct Found {
    /// The segment to go on with.
    pub(super) segment: Segment,
    /// The sequence of the next record.
    pub(super) next: u64,
    /// Bytes of a torn record that were cleared.
    pub(super) torn_bytes: u64,
    /// Segments that were prepared and never written to.
    pub(super) unused: Vec<u64>,
}

/// Reads all records behind `from` in order, hands each to `apply`, and clears a torn tail.
///
/// # Errors
///
/// [`Error::Corrupt`] for a damaged record before a good one, a missing record, or a missing
/// segment; what the disk says.
pub(super) fn read(
    disk: &dyn Disk,
    from: Position,
    mut apply: impl FnMut(Position, Location, &[u8]) -> Result<(), Error>,
) -> Result<Found, Error> {
    let mut reader = Reader { from, next: None, end: None, bad: None, unused: Vec::new() };
    let numbers = numbers(disk)?;
    check_complete(&numbers, from)?;
    // What stands before the position is not needed, and of a log that is never cut it is very
    // much.
    for number in numbers.into_iter().filter(|&number| from.segment <= number) {
        let (segment, bytes) = Segment::open(disk, number)?.map_err(Error::Corrupt)?;
        reader.segment(segment, bytes, &mut apply)?;
    }
    reader.finish()
}

/// The numbers of the segments that are there, in order. Removes what was never finished.
pub(super) fn numbers(disk: &dyn Disk) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for name in disk.list(FOLDER)? {
        match segment::number(&name) {
            Some(number) => numbers.push(number),
            None if segment::is_unfinished(&name) => disk.remove(&format!("{FOLDER}/{name}"))?,
            None => {}
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Segments are made one after the other: from the one of the position on, none may be missing.
/// Those before it may be gone in part.
fn check_complete(numbers: &[u64], from: Position) -> Result<(), Error> {
    let mut expected = from.segment;
    for &number in numbers.iter().filter(|&&number| from.segment <= number) {
        if number != expected {
            break;
        }
        expected += 1;
    }
    if expected == from.segment || numbers.last().is_some_and(|&last| expected <= last) {
        return Err(Error::Corrupt(format!("{} is missing", segment::path(expected))));
    }
    Ok(())
}

struct Reader {
    from: Position,
    /// The sequence expected next, once one was seen.
    next: Option<u64>,
    /// The last segment that was in use.
    end: Option<(Segment, Vec<u8>)>,
    /// Where the first bytes that are no record stand, if any were met.
    bad: Option<(u64, usize)>,
    unused: Vec<u64>,
}

/// What stands behind a place; nothing where there is no such place.
fn rest(bytes: &[u8], at: usize) -> &[u8] {
    bytes.get(at..).unwrap_or_default()
}

impl Reader {
    fn segment(
        &mut self,
        mut segment: Segment,
        bytes: Vec<u8>,
        apply: &mut impl FnMut(Position, Location, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (number, salt) = (segment.header.number, segment.header.salt);
        let begun = !zeros::only(&bytes[SEGMENT_HEADER..]);
        // The position's segment was in use, even if nothing was written to it: it may have been
        // taken for a batch that then held repeats alone.
        let used = begun || number <= self.from.segment;
        if used && let Some((bad, byte)) = self.bad {
            let (bad, path) = (segment::path(bad), segment::path(number));
            return Err(Error::Corrupt(format!("{bad} is damaged at byte {byte}, before {path}")));
        }
        while let Some((sequence, payload)) = record::open(rest(&bytes, segment.end), salt) {
            self.check(number, segment.end, sequence)?;
            if self.from.sequence < sequence {
                let payload_at = Location::new(number, segment.end + RECORD_HEADER);
                apply(Position { sequence, segment: number }, payload_at, payload)?;
            }
            self.next = Some(sequence + 1);
            segment.end += record::record_len(payload.len());
        }
        let tail = rest(&bytes, segment.end);
        if !zeros::only(tail) {
            if let Some((at, sequence)) = self.record_behind(tail, salt) {
                return Err(Error::Corrupt(format!(
                    "{} is damaged at byte {}: record {sequence} stands behind it at byte {}",
                    segment::path(number),
                    segment.end,
                    segment.end + at
                )));
            }
            self.bad = Some((number, segment.end));
        }
        // Go on in the last segment that was in use; later ones were only prepared.
        if used {
            self.end = Some((segment, bytes));
        } else {
            self.unused.push(number);
        }
        Ok(())
    }

    /// The first whole record anywhere in `tail` behind its beginning: where, and its sequence.
    fn record_behind(&self, tail: &[u8], salt: u64) -> Option<(usize, u64)> {
        let plausible = 1..self.from.sequence.saturating_add(SEQUENCES_AHEAD_MAX);
        let mut places = (ALIGN..tail.len()).step_by(ALIGN);
        places.find_map(|at| {
            // Most bytes are no record: look at the sequence before the checksum of megabytes.
            let sequence = record::sequence(&tail[at..]).filter(|it| plausible.contains(it))?;
            record::open(&tail[at..], salt).map(|_| (at, sequence))
        })
    }

    /// A record must follow the one before it, and nothing damaged may stand between them.
    fn check(&self, number: u64, at: usize, sequence: u64) -> Result<(), Error> {
        let place = || format!("record {sequence} in {} at byte {at}", segment::path(number));
        if let Some((bad, byte)) = self.bad {
            let bad = segment::path(bad);
            let what = format!("{bad} is damaged at byte {byte}, before {}", place());
            return Err(Error::Corrupt(what));
        }
        // Records before the position may be gone in part, with their segments.
        let expected = self.next.filter(|&next| self.from.sequence < next);
        let first = self.from.sequence + 1;
        let follows = match expected {
            Some(next) => sequence == next,
            None => sequence <= first,
        };
        if follows {
            return Ok(());
        }
        let expected = expected.unwrap_or(first);
        Err(Error::Corrupt(format!("{} follows where record {expected} is missing", place())))
    }

    fn finish(self) -> Result<Found, Error> {
        let Some((segment, bytes)) = self.end else {
            return Err(Error::Corrupt("the log has no segment".to_owned()));
        };
        let torn_bytes = zeros::without(rest(&bytes, segment.end));
        segment.clear_tail(&bytes)?;
        let next = self.next.unwrap_or(1).max(self.from.sequence + 1);
        Ok(Found { segment, next, torn_bytes: torn_bytes as u64, unused: self.unused })
    }
}
