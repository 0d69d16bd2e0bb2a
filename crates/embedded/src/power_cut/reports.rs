//! The journal of reports, cut everywhere.

use std::{collections::BTreeSet, sync::Arc};

use switchboard_core::{
    ClientId, Millis,
    presence::{GatewayId, Report, Sighting, Status, TenantReport},
    store::Unobserved,
};
use tokio::sync::oneshot;

use super::{
    Random,
    cuts::choices,
    disk::SimDisk,
    model::{Image, Model, Op},
    rig::{OPTIONS, entry},
};
use crate::{
    Error,
    disk::{Disk, Folder},
    open,
    presence::{Group, Keeper, Request},
};

/// A journal on a simulated disk.
struct Rig {
    disk: Arc<SimDisk>,
    keeper: Keeper,
}

impl Rig {
    fn open(image: Image) -> Result<Self, Error> {
        let disk = Arc::new(SimDisk::new(image));
        // Only to be told of a failure, of which there is none here.
        let elsewhere = Arc::new(SimDisk::new(Image::default()));
        let health = open::open(elsewhere, &OPTIONS, Arc::new(Unobserved))?.health;
        let on = Folder::open(Arc::clone(&disk) as Arc<dyn Disk>, "presence").map(Arc::new)?;
        let keeper = Keeper::open(on, OPTIONS.reports_segment_bytes, 9, health)?;
        Ok(Self { disk, keeper })
    }

    /// Asks for something and has it done.
    fn ask<T>(&mut self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> T {
        self.keeper.spare().prepare();
        let (answer, mut answered) = oneshot::channel();
        let mut group = Group::default();
        self.keeper.serve(request(answer), &mut group).unwrap();
        self.keeper.end(&mut group).unwrap();
        answered.try_recv().unwrap()
    }

    fn append(&mut self, number: u32) {
        let report = report(number);
        let (bytes, at) = (report.to_bytes(), report.at);
        self.ask(|answer| Request::Append { bytes, at, answer }).unwrap();
        self.disk.acked(vec![(entry(0, number), number.into())]);
    }

    fn prune(&mut self, before: u32) {
        self.ask(|answer| Request::Prune { before: Millis(before.into()), answer }).unwrap();
    }

    fn numbers(&mut self) -> Vec<u64> {
        let (mut numbers, mut from) = (Vec::new(), Some(0));
        while let Some(place) = from {
            let page = self.ask(|answer| Request::Read { from: place, answer }).unwrap();
            numbers.extend(page.reports.iter().map(|report| report.at.0.unsigned_abs()));
            from = page.next;
        }
        numbers
    }
}

/// A report that is known by its time.
fn report(number: u32) -> Report {
    let sightings = (0..number % 7).map(|client| Sighting {
        client: ClientId::new(&format!("{} {number} {client}", "x".repeat(60))).unwrap(),
        seen: Some(Millis(number.into())),
        status: Status::Even,
        sessions: 1,
    });
    let sightings = sightings.collect();
    let part = TenantReport { tenant: "a".parse().unwrap(), connected: number, sightings };
    Report { gateway: GatewayId(1), at: Millis(number.into()), tenants: vec![part] }
}

/// Opens what a cut left: all that was answered and is not too old is there, in order, once.
fn check(image: Image, acked: &BTreeSet<u64>, pruned: u64) -> Result<(), String> {
    let mut rig = Rig::open(image).map_err(|error| error.chain())?;
    let numbers = rig.numbers();
    if !numbers.is_sorted_by(|a, b| a + 1 == *b) {
        return Err(format!("not one after the other: {numbers:?}"));
    }
    let found: BTreeSet<u64> = numbers.into_iter().collect();
    let missing = acked.range(pruned..).find(|number| !found.contains(number));
    missing.map_or(Ok(()), |number| Err(format!("{number} is missing of {found:?}")))
}

#[test]
fn reports_survive_every_cut() {
    let mut random = Random(5);
    let mut rig = Rig::open(Image::default()).unwrap();
    // Several segments; the old ones are removed on the way.
    for number in 1..=60 {
        rig.append(number);
        if number % 20 == 0 {
            rig.prune(number - 10);
        }
    }
    let (base, ops) = rig.disk.history();
    let (mut model, mut acked, mut cuts) = (Model::new(&base), BTreeSet::new(), 0);
    for at in 0..=ops.len() {
        let op = ops.get(at);
        if op.is_none() || matches!(op, Some(Op::Sync { .. } | Op::SyncFolder { .. })) {
            // What is pruned next may be gone already.
            let pruned = (acked.last().copied().unwrap_or(0) / 20 * 20_u64).saturating_sub(10);
            for chosen in choices(&model, 128, &mut random).0 {
                cuts += 1;
                check(model.image(&chosen), &acked, pruned)
                    .unwrap_or_else(|why| panic!("cut before {at}, {op:?}, {chosen:?}: {why}"));
            }
        }
        let Some(op) = op else { break };
        if let Op::Acked(ids) = op {
            acked.extend(ids.iter().map(|&(_, number)| number));
        }
        model.apply(op);
    }
    assert!(300 < cuts, "{cuts}");
}
