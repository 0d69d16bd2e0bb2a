//! Reading from a log that is never cut.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Location,
    record::{self, RECORD_HEADER, SEGMENT_HEADER},
    segment,
};
use crate::disk::{Disk, File};

/// The most files that are kept open.
const OPEN_MAX: usize = 256;

/// The segments of a log, for whoever knows where in them something stands.
#[derive(Debug)]
pub(crate) struct Archive {
    disk: Arc<dyn Disk>,
    open: Mutex<HashMap<u64, Open>>,
}

#[derive(Clone, Debug)]
struct Open {
    file: Arc<dyn File>,
    len: u64,
}

impl Archive {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, open: Mutex::default() }
    }

    /// Reads `len` bytes from a place on, or as many as the segment has; in place of what `bytes`
    /// holds.
    pub(crate) fn read(&self, from: Location, len: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
        let Open { file, len: end } = self.segment(from.segment())?;
        let there = end.saturating_sub(from.offset());
        let len = usize::try_from(there).unwrap_or(usize::MAX).min(len);
        bytes.resize(len, 0);
        file.read_at(bytes, from.offset())
    }

    /// Where the payload stands that follows the one which stands there; none where it is the last.
    pub(crate) fn next(&self, payload: Location) -> io::Result<Option<Location>> {
        let mut header = Vec::new();
        let record = Location(payload.0 - RECORD_HEADER as u64);
        self.read(record, 4, &mut header)?;
        let next = Location(record.0 + record::record_len(length(&header)) as u64);
        self.read(next, 4, &mut header)?;
        if length(&header) != 0 {
            return Ok(Some(Location(next.0 + RECORD_HEADER as u64)));
        }
        let first = Location::new(payload.segment() + 1, SEGMENT_HEADER);
        match self.read(first, 4, &mut header) {
            Ok(()) if length(&header) != 0 => Ok(Some(Location(first.0 + RECORD_HEADER as u64))),
            Ok(()) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn segment(&self, number: u64) -> io::Result<Open> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = open.get(&number) {
            return Ok(open.clone());
        }
        let file = self.disk.open(&segment::path(number))?;
        let len = file.len()?;
        if OPEN_MAX <= open.len() {
            open.clear();
        }
        let opened = Open { file, len };
        open.insert(number, opened.clone());
        Ok(opened)
    }
}

/// The length that a record's header begins with; 0 where there is none.
fn length(header: &[u8]) -> usize {
    header.first_chunk().map_or(0, |&length| u32::from_le_bytes(length) as usize)
}
