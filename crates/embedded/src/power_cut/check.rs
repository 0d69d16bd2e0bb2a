//! Opens what a power cut left, and compares it with what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use switchboard_core::ingest::Entry;

use super::{
    disk::SimDisk,
    model::Image,
    rig::{self, record},
};

/// What must be there.
#[derive(Clone, Debug)]
pub(super) struct Expected<'a> {
    pub(super) acked: &'a BTreeMap<Entry, u64>,
    pub(super) sent: &'a BTreeSet<Entry>,
    pub(super) ends: &'a BTreeSet<u64>,
}

/// Opens an image and checks all that was promised. `twice` loses power once more after the first
/// opening.
pub(super) fn check(image: &Image, expected: &Expected<'_>, twice: bool) -> Result<(), String> {
    let mut disk = SimDisk::new(image.clone());
    let mut parts = rig::open(&disk)?;
    let keys = parts.writer.ledger.keys();
    if keys != 0 && !expected.ends.contains(&keys) {
        return Err(format!("{keys} keys are there: that is within a batch"));
    }
    if twice {
        let left = disk.image(false);
        drop(parts);
        disk = SimDisk::new(left);
        parts = rig::open(&disk).map_err(|why| format!("the second time: {why}"))?;
        let again = parts.writer.ledger.keys();
        if again != keys {
            return Err(format!("{keys} keys are there, then {again}"));
        }
    }
    let mut ids = BTreeSet::new();
    let mut next = keys;
    let sent: Vec<Entry> = expected.sent.iter().copied().collect();
    for entries in sent.chunks(100) {
        let answer = record(&mut parts, &[entries]).1.remove(0);
        let receipts = answer.ok_or("no answer")?.map_err(|error| error.to_string())?;
        for (entry, receipt) in entries.iter().zip(receipts) {
            let id = receipt.id;
            if let Some(acked) = expected.acked.get(entry)
                && (receipt.new || *acked != id)
            {
                return Err(format!("{entry:?} was acknowledged as {acked}, now {receipt:?}"));
            }
            if receipt.new {
                next += 1;
                if id != next {
                    return Err(format!("{entry:?} got id {id} where {next} is next"));
                }
            } else if !ids.insert(id) || keys < id {
                return Err(format!(
                    "{entry:?} has id {id}, of {keys}, some not for the first time"
                ));
            }
        }
    }
    if ids.len() as u64 != keys {
        return Err(format!("{keys} ids were given, {} have a key", ids.len()));
    }
    Ok(())
}
