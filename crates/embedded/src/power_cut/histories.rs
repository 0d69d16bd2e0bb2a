//! What the power is cut in.

use super::{
    Random,
    cuts::{Tally, cut_everywhere},
    disk::{Faults, Lie, SimDisk},
    model::Image,
    rig::{Rig, Story, entry},
};

/// Some entries of one tenant, of which many were sent before.
fn some(random: &mut Random, count: usize, keys: usize) -> Vec<switchboard_core::ingest::Entry> {
    let tenant = random.below(3);
    (0..count).map(|_| entry(tenant, u32::try_from(random.below(keys)).unwrap())).collect()
}

/// Anything that may happen, so many times.
fn go_on(rig: &mut Rig, random: &mut Random, steps: usize) {
    for _ in 0..steps {
        match random.below(8) {
            0..5 => {
                let [a, b] = [40, 6].map(|most| 1 + random.below(most));
                let (a, b) = (some(random, a, 200), some(random, b, 200));
                rig.commit(&[&a, &b]);
            }
            5 => {
                let few = some(random, 200, 60);
                rig.commit(&[&few]);
            }
            _ => rig.checkpoint(),
        }
    }
}

/// Cuts the power everywhere, goes on from some of what is left, and cuts again.
fn check(story: &Story, seed: u64, samples: usize, again: (usize, usize)) -> Tally {
    let mut random = Random(seed);
    let (keep, samples_again) = again;
    let (tally, kept) = cut_everywhere(story, (samples, keep), &mut random)
        .unwrap_or_else(|why| panic!("SEED={seed}: {why}"));
    for left in kept {
        let before = Story { acked: left.acked, ..story.clone() };
        let mut rig = Rig::open(SimDisk::new(left.image), before).unwrap();
        go_on(&mut rig, &mut random, 4);
        cut_everywhere(&rig.end(), (samples_again, 0), &mut random)
            .unwrap_or_else(|why| panic!("SEED={seed}: after the second cut: {why}"));
    }
    tally
}

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=count).collect(),
    }
}

/// From nothing to a few keys.
fn short(faults: Faults) -> Story {
    let disk = SimDisk::with(Image::default(), faults);
    let mut rig = Rig::open(disk, Story::default()).unwrap();
    rig.commit(&[&[entry(0, 1), entry(0, 2), entry(0, 1)]]);
    rig.commit(&[&[entry(0, 2), entry(1, 2)], &[entry(0, 1), entry(2, 9)]]);
    rig.commit(&[&[entry(0, 1)]]);
    // Over several sectors.
    let many: Vec<_> = (100..300).map(|key| entry(1, key)).collect();
    rig.commit(&[&many]);
    rig.story()
}

#[test]
fn a_short_history_is_cut_everywhere() {
    let tally = check(&short(Faults::default()), 1, 256, (100, 10));
    assert!(15 < tally.exhaustive, "{tally:?}");
}

/// Ends of segments, checkpoints, merges, cuts of the log.
fn long(seed: u64, faults: Faults) -> Story {
    let mut random = Random(seed);
    let disk = SimDisk::with(Image::default(), faults);
    let mut rig = Rig::open(disk, Story::default()).unwrap();
    for _ in 0..6 {
        for _ in 0..3 {
            let [a, b] = [60, 30].map(|most| 1 + random.below(most));
            let (a, b) = (some(&mut random, a, 900), some(&mut random, b, 900));
            rig.commit(&[&a, &b]);
        }
        rig.checkpoint();
    }
    let merged = rig.parts.keeper.runs.get().numbers();
    assert!(merged.len() < 6, "files were merged: {merged:?}");
    rig.story()
}

#[test]
fn checkpoints_and_merges_are_cut_everywhere() {
    let tally = check(&long(1, Faults::default()), 1, 20, (400, 4));
    assert!(60 < tally.cuts, "{tally:?}");
}

#[test]
fn many_histories_are_cut_here_and_there() {
    for seed in seeds(6) {
        let mut random = Random(seed);
        let mut rig = Rig::fresh();
        go_on(&mut rig, &mut random, 8);
        check(&rig.end(), seed, 6, (150, 3));
    }
}

#[test]
fn a_segment_that_was_begun_for_repeats_is_gone_on_with() {
    let mut rig = Rig::fresh();
    let entries: Vec<_> = (0..300).map(|key| entry(0, key)).collect();
    rig.commit(&[&entries[..150]]);
    rig.commit(&[&entries[150..]]);
    let before = rig.parts.writer.log.position();
    // There is no room to record them if they were new, so the next segment is taken.
    rig.commit(&[&entries[..200]]);
    let position = rig.parts.writer.log.position();
    assert_eq!((position.sequence, position.segment), (before.sequence, before.segment + 1));
    rig.checkpoint();
    rig.commit(&[&entries[..100], &[entry(1, 7)]]);
    check(&rig.end(), 1, 20, (100, 4));
}

/// A disk that lies must be found out, or the checks above mean nothing.
#[test]
fn a_sync_that_does_nothing_is_found_out() {
    let faults = Faults { lie: Some(Lie::Sync), failure: None };
    for story in [short(faults), long(1, faults)] {
        let found = cut_everywhere(&story, (50, 0), &mut Random(1));
        assert!(found.is_err(), "{found:?}");
    }
}

#[test]
fn a_sync_of_a_folder_that_does_nothing_is_found_out() {
    let faults = Faults { lie: Some(Lie::SyncFolder), failure: None };
    for story in [short(faults), long(1, faults)] {
        let found = cut_everywhere(&story, (50, 0), &mut Random(1));
        assert!(found.is_err(), "{found:?}");
    }
}
