//! The commit log: what every acknowledged write stands in first.
//!
//! Records go into segments that were prepared beforehand. One record holds a whole group of
//! batches, is one write, and is durable before the next one is written. That is what lets recovery
//! tell a torn tail from corruption (`log/recover.rs`).

mod archive;
mod prepare;
mod record;
mod records;
mod recover;
mod segment;
mod zeros;

use std::{io, sync::Arc};

use self::{
    prepare::{Prepared, Preparer},
    record::{RECORD_HEADER, SEGMENT_HEADER, SegmentHeader},
    segment::Segment,
};
use crate::{Error, disk::Disk};

pub(crate) use self::{
    archive::{Archive, Block},
    prepare::{Missing, Spare},
    records::Records,
};

/// The room for a record that is kept from one to the next, in bytes.
const RECORD_KEPT: usize = 64 * 1024;

/// A place in the log: a record, and the segment that the record behind it may stand in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// The sequence of the record; 0 before the first.
    pub(crate) sequence: u64,
    /// No record behind this one stands in a segment with a smaller number.
    pub(crate) segment: u64,
}

/// Where bytes stand in the log: the number of a segment in the upper half, and the byte within it.
/// Later bytes have greater ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Location(pub(crate) u64);

impl Location {
    fn new(segment: u64, offset: usize) -> Self {
        // A segment is far shorter than 4 GiB, and there are far fewer than 2^31.
        Self(segment << 32 | offset as u64 & 0xffff_ffff)
    }

    fn segment(self) -> u64 {
        self.0 >> 32
    }

    pub(crate) fn offset(self) -> u64 {
        self.0 & 0xffff_ffff
    }
}

/// The log, open for writing. There is one writer.
#[derive(Debug)]
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    segment: Segment,
    next: u64,
    preparer: Preparer,
    /// The record under construction, with room for its header.
    record: Vec<u8>,
}

/// How the log is laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// The length of a segment, in bytes; a multiple of 8.
    pub(crate) segment_bytes: usize,
    /// Seeds the salts of new segments.
    pub(crate) entropy: u64,
}

impl Layout {
    /// The longest payload of one record: half a segment, so that a segment is never left mostly
    /// empty.
    pub(crate) fn payload_max(self) -> usize {
        self.segment_bytes / 2 - SEGMENT_HEADER - 2 * RECORD_HEADER
    }

    fn header(self, number: u64) -> SegmentHeader {
        SegmentHeader { number, salt: self.draw(number), len: self.segment_bytes as u64 }
    }

    /// A seed for whatever else needs one, once in the life of a data directory.
    pub(crate) fn seed(self) -> u64 {
        self.draw(0)
    }

    /// `SplitMix64`: one number for each step, from a state that is new with each start.
    fn draw(self, step: u64) -> u64 {
        let mut drawn = self.entropy.wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        drawn ^ (drawn >> 31)
    }
}

/// Makes the log's folder with its first segment.
pub(crate) fn create(disk: &dyn Disk, layout: Layout) -> io::Result<()> {
    disk.create_folder(segment::FOLDER)?;
    disk.sync_folder("")?;
    Segment::prepare(disk, layout.header(1), layout.segment_bytes).map(|_| ())
}

/// Whether there is a log, with or without records.
pub(crate) fn exists(disk: &dyn Disk) -> bool {
    disk.list(segment::FOLDER)
        .is_ok_and(|names| names.iter().any(|name| segment::number(name).is_some()))
}

/// Whether any record was ever written to the log.
pub(crate) fn holds_records(disk: &dyn Disk) -> Result<bool, Error> {
    let names = disk.list(segment::FOLDER)?;
    // A second segment is made only once the store is there.
    let mut any = names.iter().filter_map(|name| segment::number(name)).any(|number| number != 1);
    if any {
        return Ok(true);
    }
    recover::read(disk, Position { sequence: 0, segment: 1 }, |_, _, _| {
        any = true;
        Ok(())
    })?;
    Ok(any)
}

impl Log {
    /// Reads what stands behind `from` (`apply` gets each record's payload, in order, and where it
    /// stands) and opens the log for writing. Returns how many bytes of a torn tail were cleared,
    /// too.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        layout: Layout,
        from: Position,
        apply: impl FnMut(Position, Location, &[u8]) -> Result<(), Error>,
    ) -> Result<(Self, u64), Error> {
        let found = recover::read(&*disk, from, apply)?;
        for &number in &found.unused {
            disk.remove(&segment::path(number))?;
        }
        disk.sync_folder(segment::FOLDER)?;
        let preparer = Preparer::new(layout, found.segment.header.number + 1);
        let record = Vec::with_capacity(RECORD_KEPT);
        let log = Self { disk, segment: found.segment, next: found.next, preparer, record };
        Ok((log, found.torn_bytes))
    }

    /// Where the log stands: the last record that was written.
    pub(crate) fn position(&self) -> Position {
        Position { sequence: self.next - 1, segment: self.segment.header.number }
    }

    /// What prepares the next segment: to be driven by a thread of its own.
    pub(crate) fn spare(&self) -> Spare {
        self.preparer.spare(Arc::clone(&self.disk))
    }

    /// Whether a payload of this length can be appended without going on to the next segment.
    pub(crate) fn fits(&self, payload: usize) -> bool {
        payload <= self.segment.room()
    }

    /// Where the payload of the next record will stand, if it goes into this segment.
    pub(crate) fn next_payload(&self) -> Location {
        Location::new(self.segment.header.number, self.segment.end + RECORD_HEADER)
    }

    /// Whether a payload of this length can be appended now: reserves the room for it, going on to
    /// the next segment if need be. Waits for a segment that is being prepared.
    ///
    /// # Errors
    ///
    /// Why there is no segment: what the disk said when the next one was to be prepared.
    pub(crate) fn reserve(&mut self, payload: usize) -> Result<(), String> {
        if payload <= self.segment.room() {
            return Ok(());
        }
        match self.preparer.take() {
            Prepared::Ready(segment) => {
                self.segment = segment;
                Ok(())
            }
            Prepared::None(why) => Err(why),
        }
    }

    /// Appends one record with what `payload` writes, and makes it durable. Room must have been
    /// reserved.
    ///
    /// # Errors
    ///
    /// What the disk says. Nothing is known of the record then, and the log is not to be used
    /// again.
    pub(crate) fn append(&mut self, payload: &[u8]) -> io::Result<u64> {
        self.record.clear();
        self.record.resize(RECORD_HEADER, 0);
        self.record.extend_from_slice(payload);
        record::seal(&mut self.record, self.segment.header.salt, self.next);
        self.segment.append(&self.record)?;
        self.next += 1;
        let len = self.record.len() as u64;
        // One long record is no reason to keep its room for ever.
        self.record.clear();
        self.record.shrink_to(RECORD_KEPT);
        Ok(len)
    }
}

/// Removes the segments that hold no record behind `position`. What a power cut brings back is
/// removed again with the next call.
pub(crate) fn cut(disk: &dyn Disk, position: Position) -> io::Result<()> {
    for name in disk.list(segment::FOLDER)? {
        if segment::number(&name).is_some_and(|number| number < position.segment) {
            disk.remove(&format!("{}/{name}", segment::FOLDER))?;
        }
    }
    disk.sync_folder(segment::FOLDER)
}

/// Removes one segment, durably.
pub(crate) fn remove(disk: &dyn Disk, number: u64) -> io::Result<()> {
    disk.remove(&segment::path(number))?;
    disk.sync_folder(segment::FOLDER)
}

/// Before the oldest record that is there: for a log whose beginning nobody else knows. Its
/// segments must have been removed in order.
pub(crate) fn oldest(disk: &dyn Disk) -> Result<Position, Error> {
    let numbers = recover::numbers(disk)?;
    let Some(&first) = numbers.first() else {
        return Err(Error::Corrupt("the log has no segment".to_owned()));
    };
    let mut sequence = None;
    read_segment(disk, first, |found, _| {
        sequence.get_or_insert(found);
        Ok(())
    })?;
    Ok(Position { sequence: sequence.unwrap_or(1) - 1, segment: first })
}

/// Reads the records of one segment, in order.
pub(crate) fn read_segment(
    disk: &dyn Disk,
    number: u64,
    mut apply: impl FnMut(u64, &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let (segment, bytes) = Segment::open(disk, number)?.map_err(Error::Corrupt)?;
    let mut rest = &bytes[SEGMENT_HEADER..];
    while let Some((sequence, payload)) = record::open(rest, segment.header.salt) {
        apply(sequence, payload)?;
        rest = rest.get(record::record_len(payload.len())..).unwrap_or_default();
    }
    Ok(())
}

/// What the log takes on disk, in bytes.
pub(crate) fn size(disk: &dyn Disk, layout: Layout) -> u64 {
    let segments = disk.list(segment::FOLDER).map_or(0, |names| names.len());
    segments as u64 * layout.segment_bytes as u64
}
