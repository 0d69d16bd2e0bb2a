//! One file of the log: written full of zeros first, then filled with records.
//!
//! Overwriting blocks that are there already needs no change to the file system's own records, so a
//! sync writes the data and nothing else: about half the time of a sync that extends the file
//! (`docs/benchmarks.md`). It also means that a full disk is met here, before any record depends on
//! the room, and never while records are written.

use std::{io, sync::Arc};

use super::{
    record::{self, ALIGN, SEGMENT_HEADER, SegmentHeader},
    zeros,
};
use crate::disk::{Disk, File};

/// The folder of the log.
pub(super) const FOLDER: &str = "log";

/// Where a segment is prepared, before it gets its name.
const PREPARING: &str = "log/preparing.tmp";

/// How much is written at once while a segment is prepared, in bytes.
const ZEROS: usize = 256 * 1024;

/// An open segment and the end of what it holds.
#[derive(Debug)]
pub(super) struct Segment {
    file: Arc<dyn File>,
    pub(super) header: SegmentHeader,
    /// Where the next record goes.
    pub(super) end: usize,
    /// The length of the file.
    pub(super) len: usize,
}

/// The name of a segment's file.
pub(super) fn path(number: u64) -> String {
    format!("{FOLDER}/{number:012}.log")
}

/// The number of a segment, from the name of its file.
pub(super) fn number(name: &str) -> Option<u64> {
    name.strip_suffix(".log")?.parse().ok()
}

/// Whether a file of the folder was left behind by a preparation that did not end.
pub(super) fn is_unfinished(name: &str) -> bool {
    PREPARING.strip_prefix(FOLDER).is_some_and(|rest| rest.strip_prefix('/') == Some(name))
}

impl Segment {
    /// Makes a segment of `len` bytes and its name durable.
    ///
    /// # Errors
    ///
    /// What the disk says; [`io::ErrorKind::StorageFull`] when there is no room. Nothing is left
    /// behind then.
    pub(super) fn prepare(disk: &dyn Disk, header: SegmentHeader, len: usize) -> io::Result<Self> {
        let prepare = || {
            let file = disk.create(PREPARING)?;
            let zeros = vec![0; ZEROS.min(len)];
            for position in (0..len).step_by(ZEROS) {
                file.write_at(&zeros[..ZEROS.min(len - position)], position as u64)?;
            }
            file.write_at(&header.to_bytes(), 0)?;
            file.sync()?;
            disk.rename(PREPARING, &path(header.number))?;
            disk.sync_folder(FOLDER)?;
            Ok(Self { file, header, end: SEGMENT_HEADER, len })
        };
        prepare().inspect_err(|_| {
            // Best effort: the next start removes what is left.
            let _ = disk.remove(PREPARING);
        })
    }

    /// Opens a segment that was prepared earlier, and reads it.
    pub(super) fn open(
        disk: &dyn Disk,
        number: u64,
    ) -> io::Result<Result<(Self, Vec<u8>), String>> {
        let file = disk.open(&path(number))?;
        let Ok(len) = usize::try_from(file.len()?) else {
            return Ok(Err(format!("{} is too long", path(number))));
        };
        let mut bytes = vec![0; len];
        file.read_at(&mut bytes, 0)?;
        let header = bytes.first_chunk().and_then(SegmentHeader::from_bytes);
        match header {
            Some(header) if header.number == number && header.len != len as u64 => {
                let (path, stated) = (path(number), header.len);
                Ok(Err(format!("{path} has {len} bytes, it was made with {stated}")))
            }
            Some(header) if header.number == number => {
                Ok(Ok((Self { file, header, end: SEGMENT_HEADER, len }, bytes)))
            }
            _ => Ok(Err(format!("the header of {} is damaged", path(number)))),
        }
    }

    /// How long a payload may be to still fit behind what is there.
    pub(super) fn room(&self) -> usize {
        (self.len - self.end).saturating_sub(record::RECORD_HEADER + ALIGN)
    }

    /// Writes a sealed record behind what is there and makes it durable.
    pub(super) fn append(&mut self, sealed: &[u8]) -> io::Result<()> {
        self.file.write_at(sealed, self.end as u64)?;
        self.file.sync()?;
        self.end += sealed.len();
        Ok(())
    }

    /// Overwrites what stands behind the end with zeros, and makes the segment durable as it is.
    pub(super) fn clear_tail(&self, bytes: &[u8]) -> io::Result<()> {
        let used = zeros::without(bytes.get(self.end..).unwrap_or_default());
        if 0 < used {
            self.file.write_at(&vec![0; used], self.end as u64)?;
        }
        // Also when nothing was cleared: what a killed process wrote may not be on disk yet.
        self.file.sync()
    }
}
