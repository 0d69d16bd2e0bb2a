//! A sorted file of slots and ids: written once, read for ever.
//!
//! ```text
//! block     255 × (slot u64, id u64) | count u16 | 0 u16 | crc u32 | file number u64  (4096 bytes)
//! fences    for each block its first slot, u64
//! filter    words of u64 (see `filter.rs`)
//! footer    "SWBRUN01" | pairs u64 | blocks u64 | filter words u64 | number u64
//!           | crc of fences and filter u32 | crc of the footer u32                      (48 bytes)
//! ```
//!
//! Numbers are little-endian. A look-up reads one block, which the fences name. Nothing in a file
//! that has its name is ever changed.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use super::{Pair, filter::Filter};
use crate::{
    Error,
    disk::{Disk, File},
};

const BLOCK: usize = 4096;
const PAIR: usize = 16;
const PAIRS: usize = 255;
const FOOTER: usize = 48;
const MAGIC: &[u8; 8] = b"SWBRUN01";

/// A sorted file.
#[derive(Debug)]
pub(crate) struct Run {
    pub(super) number: u64,
    /// How many pairs it holds.
    pub(super) pairs: u64,
    /// What the file is called in errors.
    name: String,
    file: Arc<dyn File>,
    fences: Vec<u64>,
    /// Read only once look-ups come here.
    filter: OnceLock<Filter>,
    filter_words: usize,
}

/// The name of a sorted file.
pub(super) fn path(number: u64) -> String {
    format!("{number:012}.run")
}

/// The number of a sorted file, from its name.
pub(super) fn number(name: &str) -> Option<u64> {
    name.strip_suffix(".run")?.parse().ok()
}

impl Run {
    /// Writes pairs, which come in the order of their slots, and makes the file durable.
    pub(super) fn write(
        disk: &dyn Disk,
        number: u64,
        count: u64,
        pairs: impl Iterator<Item = Result<Pair, Error>>,
    ) -> Result<Self, Error> {
        let preparing = format!("{number:012}.tmp");
        let write = || {
            let mut writer = Writer::new(disk.create(&preparing)?, number, count);
            for pair in pairs {
                writer.push(pair?)?;
            }
            let run = Run { name: disk.describe(&path(number)), ..writer.finish()? };
            disk.rename(&preparing, &path(number))?;
            disk.sync_folder("")?;
            Ok(run)
        };
        write().inspect_err(|_| {
            // It may be the disk that is full. Best effort: the next start removes what is left.
            let _ = disk.remove(&preparing);
        })
    }

    /// Opens a file that was written.
    pub(super) fn open(disk: &dyn Disk, number: u64) -> Result<Self, Error> {
        let name = disk.describe(&path(number));
        let file = disk.open(&path(number)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::Corrupt(format!("{name} is missing")),
            _ => error.into(),
        })?;
        let damaged = |what| Error::Corrupt(format!("{what} of {name} is damaged"));
        let len = file.len()?;
        let at = len.checked_sub(FOOTER as u64).ok_or_else(|| damaged("the length"))?;
        let mut bytes = [0; FOOTER];
        file.read_at(&mut bytes, at)?;
        let footer = Footer::from_bytes(&bytes).ok_or_else(|| damaged("the footer"))?;
        if footer.number != number || footer.len() != Some(len) {
            return Err(damaged("the footer"));
        }
        let mut run = Self {
            number,
            pairs: footer.pairs,
            name: name.clone(),
            file,
            fences: Vec::new(),
            filter: OnceLock::new(),
            filter_words: usize::try_from(footer.filter_words).unwrap_or_default(),
        };
        let blocks = usize::try_from(footer.blocks).map_err(|_| damaged("the footer"))?;
        run.fences = run.words(blocks_len(blocks), blocks)?;
        let filter = run.words(blocks_len(blocks) + blocks as u64 * 8, run.filter_words)?;
        if crc(&[&run.fences, &filter]) != footer.crc {
            return Err(damaged("the index"));
        }
        Ok(run)
    }

    /// The id of a slot, if it is here. `filtered` says whether to ask the filter first, which then
    /// stays in memory.
    pub(super) fn find(&self, slot: u64, filtered: bool) -> Result<Option<u64>, Error> {
        if filtered && !self.filter()?.may_hold(slot) {
            return Ok(None);
        }
        let behind = self.fences.partition_point(|&first| first <= slot);
        let Some(block) = behind.checked_sub(1) else { return Ok(None) };
        let mut bytes = [0; BLOCK];
        let pairs = self.block(block, &mut bytes)?;
        let place = pairs.binary_search_by_key(&slot, |pair| pair_of(pair).slot);
        Ok(place.ok().map(|place| pair_of(&pairs[place]).id))
    }

    /// All pairs in order.
    pub(super) fn iter(&self) -> Iter<'_> {
        self.iter_from(0)
    }

    /// The pairs from a slot on, in order, and perhaps some before it.
    pub(super) fn iter_from(&self, slot: u64) -> Iter<'_> {
        let next_block = self.fences.partition_point(|&first| first <= slot).saturating_sub(1);
        Iter { run: self, bytes: Box::new([0; BLOCK]), next_block, next: 0, count: 0 }
    }

    /// What the filter takes in memory once it is read, in bytes.
    pub(super) fn filter_bytes(&self) -> u64 {
        self.filter_words as u64 * 8
    }

    fn filter(&self) -> Result<&Filter, Error> {
        if let Some(filter) = self.filter.get() {
            return Ok(filter);
        }
        let at = blocks_len(self.fences.len()) + self.fences.len() as u64 * 8;
        let filter = Filter::from_words(self.words(at, self.filter_words)?);
        Ok(self.filter.get_or_init(|| filter))
    }

    fn block<'a>(
        &self,
        block: usize,
        bytes: &'a mut [u8; BLOCK],
    ) -> Result<&'a [[u8; PAIR]], Error> {
        self.file.read_at(bytes, blocks_len(block))?;
        let stated = u32::from_le_bytes([bytes[4084], bytes[4085], bytes[4086], bytes[4087]]);
        let count = usize::from(u16::from_le_bytes([bytes[4080], bytes[4081]]));
        let number = self.number.to_le_bytes();
        if block_crc(bytes) != stated || bytes[4088..] != number || PAIRS < count {
            return Err(Error::Corrupt(format!("block {block} of {} is damaged", self.name)));
        }
        Ok(&bytes.as_chunks().0[..count])
    }

    fn words(&self, at: u64, count: usize) -> io::Result<Vec<u64>> {
        let mut bytes = vec![0; count * 8];
        self.file.read_at(&mut bytes, at)?;
        Ok(bytes.as_chunks().0.iter().map(|&word| u64::from_le_bytes(word)).collect())
    }
}

fn blocks_len(blocks: usize) -> u64 {
    blocks as u64 * BLOCK as u64
}

fn pair_of(bytes: &[u8; PAIR]) -> Pair {
    let [slot, id] = [0, 8].map(|at| bytes[at..].first_chunk().copied().unwrap_or_default());
    Pair { slot: u64::from_le_bytes(slot), id: u64::from_le_bytes(id) }
}

/// Over everything in a block but the checksum itself.
fn block_crc(bytes: &[u8; BLOCK]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..4084]), &bytes[4088..])
}

fn crc(parts: &[&[u64]]) -> u32 {
    let words = parts.iter().copied().flatten();
    words.fold(0, |crc, word| crc32c::crc32c_append(crc, &word.to_le_bytes()))
}

/// Reads a file block by block.
#[derive(Debug)]
pub(super) struct Iter<'a> {
    run: &'a Run,
    bytes: Box<[u8; BLOCK]>,
    next_block: usize,
    next: usize,
    count: usize,
}

impl Iterator for Iter<'_> {
    type Item = Result<Pair, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.count {
            if self.next_block == self.run.fences.len() {
                return None;
            }
            match self.run.block(self.next_block, &mut self.bytes) {
                Ok(pairs) => self.count = pairs.len(),
                Err(error) => return Some(Err(error)),
            }
            self.next_block += 1;
            self.next = 0;
        }
        let at = self.next * PAIR;
        self.next += 1;
        self.bytes[at..].first_chunk().map(|bytes| Ok(pair_of(bytes)))
    }
}

#[derive(Clone, Copy, Debug)]
struct Footer {
    pairs: u64,
    blocks: u64,
    filter_words: u64,
    number: u64,
    crc: u32,
}

impl Footer {
    fn to_bytes(self) -> [u8; FOOTER] {
        let mut bytes = [0; FOOTER];
        bytes[..8].copy_from_slice(MAGIC);
        let words = [self.pairs, self.blocks, self.filter_words, self.number];
        for (place, word) in bytes[8..40].as_chunks_mut().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        bytes[40..44].copy_from_slice(&self.crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..44]);
        bytes[44..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; FOOTER]) -> Option<Self> {
        let word = |at: usize| bytes[at..].first_chunk().map(|&word| u64::from_le_bytes(word));
        let crc = u32::from_le_bytes(*bytes[40..].first_chunk()?);
        let footer = Self {
            pairs: word(8)?,
            blocks: word(16)?,
            filter_words: word(24)?,
            number: word(32)?,
            crc,
        };
        (footer.to_bytes() == *bytes).then_some(footer)
    }

    /// How long the whole file is, if that can be.
    fn len(self) -> Option<u64> {
        let blocks = self.blocks.checked_mul(BLOCK as u64 + 8)?;
        let filter = self.filter_words.checked_mul(8)?;
        blocks.checked_add(filter)?.checked_add(FOOTER as u64)
    }
}

/// How much is written at once, in bytes.
const CHUNK: usize = 64 * BLOCK;

struct Writer {
    file: Arc<dyn File>,
    number: u64,
    pairs: u64,
    fences: Vec<u64>,
    filter: Filter,
    block: [u8; BLOCK],
    in_block: usize,
    chunk: Vec<u8>,
    written: u64,
}

impl Writer {
    fn new(file: Arc<dyn File>, number: u64, count: u64) -> Self {
        Self {
            file,
            number,
            pairs: 0,
            fences: Vec::new(),
            filter: Filter::new(count),
            block: [0; BLOCK],
            in_block: 0,
            chunk: Vec::with_capacity(CHUNK),
            written: 0,
        }
    }

    fn push(&mut self, pair: Pair) -> io::Result<()> {
        if self.in_block == 0 {
            self.fences.push(pair.slot);
        }
        let at = self.in_block * PAIR;
        self.block[at..at + 8].copy_from_slice(&pair.slot.to_le_bytes());
        self.block[at + 8..at + PAIR].copy_from_slice(&pair.id.to_le_bytes());
        self.filter.insert(pair.slot);
        self.pairs += 1;
        self.in_block += 1;
        if self.in_block == PAIRS { self.end_block() } else { Ok(()) }
    }

    fn end_block(&mut self) -> io::Result<()> {
        // At most 255.
        let count = u16::try_from(self.in_block).unwrap_or(u16::MAX);
        self.block[4080..4082].copy_from_slice(&count.to_le_bytes());
        self.block[4088..].copy_from_slice(&self.number.to_le_bytes());
        let crc = block_crc(&self.block);
        self.block[4084..4088].copy_from_slice(&crc.to_le_bytes());
        self.chunk.extend_from_slice(&self.block);
        self.block = [0; BLOCK];
        self.in_block = 0;
        if CHUNK <= self.chunk.len() { self.write_chunk() } else { Ok(()) }
    }

    fn write_chunk(&mut self) -> io::Result<()> {
        self.file.write_at(&self.chunk, self.written)?;
        self.written += self.chunk.len() as u64;
        self.chunk.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<Run> {
        if 0 < self.in_block {
            self.end_block()?;
        }
        for &word in self.fences.iter().chain(self.filter.as_words()) {
            self.chunk.extend(word.to_le_bytes());
        }
        let filter_words = self.filter.as_words().len();
        let footer = Footer {
            pairs: self.pairs,
            blocks: self.fences.len() as u64,
            filter_words: filter_words as u64,
            number: self.number,
            crc: crc(&[&self.fences, self.filter.as_words()]),
        };
        self.chunk.extend(footer.to_bytes());
        self.write_chunk()?;
        self.file.sync()?;
        Ok(Run {
            number: self.number,
            pairs: self.pairs,
            name: String::new(),
            file: self.file,
            fences: self.fences,
            filter: OnceLock::new(),
            filter_words,
        })
    }
}
