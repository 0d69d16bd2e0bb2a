//! All sorted files of one folder.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    Pair,
    merge::{self, Merge},
    run::{self, Run},
};
use crate::{Error, disk::Disk};

/// The sorted files at one moment, and which ids they hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunSet {
    runs: Vec<Arc<Run>>,
    flushed_id: u64,
    filtered: bool,
}

/// The sorted files, replaced as a whole when they change.
#[derive(Debug)]
pub(crate) struct Runs {
    disk: Arc<dyn Disk>,
    set: Mutex<Arc<RunSet>>,
    /// A number that no file ever had, as far as the engine may know: also not one whose write
    /// failed when it was all but done.
    next_number: AtomicU64,
    /// The most bytes that filters may take in memory; beyond it every look-up reads the files.
    filter_bytes_max: u64,
}

impl Runs {
    /// Whether there are any files.
    pub(crate) fn any(disk: &dyn Disk) -> bool {
        let names = disk.list("").unwrap_or_default();
        names.iter().any(|name| run::number(name).is_some())
    }

    /// Opens the files with these numbers, which hold so many slots, with ids up to `flushed_id`.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        numbers: &[u64],
        (entries, flushed_id): (u64, u64),
        filter_bytes_max: u64,
    ) -> Result<Self, Error> {
        let wanted: BTreeSet<u64> = numbers.iter().copied().collect();
        let runs = wanted.iter().map(|&number| Run::open(&*disk, number).map(Arc::new));
        let runs = runs.collect::<Result<Vec<_>, _>>()?;
        let next_number = AtomicU64::new(wanted.last().map_or(1, |last| last + 1));
        let opened = Self { disk, set: Mutex::default(), next_number, filter_bytes_max };
        let set = opened.set_of(runs, flushed_id);
        if set.entries() != entries {
            let what = format!("{} slots are kept where {entries} should be", set.entries());
            return Err(Error::Corrupt(what));
        }
        opened.publish(set);
        Ok(opened)
    }

    /// Removes what a write that did not end, or was not counted, left in the folder.
    pub(crate) fn remove_unknown(&self) -> Result<(), Error> {
        let known = self.get().numbers();
        for name in self.disk.list("")? {
            if !run::number(&name).is_some_and(|number| known.contains(&number)) {
                self.disk.remove(&name)?;
            }
        }
        Ok(())
    }

    /// The files now.
    pub(crate) fn get(&self) -> Arc<RunSet> {
        Arc::clone(&self.set.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The files with one more that holds these pairs; not published yet.
    pub(crate) fn with(&self, pairs: &mut [Pair], flushed_id: u64) -> Result<RunSet, Error> {
        let set = self.get();
        let mut runs = set.runs.clone();
        if !pairs.is_empty() {
            pairs.sort_unstable();
            let count = pairs.len() as u64;
            let pairs = pairs.iter().copied().map(Ok);
            runs.push(Arc::new(Run::write(&*self.disk, self.next_number(), count, pairs)?));
        }
        Ok(self.set_of(runs, flushed_id))
    }

    /// How many pairs the next merge would write, if one is due.
    pub(crate) fn due(&self) -> Option<u64> {
        merge::due(&self.get().runs).map(|due| due.iter().map(|run| run.pairs).sum())
    }

    /// The files after the next merge that is due, and those that it replaces; not published yet.
    pub(crate) fn merged(&self) -> Result<Option<(RunSet, Vec<u64>)>, Error> {
        let set = self.get();
        let Some(due) = merge::due(&set.runs) else { return Ok(None) };
        let count = due.iter().map(|run| run.pairs).sum();
        let merged = Run::write(&*self.disk, self.next_number(), count, Merge::new(&due))?;
        let replaced: Vec<u64> = due.iter().map(|run| run.number).collect();
        let mut runs = set.runs.clone();
        runs.retain(|run| !replaced.contains(&run.number));
        runs.push(Arc::new(merged));
        Ok(Some((self.set_of(runs, set.flushed_id), replaced)))
    }

    /// Makes `set` what look-ups see. The engine must know it already.
    pub(crate) fn publish(&self, set: RunSet) {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }

    /// Removes files that nothing knows of any more. Readers that have them open go on.
    pub(crate) fn remove(&self, numbers: &[u64]) -> Result<(), Error> {
        for &number in numbers {
            self.disk.remove(&run::path(number))?;
        }
        Ok(self.disk.sync_folder("")?)
    }

    fn next_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    fn set_of(&self, runs: Vec<Arc<Run>>, flushed_id: u64) -> RunSet {
        let filter_bytes: u64 = runs.iter().map(|run| run.filter_bytes()).sum();
        RunSet { runs, flushed_id, filtered: filter_bytes <= self.filter_bytes_max }
    }
}

impl RunSet {
    /// The numbers of the files.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.runs.iter().map(|run| run.number).collect()
    }

    /// The ids up to this one are in the files.
    pub(crate) fn flushed_id(&self) -> u64 {
        self.flushed_id
    }

    /// How many pairs the files hold.
    pub(crate) fn entries(&self) -> u64 {
        self.runs.iter().map(|run| run.pairs).sum()
    }

    /// The id of a slot, if it is in a file.
    pub(crate) fn find(&self, slot: u64) -> Result<Option<u64>, Error> {
        // The newest first: what is asked for again is mostly young.
        for run in self.runs.iter().rev() {
            if let Some(id) = run.find(slot, self.filtered)? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Pairs from a slot on, in order, so many at most.
    pub(crate) fn behind(&self, from: u64, max: usize) -> Result<Vec<Pair>, Error> {
        let before = |pair: &Result<Pair, Error>| matches!(pair, Ok(pair) if pair.slot < from);
        Merge::from(&self.runs, from).skip_while(before).take(max).collect()
    }

    /// Hands over every pair, in no particular order.
    pub(crate) fn for_each(&self, mut each: impl FnMut(Pair)) -> Result<(), Error> {
        for run in &self.runs {
            for pair in run.iter() {
                each(pair?);
            }
        }
        Ok(())
    }
}

/// What the files take on disk, in bytes.
pub(crate) fn size(disk: &dyn Disk) -> u64 {
    let names = disk.list("").unwrap_or_default();
    let len = |name: &String| disk.open(name)?.len();
    names.iter().filter_map(|name| len(name).ok()).sum()
}
