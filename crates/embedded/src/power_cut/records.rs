//! The vault, cut everywhere.

use std::sync::Arc;

use switchboard_core::{
    Millis, Tenant,
    store::Unobserved,
    vault::{
        Change, Expected, Found, Outcome, Profile, Record, RecordId, Records as _, Sealed, Then,
        Work,
    },
};

use super::{
    Random,
    cuts::every_cut,
    disk::SimDisk,
    model::Image,
    rig::{OPTIONS, entry, health, now},
};
use crate::{Error, disk::Disk, keeper::Keeps as _, serve::Writes as _, vault};

/// The vault on a simulated disk, driven by hand.
struct Rig {
    disk: Arc<SimDisk>,
    parts: vault::Parts,
}

fn tenant() -> Tenant {
    "a".parse().unwrap()
}

const IDS: u32 = 5;

/// Step by step one of a few records is put, put over, or deleted.
fn id(step: u32) -> RecordId {
    RecordId::new(&format!("record-{}", step % IDS)).unwrap()
}

fn deletes(step: u32) -> bool {
    step % 7 == 6
}

fn record(step: u32) -> Record {
    let sealed = Sealed::new(vec![u8::try_from(step).unwrap(); 1 + step as usize * 37 % 900]);
    let version = u64::from(step) + 1;
    Record { version, updated_at: Millis(step.into()), expires_at: None, sealed }
}

const PROFILE: Profile =
    Profile { number: 1, salt: [7; 16], work: Work { memory_kib: 8, passes: 1, lanes: 1 } };

impl Rig {
    fn open(image: Image) -> Result<Self, Error> {
        let (disk, health) = (Arc::new(SimDisk::new(image)), health()?);
        let on = Arc::clone(&disk) as Arc<dyn Disk>;
        let parts = vault::open(&on, &OPTIONS, &health, Arc::new(Unobserved))?;
        Ok(Self { disk, parts })
    }

    /// Does what waits.
    fn work(&mut self) {
        self.parts.spare.prepare();
        let mut works = self.parts.front.queue.take(Vec::new()).unwrap();
        self.parts.writer.commit(&mut works).unwrap();
    }

    fn there(&self, id: &RecordId) -> Result<Option<Record>, String> {
        let place = now(self.parts.front.get(tenant(), id)).map_err(|error| error.to_string())?;
        match place.found {
            None => Ok(None),
            Some(Found::Whole(record)) => Ok(Some(record)),
            Some(Found::Damaged(_)) => Err(format!("{id} is damaged")),
        }
    }

    fn step(&mut self, step: u32) {
        let id = id(step);
        let there = self.there(&id).unwrap();
        let then = if deletes(step) { Then::Delete } else { Then::Put(record(step)) };
        let expected = there.map_or(Expected::Absent, |record| Expected::Version(record.version));
        if deletes(step) && expected == Expected::Absent {
            return;
        }
        let answer = self.parts.front.change(vec![Change { tenant: tenant(), id, expected, then }]);
        self.work();
        assert_eq!(now(answer).unwrap(), [Outcome::Done]);
        self.disk.acked(vec![(entry(0, step), 0)]);
    }

    fn checkpoint(&mut self) {
        let mut flush = self.parts.writer.flush().unwrap();
        self.parts.keeper.checkpoint(&mut flush).unwrap();
    }
}

/// The last step of each id that may be seen: all that was answered, and perhaps the one under way.
fn check(image: Image, acked: u32, steps: u32) -> Result<(), String> {
    let mut rig = Rig::open(image).map_err(|error| error.chain())?;
    let last = |id_of: u32, up_to: u32| (0..up_to).rev().find(|&step| step % IDS == id_of);
    let expected = |step: Option<u32>| step.filter(|&step| !deletes(step)).map(record);
    let mut removed = 0;
    for number in 0..IDS.min(steps) {
        let found = rig.there(&id(number))?;
        let old = last(number, acked);
        let new = last(number, (acked + 1).min(steps));
        if found != expected(old) && found != expected(new) {
            return Err(format!("{} is {found:?} after {acked} steps", id(number)));
        }
        removed = removed.max(found.map_or(0, |record| record.version));
    }
    if 0 < acked && now(rig.parts.front.profiles(tenant())).unwrap()[..] != [PROFILE] {
        return Err("the profile is missing".to_owned());
    }
    // What is there can be changed, and what was removed does not come again.
    let fresh = RecordId::new("fresh").unwrap();
    let place = now(rig.parts.front.get(tenant(), &fresh)).unwrap();
    let gone = (0..acked).filter(|&step| deletes(step));
    let greatest = gone.filter_map(|step| last(step % IDS, step)).max();
    if place.first_version <= greatest.map_or(0, |step| record(step).version) {
        return Err(format!("version {} may be put again", place.first_version));
    }
    let record = Record { version: 1_000, ..record(1) };
    let then = Then::Put(record.clone());
    let change = Change { tenant: tenant(), id: fresh.clone(), expected: Expected::Absent, then };
    let answer = rig.parts.front.change(vec![change]);
    rig.work();
    if now(answer).map_err(|error| error.to_string())? != [Outcome::Done]
        || rig.there(&fresh)? != Some(record)
    {
        return Err("nothing can be put".to_owned());
    }
    Ok(())
}

#[test]
fn records_survive_every_cut() {
    const STEPS: u32 = 40;
    let mut random = Random(13);
    let mut rig = Rig::open(Image::default()).unwrap();
    let answer = rig.parts.front.add_profile(tenant(), PROFILE);
    rig.work();
    assert_eq!(now(answer).unwrap()[..], [PROFILE]);
    // Several segments, with checkpoints in between.
    for step in 0..STEPS {
        rig.step(step);
        if step % 6 == 5 {
            rig.checkpoint();
        }
    }
    let cuts = every_cut(&rig.disk, &mut random, |image, acked| {
        check(image, acked.keys().next_back().map_or(0, |last| last + 1), STEPS)
    });
    assert!(300 < cuts, "{cuts}");
}
