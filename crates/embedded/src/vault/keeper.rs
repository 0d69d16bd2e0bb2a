//! Checkpoints: what the log holds, put into the tables, so that the log can be cut.

use std::{sync::Arc, time::Instant};

use switchboard_core::store::Observer;

use super::{
    reader::Shared,
    recent::Generation,
    tables::{self, Tables},
};
use crate::{
    Error,
    disk::Disk,
    engine::Engine,
    keeper::{self, Keeps},
    log::{self, Position},
};

/// What is to be put away: everything up to a position of the log.
#[derive(Debug)]
pub(crate) struct Flush {
    pub(super) generation: Arc<Generation>,
    pub(super) position: Position,
}

/// Puts away what the writer hands over.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) engine: Engine,
    pub(super) shared: Arc<Shared>,
    pub(super) observer: Arc<dyn Observer>,
}

impl Keeps for Keeper {
    type Flush = Flush;
    const WHAT: &'static str = "the vault";

    /// Puts everything up to a position where it belongs, and cuts the log.
    fn checkpoint(&self, flush: &mut Flush) -> Result<(), Error> {
        let began = Instant::now();
        let Flush { generation, position } = flush;
        // Pages are written anew as a whole, and long values take up to twice their length.
        keeper::room(&*self.disk, 4 * generation.bytes as u64)?;
        tables::checkpoint(&self.engine, generation, *position)?;
        let tables = Arc::new(Tables::open(&self.engine)?);
        self.shared.flushed(|state| {
            state.tables = tables;
            state.flushing = None;
        });
        log::cut(&*self.disk, *position)?;
        self.observer.checkpointed(began.elapsed());
        Ok(())
    }
}
