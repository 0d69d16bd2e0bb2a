//! A disk that fails: nothing more is acknowledged, and a new start finds what was.

use std::{
    future::Future,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use switchboard_core::{
    Code,
    ingest::Ledger as _,
    store::{Condition, Store as _, Unobserved},
};

use super::{
    Random,
    cuts::cut_everywhere,
    disk::{Failure, Faults, SimDisk},
    model::Image,
    rig::{OPTIONS, Rig, Story, entry, record},
};
use crate::Embedded;

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Waits for what other threads bring about.
#[track_caller]
fn wait<F: Future + Unpin>(mut future: F) -> F::Output {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Poll::Ready(output) = poll(&mut future) {
            return output;
        }
        assert!(Instant::now() < deadline, "it never comes");
        std::thread::yield_now();
    }
}

fn store(disk: &SimDisk) -> Embedded {
    Embedded::open(Arc::new(disk.clone()), &OPTIONS, Arc::new(Unobserved)).unwrap()
}

#[track_caller]
fn check_fails(failure: Failure) {
    let disk = SimDisk::new(Image::default());
    let store_before = store(&disk);
    wait(store_before.record(vec![entry(0, 1)])).unwrap();
    disk.set_faults(Faults { failure: Some(failure), lie: None });
    let error = wait(store_before.record(vec![entry(0, 2)])).unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    wait(store_before.failed());
    assert!(matches!(store_before.vitals().condition, Condition::Failed(_)));
    for key in [1, 3] {
        let error = wait(store_before.record(vec![entry(0, key)])).unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
    }
    drop(store_before);
    assert_eq!(disk.retried(), 0);
    for all in [false, true] {
        let after = store(&SimDisk::new(disk.image(all)));
        let receipts = wait(after.record(vec![entry(0, 1), entry(0, 3), entry(0, 2)])).unwrap();
        assert!(receipts[0].id == 1 && !receipts[0].new, "{receipts:?}");
        let mut ids: Vec<_> = receipts.iter().map(|receipt| receipt.id).collect();
        ids.sort_unstable();
        assert_eq!(ids, [1, 2, 3]);
    }
}

#[test]
fn a_failing_write_ends_the_store() {
    check_fails(Failure::LogWrite);
}

#[test]
fn a_failing_sync_ends_the_store() {
    check_fails(Failure::LogSync);
}

/// Also when it is not the log that failed.
#[test]
fn a_failed_checkpoint_ends_the_store() {
    let disk = SimDisk::new(Image::default());
    let store = store(&disk);
    disk.set_faults(Faults { failure: Some(Failure::RunWrite), lie: None });
    wait(store.record(vec![entry(0, 1)])).unwrap();
    wait(store.failed());
    let error = wait(store.record(vec![entry(0, 2)])).unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(disk.retried(), 0);
}

#[test]
fn a_repeat_waits_for_the_sync_of_the_first() {
    let disk = SimDisk::new(Image::default());
    let store = store(&disk);
    wait(store.record(vec![entry(0, 1)])).unwrap();
    disk.set_gate(false);
    let mut first = store.record(vec![entry(0, 2)]);
    disk.wait_for_sync();
    let mut repeat = store.record(vec![entry(0, 2)]);
    let mut known = store.record(vec![entry(0, 1)]);
    let until = Instant::now() + Duration::from_millis(50);
    while Instant::now() < until {
        for answer in [&mut first, &mut repeat, &mut known] {
            assert!(poll(answer).is_pending(), "answered before the sync");
        }
        std::thread::yield_now();
    }
    disk.set_gate(true);
    let [first, repeat] = [first, repeat].map(|answer| wait(answer).unwrap()[0]);
    assert!(first.new && !repeat.new && first.id == repeat.id && first.id == 2);
}

/// What the failures below happen in.
fn work(rig: &mut Rig) -> Result<(), crate::Error> {
    for round in 0..5_u32 {
        let keys = |from: u32| (from..from + 80).map(|key| entry(0, key)).collect::<Vec<_>>();
        rig.try_commit(&[&keys(round * 150)])?;
        rig.try_commit(&[&keys(round * 150 + 70)])?;
        rig.try_checkpoint()?;
    }
    Ok(())
}

/// Lets every single operation fail, the ones of the start included, then cuts the power.
#[test]
fn any_operation_may_fail() {
    let mut rig = Rig::fresh();
    work(&mut rig).unwrap();
    let operations = rig.disk.operations();
    drop(rig);
    let mut opened = 0;
    for operation in 1..=operations {
        let faults = Faults { failure: Some(Failure::Operation(operation)), lie: None };
        let disk = SimDisk::with(Image::default(), faults);
        let Ok(mut rig) = Rig::open(disk.clone(), Story::default()) else {
            // The next start makes it whole.
            for all in [false, true] {
                Rig::open(SimDisk::new(disk.image(all)), Story::default()).unwrap();
            }
            continue;
        };
        opened += 1;
        // A failure while the next segment is prepared is no failure of the store.
        let _ = work(&mut rig);
        let retried = rig.disk.retried();
        let mut story = rig.end();
        assert_eq!((retried, disk.retried()), (0, 0), "operation {operation}");
        story.settle();
        cut_everywhere(&story, (2, 0), &mut Random(operation as u64))
            .unwrap_or_else(|why| panic!("operation {operation} of {operations} failed: {why}"));
    }
    assert!(20 < opened, "{opened} of {operations}");
}

/// A disk that fails to take a new segment is not told as a full one, and is tried again.
#[test]
fn a_segment_that_can_not_be_prepared_is_told_as_an_error() {
    let mut rig = Rig::fresh();
    let entries: Vec<_> = (0..2000).map(|key| entry(0, key)).collect();
    let mut batches = entries.chunks(50);
    rig.commit(&[batches.next().unwrap()]);
    // The next segment is there already; the one after it can't be made.
    rig.disk.set_faults(Faults { failure: Some(Failure::LogCreate), lie: None });
    let (batch, refused) = loop {
        let batch = batches.next().unwrap();
        if let Err(refused) = record(&mut rig.parts, &[batch]).1.remove(0).unwrap() {
            break (batch, refused);
        }
    };
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.to_string().contains("I/O error: a simulated fault"), "{refused}");
    let why = "I/O error: a simulated fault".to_owned();
    assert_eq!(rig.parts.health.condition(), Condition::Refusing(why));
    rig.disk.set_faults(Faults::default());
    assert!(rig.parts.spare.prepare());
    assert_eq!(rig.parts.health.condition(), Condition::Writable);
    rig.commit(&[batch]);
}

/// A killed process leaves what it wrote to the kernel: the next one finds it, and must make it
/// durable before it answers for it.
#[test]
fn what_a_killed_process_left_is_made_durable() {
    let disk = SimDisk::new(Image::default());
    let mut rig = Rig::open(disk.clone(), Story::default()).unwrap();
    rig.commit(&[&[entry(0, 1)]]);
    // Stands for the end of the process between the write and the sync.
    disk.set_faults(Faults { failure: Some(Failure::LogSync), lie: None });
    rig.try_commit(&[&[entry(0, 2)]]).unwrap_err();
    let mut rig = Rig::open(disk, rig.end()).unwrap();
    assert_eq!(rig.parts.writer.ledger.keys(), 2);
    rig.commit(&[&[entry(0, 2), entry(0, 1)]]);
    cut_everywhere(&rig.end(), (20, 0), &mut Random(1)).unwrap();
}
