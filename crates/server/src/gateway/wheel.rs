//! When each session is pinged.
//!
//! A wheel turns once a second. Its slots hold the bells of the sessions, dealt out one after the
//! other: so the pings are spread evenly however the sessions came, and none needs a timer. Slots
//! without bells are passed over: where there are few sessions, the node mostly sleeps.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
    task::Waker,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use switchboard_core::session::PING_INTERVAL_MS;
use tokio::{
    sync::Notify,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

/// The slots of a turn.
const SLOTS: usize = 200;

/// How long one slot takes.
const SLOT_MICROS: u64 = PING_INTERVAL_MS.unsigned_abs() * 1_000 / SLOTS as u64;

/// It is time for a ping.
pub(crate) const TICK: u8 = 1;
/// The node is about to stop.
pub(crate) const DRAIN: u8 = 2;
/// The session is over: nobody listens any more.
const GONE: u8 = 4;

/// Wakes the session that it belongs to, and says why.
#[derive(Default)]
pub(crate) struct Bell {
    waker: AtomicWaker,
    rung: AtomicU8,
    /// The slot that it hangs in.
    slot: AtomicU8,
}

impl Bell {
    fn ring(&self, why: u8) {
        self.rung.fetch_or(why, Ordering::AcqRel);
        self.waker.wake();
    }

    /// Why it has rung since it was last asked. The task is woken when it rings again.
    pub(crate) fn listen(&self, waker: &Waker) -> u8 {
        self.waker.register(waker);
        // Mostly it has not: then nothing is written that others read.
        match self.rung.load(Ordering::Acquire) {
            0 => 0,
            _ => self.rung.fetch_and(GONE, Ordering::AcqRel),
        }
    }

    /// Nobody listens any more.
    pub(crate) fn put_down(&self) {
        self.rung.fetch_or(GONE, Ordering::AcqRel);
        drop(self.waker.take());
    }

    fn is_gone(&self) -> bool {
        self.rung.load(Ordering::Acquire) & GONE != 0
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").field("rung", &self.rung).finish_non_exhaustive()
    }
}

/// The bells of all sessions.
pub(crate) struct Wheel {
    slots: Vec<Slot>,
    next: AtomicUsize,
    /// Tells that an empty slot got its first bell.
    hung: Notify,
    draining: AtomicBool,
}

struct Slot {
    bells: Mutex<Vec<Arc<Bell>>>,
    /// When it is, or was last, due to ring.
    due: Mutex<Option<Instant>>,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        let slot = |_| Slot { bells: Mutex::default(), due: Mutex::default() };
        Self {
            slots: (0..SLOTS).map(slot).collect(),
            next: AtomicUsize::new(0),
            hung: Notify::new(),
            draining: AtomicBool::new(false),
        }
    }

    /// A bell for a new session.
    pub(crate) fn hang(&self) -> Arc<Bell> {
        let slot = self.next.fetch_add(1, Ordering::Relaxed) % SLOTS;
        let bell = Arc::new(Bell::default());
        // There are fewer than 256.
        bell.slot.store(u8::try_from(slot).unwrap_or_default(), Ordering::Relaxed);
        let mut bells = lock(&self.slots[slot].bells);
        let first = bells.is_empty();
        bells.push(Arc::clone(&bell));
        drop(bells);
        if first {
            self.hung.notify_one();
        }
        if self.draining.load(Ordering::SeqCst) {
            // It may have come too late to be rung with the others.
            bell.ring(DRAIN);
        }
        bell
    }

    /// How late it is now for what a bell has just rung for.
    pub(crate) fn lateness(&self, bell: &Bell) -> Duration {
        let due = *lock(&self.slots[usize::from(bell.slot.load(Ordering::Relaxed))].due);
        due.map_or(Duration::ZERO, |due| due.elapsed())
    }

    /// Turns until stopped.
    pub(crate) async fn turn(&self, stop: CancellationToken) {
        let begun = Instant::now();
        // Slots are counted on from turn to turn.
        let mut at = 0;
        loop {
            // None is farther away than a turn, whatever is hung up meanwhile.
            let next = (at..).take(SLOTS).find(|&slot| !self.slot(slot).is_empty());
            let next = next.unwrap_or(at + SLOTS);
            // One that comes late is followed by the others at once: no ping is left out.
            let due = begun + Duration::from_micros(SLOT_MICROS * next as u64);
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.hung.notified() => {
                    // What was passed over is not late for the bell that hangs there now.
                    let passed = begun.elapsed().as_micros().div_ceil(SLOT_MICROS.into());
                    at = at.max(next.min(usize::try_from(passed).unwrap_or(usize::MAX)));
                    continue;
                }
                () = time::sleep_until(due) => {}
            }
            let slot = self.slot(next);
            *lock(&slot.due) = Some(due);
            slot.ring(TICK);
            at = next + 1;
            // Those just woken go first.
            tokio::task::yield_now().await;
        }
    }

    fn slot(&self, number: usize) -> &Slot {
        &self.slots[number % SLOTS]
    }

    /// Rings for a ping, all at once.
    pub(crate) fn tick(&self) {
        for slot in &self.slots {
            slot.ring(TICK);
        }
    }

    /// Rings for the end of the node.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        for slot in &self.slots {
            slot.ring(DRAIN);
        }
    }
}

impl Slot {
    fn is_empty(&self) -> bool {
        lock(&self.bells).is_empty()
    }

    /// Rings all, and takes down those that nobody listens to.
    fn ring(&self, why: u8) {
        let mut bells = lock(&self.bells);
        bells.retain(|bell| {
            let here = !bell.is_gone();
            if here {
                bell.ring(why);
            }
            here
        });
        if bells.len() * 4 < bells.capacity() {
            bells.shrink_to_fit();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures_util::task::noop_waker;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_bell_rings_once_a_second_evenly_spread() {
        let wheel = Arc::new(Wheel::new());
        let bells: Vec<_> = (0..1_000).map(|_| wheel.hang()).collect();
        let stop = CancellationToken::new();
        let turning = wheel.turn(stop.clone());
        tokio::pin!(turning);
        let mut rung = vec![0; bells.len()];
        let mut at = BTreeMap::new();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(3) {
            tokio::select! {
                biased;
                () = &mut turning => unreachable!("not stopped"),
                () = time::sleep(Duration::from_millis(1)) => {}
            }
            for (bell, rung) in bells.iter().zip(&mut rung) {
                let now = bell.listen(&noop_waker());
                *rung += usize::from(now == TICK);
                *at.entry(begun.elapsed().as_millis() / 100).or_insert(0) +=
                    usize::from(now == TICK);
            }
        }
        assert!(rung.iter().all(|&rung| (3..=4).contains(&rung)), "{rung:?}");
        let tenths: Vec<_> = at.values().copied().skip(1).take(28).collect();
        assert!(tenths.iter().all(|count| (80..=120).contains(count)), "{tenths:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_bell_that_is_hung_up_while_the_wheel_sleeps_rings_each_second() {
        let wheel = Arc::new(Wheel::new());
        let stop = CancellationToken::new();
        let turning = wheel.turn(stop.clone());
        tokio::pin!(turning);
        let mut bells = Vec::new();
        for ms in 0..8_000 {
            tokio::select! {
                biased;
                () = &mut turning => unreachable!("not stopped"),
                () = time::sleep(Duration::from_millis(1)) => {}
            }
            // The first slots are passed over already, or are about to be.
            if ms % 700 == 350 && ms < 6_900 {
                bells.push((wheel.hang(), ms, Vec::new()));
            }
            for (bell, _, rung) in &mut bells {
                if bell.listen(&noop_waker()) == TICK {
                    rung.push(ms);
                    assert!(wheel.lateness(bell) < Duration::from_millis(10), "at {ms}");
                }
            }
        }
        for (_, hung, rung) in &bells {
            let all = [&[*hung], &rung[..]].concat();
            let between: Vec<_> = all.windows(2).map(|two| two[1] - two[0]).collect();
            let evenly = between[1..].iter().all(|ms| (990..=1_010).contains(ms));
            assert!(evenly && between[0] <= 1_010, "hung up at {hung}: {between:?}");
        }
    }

    #[test]
    fn a_bell_tells_why_it_rang_until_it_is_put_down() {
        let wheel = Wheel::new();
        let bell = wheel.hang();
        assert_eq!(bell.listen(&noop_waker()), 0);
        wheel.slots[0].ring(TICK);
        wheel.drain();
        assert_eq!(bell.listen(&noop_waker()), TICK | DRAIN);
        assert_eq!(bell.listen(&noop_waker()), 0);
        bell.put_down();
        wheel.drain();
        assert_eq!(Arc::strong_count(&bell), 1, "the wheel let go of it");
    }
}
