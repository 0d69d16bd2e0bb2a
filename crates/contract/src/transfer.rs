//! The contract of [`Archive`] and [`Destination`].
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

mod faults;

use std::{fmt, sync::Arc};

use switchboard_core::{
    Code,
    bus::Log,
    chat::Chats,
    ingest::{Entry, Key, Ledger, Receipt},
    transfer::{
        Archive, Begun, Compared, Destination, Moved, Page, Place, Reached, Row, Section, Watch,
        carry,
    },
    vault::Records,
};

pub use self::faults::{another_row_of_the_same_name_is_refused, what_is_cut_off_is_gone_on_with};
use crate::{Model, chats, log, records};

/// Declares one test for each clause of the contract, for a [`Vessel`].
#[macro_export]
macro_rules! transfer {
    ($vessel:ty) => {
        $crate::transfer!(
            $vessel;
            nothing_is_carried_as_nothing,
            what_was_carried_is_read_back,
            pages_have_every_row_once,
            what_was_carried_answers_as_the_original,
            what_was_carried_back_answers_as_the_original,
            what_is_cut_off_is_gone_on_with,
            something_else_is_refused,
            what_was_finished_is_told,
            another_row_of_the_same_name_is_refused,
        );
    };
    ($vessel:ty; $($clause:ident,)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $clause() {
            $crate::transfer::$clause::<$vessel>().await;
        })+
    };
}

/// A store that is filled, told, or served: one of them at a time. What was handed out is let go of
/// before the next is asked for.
pub trait Vessel: Sized {
    /// An empty one.
    fn empty() -> impl Future<Output = Self>;

    /// It is to be filled.
    fn destination(&self) -> impl Future<Output = Arc<dyn Destination>>;

    /// It is to be told.
    fn archive(&self) -> impl Future<Output = Arc<dyn Archive>>;

    /// It is to be served.
    fn serve(&self) -> impl Future<Output = Ports>;
}

/// What is served.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Ingest.
    pub ledger: Arc<dyn Ledger>,
    /// Chat.
    pub chats: Arc<dyn Chats>,
    /// The vault.
    pub records: Arc<dyn Records>,
    /// The bus.
    pub log: Arc<dyn Log>,
}

impl Ports {
    /// Of a store that is all of them.
    pub fn of<S: Ledger + Chats + Records + Log + 'static>(store: &Arc<S>) -> Self {
        Self {
            ledger: Arc::clone(store) as _,
            chats: Arc::clone(store) as _,
            records: Arc::clone(store) as _,
            log: Arc::clone(store) as _,
        }
    }
}

/// Looks away.
#[derive(Debug)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn begin(&self, _section: Section, _rows: u64) {}

    fn carried(&self, _section: Section, _rows: u64) {}

    fn done(&self, _section: Section) {}

    fn compare(&self, _section: Section) {}
}

/// What happens to a store, and to a model beside it that is asked the same.
pub(crate) struct Life {
    model: Arc<Model>,
    chats: chats::Interleaving,
    records: records::Interleaving,
    log: log::Interleaving,
    keys: u32,
}

impl Life {
    pub(crate) fn new(seed: u64) -> Self {
        let model = Arc::new(Model::default());
        Self {
            chats: chats::Interleaving::new(seed, Arc::clone(&model) as _),
            records: records::Interleaving::new(seed, Arc::clone(&model) as _),
            log: log::Interleaving::new(seed, Arc::clone(&model) as _),
            model,
            keys: 0,
        }
    }

    /// So many steps of every kind, answered alike by both.
    pub(crate) async fn go_on(&mut self, ports: &Ports, steps: u64) {
        self.chats.take_steps(&ports.chats, steps).await;
        self.records.take_steps(&ports.records, steps).await;
        self.log.take_steps(&ports.log, 2 * steps).await;
        for _ in 0..steps {
            let entries: Vec<Entry> = (0..3).map(|it| entry(self.keys + it)).collect();
            self.keys += 2;
            self.model.record(entries.clone()).await.unwrap();
            ports.ledger.record(entries).await.unwrap();
        }
    }

    /// All that can be read is the same on both.
    pub(crate) async fn compare(&self, ports: &Ports) {
        self.chats.compare(&ports.chats).await;
        self.records.compare(&ports.records).await;
        self.log.compare(&ports.log).await;
        for number in 0..=self.keys {
            let theirs = self.model.record(vec![entry(number)]).await.unwrap();
            let ours = ports.ledger.record(vec![entry(number)]).await.unwrap();
            let new = |receipts: &[Receipt]| receipts[0].new;
            assert_eq!(new(&ours), new(&theirs), "{number}");
        }
    }
}

fn entry(number: u32) -> Entry {
    let tenant = ["a", "ab", "b"][number as usize % 3].parse().unwrap();
    Entry { tenant, key: Key::from_number(number * 7_919).unwrap() }
}

/// A model that has lived for a while.
pub(crate) async fn lived(seed: u64, steps: u64) -> (Life, Arc<Model>) {
    let (mut life, model) = (Life::new(seed), Arc::new(Model::default()));
    life.go_on(&Ports::of(&model), steps).await;
    (life, model)
}

pub(crate) async fn carried(origin: &dyn Archive, destination: &dyn Destination) -> Moved {
    carry(origin, destination, &Unwatched).await.unwrap()
}

#[track_caller]
pub(crate) fn assert_equal(moved: &Moved) {
    for Compared { section, there, here } in &moved.sections {
        assert_eq!(here, there, "{section}");
    }
}

/// All rows of a section, read page by page.
pub(crate) async fn all(archive: &dyn Archive, section: Section, rows_max: usize) -> Vec<Row> {
    let (mut rows, mut from): (_, Option<Place>) = (Vec::new(), None);
    loop {
        let page: Page = archive.read(section, from, rows_max).await.unwrap();
        assert!(page.rows.len() <= rows_max, "{section}");
        rows.extend(page.rows);
        if page.next.is_none() {
            return rows;
        }
        from = page.next;
    }
}

/// From an empty store nothing comes, and what is filled with it is empty.
pub async fn nothing_is_carried_as_nothing<V: Vessel>() {
    let vessel = V::empty().await;
    let destination = vessel.destination().await;
    let moved = carried(&Model::default(), &*destination).await;
    assert!(!moved.before && moved.sections.iter().all(|section| section.here.rows == 0));
    drop(destination);
    let (life, _) = lived(1, 0).await;
    life.compare(&vessel.serve().await).await;
}

/// What was written is read back, by both counts and checksums, and row by row.
pub async fn what_was_carried_is_read_back<V: Vessel>() {
    let vessel = V::empty().await;
    let destination = vessel.destination().await;
    let (_, model) = lived(2, 300).await;
    let moved = carried(&*model, &*destination).await;
    assert_equal(&moved);
    assert!(moved.is_equal() && !moved.before);
    for section in Section::ALL {
        let here = all(&*destination, section, 1_000).await;
        let there = all(&*model, section, 1_000).await;
        assert!(!there.is_empty(), "{section}");
        assert!(there.iter().all(|row| here.contains(row)), "{section}");
        let count = destination.count(section).await.unwrap();
        assert!(count <= 2 * here.len() as u64 + 100, "{section}: {count}");
    }
}

/// Pages of any length have every row once, in the same order each time.
pub async fn pages_have_every_row_once<V: Vessel>() {
    let vessel = V::empty().await;
    let destination = vessel.destination().await;
    let (_, model) = lived(3, 120).await;
    assert_equal(&carried(&*model, &*destination).await);
    drop(destination);
    let archive = vessel.archive().await;
    for section in Section::ALL {
        let whole = all(&*archive, section, 5_000).await;
        for rows_max in [1, 2, 7, 64] {
            assert_eq!(all(&*archive, section, rows_max).await, whole, "{section}: {rows_max}");
        }
        let mut sequences = std::collections::BTreeMap::new();
        for row in &whole {
            if let Row::Event { tenant, event } = row {
                let before = sequences.insert(*tenant, event.sequence);
                assert!(before < Some(event.sequence), "{event:?}");
            }
        }
    }
}

/// Every port goes on as that of the origin would have.
pub async fn what_was_carried_answers_as_the_original<V: Vessel>() {
    for seed in [4, 5] {
        let vessel = V::empty().await;
        let (mut life, model) = lived(seed, 300).await;
        let destination = vessel.destination().await;
        assert_equal(&carried(&*model, &*destination).await);
        drop(destination);
        let ports = vessel.serve().await;
        life.compare(&ports).await;
        life.go_on(&ports, 80).await;
        life.compare(&ports).await;
    }
}

/// What goes back, after a while, goes on as it would have where it was.
pub async fn what_was_carried_back_answers_as_the_original<V: Vessel>() {
    let vessel = V::empty().await;
    let (mut life, model) = lived(6, 200).await;
    let destination = vessel.destination().await;
    assert_equal(&carried(&*model, &*destination).await);
    drop(destination);
    let ports = vessel.serve().await;
    life.go_on(&ports, 80).await;
    drop(ports);
    let (archive, back) = (vessel.archive().await, Arc::new(Model::default()));
    assert_equal(&carried(&*archive, &*back).await);
    drop(archive);
    let ports = Ports::of(&back);
    life.compare(&ports).await;
    life.go_on(&ports, 100).await;
    life.compare(&ports).await;
}

/// A store that holds anything else takes nothing.
pub async fn something_else_is_refused<V: Vessel>() {
    let vessel = V::empty().await;
    let ports = vessel.serve().await;
    let first = ports.ledger.record(vec![entry(1)]).await.unwrap();
    drop(ports);
    let destination = vessel.destination().await;
    refused(carry(&Model::default(), &*destination, &Unwatched).await.map(drop));
    drop(destination);
    let ports = vessel.serve().await;
    let again = ports.ledger.record(vec![entry(1)]).await.unwrap();
    assert_eq!((again[0].id, again[0].new), (first[0].id, false));

    // The same holds for what was begun to be carried from another store.
    let vessel = V::empty().await;
    let destination = vessel.destination().await;
    let begun = destination.begin("the first").await.unwrap();
    assert!(matches!(begun, Begun::Open(_)));
    let rows = vec![Row::Key { entry: entry(1), id: 1 }];
    destination.write(Section::Keys, rows, Reached::End).await.unwrap();
    drop(destination);
    let destination = vessel.destination().await;
    refused(destination.begin("the second").await.map(drop));
    assert!(matches!(destination.begin("the first").await.unwrap(), Begun::Open(_)));
}

#[track_caller]
pub(crate) fn refused<T: fmt::Debug>(outcome: switchboard_core::Result<T>) {
    assert_eq!(outcome.unwrap_err().code(), Code::Conflict);
}

/// What was finished before is told, and compared again.
pub async fn what_was_finished_is_told<V: Vessel>() {
    let vessel = V::empty().await;
    let (_, model) = lived(7, 60).await;
    for before in [false, true, true] {
        let destination = vessel.destination().await;
        let moved = carried(&*model, &*destination).await;
        assert_equal(&moved);
        assert_eq!(moved.before, before);
    }
    // Something else happens in one of them.
    vessel.serve().await.ledger.record(vec![entry(99_999)]).await.unwrap();
    let destination = vessel.destination().await;
    let moved = carried(&*model, &*destination).await;
    assert!(moved.before && !moved.is_equal());
}
