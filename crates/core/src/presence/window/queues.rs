//! Whose time is up next.
//!
//! A client that is online stands in one queue: that of the second in which it had last been seen
//! when it was put there. Being seen again does not move it; when its queue's time has come it is
//! looked at, and moved to that of its later second. So a sighting costs no work here.

use std::{collections::VecDeque, mem};

/// Seconds that there are queues for; more than the window has.
const SECONDS: i64 = 256;

/// Queues of clients, by second.
#[derive(Debug)]
pub(super) struct Queues {
    seconds: Vec<Vec<u32>>,
    /// The second that is at the edge of the window: its clients have been taken out.
    at_edge: i64,
    /// They, the last to go first: when each was seen, in milliseconds of Unix time.
    edge: Vec<(i64, u32)>,
    /// What was seen up to this millisecond is over.
    over_ms: i64,
}

impl Queues {
    /// Nobody; what was seen up to a time, in milliseconds, is over.
    pub(super) fn new(over_ms: i64) -> Self {
        let at_edge = over_ms.div_euclid(1_000);
        Self { seconds: vec![Vec::new(); 1 << u8::BITS], at_edge, edge: Vec::new(), over_ms }
    }

    /// Until when what was seen is over.
    pub(super) fn over_ms(&self) -> i64 {
        self.over_ms
    }

    /// All that was seen up to then has been taken out.
    pub(super) fn set_over_ms(&mut self, over_ms: i64) {
        self.over_ms = over_ms;
    }

    /// The queue of a second, as it is noted with a client.
    pub(super) fn place(seen_ms: i64) -> u8 {
        // Of the lowest eight bits, which always fit.
        u8::try_from(seen_ms.div_euclid(1_000).rem_euclid(SECONDS)).unwrap_or_default()
    }

    /// Puts clients back that were given out with [`Queues::next_second`].
    pub(super) fn put_back(&mut self, clients: impl Iterator<Item = (i64, u32)>) {
        let edge = self.edge.len();
        for (seen_ms, client) in clients {
            if seen_ms.div_euclid(1_000) <= self.at_edge {
                self.edge.push((seen_ms, client));
            } else {
                self.seconds[usize::from(Self::place(seen_ms))].push(client);
            }
        }
        if edge < self.edge.len() {
            self.edge.sort_unstable_by(|a, b| b.cmp(a));
        }
    }

    /// Puts a client into the queue of the second in which it was seen.
    pub(super) fn push(&mut self, seen_ms: i64, client: u32) {
        if seen_ms.div_euclid(1_000) <= self.at_edge {
            let place = self.edge.partition_point(|&(other, _)| seen_ms < other);
            self.edge.insert(place, (seen_ms, client));
        } else {
            self.seconds[usize::from(Self::place(seen_ms))].push(client);
        }
    }

    /// The second whose clients are to be looked at, so that all that was seen up to `over_ms` can
    /// be told; none once all have been. The clients are to be given back with
    /// [`Queues::put_back`].
    pub(super) fn next_second(&mut self, over_ms: i64) -> Option<(i64, Vec<u32>)> {
        let due = over_ms.div_euclid(1_000);
        // After a pause longer than all queues each is looked at once.
        self.at_edge = self.at_edge.max(due - SECONDS);
        if due <= self.at_edge {
            return None;
        }
        self.at_edge += 1;
        let place = Self::place(self.at_edge * 1_000);
        Some((self.at_edge, mem::take(&mut self.seconds[usize::from(place)])))
    }

    /// The next client that was last seen up to `over_ms`, as far as is known here.
    pub(super) fn pop(&mut self, over_ms: i64) -> Option<(i64, u32)> {
        let &(seen_ms, _) = self.edge.last()?;
        if over_ms < seen_ms { None } else { self.edge.pop() }
    }
}

/// Clients that are not online, and when they may be forgotten.
#[derive(Debug, Default)]
pub(super) struct Away {
    /// By the ten minutes in which they are to be looked at.
    parts: VecDeque<(i64, Vec<u32>)>,
}

/// The length of a part, in milliseconds.
const PART: i64 = 600_000;

impl Away {
    /// Has a client looked at some time after `at_ms`.
    pub(super) fn push(&mut self, at_ms: i64, client: u32) {
        let part = at_ms.div_euclid(PART) + 1;
        let place = self.parts.partition_point(|&(other, _)| other < part);
        match self.parts.get_mut(place) {
            Some((other, clients)) if *other == part => clients.push(client),
            _ => self.parts.insert(place, (part, vec![client])),
        }
    }

    /// Clients that are to be looked at now.
    pub(super) fn due(&mut self, now_ms: i64) -> Option<Vec<u32>> {
        let &(part, _) = self.parts.front()?;
        if now_ms.div_euclid(PART) < part {
            return None;
        }
        self.parts.pop_front().map(|(_, clients)| clients)
    }
}
