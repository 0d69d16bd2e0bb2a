//! Every disk that a power cut may leave behind.
//!
//! Between two syncs the disks that a cut may leave only become more: each holds what is durable
//! and any of the states since. So it is enough to cut before every sync, and at the end.

use std::collections::{BTreeMap, BTreeSet};

use switchboard_core::ingest::Entry;

use super::{
    Random,
    check::{Expected, check},
    disk::SimDisk,
    model::{Image, Model, Op, Unit},
    rig::Story,
};

/// Up to how many combinations all are tried.
const ALL: usize = 1 << 10;

/// How many were looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) cuts: usize,
    pub(super) images: usize,
    /// Cuts of which all images were looked at.
    pub(super) exhaustive: usize,
}

/// A disk after a power cut, and what it has to hold.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) image: Image,
    pub(super) acked: Vec<(Entry, u64)>,
}

/// Cuts the power everywhere in a story, looks at up to `samples` images for each cut, and keeps
/// one in `keep` to go on from.
pub(super) fn cut_everywhere(
    story: &Story,
    (samples, keep): (usize, usize),
    random: &mut Random,
) -> Result<(Tally, Vec<Left>), String> {
    let mut tally = Tally::default();
    let mut kept = Vec::new();
    let mut model = Model::new(&story.base);
    let mut acked: BTreeMap<Entry, u64> = story.acked.iter().copied().collect();
    let sent = story.sent.iter().copied().collect();
    let ends = story.ends.iter().copied().collect();
    for at in 0..=story.ops.len() {
        let op = story.ops.get(at);
        let grown = matches!(op, Some(Op::Sync { .. } | Op::SyncFolder { .. }));
        if op.is_none() || grown && !story.at_end {
            let (choices, all) = choices(&model, samples, random);
            tally.cuts += 1;
            tally.exhaustive += usize::from(all);
            for chosen in choices {
                tally.images += 1;
                let image = model.image(&chosen);
                let expected = Expected { acked: &acked, sent: &sent, ends: &ends };
                check(&image, &expected, tally.images % 8 == 0).map_err(|why| {
                    format!("cut before operation {at}, {op:?}, with {chosen:?}: {why}")
                })?;
                if keep != 0 && random.below(keep) == 0 {
                    let acked = acked.iter().map(|(&entry, &id)| (entry, id)).collect();
                    kept.push(Left { image, acked });
                }
            }
        }
        let Some(op) = op else { break };
        if let Op::Acked(ids) = op {
            acked.extend(ids.iter().copied());
        }
        model.apply(op);
    }
    Ok((tally, kept))
}

pub(super) type Chosen = BTreeMap<Unit, usize>;

/// The states to look at: all if there are few, else some. Says which.
pub(super) fn choices(
    model: &Model,
    samples: usize,
    random: &mut Random,
) -> (BTreeSet<Chosen>, bool) {
    let units = model.units();
    let mut found = BTreeSet::new();
    let combinations =
        units.iter().try_fold(1_usize, |all, unit| all.checked_mul(unit.1)).unwrap_or(usize::MAX);
    let mut add = |mut chosen: Chosen| {
        // What has no name is not there, whatever it holds.
        let named = model.named(&chosen);
        chosen.retain(|unit, state| {
            *state != 0
                && match unit {
                    Unit::Names(_) => true,
                    Unit::Len(file) | Unit::Sector(file, _) => named.contains(file),
                }
        });
        found.insert(chosen);
    };
    if combinations <= ALL.min(samples * 4) {
        for mut number in 0..combinations {
            let mut chosen = Chosen::new();
            for (unit, states) in &units {
                chosen.insert(unit.clone(), number % states);
                number /= states;
            }
            add(chosen);
        }
        return (found, true);
    }
    add(Chosen::new());
    let all: Chosen = units.iter().map(|(unit, states)| (unit.clone(), states - 1)).collect();
    add(all.clone());
    // Each alone, and all but each: of many, some.
    for _ in 0..samples / 4 {
        let (unit, states) = &units[random.below(units.len())];
        let mut without = all.clone();
        without.insert(unit.clone(), random.below(states - 1));
        add(without);
        // A file that is there, with one piece of it.
        let named = |unit: &Unit| matches!(unit, Unit::Names(_) | Unit::Len(_));
        let mut alone: Chosen = all.clone();
        alone.retain(|it, _| it == unit || named(it));
        add(alone);
    }
    for _ in 0..samples / 2 {
        let (dense, of) = [(1, 8), (1, 2), (7, 8)][random.below(3)];
        let pick = |(unit, states): &(Unit, usize)| {
            let any = random.below(of) < dense;
            (unit.clone(), if any { 1 + random.below(states - 1) } else { 0 })
        };
        add(units.iter().map(pick).collect());
    }
    (found, false)
}

/// Checks what every cut of a history may leave, with what was acknowledged before it: numbers of
/// keys, and the ids that they got. Says how many there were.
pub(super) fn every_cut(
    disk: &SimDisk,
    random: &mut Random,
    check: impl Fn(Image, &BTreeMap<u32, u64>) -> Result<(), String>,
) -> usize {
    let (base, ops) = disk.history();
    let (mut model, mut acked, mut cuts) = (Model::new(&base), BTreeMap::new(), 0);
    for at in 0..=ops.len() {
        let op = ops.get(at);
        if op.is_none() || matches!(op, Some(Op::Sync { .. } | Op::SyncFolder { .. })) {
            for chosen in choices(&model, 8, random).0 {
                cuts += 1;
                check(model.image(&chosen), &acked)
                    .unwrap_or_else(|why| panic!("cut before {at}, {op:?}, {chosen:?}: {why}"));
            }
        }
        let Some(op) = op else { break };
        if let Op::Acked(ids) = op {
            acked.extend(ids.iter().map(|(key, id)| (key.key.number(), *id)));
        }
        model.apply(op);
    }
    cuts
}
