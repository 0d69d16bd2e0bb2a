//! One queue: what was delivered of it and is not done with, and what comes next.
//!
//! Every change is one of a few steps, which the writer decides and the log holds; a start takes
//! the same steps again. Nothing here reads or writes.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound,
};

use switchboard_core::bus::{DeliveryId, QueueId, QueueSettings};

use super::{
    bytes::{Bytes, put_list, put_text},
    entry,
};

/// How many of the events that come next are known beforehand at the most.
pub(super) const NEXT_MAX: usize = 2048;

/// A queue.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) id: QueueId,
    /// The number of its tenant.
    pub(super) tenant: u32,
    pub(super) settings: QueueSettings,
    /// Up to here all events were delivered, are not for this queue, or have expired.
    pub(super) cursor: u64,
    pub(super) counts: Counts,
    held: BTreeMap<u64, Held>,
    /// With consumers, by when their time is up.
    leased: BTreeSet<(i64, u64)>,
    /// Back in the queue, by when they are to be delivered again.
    waiting: BTreeSet<(i64, u64)>,
    pub(super) next: Next,
}

/// What happened to a queue ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) dead_lettered: u64,
    pub(super) acknowledged: u64,
    pub(super) redelivered: u64,
}

/// An event that was delivered so often, and is not done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    attempts: u32,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// With a consumer, until then.
    Leased(i64),
    /// Back in the queue, until it is delivered again then.
    Waits(i64),
}

/// The events that come next: what is known of them.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) sequences: VecDeque<u64>,
    /// All events up to here were looked at.
    pub(super) looked_to: u64,
    /// Whether they are all that there are: then each that is published is added here.
    pub(super) all: bool,
}

/// How a delivery is that somebody settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// With him, and it is the one of this attempt.
    Leased {
        attempts: u32,
    },
    /// It was, or is another's now.
    Late,
    No,
}

impl Next {
    /// Nothing is known behind a place.
    pub(super) fn behind(cursor: u64) -> Self {
        Self { sequences: VecDeque::new(), looked_to: cursor, all: false }
    }

    /// An event of this queue was published.
    pub(super) fn publish(&mut self, sequence: u64) {
        if self.all && self.sequences.len() < NEXT_MAX {
            self.sequences.push_back(sequence);
        } else if self.all {
            self.all = false;
            self.looked_to = sequence - 1;
        }
    }
}

impl Queue {
    pub(super) fn new(id: QueueId, tenant: u32, settings: QueueSettings, cursor: u64) -> Self {
        Self {
            id,
            tenant,
            settings,
            cursor,
            counts: Counts::default(),
            held: BTreeMap::new(),
            leased: BTreeSet::new(),
            waiting: BTreeSet::new(),
            next: Next::behind(cursor),
        }
    }

    /// How many are with consumers.
    pub(super) fn in_flight(&self) -> usize {
        self.leased.len()
    }

    /// How many were delivered and are not done with.
    pub(super) fn held_len(&self) -> usize {
        self.held.len()
    }

    /// How many are back in the queue.
    pub(super) fn waits(&self) -> usize {
        self.waiting.len()
    }

    /// Those that were delivered and are not done with.
    pub(super) fn held(&self) -> impl Iterator<Item = u64> {
        self.held.keys().copied()
    }

    /// Those that are back in the queue.
    pub(super) fn waiting(&self) -> impl Iterator<Item = u64> {
        self.waiting.iter().map(|&(_, sequence)| sequence)
    }

    /// Those whose time is up, in that order, with when it was.
    pub(super) fn late(&self, now: i64) -> Vec<(i64, u64)> {
        self.leased.range(..=(now, u64::MAX)).copied().collect()
    }

    /// Those that are to be delivered again, the first of them.
    pub(super) fn returned(&self, now: i64) -> impl Iterator<Item = u64> {
        self.waiting.range(..=(now, u64::MAX)).map(|&(_, sequence)| sequence)
    }

    /// When one comes back to the queue, or can be delivered again.
    pub(super) fn next_at(&self, now: i64) -> Option<i64> {
        let behind = (Bound::Excluded((now, u64::MAX)), Bound::Unbounded);
        let first = |set: &BTreeSet<(i64, u64)>| set.range(behind).next().map(|&(at, _)| at);
        [first(&self.leased), first(&self.waiting)].into_iter().flatten().min()
    }

    /// How often an event was delivered that is not done with.
    pub(super) fn attempts(&self, sequence: u64) -> u32 {
        self.held.get(&sequence).map_or(0, |held| held.attempts)
    }

    /// How a delivery is at a time.
    pub(super) fn known(&self, id: DeliveryId, now: i64) -> Known {
        match self.held.get(&id.sequence) {
            Some(&Held { attempts, place }) if (1..=attempts).contains(&id.attempt) => {
                match place {
                    Place::Leased(until) if attempts == id.attempt && now < until => {
                        Known::Leased { attempts }
                    }
                    _ => Known::Late,
                }
            }
            _ => Known::No,
        }
    }

    /// Events were delivered: so all others up to the cursor were, or are not for this queue.
    pub(super) fn lease(&mut self, sequences: &[u64], until: i64, cursor: u64) {
        for &sequence in sequences {
            let attempts = self.release(sequence).map_or(0, |held| held.attempts);
            self.counts.redelivered += u64::from(0 < attempts);
            let attempts = attempts.saturating_add(1);
            self.held.insert(sequence, Held { attempts, place: Place::Leased(until) });
            self.leased.insert((until, sequence));
        }
        self.cursor = cursor.max(self.cursor);
    }

    /// Events were acknowledged.
    pub(super) fn acknowledge(&mut self, sequences: &[u64]) {
        for &sequence in sequences {
            self.counts.acknowledged += u64::from(self.release(sequence).is_some());
        }
    }

    /// Events are to be delivered again, each at its time.
    pub(super) fn take_back(&mut self, deliveries: &[(u64, i64)]) {
        for &(sequence, at) in deliveries {
            if let Some(held) = self.release(sequence) {
                self.held.insert(sequence, Held { place: Place::Waits(at), ..held });
                self.waiting.insert((at, sequence));
            }
        }
    }

    /// An event was given up.
    pub(super) fn give_up(&mut self, sequence: u64) {
        self.counts.dead_lettered += u64::from(self.release(sequence).is_some());
    }

    /// Events have expired.
    pub(super) fn forget(&mut self, sequences: &[u64]) {
        for &sequence in sequences {
            self.release(sequence);
        }
    }

    /// An event was delivered so often, in another store.
    pub(super) fn hold(&mut self, sequence: u64, attempts: u32, place: Place) {
        self.release(sequence);
        match place {
            Place::Leased(until) => self.leased.insert((until, sequence)),
            Place::Waits(at) => self.waiting.insert((at, sequence)),
        };
        self.held.insert(sequence, Held { attempts, place });
    }

    /// How often an event was delivered that is not done with, and where it is.
    pub(super) fn hold_of(&self, sequence: u64) -> Option<(u32, Place)> {
        self.held.get(&sequence).map(|held| (held.attempts, held.place))
    }

    /// What was delivered and is not done with: how often, and where it is.
    pub(super) fn holds(&self) -> impl Iterator<Item = (u64, u32, Place)> {
        self.held.iter().map(|(&sequence, held)| (sequence, held.attempts, held.place))
    }

    fn release(&mut self, sequence: u64) -> Option<Held> {
        let held = self.held.remove(&sequence)?;
        match held.place {
            Place::Leased(until) => self.leased.remove(&(until, sequence)),
            Place::Waits(at) => self.waiting.remove(&(at, sequence)),
        };
        Some(held)
    }

    /// All of it but its number, to be kept.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.tenant.to_le_bytes().to_vec();
        put_text(self.id.name.as_str(), &mut bytes);
        entry::put_settings(&self.settings, &mut bytes);
        let Counts { dead_lettered, acknowledged, redelivered } = self.counts;
        for number in [self.cursor, dead_lettered, acknowledged, redelivered] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let held: Vec<_> = self.held.iter().collect();
        put_list(&held, &mut bytes, |(sequence, held), bytes| {
            bytes.extend_from_slice(&sequence.to_le_bytes());
            bytes.extend_from_slice(&held.attempts.to_le_bytes());
            let (kind, at) = match held.place {
                Place::Leased(until) => (0, until),
                Place::Waits(at) => (1, at),
            };
            bytes.push(kind);
            bytes.extend_from_slice(&at.to_le_bytes());
        });
        bytes
    }

    /// What was kept, of a tenant that has a name.
    pub(super) fn from_bytes(
        bytes: &[u8],
        name_of: impl Fn(u32) -> Option<switchboard_core::Tenant>,
    ) -> Option<Self> {
        let mut bytes = Bytes(bytes);
        let number = bytes.u32()?;
        let name = switchboard_core::bus::QueueName::new(bytes.text()?).ok()?;
        let id = QueueId { tenant: name_of(number)?, name };
        let settings = entry::settings(&mut bytes)?;
        let mut queue = Self::new(id, number, settings, bytes.u64()?);
        queue.counts = Counts {
            dead_lettered: bytes.u64()?,
            acknowledged: bytes.u64()?,
            redelivered: bytes.u64()?,
        };
        bytes.list(|bytes| {
            let (sequence, attempts) = (bytes.u64()?, bytes.u32()?);
            let place = match (bytes.u8()?, bytes.i64()?) {
                (0, until) => {
                    queue.leased.insert((until, sequence));
                    Place::Leased(until)
                }
                (1, at) => {
                    queue.waiting.insert((at, sequence));
                    Place::Waits(at)
                }
                _ => return None,
            };
            queue.held.insert(sequence, Held { attempts, place });
            Some(())
        })?;
        bytes.0.is_empty().then_some(queue)
    }
}

#[cfg(test)]
mod tests {
    use switchboard_core::bus::{Interest, QueueName};

    use super::*;

    fn queue() -> Queue {
        let id = QueueId { tenant: "a".parse().unwrap(), name: QueueName::new("work").unwrap() };
        let interest = Interest::new(["a.>"], ["x"]).unwrap();
        let settings = QueueSettings::new(&id.name, interest, (0, 0), "").unwrap();
        Queue::new(id, 3, settings, 7)
    }

    fn id(sequence: u64, attempt: u32) -> DeliveryId {
        DeliveryId { sequence, attempt }
    }

    #[test]
    fn a_delivery_is_one_consumers_for_its_time() {
        let mut queue = queue();
        queue.lease(&[8, 9, 11], 100, 12);
        assert_eq!((queue.cursor, queue.in_flight(), queue.waits()), (12, 3, 0));
        assert_eq!(queue.known(id(8, 1), 99), Known::Leased { attempts: 1 });
        assert_eq!(queue.known(id(8, 1), 100), Known::Late);
        for unknown in [id(8, 2), id(8, 0), id(10, 1)] {
            assert_eq!(queue.known(unknown, 0), Known::No, "{unknown:?}");
        }
        assert_eq!(queue.late(99), []);
        assert_eq!(queue.late(100), [(100, 8), (100, 9), (100, 11)]);
        queue.acknowledge(&[9]);
        queue.take_back(&[(8, 120), (11, 110)]);
        assert_eq!(queue.known(id(8, 1), 99), Known::Late);
        assert_eq!(queue.known(id(9, 1), 99), Known::No);
        assert_eq!(queue.returned(119).collect::<Vec<_>>(), [11]);
        assert_eq!(queue.returned(120).collect::<Vec<_>>(), [11, 8]);
        assert_eq!((queue.next_at(0), queue.next_at(110)), (Some(110), Some(120)));
        queue.lease(&[11], 500, 12);
        assert_eq!(queue.known(id(11, 1), 400), Known::Late);
        assert_eq!(queue.known(id(11, 2), 400), Known::Leased { attempts: 2 });
        queue.give_up(11);
        queue.forget(&[8, 70]);
        assert_eq!(queue.held().count(), 0);
        let counts = Counts { dead_lettered: 1, acknowledged: 1, redelivered: 1 };
        assert_eq!(queue.counts, counts);
    }

    #[test]
    fn what_is_kept_of_a_queue_comes_back() {
        let mut queue = queue();
        queue.lease(&[8, 9, 11], 100, 12);
        queue.take_back(&[(9, 50)]);
        queue.lease(&[9], 70, 12);
        queue.take_back(&[(11, -5)]);
        queue.acknowledge(&[8]);
        let bytes = queue.to_bytes();
        let name_of = |number| (number == 3).then(|| "a".parse().unwrap());
        let again = Queue::from_bytes(&bytes, name_of).unwrap();
        assert_eq!(again.to_bytes(), bytes);
        assert_eq!((&again.id, &again.settings), (&queue.id, &queue.settings));
        assert_eq!((again.cursor, again.counts), (12, queue.counts));
        assert_eq!(again.known(id(9, 2), 69), Known::Leased { attempts: 2 });
        assert_eq!(again.waiting().collect::<Vec<_>>(), [11]);
        for cut in 0..bytes.len() {
            assert!(Queue::from_bytes(&bytes[..cut], name_of).is_none(), "{cut}");
        }
        assert!(Queue::from_bytes(&bytes, |_| None).is_none());
    }

    #[test]
    fn what_comes_next_is_known_up_to_a_bound() {
        let mut next = Next { all: true, ..Next::behind(0) };
        for sequence in 1..=NEXT_MAX as u64 {
            next.publish(2 * sequence);
        }
        assert!(next.all);
        next.publish(9_000);
        next.publish(9_001);
        assert_eq!((next.all, next.looked_to), (false, 8_999));
        assert_eq!(next.sequences.len(), NEXT_MAX);
    }
}
