//! Reading from a log that is never cut.

mod cache;

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use self::cache::{BLOCK, Cache};
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
    cache: Cache,
    /// Nothing before this place changes any more.
    settled: AtomicU64,
}

#[derive(Clone, Debug)]
struct Open {
    file: Arc<dyn File>,
    len: u64,
}

/// A part of a segment in memory, and where it begins.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) begin: Location,
    pub(crate) bytes: Arc<[u8]>,
}

impl Archive {
    /// An archive that keeps at most so many bytes of what was read in memory.
    pub(crate) fn new(disk: Arc<dyn Disk>, cache_bytes: usize) -> Self {
        let (open, cache) = (Mutex::default(), Cache::new(cache_bytes));
        Self { disk, open, cache, settled: AtomicU64::new(0) }
    }

    /// Nothing before a place changes any more.
    pub(crate) fn settle(&self, place: Location) {
        self.settled.store(place.0, Ordering::Release);
    }

    /// The part of its segment that a place is in, as far as nothing of it changes any more.
    pub(crate) fn block(&self, place: Location) -> io::Result<Block> {
        let begin = Location(place.0 - place.offset() % BLOCK);
        let settled = self.settled.load(Ordering::Acquire);
        if settled < begin.0 + BLOCK {
            // It will be longer: not kept.
            let len = usize::try_from(settled.saturating_sub(begin.0)).unwrap_or_default();
            let mut bytes = Vec::new();
            self.read(begin, len, &mut bytes)?;
            return Ok(Block { begin, bytes: bytes.into() });
        }
        if let Some(bytes) = self.cache.get(begin) {
            return Ok(Block { begin, bytes });
        }
        let mut bytes = Vec::new();
        self.read(begin, usize::try_from(BLOCK).unwrap_or_default(), &mut bytes)?;
        let bytes: Arc<[u8]> = bytes.into();
        self.cache.put(begin, &bytes);
        Ok(Block { begin, bytes })
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
