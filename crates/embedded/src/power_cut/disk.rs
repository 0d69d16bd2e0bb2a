//! A disk in memory that loses what was not synced, fails when told to, and can be full.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

use super::model::{Image, Model, Name, Op, split};
use crate::disk::{Disk, File};

/// The disk.
#[derive(Clone, Debug)]
pub(super) struct SimDisk(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Whether syncs of files return; they wait while it is shut.
    gate: Mutex<Gate>,
    changed: Condvar,
}

#[derive(Debug)]
struct Gate {
    open: bool,
    waiting: usize,
}

#[derive(Debug)]
struct State {
    base: Image,
    model: Model,
    history: Vec<Op>,
    capacity: usize,
    /// How many bytes it claims are free, whatever the truth.
    claimed: Option<u64>,
    faults: Faults,
    /// How many operations there were that could fail.
    operations: usize,
    /// Files whose sync has failed.
    failed: BTreeSet<usize>,
    /// Syncs of such files, which must never be.
    retried: usize,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    pub(super) lie: Option<Lie>,
    pub(super) failure: Option<Failure>,
}

/// What claims to be done and is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    Sync,
    SyncFolder,
}

/// What fails, once unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The operation with this number.
    Operation(usize),
    /// The next write to the log, in the middle.
    LogWrite,
    /// The next sync of a file of the log.
    LogSync,
    /// The next write to a sorted file, in the middle.
    RunWrite,
    /// Every creation of a file of the log, not only the next one.
    LogCreate,
}

impl SimDisk {
    pub(super) fn new(image: Image) -> Self {
        Self::with(image, Faults::default())
    }

    pub(super) fn with(image: Image, faults: Faults) -> Self {
        let state = State {
            model: Model::new(&image),
            base: image,
            history: Vec::new(),
            capacity: 1 << 40,
            claimed: None,
            faults,
            operations: 0,
            failed: BTreeSet::new(),
            retried: 0,
        };
        let gate = Mutex::new(Gate { open: true, waiting: 0 });
        Self(Arc::new(Shared { state: Mutex::new(state), gate, changed: Condvar::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic of the engine beneath a lock is looked for elsewhere.
        self.0.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What was there at first, and all that happened since.
    pub(super) fn history(&self) -> (Image, Vec<Op>) {
        let state = self.lock();
        (state.base.clone(), state.history.clone())
    }

    pub(super) fn acked(&self, ids: Vec<(switchboard_core::ingest::Entry, u64)>) {
        self.lock().history.push(Op::Acked(ids));
    }

    /// What is left when everything, or nothing, of what is not durable survives.
    pub(super) fn image(&self, all: bool) -> Image {
        self.lock().model.whole(all)
    }

    pub(super) fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// Lets so many more bytes be written.
    pub(super) fn set_free(&self, bytes: usize) {
        let mut state = self.lock();
        state.capacity = state.model.used() + bytes;
        state.claimed = None;
    }

    /// Lets so many more bytes be written, and claims that it were others.
    pub(super) fn set_free_but_tell(&self, bytes: usize, claimed: u64) {
        self.set_free(bytes);
        self.lock().claimed = Some(claimed);
    }

    pub(super) fn operations(&self) -> usize {
        self.lock().operations
    }

    /// How often a file was synced again after that had failed.
    pub(super) fn retried(&self) -> usize {
        self.lock().retried
    }

    /// Lets syncs of segments wait, or go on.
    pub(super) fn set_gate(&self, open: bool) {
        self.0.gate.lock().unwrap().open = open;
        self.0.changed.notify_all();
    }

    /// Returns once a sync of a segment waits.
    pub(super) fn wait_for_sync(&self) {
        let mut gate = self.0.gate.lock().unwrap();
        while gate.waiting == 0 {
            gate = self.0.changed.wait(gate).unwrap();
        }
    }
}

fn failed() -> io::Error {
    io::Error::other("a simulated fault")
}

fn full() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "the simulated disk is full")
}

fn missing(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{path} is not there"))
}

impl State {
    fn apply(&mut self, op: Op) {
        self.model.apply(&op);
        self.history.push(op);
    }

    /// Counts an operation; whether it is the one that fails.
    fn fails(&mut self) -> bool {
        self.operations += 1;
        self.faults.failure == Some(Failure::Operation(self.operations))
    }

    fn count(&mut self) -> io::Result<()> {
        if self.fails() { Err(failed()) } else { Ok(()) }
    }

    fn is_in(&self, folder: &str, suffix: &str, file: usize) -> bool {
        let names = self.model.names(folder);
        names.is_some_and(|names| {
            names.iter().any(|(name, &named)| named == file && name.ends_with(suffix))
        })
    }

    fn is_log(&self, file: usize) -> bool {
        self.is_in("log", ".log", file)
    }

    fn name(&mut self, folder: &str, change: Name) {
        self.apply(Op::Name { folder: folder.to_owned(), change });
    }
}

impl Disk for SimDisk {
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let state = self.lock();
        let names = state.model.names(folder).ok_or_else(|| missing(folder))?;
        Ok(names.keys().cloned().collect())
    }

    fn create_folder(&self, folder: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.count()?;
        if !state.model.has_folder(folder) {
            state.apply(Op::CreateFolder { name: folder.to_owned() });
        }
        Ok(())
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let file = self.lock().model.file(path).ok_or_else(|| missing(path))?;
        Ok(Arc::new(SimFile { disk: self.clone(), file }))
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let mut state = self.lock();
        state.count()?;
        if state.faults.failure == Some(Failure::LogCreate) && path.starts_with("log/") {
            return Err(failed());
        }
        let file = if let Some(file) = state.model.file(path) {
            // As a file system does it: the same file, cut to nothing.
            state.apply(Op::SetLen { file, len: 0 });
            file
        } else {
            let (folder, name) = split(path);
            state.model.names(folder).ok_or_else(|| missing(folder))?;
            let file = state.model.next_file();
            state.name(folder, Name::Create(name.to_owned(), file));
            file
        };
        Ok(Arc::new(SimFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.count()?;
        state.model.file(from).ok_or_else(|| missing(from))?;
        let ((folder, from), (other, to)) = (split(from), split(to));
        assert_eq!(folder, other, "names move within their folder");
        state.name(folder, Name::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.count()?;
        state.model.file(path).ok_or_else(|| missing(path))?;
        let (folder, name) = split(path);
        state.name(folder, Name::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.count()?;
        state.model.names(folder).ok_or_else(|| missing(folder))?;
        if state.faults.lie != Some(Lie::SyncFolder) {
            state.apply(Op::SyncFolder { folder: folder.to_owned() });
        }
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.lock();
        let free = state.capacity.saturating_sub(state.model.used()) as u64;
        Ok(state.claimed.unwrap_or(free))
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    file: usize,
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().model.bytes(self.file).len() as u64)
    }

    fn read_at(&self, bytes: &mut [u8], position: u64) -> io::Result<()> {
        let state = self.disk.lock();
        let start = usize::try_from(position).unwrap();
        let read = state.model.bytes(self.file).get(start..start + bytes.len());
        bytes.copy_from_slice(read.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        let (file, at) = (self.file, usize::try_from(position).unwrap());
        let grown = (at + bytes.len()).saturating_sub(state.model.bytes(file).len());
        if state.capacity < state.model.used() + grown {
            return Err(full());
        }
        let told = match state.faults.failure {
            Some(Failure::LogWrite) => state.is_log(file),
            Some(Failure::RunWrite) => state.is_in("ingest", ".tmp", file),
            _ => false,
        };
        if state.fails() || told {
            state.faults.failure = None;
            let bytes = bytes[..bytes.len() / 2].to_vec();
            state.apply(Op::Write { file, at, bytes });
            return Err(failed());
        }
        state.apply(Op::Write { file, at, bytes: bytes.to_vec() });
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        let (file, len) = (self.file, usize::try_from(bytes).unwrap());
        let grown = len.saturating_sub(state.model.bytes(file).len());
        if 0 < grown && state.capacity < state.model.used() + grown {
            return Err(full());
        }
        state.count()?;
        state.apply(Op::SetLen { file, len });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        if self.disk.lock().is_log(self.file) {
            let shared = &*self.disk.0;
            let mut gate = shared.gate.lock().unwrap();
            gate.waiting += 1;
            shared.changed.notify_all();
            while !gate.open {
                gate = shared.changed.wait(gate).unwrap();
            }
            gate.waiting -= 1;
        }
        let mut state = self.disk.lock();
        if state.failed.contains(&self.file) {
            state.retried += 1;
        }
        let told = state.faults.failure == Some(Failure::LogSync) && state.is_log(self.file);
        if state.fails() || told {
            state.faults.failure = None;
            state.failed.insert(self.file);
            return Err(failed());
        }
        if state.faults.lie != Some(Lie::Sync) {
            state.apply(Op::Sync { file: self.file });
        }
        Ok(())
    }
}
