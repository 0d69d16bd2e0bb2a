//! Several sorted files into one.

use std::sync::Arc;

use super::{
    Pair,
    run::{self, Run},
};
use crate::Error;

/// How many files of about the same size, or smaller, are merged into one. Each key is so rewritten
/// once for each factor of this in the number of keys.
const FAN_IN: usize = 4;

/// The files that should become one now, if any.
pub(super) fn due(runs: &[Arc<Run>]) -> Option<Vec<Arc<Run>>> {
    let mut by_size = runs.to_vec();
    by_size.sort_by_key(|run| run.pairs);
    // The longest beginning whose last file is not much larger than all before it together.
    let mut before = 0;
    let mut due = None;
    for (place, run) in by_size.iter().enumerate() {
        let alike = run.pairs <= before.max(1) * 2;
        if alike && FAN_IN <= place + 1 {
            due = Some(place + 1);
        }
        before += run.pairs;
    }
    due.map(|count| by_size[..count].to_vec())
}

/// The pairs of all files in the order of their slots.
pub(super) struct Merge<'a> {
    sources: Vec<run::Iter<'a>>,
    heads: Vec<Option<Pair>>,
    failed: Option<Error>,
}

impl<'a> Merge<'a> {
    pub(super) fn new(runs: &'a [Arc<Run>]) -> Self {
        Self::from(runs, 0)
    }

    /// Those from a slot on, and perhaps some before it.
    pub(super) fn from(runs: &'a [Arc<Run>], slot: u64) -> Self {
        let mut merge = Self {
            sources: runs.iter().map(|run| run.iter_from(slot)).collect(),
            heads: vec![None; runs.len()],
            failed: None,
        };
        for source in 0..runs.len() {
            merge.advance(source);
        }
        merge
    }

    fn advance(&mut self, source: usize) {
        self.heads[source] = match self.sources[source].next() {
            Some(Ok(pair)) => Some(pair),
            Some(Err(error)) => {
                self.failed = Some(error);
                None
            }
            None => None,
        };
    }
}

impl Iterator for Merge<'_> {
    type Item = Result<Pair, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        let heads = self.heads.iter().enumerate();
        let first = heads.filter_map(|(source, head)| Some(((*head)?, source))).min()?;
        self.advance(first.1);
        Some(Ok(first.0))
    }
}
