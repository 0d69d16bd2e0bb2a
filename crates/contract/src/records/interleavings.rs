//! Anything at all, in any order, beside the model.

use std::{collections::BTreeMap, sync::Arc};

use switchboard_core::{
    Millis, Tenant,
    vault::{Change, Expected, OVERHEAD, Place, Range, Record, RecordId, Records, Then},
};

use super::{id, pages, profile, sealed, tenant};
use crate::{Model, random::Random};

const TENANTS: [&str; 2] = ["a", "ab"];

/// A few, so that most are changed again and again.
const IDS: [&str; 16] = [
    "a",
    "a.",
    "a.b",
    "a.c",
    "a/b",
    "a%",
    "a_b",
    "ab",
    "b",
    "bc",
    "é",
    "éa",
    "k\u{10ffff}",
    "k\u{10ffff}a",
    "l",
    "\u{10ffff}",
];

const PREFIXES: [&str; 10] =
    ["", "a", "a.", "a%", "a_", "b", "é", "k\u{10ffff}", "\u{10ffff}", "none"];

/// The store, and what it should be like.
struct Both<'a> {
    ours: &'a Arc<dyn Records>,
    model: &'a Arc<dyn Records>,
}

/// Two thousand steps of any kind are answered as the model answers them.
pub async fn any_interleaving_is_that_of_the_model(records: &Arc<dyn Records>) {
    let model: Arc<dyn Records> = Arc::new(Model::default());
    let both = Both { ours: records, model: &model };
    let mut random = Random(0x5eed);
    for step in 0..2_000 {
        both.take_step(&mut random, step).await;
    }
    both.compare().await;
}

/// The same, where the store is closed and opened again every so often; `reopen` gets what was
/// opened before.
pub async fn interleavings_over_restarts<S, F>(seed: u64, reopen: impl Fn(Option<S>) -> F)
where
    S: AsRef<Arc<dyn Records>>,
    F: Future<Output = S>,
{
    let model: Arc<dyn Records> = Arc::new(Model::default());
    let mut random = Random(seed | 1);
    let mut store = reopen(None).await;
    let mut step = 0;
    for _ in 0..12 {
        for _ in 0..random.below(150) {
            let both = Both { ours: store.as_ref(), model: &model };
            both.take_step(&mut random, step).await;
            step += 1;
        }
        store = reopen(Some(store)).await;
        Both { ours: store.as_ref(), model: &model }.compare().await;
    }
}

/// Anything that happens to a store and to a model, with what else happens between.
pub(crate) struct Interleaving {
    model: Arc<dyn Records>,
    random: Random,
    step: i64,
}

impl Interleaving {
    pub(crate) fn new(seed: u64, model: Arc<dyn Records>) -> Self {
        Self { model, random: Random(seed | 1), step: 0 }
    }

    pub(crate) async fn take_steps(&mut self, records: &Arc<dyn Records>, steps: u64) {
        for _ in 0..steps {
            let both = Both { ours: records, model: &self.model };
            both.take_step(&mut self.random, self.step).await;
            self.step += 1;
        }
    }

    pub(crate) async fn compare(&self, records: &Arc<dyn Records>) {
        Both { ours: records, model: &self.model }.compare().await;
    }
}

/// What is at a place, once the changes made up so far have happened.
#[derive(Clone, Copy)]
struct Believed {
    version: Option<u64>,
    /// What neither puts where nothing is.
    refused: u64,
    /// What both put where nothing is.
    first_version: u64,
}

fn any_place(random: &mut Random) -> (Tenant, RecordId) {
    (tenant(random.of(&TENANTS)), id(random.of(&IDS)))
}

/// A record of any length, which may expire in one of the next steps.
fn any_record(random: &mut Random, version: u64, step: i64) -> Record {
    let len = OVERHEAD + 1 + usize::try_from(random.below(300)).unwrap();
    let in_steps = i64::try_from(random.below(150)).unwrap();
    let expires_at = (random.below(2) == 0).then_some(Millis(step + in_steps));
    let sealed = sealed(len, random.below(1 << 40));
    Record { version, updated_at: Millis(step), expires_at, sealed }
}

/// Mostly what is there.
fn any_expected(random: &mut Random, there: &Believed) -> Expected {
    match (random.below(8), there.version) {
        (0, Some(_)) | (2.., None) => Expected::Absent,
        (0 | 1, None) => Expected::Version(there.refused),
        (1, Some(version)) => Expected::Version(version + 1),
        (_, Some(version)) => Expected::Version(version),
    }
}

/// Mostly one that can be put.
fn any_version(random: &mut Random, there: &Believed) -> u64 {
    let least = there.version.map_or(there.first_version, |version| version + 1);
    let refused = there.version.unwrap_or(there.refused);
    match random.below(8) {
        0 => refused.saturating_sub(random.below(3)),
        _ => least + random.below(3),
    }
}

impl Both<'_> {
    async fn take_step(&self, random: &mut Random, step: i64) {
        match random.below(12) {
            0..=5 => {
                let changes = self.any_changes(random, step).await;
                let ours = self.ours.change(changes.clone()).await.unwrap();
                let theirs = self.model.change(changes.clone()).await.unwrap();
                assert_eq!(ours, theirs, "step {step}: {changes:?}");
            }
            6 => {
                let now = Millis(step - i64::try_from(random.below(20)).unwrap());
                let ours = self.ours.expire(now).await.unwrap();
                assert_eq!(ours, self.model.expire(now).await.unwrap(), "step {step}: {now:?}");
            }
            7 | 8 => {
                let (of, at) = any_place(random);
                self.compare_place(of, &at).await;
            }
            9 | 10 => {
                let range = Range {
                    prefix: random.of(&PREFIXES).into(),
                    after: (random.below(2) == 0).then(|| any_place(random).1),
                    records_max: random.of(&[1, 2, 3, 5, 100]),
                    bytes_max: random.of(&[1, 300, 1_000, usize::MAX, usize::MAX]),
                };
                self.compare_list(tenant(random.of(&TENANTS)), range).await;
            }
            _ => {
                let of = tenant(random.of(&TENANTS));
                let number = u8::try_from(1 + random.below(9)).unwrap();
                let added = profile(number, u8::try_from(random.below(256)).unwrap());
                let ours = self.ours.add_profile(of, added).await.unwrap();
                let theirs = self.model.add_profile(of, added).await.unwrap();
                assert_eq!(ours, theirs, "step {step}");
            }
        }
    }

    /// A delete is the last of them: only the store can tell what may be put after it.
    async fn any_changes(&self, random: &mut Random, step: i64) -> Vec<Change> {
        let mut believed = BTreeMap::new();
        let mut changes = Vec::new();
        for _ in 0..=random.below(5) {
            // Often the same again.
            let place = match changes.last() {
                Some(Change { tenant, id, .. }) if random.below(2) == 0 => (*tenant, id.clone()),
                _ => any_place(random),
            };
            let there = match believed.get(&place) {
                Some(there) => *there,
                None => self.compare_place(place.0, &place.1).await,
            };
            let expected = any_expected(random, &there);
            let (tenant, id) = place.clone();
            if random.below(4) == 0 {
                changes.push(Change { tenant, id, expected, then: Then::Delete });
                break;
            }
            let version = any_version(random, &there);
            let then = Then::Put(any_record(random, version, step));
            changes.push(Change { tenant, id, expected, then });
            let as_expected = expected == there.version.map_or(Expected::Absent, Expected::Version);
            let least = there.version.map_or(there.first_version, |version| version + 1);
            let version =
                if as_expected && least <= version { Some(version) } else { there.version };
            believed.insert(place, Believed { version, ..there });
        }
        changes
    }

    /// The first version is greater than what was removed; by how much is a store's own.
    async fn compare_place(&self, of: Tenant, at: &RecordId) -> Believed {
        let ours = self.ours.get(of, at).await.unwrap();
        let Place { found, first_version } = self.model.get(of, at).await.unwrap();
        assert_eq!(ours.found, found, "{of} {at}");
        let least = format!("{of} {at}: at least {first_version}, not {}", ours.first_version);
        assert!(first_version <= ours.first_version, "{least}");
        Believed {
            version: found.as_ref().map(|found| found.record().version),
            refused: first_version - 1,
            first_version: ours.first_version,
        }
    }

    async fn compare_list(&self, of: Tenant, range: Range) {
        let whole = Range { records_max: usize::MAX, bytes_max: usize::MAX, ..range.clone() };
        let all = self.model.list(of, whole).await.unwrap();
        pages::check(self.ours, of, &range, &all.listed).await;
    }

    /// All that every tenant can read.
    async fn compare(&self) {
        for of in TENANTS.map(tenant) {
            for at in IDS.map(id) {
                self.compare_place(of, &at).await;
            }
            for prefix in PREFIXES {
                self.compare_list(of, pages::range(prefix, 5, usize::MAX)).await;
            }
            let ours = self.ours.profiles(of).await.unwrap();
            assert_eq!(ours, self.model.profiles(of).await.unwrap(), "{of}");
        }
    }
}
