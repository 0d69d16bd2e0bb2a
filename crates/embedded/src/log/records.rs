//! All records of a log that is never cut, a segment at a time.

use std::ops::Range;

use super::{
    Location,
    record::{self, RECORD_HEADER, SEGMENT_HEADER},
    segment::{self, Segment},
};
use crate::{Error, disk::Disk};

/// One segment in memory.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) number: u64,
    bytes: Vec<u8>,
    /// The sequence of each record, and where its payload stands.
    all: Vec<(u64, Range<usize>)>,
}

impl Records {
    /// Reads a segment; none where there is none.
    pub(crate) fn open(disk: &dyn Disk, number: u64) -> Result<Option<Self>, Error> {
        if !disk.list(segment::FOLDER)?.iter().any(|name| segment::number(name) == Some(number)) {
            return Ok(None);
        }
        let (segment, bytes) = Segment::open(disk, number)?.map_err(Error::Corrupt)?;
        let (mut all, mut at) = (Vec::new(), SEGMENT_HEADER);
        while let Some((sequence, payload)) =
            record::open(bytes.get(at..).unwrap_or_default(), segment.header.salt)
        {
            let begin = at + RECORD_HEADER;
            all.push((sequence, begin..begin + payload.len()));
            at += record::record_len(payload.len());
        }
        Ok(Some(Self { number, bytes, all }))
    }

    /// The sequence of the last, if there is any.
    pub(crate) fn last(&self) -> Option<u64> {
        self.all.last().map(|(sequence, _)| *sequence)
    }

    /// The sequence of a record, where its payload stands, and what it is.
    pub(crate) fn get(&self, index: usize) -> Option<(u64, Location, &[u8])> {
        let (sequence, range) = self.all.get(index)?;
        let payload = self.bytes.get(range.clone())?;
        Some((*sequence, Location::new(self.number, range.start), payload))
    }
}
