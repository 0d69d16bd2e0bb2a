//! A disk that is full: writes are refused, nothing is lost, and it goes on once there is room.

use switchboard_core::{Code, store::Condition};

use super::{
    check::{Expected, check},
    rig::{Rig, entry, record},
};
use crate::keeper::Keeps as _;

/// What the next segment takes, and what a checkpoint wants free.
const SEGMENT: usize = 4096;
const CHECKPOINT: usize = 17 << 20;

fn holds_all(rig: &Rig) {
    let story = rig.story();
    let acked = story.ops.iter().filter_map(|op| match op {
        super::model::Op::Acked(ids) => Some(ids.clone()),
        _ => None,
    });
    let acked = acked.flatten().collect();
    let (sent, ends) = (story.sent.iter().copied().collect(), story.ends.iter().copied().collect());
    let expected = Expected { acked: &acked, sent: &sent, ends: &ends };
    for all in [false, true] {
        check(&rig.disk.image(all), &expected, true).unwrap();
    }
}

#[test]
fn a_full_disk_refuses_what_is_new_and_answers_what_is_known() {
    let mut rig = Rig::fresh();
    let entries: Vec<_> = (0..2000).map(|key| entry(0, key)).collect();
    rig.commit(&[&entries[..150]]);
    // The next segment is there already; the one after it can't be made.
    rig.disk.set_free(SEGMENT - 1);
    let mut recorded = 150;
    let refused = loop {
        let batch = &entries[recorded..recorded + 150];
        let answer = record(&mut rig.parts, &[batch]).1.remove(0).unwrap();
        match answer {
            Ok(receipts) => assert_eq!(receipts[149].id, recorded as u64 + 150),
            Err(refused) => break refused,
        }
        recorded += 150;
    };
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(matches!(rig.parts.health.condition(), Condition::Full(_)));
    let keys = rig.parts.writer.ledger.keys();
    assert_eq!(keys, recorded as u64);

    // Repeats, and new ones beside them.
    let (known, mixed) = (&entries[..150], &entries[recorded - 100..recorded + 50]);
    let answers = record(&mut rig.parts, &[known, mixed, known]).1;
    let [Some(Ok(first)), Some(Err(_)), Some(Ok(second))] = &answers[..] else {
        panic!("{answers:?}")
    };
    assert_eq!(first, second);
    assert!(first.iter().zip(1..).all(|(receipt, id)| receipt.id == id && !receipt.new));
    assert_eq!(rig.parts.writer.ledger.keys(), keys);

    rig.disk.set_free(CHECKPOINT);
    assert!(rig.parts.spare.prepare());
    assert_eq!(rig.parts.health.condition(), Condition::Writable);
    rig.commit(&[&entries[recorded..recorded + 150]]);
    assert_eq!(rig.parts.writer.ledger.keys(), keys + 150);
    rig.checkpoint();
    rig.commit(&[&entries[..150], &entries[recorded + 150..recorded + 200]]);
    let story = rig.story();
    assert_eq!(*story.ends.iter().max().unwrap(), keys + 200);
}

#[test]
fn a_checkpoint_waits_for_room_and_loses_nothing() {
    let mut rig = Rig::fresh();
    let entries: Vec<_> = (0..200).map(|key| entry(1, key)).collect();
    rig.commit(&[&entries[..100]]);
    rig.disk.set_free(CHECKPOINT / 2);
    let mut flush = rig.parts.writer.flush();
    for _ in 0..2 {
        let error = rig.parts.keeper.checkpoint(&mut flush).unwrap_err();
        assert!(error.is_full(), "{error:?}");
    }
    rig.commit(&[&entries[50..]]);
    holds_all(&rig);
    rig.disk.set_free(CHECKPOINT);
    rig.parts.keeper.checkpoint(&mut flush).unwrap();
    rig.checkpoint();
    holds_all(&rig);
}

/// Room that ends anywhere within a checkpoint and its merge, which are then tried again.
#[test]
fn a_checkpoint_that_met_the_end_of_the_disk_is_tried_again() {
    for free in (0..40).map(|step| step * 1024) {
        let mut rig = Rig::fresh();
        let entries: Vec<_> = (0..500).map(|key| entry(1, key)).collect();
        for batch in entries[..400].chunks(100) {
            rig.commit(&[batch]);
            if batch[0] != entries[300] {
                rig.checkpoint();
            }
        }
        let mut flush = rig.parts.writer.flush();
        // Somebody else takes the room once it was found to be there.
        rig.disk.set_free_but_tell(free, CHECKPOINT as u64);
        let checkpointed = rig.parts.keeper.checkpoint(&mut flush);
        rig.disk.set_free(2 * CHECKPOINT);
        if let Err(error) = checkpointed {
            assert!(error.is_full(), "{free}: {error:?}");
            rig.parts.keeper.checkpoint(&mut flush).unwrap();
        }
        rig.commit(&[&entries[350..]]);
        rig.checkpoint();
        holds_all(&rig);
    }
}
