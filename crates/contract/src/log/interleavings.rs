//! Anything at all, in any order, beside the model.

use std::sync::Arc;

use switchboard_core::{
    Code, Error, Millis, Result, Tenant,
    bus::{
        Attendance, Body, Content, DeliveryId, Draft, Gone, IdempotencyKey, Interest, Log, Page,
        Pull, QueueId, QueueName, QueueSettings, Read, Retention, Settlement, Since, TopicFilter,
        Verdict,
    },
    presence::GatewayId,
};

use super::{content, presence::attendance, reading::is_page, tenant};
use crate::{Model, random::Random};

const TENANTS: [&str; 2] = ["a", "ab"];

const TOPICS: [&str; 7] = ["a", "b", "a.b", "a.c", "b.a", "a.b.c", "z.z"];

const TYPES: [&str; 3] = ["made", "sent", "rare"];

const FILTERS: [&str; 11] =
    [">", "a", "a.*", "a.>", "*.b", "*.*", "b.>", "a.b.c", "z.>", "sys.>", "sys.dead_letters.*"];

const QUEUES: [&str; 3] = ["work", "other", "Work"];

/// Topics, for how many milliseconds they are kept, and how many bytes of them.
type Rule = (&'static str, Option<i64>, Option<u64>);

/// What is kept for how long, at different times.
const RULES: [&[Rule]; 5] = [
    &[("a.>", Some(20_000), None), ("z.>", None, Some(300))],
    &[("a.b", None, None), ("*.b", Some(3_000), Some(2_000)), ("b.>", Some(9_000), None)],
    &[("sys.>", Some(15_000), None), (">", Some(60_000), Some(30_000))],
    &[("*", None, Some(500))],
    &[("z.>", None, Some(0)), ("z.z", Some(0), None)],
];

/// The store, and what it should be like.
struct Both<'a> {
    ours: &'a Arc<dyn Log>,
    model: &'a Arc<dyn Log>,
}

/// What comes next, and what it follows from.
struct Walk {
    random: Random,
    now: i64,
    /// The newest session of all clients.
    session: u64,
    /// What was delivered of late, of queues.
    delivered: Vec<(QueueId, DeliveryId)>,
}

/// Two thousand steps of any kind are answered as the model answers them.
pub async fn any_interleaving_is_that_of_the_model(log: &Arc<dyn Log>) {
    let model: Arc<dyn Log> = Arc::new(Model::default());
    let both = Both { ours: log, model: &model };
    let mut walk = Walk::new(0x5eed);
    for _ in 0..2_000 {
        both.take_step(&mut walk).await;
    }
    both.compare().await;
}

/// The same, where the store is closed and opened again every so often; `reopen` gets what was
/// opened before.
pub async fn interleavings_over_restarts<S, F>(seed: u64, reopen: impl Fn(Option<S>) -> F)
where
    S: AsRef<Arc<dyn Log>>,
    F: Future<Output = S>,
{
    let model: Arc<dyn Log> = Arc::new(Model::default());
    let mut walk = Walk::new(seed | 1);
    let mut store = reopen(None).await;
    for _ in 0..12 {
        for _ in 0..walk.random.below(150) {
            Both { ours: store.as_ref(), model: &model }.take_step(&mut walk).await;
        }
        store = reopen(Some(store)).await;
        Both { ours: store.as_ref(), model: &model }.compare().await;
    }
}

/// Anything that happens to a store and to a model, with what else happens between.
pub(crate) struct Interleaving {
    model: Arc<dyn Log>,
    walk: Walk,
}

impl Interleaving {
    pub(crate) fn new(seed: u64, model: Arc<dyn Log>) -> Self {
        Self { model, walk: Walk::new(seed | 1) }
    }

    pub(crate) async fn take_steps(&mut self, log: &Arc<dyn Log>, steps: u64) {
        for _ in 0..steps {
            Both { ours: log, model: &self.model }.take_step(&mut self.walk).await;
        }
    }

    pub(crate) async fn compare(&self, log: &Arc<dyn Log>) {
        Both { ours: log, model: &self.model }.compare().await;
    }
}

fn codes<T>(answers: Vec<Result<T>>) -> Vec<Result<T, Code>> {
    answers.into_iter().map(|answer| answer.map_err(|error| error.code())).collect()
}

fn millis(number: u64) -> i64 {
    i64::try_from(number).unwrap()
}

impl Walk {
    fn new(seed: u64) -> Self {
        Self { random: Random(seed), now: 1_000_000, session: 0, delivered: Vec::new() }
    }

    fn one_in(&mut self, so_many: u64) -> bool {
        self.random.below(so_many) == 0
    }

    fn tenant(&mut self) -> Tenant {
        tenant(TENANTS[usize::from(self.one_in(4))])
    }

    fn queue(&mut self) -> QueueId {
        let name = QueueName::new(self.random.of(&QUEUES)).unwrap();
        QueueId { tenant: self.tenant(), name }
    }

    /// Of a few keys, so that many are repeats or conflicts.
    fn draft(&mut self) -> Draft {
        let key = format!("{}", self.random.below(60));
        let key = self.one_in(2).then(|| IdempotencyKey::new(&key).unwrap());
        // What has a key is mostly the same again.
        let (topic, kind, len) = match &key {
            Some(key) if !self.one_in(8) => {
                let number: usize = key.as_str().parse().unwrap();
                (TOPICS[number % TOPICS.len()], TYPES[number % 2], number)
            }
            _ => {
                let kind = if self.one_in(40) { TYPES[2] } else { self.random.of(&TYPES[..2]) };
                let len = usize::try_from(self.random.below(200)).unwrap();
                (self.random.of(&TOPICS), kind, len)
            }
        };
        let data = vec![b'x'; len];
        let content = Content { kind, key: key.as_ref(), ..content(topic, &data) };
        let at = Millis(self.now - millis(self.random.below(400)));
        Draft { tenant: self.tenant(), body: Body::new(&content).unwrap(), at }
    }

    fn interest(&mut self) -> Interest {
        let filters: Vec<&str> =
            (0..=self.random.below(2)).map(|_| self.random.of(&FILTERS)).collect();
        let types: Vec<&str> = if self.one_in(4) { vec![self.random.of(&TYPES)] } else { vec![] };
        Interest::new(filters, types).unwrap()
    }

    fn since(&mut self, newest: u64) -> Since {
        match self.random.below(10) {
            0 => Since::Now,
            1 | 2 => Since::Start,
            3 | 4 => Since::Time(Millis(self.now - millis(self.random.below(40_000)))),
            // Also some that have not come yet.
            5 => Since::After((newest + 2).saturating_sub(self.random.below(5))),
            _ => Since::After(newest.saturating_sub(self.random.below(60))),
        }
    }

    fn settings(&mut self, name: &QueueName) -> Option<QueueSettings> {
        let interest = Interest::new([self.random.of(&["a.>", "*", "b.a", "*.b"])], []).unwrap();
        let numbers = (1_000, self.random.of(&[1, 3]));
        let topic = self.random.of(&["", "", "z.z"]);
        QueueSettings::new(name, interest, numbers, topic).ok()
    }

    /// Mostly of the newest session, or of one that is told late.
    fn attendance(&mut self) -> Attendance {
        let (name, gateway) = (self.random.of(&["zoe", "max", "\u{1f980}"]), self.random.below(3));
        let present = self.one_in(2);
        self.session += self.random.below(2);
        let session = self.session.saturating_sub(self.random.below(if present { 3 } else { 6 }));
        let at = Millis(self.now);
        Attendance { tenant: self.tenant(), at, ..attendance(name, gateway, present, session) }
    }

    fn verdict(&mut self) -> Verdict {
        if self.one_in(2) {
            return Verdict::Acknowledge;
        }
        let later = if self.one_in(2) { 0 } else { millis(self.random.below(3_000)) };
        let reason = self.random.of(&["", "no", "what is this?"]).into();
        Verdict::Return { at: Millis(self.now + later), reason }
    }

    /// Mostly what was delivered of late, also if it was settled since.
    fn settlement(&mut self) -> Settlement {
        let any = self.queue();
        let last = self.delivered.last().map(|(queue, _)| queue.clone());
        let queue = last.filter(|_| self.random.below(4) != 0).unwrap_or(any);
        let own = self.delivered.iter().filter(|(of, _)| *of == queue);
        let own: Vec<DeliveryId> = own.map(|(_, id)| *id).collect();
        let mut deliveries = Vec::new();
        for _ in 0..=self.random.below(4) {
            let id = if own.is_empty() || self.one_in(10) {
                let attempt = u32::try_from(self.random.below(3)).unwrap();
                DeliveryId { sequence: self.random.below(300), attempt }
            } else {
                self.random.of(&own)
            };
            if !self.one_in(4) {
                self.delivered.retain(|(of, delivered)| *of != queue || *delivered != id);
            }
            deliveries.push((id, self.verdict()));
        }
        Settlement { queue, deliveries, now: Millis(self.now) }
    }

    fn rules(&mut self) -> Arc<[Retention]> {
        let rule = |&(filter, age_ms, bytes): &Rule| {
            let filter = TopicFilter::new(filter).unwrap();
            Retention { filter, age_ms, bytes }
        };
        self.random.of(&RULES).iter().map(rule).collect()
    }
}

impl Both<'_> {
    async fn take_step(&self, walk: &mut Walk) {
        let longer = if walk.one_in(20) { 2_000 } else { 50 };
        walk.now += millis(walk.random.below(longer));
        let (ours, model) = (self.ours, self.model);
        let now = Millis(walk.now);
        match walk.random.below(100) {
            0..30 => {
                let drafts: Vec<Draft> = (0..=walk.random.below(4)).map(|_| walk.draft()).collect();
                let theirs = codes(model.publish(drafts.clone()).await.unwrap());
                assert_eq!(codes(ours.publish(drafts).await.unwrap()), theirs, "{now:?}");
            }
            30..45 => {
                let of = walk.tenant();
                let newest = self.newest(of).await;
                let (interest, since) = (walk.interest(), walk.since(newest));
                let events_max = walk.random.of(&[0, 1, 2, 5, 50, 1_000]);
                let bytes_max = walk.random.of(&[0, 100, 1_000, usize::MAX, usize::MAX]);
                let read = Read { tenant: of, interest, since, events_max, bytes_max };
                self.compare_reading(read).await;
            }
            45..60 => self.pull(walk).await,
            60..75 => {
                let settlement = walk.settlement();
                let theirs = model.settle(settlement.clone()).await;
                let settled = ours.settle(settlement.clone()).await;
                assert_same(settled, theirs, &format!("{settlement:?}"));
            }
            75..84 => self.change_queues(walk).await,
            84..88 => {
                model.sweep(now).await.unwrap();
                ours.sweep(now).await.unwrap();
            }
            88..95 => {
                let batch: Vec<Attendance> =
                    (0..=walk.random.below(3)).map(|_| walk.attendance()).collect();
                model.attend(batch.clone()).await.unwrap();
                ours.attend(batch).await.unwrap();
            }
            95 => {
                let some = (0..3).filter(|_| walk.one_in(2)).map(GatewayId).collect();
                let gone = if walk.one_in(2) { Gone::AllBut(some) } else { Gone::These(some) };
                let theirs = model.abandon(gone.clone(), now).await.unwrap();
                assert_eq!(ours.abandon(gone.clone(), now).await.unwrap(), theirs, "{gone:?}");
                let theirs = model.gateways().await.unwrap();
                assert_eq!(ours.gateways().await.unwrap(), theirs, "behind {gone:?}");
            }
            96..98 => {
                let rules = walk.rules();
                let theirs = model.expire(Arc::clone(&rules), now).await.unwrap();
                let expired = ours.expire(Arc::clone(&rules), now).await.unwrap();
                assert_eq!(expired, theirs, "{now:?}: {rules:?}");
            }
            _ => self.compare_queues(walk.tenant()).await,
        }
    }

    async fn pull(&self, walk: &mut Walk) {
        let max = walk.random.of(&[0, 1, 2, 5]);
        let pull = Pull { queue: walk.queue(), max, now: Millis(walk.now) };
        let theirs = self.model.pull(pull.clone()).await;
        let ours = self.ours.pull(pull.clone()).await;
        let ids = theirs.iter().flat_map(|pulled| pulled.deliveries.iter().map(|it| it.id));
        walk.delivered.extend(ids.map(|id| (pull.queue.clone(), id)));
        let old = walk.delivered.len().saturating_sub(30);
        walk.delivered.drain(..old);
        assert_same(ours, theirs, &format!("{pull:?}"));
    }

    /// Makes one mostly, or finds it, or is refused.
    async fn change_queues(&self, walk: &mut Walk) {
        let queue = walk.queue();
        if walk.one_in(6) {
            let theirs = self.model.delete_queue(queue.clone()).await.unwrap();
            let ours = self.ours.delete_queue(queue.clone()).await.unwrap();
            assert_eq!(ours, theirs, "{queue:?}");
        } else if let Some(settings) = walk.settings(&queue.name) {
            let since = walk.since(self.newest(queue.tenant).await);
            let what = format!("{queue:?} {settings:?} {since:?}");
            let theirs = self.model.create_queue(queue.clone(), settings.clone(), since).await;
            assert_same(self.ours.create_queue(queue, settings, since).await, theirs, &what);
        }
    }

    async fn newest(&self, of: Tenant) -> u64 {
        let interest = Interest::new([">"], []).unwrap();
        let read = Read { tenant: of, interest, since: Since::Now, events_max: 0, bytes_max: 0 };
        self.model.read(read).await.unwrap().newest
    }

    /// Reads on to the newest, page by page, as long as that is possible: between the pages of what
    /// is kept may be what is not kept any more.
    async fn compare_reading(&self, mut read: Read) {
        // How often events have expired is counted by each in its own way.
        let mut whole = Read { events_max: u32::MAX, bytes_max: usize::MAX, ..read.clone() };
        loop {
            let theirs = self.model.read(whole.clone()).await;
            let (page, all) = match (self.ours.read(read.clone()).await, theirs) {
                (Ok(page), Ok(all)) => (page, all),
                (ours, theirs) => return assert_same(ours, theirs, &format!("{read:?}")),
            };
            is_page(&page, &read, &all.events);
            let Page { position, newest, expired, .. } = page;
            assert_eq!(newest, all.newest, "{read:?}");
            if position == newest || read.events_max == 0 {
                return;
            }
            let on = Since::at(position, expired);
            assert!(read.since != on, "{read:?}: a page leads on");
            read.since = on;
            whole.since = Since::at(position, all.expired);
        }
    }

    async fn compare_queues(&self, of: Tenant) {
        let theirs = self.model.queues(of).await.unwrap();
        assert_eq!(self.ours.queues(of).await.unwrap(), theirs, "{of}");
        for name in QUEUES {
            let queue = QueueId { tenant: of, name: QueueName::new(name).unwrap() };
            let theirs = self.model.queue(queue.clone()).await;
            let ours = self.ours.queue(queue).await;
            assert_same(ours, theirs, name);
        }
    }

    /// All that every tenant can read.
    async fn compare(&self) {
        for of in TENANTS.map(tenant) {
            for filter in FILTERS {
                let interest = Interest::new([filter], []).unwrap();
                let (since, bytes_max) = (Since::Start, usize::MAX);
                let read = Read { tenant: of, interest, since, events_max: 1_000, bytes_max };
                self.compare_reading(read).await;
            }
            self.compare_queues(of).await;
        }
    }
}

#[track_caller]
fn assert_same<T: std::fmt::Debug + PartialEq>(ours: Result<T>, theirs: Result<T>, what: &str) {
    let code = |error: Error| error.code();
    assert_eq!(ours.map_err(code), theirs.map_err(code), "{what}");
}
