//! What the engine keeps of the bus: what has been put away, but for the events themselves.
//!
//! ```text
//! bus_state        name                → number
//! bus_runs         number              → nothing            the sorted files of keys that count
//! bus_heads        tenant u32          → newest u64 | at i64
//! ```

use redb::{ReadableTable as _, TableDefinition};
use switchboard_core::Tenant;

use super::bytes::Bytes;
use crate::{
    Error,
    disk::Disk,
    engine::{Engine, TENANTS, read_tenants},
    log::Position,
};

type Definition = TableDefinition<'static, u32, &'static [u8]>;

const FORMAT: u64 = 1;
const STATE: TableDefinition<'_, &str, u64> = TableDefinition::new("bus_state");
const RUNS: TableDefinition<'_, u64, ()> = TableDefinition::new("bus_runs");
const HEADS: Definition = TableDefinition::new("bus_heads");

/// What is known of the bus when the engine is opened.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) seed: u64,
    pub(super) position: Position,
    /// The number of the last event of all, and how many ever had a key.
    pub(super) numbers: u64,
    pub(super) keyed: u64,
    pub(super) runs: Vec<u64>,
    pub(super) tenants: Vec<Tenant>,
    /// By tenant.
    pub(super) heads: Vec<(u32, u64, i64)>,
}

/// Makes an engine without events, whole or not at all.
pub(super) fn create(disk: &dyn Disk, seed: u64, position: Position) -> Result<(), Error> {
    Engine::create(disk, |transaction| {
        transaction.open_table(TENANTS)?;
        transaction.open_table(RUNS)?;
        transaction.open_table(HEADS)?;
        let mut state = transaction.open_table(STATE)?;
        state.insert("format", FORMAT)?;
        state.insert("seed", seed)?;
        state.insert("log_sequence", position.sequence)?;
        state.insert("log_segment", position.segment)?;
        Ok(())
    })
}

/// What the last checkpoint left.
pub(super) fn known(engine: &Engine) -> Result<Known, Error> {
    engine.read(|transaction| {
        let state = transaction.open_table(STATE)?;
        let number = |name| state.get(name).map(|found| found.map_or(0, |found| found.value()));
        let format = number("format")?;
        if format != FORMAT {
            return Ok(Err(Error::Format { found: format, expected: FORMAT }));
        }
        let (sequence, segment) = (number("log_sequence")?, number("log_segment")?);
        let position = Position { sequence, segment };
        let (seed, numbers, keyed) = (number("seed")?, number("numbers")?, number("keyed")?);
        let mut runs = Vec::new();
        for row in transaction.open_table(RUNS)?.iter()? {
            runs.push(row?.0.value());
        }
        let mut heads = Vec::new();
        for row in transaction.open_table(HEADS)?.iter()? {
            let (tenant, head) = row?;
            let mut head = Bytes(head.value());
            let (Some(newest), Some(at)) = (head.u64(), head.i64()) else {
                return Ok(Err(damaged("a tenant")));
            };
            heads.push((tenant.value(), newest, at));
        }
        let tenants = read_tenants(transaction)?;
        Ok(tenants.map(|tenants| Known { seed, position, numbers, keyed, runs, tenants, heads }))
    })
}

fn damaged(what: &str) -> Error {
    Error::Corrupt(format!("{what} of the bus is damaged"))
}
