//! One queue.

use std::{collections::BTreeMap, sync::Arc};

use switchboard_core::{
    Millis,
    bus::{
        Delivery, DeliveryId, Event, IN_FLIGHT_MAX, Pulled, QueueName, QueueSettings, QueueState,
        Settled, TIMED_OUT, Verdict,
    },
};

/// The events that a tenant's log keeps.
pub(super) type Events = BTreeMap<u64, Event>;

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) settings: QueueSettings,
    name: QueueName,
    /// None behind this place was delivered; all others were, or have expired.
    pub(super) place: u64,
    /// What was delivered and is not done with.
    pub(super) held: BTreeMap<u64, Held>,
    pub(super) dead_lettered: u64,
    pub(super) acknowledged: u64,
    pub(super) redelivered: u64,
}

/// An event that was delivered so often, and is not done with.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) attempts: u32,
    pub(super) place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// With a consumer.
    InFlight { until: Millis },
    /// Back in the queue.
    Waits { at: Millis },
}

/// An event that was delivered often enough.
#[derive(Debug)]
pub(super) struct GivenUp {
    /// When its last delivery came to an end.
    pub(super) at: Millis,
    pub(super) queue: QueueName,
    pub(super) sequence: u64,
    pub(super) attempts: u32,
    pub(super) reason: Arc<str>,
}

impl Queue {
    pub(super) fn new(name: QueueName, settings: QueueSettings, place: u64) -> Self {
        let (dead_lettered, acknowledged, redelivered) = (0, 0, 0);
        let held = BTreeMap::new();
        Self { settings, name, place, held, dead_lettered, acknowledged, redelivered }
    }

    pub(super) fn takes(&self, event: &Event) -> bool {
        self.settings.interest.wants(event.body.topic(), event.body.kind())
    }

    /// Whether something is there that was delivered before and can be again.
    pub(super) fn has_returned(&self, now: Millis) -> bool {
        self.held.values().any(|held| held.waits(now))
    }

    pub(super) fn state(&self, events: &Events) -> QueueState {
        let waiting = self.held.iter().filter(|(_, held)| held.until().is_none());
        let in_flight = (self.held.len() - waiting.clone().count()) as u64;
        let unsettled = self.held.keys().copied().filter_map(|sequence| events.get(&sequence));
        QueueState {
            name: self.name.clone(),
            settings: self.settings.clone(),
            depth: (waiting.count() + self.others(events).count()) as u64,
            in_flight,
            oldest_at: unsettled.chain(self.others(events)).map(|event| event.at).min(),
            dead_lettered: self.dead_lettered,
            acknowledged: self.acknowledged,
            redelivered: self.redelivered,
        }
    }

    pub(super) fn pull(&mut self, events: &Events, max: u32, now: Millis) -> Pulled {
        let in_flight = self.held.values().filter(|held| held.until().is_some()).count();
        let room = IN_FLIGHT_MAX.saturating_sub(in_flight);
        let (max, mut pulled) = (room.min(max as usize), Pulled::default());
        let mut returned: Vec<(Millis, u64)> = Vec::new();
        for (sequence, held) in &self.held {
            if let Place::Waits { at } = held.place
                && at <= now
            {
                returned.push((at, *sequence));
            }
        }
        returned.sort_unstable();
        let returned = returned.into_iter().map(|(_, sequence)| &events[&sequence]);
        let mut all = returned.chain(self.others(events));
        let these: Vec<&Event> = all.by_ref().take(max).collect();
        pulled.more = max < room && all.next().is_some();
        drop(all);
        for event in these {
            pulled.deliveries.push(self.deliver(event, now));
        }
        let times = self.held.values().map(|held| match held.place {
            Place::InFlight { until: at } | Place::Waits { at } => at,
        });
        pulled.next_at = times.filter(|at| now < *at).min();
        pulled
    }

    pub(super) fn settle(
        &mut self,
        events: &Events,
        (id, verdict): (DeliveryId, Verdict),
        now: Millis,
    ) -> (Settled, Option<GivenUp>) {
        let DeliveryId { sequence, attempt } = id;
        let held = self.held.get_mut(&sequence);
        let Some(held) = held.filter(|held| (1..=held.attempts).contains(&attempt)) else {
            return (Settled::Unknown, None);
        };
        if attempt < held.attempts || held.until().is_none_or(|until| until <= now) {
            return (Settled::Late, None);
        }
        let given_up = match verdict {
            Verdict::Acknowledge => {
                self.held.remove(&sequence);
                self.acknowledged += 1;
                None
            }
            Verdict::Return { at, reason } => self.take_back(events, sequence, (at, now), &reason),
        };
        (Settled::Done, given_up)
    }

    /// Takes back what nobody settled in time.
    pub(super) fn sweep(&mut self, events: &Events, now: Millis) -> Vec<GivenUp> {
        let over = |(sequence, held): (&u64, &Held)| {
            held.until().filter(|until| *until <= now).map(|until| (*sequence, until))
        };
        let over: Vec<(u64, Millis)> = self.held.iter().filter_map(over).collect();
        let reason = Arc::from(TIMED_OUT);
        let back = over.into_iter().filter_map(|(sequence, until)| {
            self.take_back(events, sequence, (until, until), &reason)
        });
        back.collect()
    }

    /// Forgets what has expired, but for deliveries that a consumer has.
    pub(super) fn expire(&mut self, events: &Events) {
        self.held.retain(|sequence, held| held.until().is_some() || events.contains_key(sequence));
    }

    /// Takes back one that is to be delivered again at a time, and was given back at one.
    fn take_back(
        &mut self,
        events: &Events,
        sequence: u64,
        (again_at, at): (Millis, Millis),
        reason: &Arc<str>,
    ) -> Option<GivenUp> {
        let held = self.held.get_mut(&sequence)?;
        let attempts = held.attempts;
        if events.contains_key(&sequence) && attempts < self.settings.max_deliveries {
            held.place = Place::Waits { at: again_at };
            return None;
        }
        self.held.remove(&sequence);
        // What has expired meanwhile is on no topic, so neither on that of dead letters.
        events.get(&sequence)?;
        self.dead_lettered += 1;
        let (queue, reason) = (self.name.clone(), Arc::clone(reason));
        Some(GivenUp { at, queue, sequence, attempts, reason })
    }

    fn deliver(&mut self, event: &Event, now: Millis) -> Delivery {
        let until = now.plus(self.settings.ack_timeout_ms.into());
        let place = Place::InFlight { until };
        let sequence = event.sequence;
        self.place = sequence.max(self.place);
        let held = self.held.entry(sequence).or_insert(Held { attempts: 0, place });
        held.attempts += 1;
        held.place = place;
        self.redelivered += u64::from(1 < held.attempts);
        let id = DeliveryId { sequence, attempt: held.attempts };
        Delivery { id, event: event.clone(), until }
    }

    /// What was never delivered.
    fn others<'e>(&self, events: &'e Events) -> impl Iterator<Item = &'e Event> {
        events.range(self.place + 1..).map(|(_, event)| event).filter(|event| self.takes(event))
    }
}

impl Held {
    fn until(&self) -> Option<Millis> {
        match self.place {
            Place::InFlight { until } => Some(until),
            Place::Waits { .. } => None,
        }
    }

    fn waits(&self, now: Millis) -> bool {
        matches!(self.place, Place::Waits { at } if at <= now)
    }
}
