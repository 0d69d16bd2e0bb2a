//! Anything at all, in any order, beside the model.

use std::sync::Arc;

use switchboard_core::{
    Millis,
    chat::{Acknowledgement, Chats, Draft, Name, Reach, Text, User},
};

use super::{draft, inbox, name, phone, user_of};
use crate::{Model, random::Random};

const USERS: u64 = 5;

/// Two thousand steps of any kind are answered as the model answers them.
pub async fn any_interleaving_is_that_of_the_model(chats: &Arc<dyn Chats>) {
    let model: Arc<dyn Chats> = Arc::new(Model::default());
    let mut random = Random(0x5eed);
    for step in 0..2_000 {
        take_step(chats, &model, &mut random, step).await;
    }
    compare(chats, &model).await;
}

/// The same, where the store is closed and opened again every so often; `reopen` gets what was
/// opened before.
pub async fn interleavings_over_restarts<S, F>(seed: u64, reopen: impl Fn(Option<S>) -> F)
where
    S: AsRef<Arc<dyn Chats>>,
    F: Future<Output = S>,
{
    let model: Arc<dyn Chats> = Arc::new(Model::default());
    let mut random = Random(seed | 1);
    let mut store = reopen(None).await;
    for round in 0..12 {
        for step in 0..random.below(150) {
            take_step(store.as_ref(), &model, &mut random, round * 1_000 + step).await;
        }
        store = reopen(Some(store)).await;
        compare(store.as_ref(), &model).await;
    }
}

/// Anything that happens to a store and to a model, with what else happens between.
pub(crate) struct Interleaving {
    model: Arc<dyn Chats>,
    random: Random,
    step: u64,
}

impl Interleaving {
    pub(crate) fn new(seed: u64, model: Arc<dyn Chats>) -> Self {
        Self { model, random: Random(seed | 1), step: 0 }
    }

    pub(crate) async fn take_steps(&mut self, chats: &Arc<dyn Chats>, steps: u64) {
        for _ in 0..steps {
            take_step(chats, &self.model, &mut self.random, self.step).await;
            self.step += 1;
        }
    }

    pub(crate) async fn compare(&self, chats: &Arc<dyn Chats>) {
        compare(chats, &self.model).await;
    }
}

fn any_user(random: &mut Random) -> User {
    let tenant = if random.below(4) == 0 { "b" } else { "a" };
    user_of(tenant, random.below(USERS))
}

fn any_draft(random: &mut Random, step: u64) -> Draft {
    let from = any_user(random);
    let own = from.phone.digits() - phone(0).digits();
    let to = phone((own + 1 + random.below(USERS - 1)) % USERS);
    // A few names, so that many are repeats or conflicts.
    let id = format!("{}", random.below(200));
    let mut draft = draft(from, to, &id);
    if random.below(10) == 0 {
        draft.text = Text::new(&format!("another {step}")).unwrap();
    }
    draft.at = Millis(i64::try_from(1_000 + step / 50).unwrap());
    draft
}

async fn take_step(chats: &Arc<dyn Chats>, model: &Arc<dyn Chats>, random: &mut Random, step: u64) {
    match random.below(10) {
        0..=4 => {
            let count = 1 + random.below(4);
            let drafts: Vec<_> = (0..count).map(|_| any_draft(random, step)).collect();
            let (ours, theirs) = (chats.send(drafts.clone()), model.send(drafts));
            let (ours, theirs) = (ours.await.unwrap(), theirs.await.unwrap());
            for (ours, theirs) in ours.into_iter().zip(theirs) {
                let code = |error: switchboard_core::Error| error.code();
                assert_eq!(ours.map_err(code), theirs.map_err(code), "step {step}");
            }
        }
        5..=7 => {
            let user = any_user(random);
            let own = user.phone.digits() - phone(0).digits();
            let peer = phone((own + 1 + random.below(USERS - 1)) % USERS);
            let id = |random: &mut Random| (random.below(3) != 0).then(|| random.below(12));
            let (delivered_up_to, read_up_to) = (id(random), id(random));
            let at = Millis(i64::try_from(1_000 + step).unwrap());
            let stated = vec![Acknowledgement { user, peer, delivered_up_to, read_up_to, at }; 1];
            let (ours, theirs) = (chats.acknowledge(stated.clone()), model.acknowledge(stated));
            let (ours, theirs) = (ours.await.unwrap(), theirs.await.unwrap());
            for (ours, theirs) in ours.into_iter().zip(theirs) {
                let code = |error: switchboard_core::Error| error.code();
                assert_eq!(ours.map_err(code), theirs.map_err(code), "step {step}");
            }
        }
        8 => {
            let user = any_user(random);
            let name = (random.below(2) == 0).then(|| Name::new(&format!("n{step}")).unwrap());
            let at = Millis(i64::try_from(step).unwrap());
            let ours = chats.register(user, name.clone(), at).await.unwrap();
            assert_eq!(ours, model.register(user, name, at).await.unwrap(), "step {step}");
        }
        _ => compare_one(chats, model, any_user(random), random).await,
    }
}

/// All that every user can read.
async fn compare(chats: &Arc<dyn Chats>, model: &Arc<dyn Chats>) {
    let mut random = Random(7);
    for tenant in ["a", "b"] {
        for number in 0..USERS {
            compare_one(chats, model, user_of(tenant, number), &mut random).await;
        }
    }
}

async fn compare_one(
    chats: &Arc<dyn Chats>,
    model: &Arc<dyn Chats>,
    user: User,
    random: &mut Random,
) {
    let limit = u32::try_from(1 + random.below(20)).unwrap();
    assert_eq!(inbox(chats, user, limit).await, inbox(model, user, 100).await);
    let ours = chats.chats(user, None, 100).await.unwrap().chats;
    assert_eq!(ours, model.chats(user, None, 100).await.unwrap().chats);
    for peer in (0..USERS).map(phone).filter(|&peer| peer != user.phone) {
        let reach = match random.below(3) {
            0 => Reach::Newest,
            1 => Reach::Before(random.below(30)),
            _ => Reach::After(random.below(30)),
        };
        let ours = chats.messages(user, peer, reach, limit).await.unwrap();
        assert_eq!(ours, model.messages(user, peer, reach, limit).await.unwrap());
    }
    let id = name(&format!("{}", random.below(200)));
    let ours = chats.trace(user, id.clone()).await.ok();
    let theirs = model.trace(user, id).await.ok();
    let of = |steps: switchboard_core::chat::Steps| (steps.message, steps.delivered, steps.read);
    assert_eq!(ours.map(of), theirs.map(of));
}
