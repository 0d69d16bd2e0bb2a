//! Whose time is up next.
//!
//! A client that is online stands in one queue: that of the second in which it had last been seen
//! when it was put there. Being seen again does not move it; when its queue's time has come it is
//! looked at, and moved to that of its later second. So a sighting costs no work here.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    mem,
};

/// Seconds that there are queues for; more than the window has.
const SECONDS: i64 = 256;

/// Queues of clients, by second.
#[derive(Debug)]
pub(super) struct Queues {
    seconds: Vec<Vec<u32>>,
    /// The clients of the seconds up to this one have been taken out of their queues.
    at_edge: i64,
    /// Those of them that are online, the last to go first: when each had been seen, in
    /// milliseconds of Unix time. Who has been seen since is noticed when it would go.
    edge: Vec<Reverse<(i64, u32)>>,
    /// The same for those that came after the others had been sorted.
    late: BinaryHeap<Reverse<(i64, u32)>>,
    /// What was seen up to this millisecond is over.
    over_ms: i64,
}

impl Queues {
    /// Nobody; what was seen up to a time, in milliseconds, is over.
    pub(super) fn new(over_ms: i64) -> Self {
        let at_edge = over_ms.div_euclid(1_000);
        let seconds = vec![Vec::new(); 1 << u8::BITS];
        Self { seconds, at_edge, edge: Vec::new(), late: BinaryHeap::new(), over_ms }
    }

    /// Until when what was seen is over.
    #[inline]
    pub(super) fn over_ms(&self) -> i64 {
        self.over_ms
    }

    /// All that was seen up to then has been taken out.
    #[inline]
    pub(super) fn set_over_ms(&mut self, over_ms: i64) {
        self.over_ms = over_ms;
    }

    /// The queue of a second, as it is noted with a client.
    pub(super) fn place(seen_ms: i64) -> u8 {
        // Of the lowest eight bits, which always fit.
        u8::try_from(seen_ms.div_euclid(1_000).rem_euclid(SECONDS)).unwrap_or_default()
    }

    /// Puts a client into the queue of the second in which it was seen.
    pub(super) fn push(&mut self, seen_ms: i64, client: u32) {
        if seen_ms.div_euclid(1_000) <= self.at_edge {
            self.late.push(Reverse((seen_ms, client)));
        } else {
            self.seconds[usize::from(Self::place(seen_ms))].push(client);
        }
    }

    /// Puts a client back that left its queue with [`Queues::next_second`].
    pub(super) fn put_back(&mut self, seen_ms: i64, client: u32) {
        if seen_ms.div_euclid(1_000) <= self.at_edge {
            self.edge.push(Reverse((seen_ms, client)));
        } else {
            self.seconds[usize::from(Self::place(seen_ms))].push(client);
        }
    }

    /// All have been put back.
    pub(super) fn settle(&mut self) {
        // The runs of earlier seconds are in order already.
        self.edge.sort();
    }

    /// The next second whose clients have to leave their queue, so that all that was seen up to
    /// `over_ms` can be told; none once all have. Each of them is to be put back with
    /// [`Queues::put_back`], and then [`Queues::settle`] called.
    #[inline]
    pub(super) fn next_second(&mut self, over_ms: i64) -> Option<(u8, Vec<u32>)> {
        let due = over_ms.div_euclid(1_000);
        if due <= self.at_edge {
            return None;
        }
        // After a pause longer than all queues each is looked at once.
        self.at_edge = self.at_edge.max(due - SECONDS) + 1;
        let place = Self::place(self.at_edge * 1_000);
        let mut clients = mem::take(&mut self.seconds[usize::from(place)]);
        // Two that share the part of their ids by which they stand here are looked up together:
        // once is enough, and twice would put them back twice.
        clients.sort_unstable();
        clients.dedup();
        Some((place, clients))
    }

    /// The next client that was last seen up to `over_ms`, as far as is known here.
    #[inline]
    pub(super) fn pop(&mut self, over_ms: i64) -> Option<(i64, u32)> {
        let (edge, late) = (self.edge.last(), self.late.peek());
        let &Reverse((seen_ms, _)) = edge.max(late)?;
        if over_ms < seen_ms {
            return None;
        }
        let first = if late < edge { self.edge.pop() } else { self.late.pop() };
        first.map(|Reverse(first)| first)
    }

    /// How many stand in queues.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let waiting = self.seconds.iter().map(Vec::len).sum::<usize>();
        waiting + self.edge.len() + self.late.len()
    }
}

/// Clients that are not online, and when they may be forgotten.
#[derive(Debug, Default)]
pub(super) struct Away {
    /// By the ten minutes in which they are to be looked at.
    parts: VecDeque<(i64, VecDeque<u32>)>,
}

/// The length of a part, in milliseconds.
const PART: i64 = 600_000;

impl Away {
    /// Has a client looked at some time after `at_ms`.
    pub(super) fn push(&mut self, at_ms: i64, client: u32) {
        let part = at_ms.div_euclid(PART) + 1;
        let place = self.parts.partition_point(|&(other, _)| other < part);
        match self.parts.get_mut(place) {
            Some((other, clients)) if *other == part => clients.push_back(client),
            _ => self.parts.insert(place, (part, VecDeque::from([client]))),
        }
    }

    /// A client that is to be looked at now.
    pub(super) fn due(&mut self, now_ms: i64) -> Option<u32> {
        let &(part, _) = self.parts.front()?;
        if now_ms.div_euclid(PART) < part { None } else { self.oldest() }
    }

    /// A client that is to be looked at first, be it before its time.
    pub(super) fn oldest(&mut self) -> Option<u32> {
        let (_, clients) = self.parts.front_mut()?;
        let client = clients.pop_front();
        if clients.is_empty() {
            self.parts.pop_front();
        }
        client
    }

    /// How many are to be looked at.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|(_, clients)| clients.len()).sum()
    }
}
