//! What is to be heard of other nodes, by who listens here.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use switchboard_core::{
    Tenant,
    chat::User,
    signals::{Signals, Subject},
};

/// How many parts the users of a tenant are told of in: a node hears those in which somebody is
/// followed here.
const PARTS: u64 = 64;

/// For how long what nobody here listens to is still heard: who goes often comes again.
const KEPT: Duration = Duration::from_secs(30);

/// A tenant's events, or a part of its chats.
type Part = (Tenant, Option<u32>);

/// What is to be heard.
pub(crate) struct Ears {
    signals: Arc<dyn Signals>,
    is_alone: bool,
    parts: Mutex<HashMap<Part, Listening>>,
}

#[derive(Debug)]
struct Listening {
    /// How many do.
    present: usize,
    /// When the last of them went.
    left: Instant,
}

impl Ears {
    pub(crate) fn new(signals: Arc<dyn Signals>) -> Arc<Self> {
        let is_alone = signals.is_alone();
        Arc::new(Self { signals, is_alone, parts: Mutex::default() })
    }

    /// Somebody follows a user here, or no longer does.
    pub(crate) fn follow(&self, user: &User, follows: bool) {
        self.turn((user.tenant, Some(part_of(user))), follows);
    }

    /// Somebody wants a tenant's events here, or no longer does.
    pub(crate) fn subscribe(&self, tenant: Tenant, wants: bool) {
        self.turn((tenant, None), wants);
    }

    fn turn(&self, part: Part, comes: bool) {
        if self.is_alone {
            return;
        }
        let mut parts = self.lock();
        if comes {
            let listening = parts.entry(part).or_insert_with(|| {
                self.signals.hear(&subject(&part));
                Listening { present: 0, left: Instant::now() }
            });
            listening.present += 1;
        } else if let Some(listening) = parts.get_mut(&part) {
            listening.present = listening.present.saturating_sub(1);
            listening.left = Instant::now();
        }
    }

    /// Hears no longer what nobody has listened to for a while.
    pub(super) fn tidy(&self) {
        self.lock().retain(|part, listening| {
            let keep = 0 < listening.present || listening.left.elapsed() < KEPT;
            if !keep {
                self.signals.ignore(&subject(part));
            }
            keep
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Part, Listening>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In which part a user is told of.
pub(super) fn part_of(user: &User) -> u32 {
    u32::try_from(user.phone.digits() % PARTS).unwrap_or_default()
}

/// What is told of a tenant's events, or of a part of its chats.
pub(super) fn subject(&(tenant, part): &Part) -> Subject {
    Subject::of(if part.is_some() { "chat" } else { "bus" }, &tenant, part)
}

impl fmt::Debug for Ears {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ears").field("alone", &self.is_alone).finish_non_exhaustive()
    }
}
