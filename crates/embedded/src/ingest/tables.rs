//! What the engine keeps of the ledger.

use redb::{ReadableTable as _, TableDefinition, WriteTransaction};
use switchboard_core::Tenant;

use super::Fresh;
use crate::{
    Error,
    disk::Disk,
    engine::{Engine, TENANTS, read_tenants},
    log::Position,
};

/// The format of the data directory as a whole.
const FORMAT: u64 = 1;

const STATE: TableDefinition<'_, &str, u64> = TableDefinition::new("state");
const RUNS: TableDefinition<'_, u64, ()> = TableDefinition::new("ingest_runs");

/// What the engine knows of the ledger when it is opened.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The seed of the ledger's slots.
    pub(crate) seed: u64,
    /// Everything up to here is in the tables and files.
    pub(crate) position: Position,
    /// The id that ingest gives next.
    pub(crate) next_id: u64,
    /// How many ids before that nobody has.
    pub(crate) gaps: u64,
    /// The sorted files of the ledger.
    pub(crate) runs: Vec<u64>,
    /// All tenants by number.
    pub(crate) tenants: Vec<Tenant>,
}

/// Makes an engine with an empty ledger, whole or not at all.
pub(crate) fn create(disk: &dyn Disk, seed: u64, position: Position) -> Result<(), Error> {
    Engine::create(disk, |transaction| {
        transaction.open_table(TENANTS)?;
        transaction.open_table(RUNS)?;
        let mut state = transaction.open_table(STATE)?;
        state.insert("format", FORMAT)?;
        state.insert("ingest_seed", seed)?;
        state.insert("ingest_next_id", 1)?;
        state.insert("log_sequence", position.sequence)?;
        state.insert("log_segment", position.segment)?;
        Ok(())
    })
}

/// What the last checkpoint left.
pub(crate) fn known(engine: &Engine) -> Result<Known, Error> {
    engine.read(|transaction| {
        let state = transaction.open_table(STATE)?;
        let number = |name| state.get(name).map(|found| found.map_or(0, |found| found.value()));
        let format = number("format")?;
        if format != FORMAT {
            return Ok(Err(Error::Format { found: format, expected: FORMAT }));
        }
        let (sequence, segment) = (number("log_sequence")?, number("log_segment")?);
        let mut runs = Vec::new();
        for row in transaction.open_table(RUNS)?.iter()? {
            runs.push(row?.0.value());
        }
        let (seed, next_id) = (number("ingest_seed")?, number("ingest_next_id")?);
        let gaps = number("ingest_gaps")?;
        let position = Position { sequence, segment };
        let tenants = read_tenants(transaction)?;
        Ok(tenants.map(|tenants| Known { seed, position, next_id, gaps, runs, tenants }))
    })
}

/// Records a checkpoint: durable when this returns.
pub(crate) fn checkpoint(
    engine: &Engine,
    position: Position,
    fresh: &Fresh,
    runs: &[u64],
) -> Result<(), Error> {
    engine.write(|transaction| {
        let mut state = transaction.open_table(STATE)?;
        state.insert("ingest_next_id", fresh.next_id)?;
        if let Some(gaps) = fresh.gaps {
            state.insert("ingest_gaps", gaps)?;
        }
        state.insert("log_sequence", position.sequence)?;
        state.insert("log_segment", position.segment)?;
        let mut tenants = transaction.open_table(TENANTS)?;
        for (number, tenant) in (fresh.tenants_from..).zip(&fresh.tenants) {
            tenants.insert(number, tenant.as_str())?;
        }
        replace_runs(transaction, runs)
    })
}

/// Records which sorted files there are: durable when this returns.
pub(crate) fn set_runs(engine: &Engine, runs: &[u64]) -> Result<(), Error> {
    engine.write(|transaction| replace_runs(transaction, runs))
}

fn replace_runs(transaction: &WriteTransaction, numbers: &[u64]) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(RUNS)?;
    table.retain(|_, ()| false)?;
    for &number in numbers {
        table.insert(number, ())?;
    }
    Ok(())
}
