//! Who follows which inbox at this node.

use std::{
    collections::{HashMap, VecDeque},
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Instant,
};

use futures_util::task::AtomicWaker;
use switchboard_core::chat::{Entry, Happening, PhoneNumber, Signal, Signals, User};

use crate::{relay::Ears, telemetry::Metrics};

/// The most entries that wait for one follower: who is further behind reads the store.
const WAITING_MAX: usize = 1_024;

/// How many parts the followers are kept in, so that they seldom wait for each other.
const SHARDS: usize = 64;

/// Hands signals to those who follow.
#[derive(Debug)]
pub(crate) struct Hub {
    shards: Vec<Mutex<HashMap<User, Vec<Arc<Mailbox>>>>>,
    metrics: Arc<Metrics>,
    /// What other nodes are asked to tell.
    ears: Arc<Ears>,
}

/// What was signalled to one follower, and he has not taken.
#[derive(Default)]
pub(crate) struct Mailbox {
    content: Mutex<Content>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Content {
    entries: VecDeque<Waiting>,
    typing: VecDeque<(PhoneNumber, bool)>,
    /// Whether entries were let go of.
    missed: bool,
    /// The last sequence that its follower has, or that is here for him; none while he reads, or is
    /// to read.
    known: Option<u64>,
}

/// An entry, and when it was signalled.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) entry: Entry,
    pub(crate) at: Instant,
}

/// What a mailbox had.
#[derive(Debug)]
pub(crate) enum Taken {
    Entry(Waiting),
    Typing(PhoneNumber, bool),
    /// Some entries are to be read from the store.
    Missed,
    Nothing,
}

impl Hub {
    pub(crate) fn new(metrics: &Arc<Metrics>, ears: &Arc<Ears>) -> Arc<Self> {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Arc::new(Self { shards, metrics: Arc::clone(metrics), ears: Arc::clone(ears) })
    }

    /// From now on what happens to a user comes into a new mailbox.
    pub(super) fn join(&self, user: User) -> Arc<Mailbox> {
        self.ears.follow(&user, true);
        let mailbox = Arc::new(Mailbox::default());
        self.shard(&user).entry(user).or_default().push(Arc::clone(&mailbox));
        self.metrics.chat.followed(true);
        mailbox
    }

    /// Nothing more comes into a mailbox.
    pub(super) fn leave(&self, user: User, mailbox: &Arc<Mailbox>) {
        self.ears.follow(&user, false);
        let mut shard = self.shard(&user);
        if let Some(mailboxes) = shard.get_mut(&user) {
            mailboxes.retain(|it| !Arc::ptr_eq(it, mailbox));
            if mailboxes.is_empty() {
                shard.remove(&user);
            }
        }
        self.metrics.chat.followed(false);
    }

    fn shard(&self, user: &User) -> MutexGuard<'_, HashMap<User, Vec<Arc<Mailbox>>>> {
        // Numbers that are handed out in order go to all parts.
        let place = usize::try_from(user.phone.digits()).unwrap_or_default() % SHARDS;
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// Hands out what was told by another node, or is known to have been.
    pub(crate) fn hand_out(&self, signals: Vec<Signal>) {
        let at = Instant::now();
        for signal in signals {
            match signal {
                Signal::Happened { user, entry } => {
                    for mailbox in self.shard(&user).get(&user).into_iter().flatten() {
                        mailbox.put(Waiting { entry: entry.clone(), at });
                    }
                }
                Signal::Typing { user, from, typing } => {
                    for mailbox in self.shard(&user).get(&user).into_iter().flatten() {
                        mailbox.put_typing(from, typing);
                    }
                }
            }
        }
    }

    /// All who are followed, and the last of each that is known here to all of his followers; of
    /// those who are being read for nothing needs to be known.
    pub(crate) fn followed(&self) -> Vec<(User, u64)> {
        let mut all = Vec::new();
        for place in 0..SHARDS {
            let shard = self.shards[place].lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(shard.iter().filter_map(|(user, mailboxes)| {
                let known = mailboxes.iter().filter_map(|mailbox| mailbox.lock().known).min();
                Some((*user, known?))
            }));
        }
        all
    }

    /// A user's inbox reaches so far: whoever follows him and has not heard of it reads on. Says
    /// whether there is one.
    pub(crate) fn reaches(&self, user: &User, newest: u64) -> bool {
        let shard = self.shard(user);
        let mailboxes = shard.get(user).into_iter().flatten();
        mailboxes.filter(|mailbox| mailbox.reaches(newest)).count() != 0
    }
}

impl Signals for Hub {
    fn tell(&self, signals: Vec<Signal>) {
        let [mut sent, mut delivered, mut read] = [0; 3];
        for signal in &signals {
            let Signal::Happened { user, entry } = signal else { continue };
            match &entry.what {
                Happening::Message(message) => sent += u64::from(message.to == user.phone),
                Happening::Delivered { .. } => delivered += 1,
                Happening::Read { .. } => read += 1,
            }
        }
        self.hand_out(signals);
        self.metrics.chat.happened(sent, delivered, read);
    }
}

impl Mailbox {
    fn put(&self, waiting: Waiting) {
        let mut content = self.lock();
        let first = content.is_empty();
        if WAITING_MAX <= content.entries.len() {
            content.entries = VecDeque::new();
            (content.missed, content.known) = (true, None);
        } else if !content.missed {
            // He reads on at a gap.
            content.known = content.known.map(|known| known.max(waiting.entry.sequence));
            content.entries.push_back(waiting);
        }
        drop(content);
        if first {
            self.waker.wake();
        }
    }

    /// The follower has everything up to a sequence, or (none) reads on.
    pub(super) fn set_known(&self, known: Option<u64>) {
        let mut content = self.lock();
        let told = content.entries.back().map_or(0, |waiting| waiting.entry.sequence);
        content.known = known.filter(|_| !content.missed).map(|known| known.max(told));
    }

    /// Says whether something up to a sequence was never heard of; it is read then.
    fn reaches(&self, newest: u64) -> bool {
        let mut content = self.lock();
        let missed = content.known.is_some_and(|known| known < newest);
        if !missed {
            return false;
        }
        let first = content.is_empty();
        (content.missed, content.known) = (true, None);
        drop(content);
        if first {
            self.waker.wake();
        }
        true
    }

    fn put_typing(&self, from: PhoneNumber, typing: bool) {
        let mut content = self.lock();
        let first = content.is_empty();
        // Only the latest hint of each says anything, and one that is late says nothing.
        content.typing.retain(|(other, _)| *other != from);
        content.typing.push_back((from, typing));
        content.typing.truncate(64);
        drop(content);
        if first {
            self.waker.wake();
        }
    }

    /// Takes what came first. The task is woken when something comes after nothing was there.
    pub(super) fn take(&self, waker: &Waker) -> Taken {
        let mut content = self.lock();
        if let Some(waiting) = content.entries.pop_front() {
            return Taken::Entry(waiting);
        }
        if mem::take(&mut content.missed) {
            return Taken::Missed;
        }
        if let Some((from, typing)) = content.typing.pop_front() {
            return Taken::Typing(from, typing);
        }
        if 0 < content.entries.capacity() {
            content.entries = VecDeque::new();
        }
        // Before the lock is let go of: nothing can come in between.
        self.waker.register(waker);
        Taken::Nothing
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.typing.is_empty() && !self.missed
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}
