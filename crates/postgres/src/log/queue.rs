//! One queue whose row is held: what is decided of it, in memory.
//!
//! What was delivered and is not done with is a row each. One that is leased and whose time is up
//! by `swept` waits for its next delivery, without being written again: so a sweep of very many is
//! a write of one row. Nothing here reads or writes.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use switchboard_core::{
    Millis,
    bus::{
        Delivery, DeliveryId, Event, IN_FLIGHT_MAX, Pulled, QueueSettings, Settled, TIMED_OUT,
        Verdict,
    },
};

/// It may be delivered again; this was its last delivery; its event has expired.
pub(super) const AGAIN: i16 = 0;
pub(super) const LAST: i16 = 1;
pub(super) const GONE: i16 = 2;

/// A queue.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) number: i64,
    pub(super) settings: QueueSettings,
    pub(super) cursor: u64,
    pub(super) swept: i64,
    /// Nothing is held whose time is before these: of all, and of those behind `swept`.
    pub(super) first_at: Option<i64>,
    pub(super) next_at: Option<i64>,
    pub(super) held: i64,
    pub(super) leased: i64,
    pub(super) dead_lettered: i64,
    pub(super) acknowledged: i64,
    pub(super) redelivered: i64,
    /// Whether somebody has to look whether something is held.
    pub(super) busy: bool,
    /// Those that are known, as they are now.
    pub(super) rows: BTreeMap<u64, Held>,
    /// Those that can be delivered again, in that order; and that there are no others.
    pub(super) due: VecDeque<(i64, Event)>,
    /// Those that come next, in order, and whether more may be behind them.
    pub(super) others: VecDeque<Event>,
    pub(super) others_more: bool,
    /// What is to be written: of these, the rows that are there, and that others are not.
    pub(super) changed: BTreeSet<u64>,
    pub(super) dirty: bool,
    /// Up to which time it is to be looked for what comes next.
    pub(super) look: Option<i64>,
}

/// An event that was delivered so often, and is not done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) attempts: u32,
    /// Until when it is leased, or when it can be delivered again.
    pub(super) at: i64,
    pub(super) leased: bool,
    pub(super) kind: i16,
}

/// An event that was delivered often enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    /// When its last delivery came to an end.
    pub(super) at: i64,
    pub(super) sequence: u64,
    pub(super) attempts: u32,
    pub(super) reason: Arc<str>,
}

impl Queue {
    /// Whether something was delivered whose time is up at a time, as far as is known.
    pub(super) fn is_due(&self, now: i64) -> bool {
        self.first_at.is_some_and(|at| at <= now)
    }

    /// Gives up what was delivered often enough, and lets go of what has expired, once its time is
    /// up; what else is late waits from now on.
    pub(super) fn sweep(&mut self, now: i64) -> Vec<Letter> {
        if !self.is_due(now) {
            return Vec::new();
        }
        self.sweep_to(now);
        self.end(now)
    }

    /// Gives up, and lets go of, what is known to be over at a time.
    pub(super) fn end(&mut self, now: i64) -> Vec<Letter> {
        let is_over = |held: &Held| held.leased && held.at <= now && held.kind != AGAIN;
        let over = self.rows.iter().filter(|(_, held)| is_over(held));
        let over: Vec<(u64, Held)> = over.map(|(&sequence, &held)| (sequence, held)).collect();
        let reason: Arc<str> = TIMED_OUT.into();
        let mut letters = Vec::new();
        for (sequence, Held { attempts, at, kind, .. }) in over {
            self.remove(sequence);
            if kind == LAST {
                self.dead_lettered += 1;
                letters.push(Letter { at, sequence, attempts, reason: Arc::clone(&reason) });
            }
        }
        letters.sort_by_key(|letter| (letter.at, letter.sequence));
        letters
    }

    /// All that is leased up to a time waits.
    pub(super) fn sweep_to(&mut self, now: i64) {
        self.swept = now.max(self.swept);
        self.dirty = true;
        self.look_from(now);
    }

    pub(super) fn look_from(&mut self, now: i64) {
        self.look = Some(self.look.map_or(now, |before| before.max(now)));
    }

    /// Takes deliveries, what was returned first.
    pub(super) fn pull(&mut self, max: u32, now: i64, in_flight: usize) -> Pulled {
        let room = IN_FLIGHT_MAX.saturating_sub(in_flight);
        let (max, mut pulled) = (room.min(max as usize), Pulled::default());
        while pulled.deliveries.len() < max {
            self.forget_settled();
            let is_due = self.due.front().is_some_and(|(at, _)| *at <= now);
            let next = if is_due { self.due.pop_front().map(|(_, event)| event) } else { None };
            let Some(event) = next.or_else(|| self.others.pop_front()) else { break };
            pulled.deliveries.push(self.deliver(event, now));
        }
        self.forget_settled();
        // What was given back in this very transaction comes with the next pull.
        let returned = |sequence: &u64| {
            self.rows.get(sequence).is_some_and(|held| !held.leased && held.at <= now)
        };
        let more = self.due.front().is_some_and(|(at, _)| *at <= now)
            || !self.others.is_empty()
            || self.others_more
            || self.changed.iter().any(returned);
        pulled.more = max < room && more;
        self.look_from(now);
        pulled
    }

    /// Passes over those at the front that were settled in this very transaction.
    fn forget_settled(&mut self) {
        while let Some((at, event)) = self.due.front() {
            let held = self.rows.get(&event.sequence);
            if held.is_some_and(|held| held.at == *at && held.kind == AGAIN) {
                return;
            }
            self.due.pop_front();
        }
    }

    fn deliver(&mut self, event: Event, now: i64) -> Delivery {
        let sequence = event.sequence;
        let until = Millis(now).plus(self.settings.ack_timeout_ms.into());
        let before = self.rows.get(&sequence).copied();
        let attempts = before.map_or(0, |held| held.attempts).saturating_add(1);
        self.held += i64::from(before.is_none());
        self.leased += i64::from(before.is_none_or(|held| !held.leased));
        self.redelivered += i64::from(1 < attempts);
        self.cursor = self.cursor.max(sequence);
        let kind = if attempts < self.settings.max_deliveries { AGAIN } else { LAST };
        self.put(sequence, Held { attempts, at: until.0, leased: true, kind });
        Delivery { id: DeliveryId { sequence, attempt: attempts }, event, until }
    }

    /// Settles a delivery, and says whether the event is given up by that.
    pub(super) fn settle(
        &mut self,
        id: DeliveryId,
        verdict: &Verdict,
        now: i64,
    ) -> (Settled, Option<Letter>) {
        let DeliveryId { sequence, attempt } = id;
        let held = self.rows.get(&sequence).copied();
        let Some(held) = held.filter(|held| (1..=held.attempts).contains(&attempt)) else {
            return (Settled::Unknown, None);
        };
        if attempt < held.attempts || !held.leased || held.at <= now.max(self.swept) {
            return (Settled::Late, None);
        }
        let Verdict::Return { at, reason } = verdict else {
            self.remove(sequence);
            self.acknowledged += 1;
            return (Settled::Done, None);
        };
        if held.kind == AGAIN {
            self.leased -= 1;
            self.put(sequence, Held { leased: false, at: at.0, ..held });
            return (Settled::Done, None);
        }
        self.remove(sequence);
        // What has expired meanwhile is on no topic, so neither on that of dead letters.
        let is_last = held.kind == LAST;
        self.dead_lettered += i64::from(is_last);
        let Held { attempts, .. } = held;
        let letter = Letter { at: now, sequence, attempts, reason: Arc::clone(reason) };
        (Settled::Done, is_last.then_some(letter))
    }

    /// The event of one that is held has expired: only who has it may still settle it.
    pub(super) fn expire(&mut self, sequence: u64) {
        match self.rows.get(&sequence).copied() {
            Some(held) if held.leased && self.swept < held.at => {
                self.put(sequence, Held { kind: GONE, ..held });
            }
            _ => self.remove(sequence),
        }
    }

    fn put(&mut self, sequence: u64, held: Held) {
        let earlier = |at: Option<i64>| Some(at.map_or(held.at, |at| at.min(held.at)));
        self.first_at = earlier(self.first_at);
        self.next_at = earlier(self.next_at);
        self.rows.insert(sequence, held);
        self.changed.insert(sequence);
        self.dirty = true;
    }

    /// Lets go of one that is held.
    pub(super) fn remove(&mut self, sequence: u64) {
        if let Some(held) = self.rows.remove(&sequence) {
            self.held -= 1;
            self.leased -= i64::from(held.leased);
            self.changed.insert(sequence);
            self.dirty = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use switchboard_core::bus::{Body, Content, Interest, QueueName};

    use super::*;

    fn event(sequence: u64) -> Event {
        let content = Content {
            topic: "t",
            kind: "made",
            content_type: "",
            data: b"",
            key: None,
            reply_to: "",
        };
        Event { sequence, at: Millis(1), body: Body::new(&content).unwrap() }
    }

    /// A queue of events that each can be delivered twice, and may be kept for a second.
    fn queue(others: impl IntoIterator<Item = u64>) -> Queue {
        let interest = Interest::new(["t"], []).unwrap();
        let name = QueueName::new("work").unwrap();
        Queue {
            number: 1,
            settings: QueueSettings::new(&name, interest, (1_000, 2), "").unwrap(),
            cursor: 0,
            swept: i64::MIN,
            first_at: None,
            next_at: None,
            held: 0,
            leased: 0,
            dead_lettered: 0,
            acknowledged: 0,
            redelivered: 0,
            busy: false,
            rows: BTreeMap::new(),
            due: VecDeque::new(),
            others: others.into_iter().map(event).collect(),
            others_more: false,
            changed: BTreeSet::new(),
            dirty: false,
            look: None,
        }
    }

    fn id(sequence: u64, attempt: u32) -> DeliveryId {
        DeliveryId { sequence, attempt }
    }

    fn pulled(queue: &mut Queue, max: u32, now: i64) -> Vec<(u64, u32)> {
        let pulled = queue.pull(max, now, 0);
        pulled.deliveries.iter().map(|it| (it.id.sequence, it.id.attempt)).collect()
    }

    #[test]
    fn what_is_late_waits_without_being_written() {
        let mut queue = queue([3, 5]);
        assert_eq!(pulled(&mut queue, 9, 10), [(3, 1), (5, 1)]);
        assert_eq!((queue.cursor, queue.held, queue.leased), (5, 2, 2));
        queue.changed.clear();
        assert!(queue.sweep(1_009).is_empty() && queue.swept == i64::MIN);
        assert!(queue.sweep(1_010).is_empty());
        assert_eq!((queue.swept, queue.changed.len()), (1_010, 0));
        for now in [0, 1_010] {
            let settled = queue.settle(id(3, 1), &Verdict::Acknowledge, now);
            assert_eq!(settled, (Settled::Late, None), "also by an earlier clock");
        }
        // As it is read again.
        queue.due = [3, 5].map(|sequence| (1_010, event(sequence))).into();
        assert_eq!(pulled(&mut queue, 1, 1_020), [(3, 2)]);
        assert_eq!((queue.held, queue.leased, queue.redelivered), (2, 2, 1));
        assert_eq!(queue.rows[&3].kind, LAST);
        let letters = queue.sweep(2_020);
        assert_eq!(letters.len(), 1);
        assert_eq!((letters[0].at, letters[0].sequence, letters[0].attempts), (2_020, 3, 2));
        assert_eq!((queue.held, queue.leased, queue.dead_lettered), (1, 1, 1));
    }

    #[test]
    fn what_has_expired_is_let_go_of() {
        let mut queue = queue([1, 2, 3]);
        assert_eq!(pulled(&mut queue, 9, 10).len(), 3);
        let back = Verdict::Return { at: Millis(20), reason: "no".into() };
        assert_eq!(queue.settle(id(1, 1), &back, 20), (Settled::Done, None));
        for sequence in 1..=3 {
            queue.expire(sequence);
        }
        assert_eq!((queue.held, queue.leased), (2, 2), "what a consumer has stays his");
        assert_eq!(queue.settle(id(1, 1), &back, 30), (Settled::Unknown, None));
        assert_eq!(queue.settle(id(2, 1), &back, 30), (Settled::Done, None));
        assert_eq!(queue.settle(id(3, 1), &Verdict::Acknowledge, 30), (Settled::Done, None));
        assert_eq!((queue.held, queue.leased, queue.dead_lettered), (0, 0, 0));
    }

    #[test]
    fn what_is_settled_in_the_same_transaction_is_not_delivered() {
        let mut queue = queue([1, 2]);
        assert_eq!(pulled(&mut queue, 9, 10).len(), 2);
        // Both are late for a later pull, and were settled in time before.
        queue.due = [1, 2].map(|sequence| (1_010, event(sequence))).into();
        let later = Verdict::Return { at: Millis(9_000), reason: "no".into() };
        assert_eq!(queue.settle(id(1, 1), &later, 900).0, Settled::Done);
        assert_eq!(queue.settle(id(2, 1), &Verdict::Acknowledge, 900).0, Settled::Done);
        let pulled = queue.pull(9, 2_000, 0);
        assert!(pulled.deliveries.is_empty() && !pulled.more);
    }
}
