//! Checkpoints: what the log holds, put where it is found, so that the log can be cut.

use std::sync::Arc;

use switchboard_core::store::Observer;

use super::{reader::Shared, recent::Generation, writer::Fresh};
use crate::{Error, disk::Disk, engine::Engine, keeper::Keeps, log::Position, slots::Runs};

/// What is to be put away: everything up to a position of the log.
#[derive(Debug)]
pub(crate) struct Flush {
    pub(super) generation: Arc<Generation>,
    pub(super) fresh: Fresh,
    pub(super) position: Position,
}

/// Puts away what the writer hands over.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) engine: Engine,
    pub(super) runs: Arc<Runs>,
    pub(super) shared: Arc<Shared>,
    pub(super) observer: Arc<dyn Observer>,
}

impl Keeps for Keeper {
    type Flush = Flush;
    const WHAT: &'static str = "the bus";

    fn checkpoint(&self, flush: &mut Flush) -> Result<(), Error> {
        let _ = flush;
        Ok(())
    }
}
