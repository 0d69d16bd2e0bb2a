//! What is one tenant's.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use switchboard_core::{
    ClientId, Code, Error, Millis, Result,
    bus::{
        Attendance, Body, Created, DeadLetter, Draft, Event, Gone, Interest, Page, Published,
        Pulled, QueueName, QueueSettings, QueueState, Read, Retention, Settled, Settlement, Since,
        TopicFilter, Turn, rule_of,
    },
    presence::GatewayId,
};

use super::queue::{Events, GivenUp, Queue};

/// What is one tenant's.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) events: Events,
    pub(super) newest: u64,
    pub(super) newest_at: Millis,
    /// The newest sequence of each key, whether it is kept or not.
    pub(super) keys: BTreeMap<String, u64>,
    /// How often events have expired.
    pub(super) expiries: u64,
    /// By the filter of a rule, the newest sequence that expired by it, and with which of those.
    pub(super) expired: BTreeMap<TopicFilter, (u64, u64)>,
    pub(super) queues: BTreeMap<QueueName, Queue>,
    pub(super) clients: BTreeMap<ClientId, Stay>,
    /// What was not told yet.
    appended: Vec<Event>,
    ready: BTreeSet<QueueName>,
}

/// From when a client came to its first gateway until it leaves the last.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Stay {
    /// The newest session at each gateway.
    pub(super) gateways: BTreeMap<GatewayId, u64>,
    /// The newest of all, those included that have ended.
    pub(super) newest: u64,
}

impl Default for Own {
    fn default() -> Self {
        Self {
            events: Events::new(),
            newest: 0,
            newest_at: Millis(i64::MIN),
            keys: BTreeMap::new(),
            expiries: 0,
            expired: BTreeMap::new(),
            queues: BTreeMap::new(),
            clients: BTreeMap::new(),
            appended: Vec::new(),
            ready: BTreeSet::new(),
        }
    }
}

impl Own {
    /// The events that were appended, and the queues that became ready, since this was asked last.
    pub(super) fn take_news(&mut self) -> (Vec<Event>, BTreeSet<QueueName>) {
        (mem::take(&mut self.appended), mem::take(&mut self.ready))
    }

    pub(super) fn publish(&mut self, draft: Draft) -> Result<Published> {
        let Draft { body, at, .. } = draft;
        let known = self.keys.get(body.key()).and_then(|sequence| self.events.get(sequence));
        match known {
            Some(event) if event.body == body => {
                Ok(Published { sequence: event.sequence, new: false })
            }
            Some(event) => {
                let sequence = event.sequence;
                let what = format!("the event {sequence} has the same key and says something else");
                Err(Error::new(Code::Conflict, what))
            }
            None => Ok(Published { sequence: self.append(body, at), new: true }),
        }
    }

    fn append(&mut self, body: Body, at: Millis) -> u64 {
        self.newest += 1;
        self.newest_at = at.max(self.newest_at);
        if !body.key().is_empty() {
            self.keys.insert(body.key().to_owned(), self.newest);
        }
        let event = Event { sequence: self.newest, at: self.newest_at, body };
        let takers = self.queues.iter().filter(|(_, queue)| queue.takes(&event));
        self.ready.extend(takers.map(|(name, _)| name.clone()));
        self.appended.push(event.clone());
        self.events.insert(self.newest, event);
        self.newest
    }

    pub(super) fn read(&self, read: &Read) -> Result<Page> {
        let Read { interest, since, events_max, bytes_max, .. } = read;
        let mut position = self.place(interest, *since)?;
        let (newest, expired) = (self.newest, self.expiries);
        let (mut events, mut bytes) = (Vec::new(), 0);
        for event in self.events.range(position + 1..).map(|(_, event)| event) {
            if interest.wants(event.body.topic(), event.body.kind()) {
                let full = *bytes_max <= bytes && !events.is_empty();
                if full || *events_max as usize <= events.len() {
                    return Ok(Page { events, position, newest, expired });
                }
                bytes += event.body.data().len();
                events.push(event.clone());
            }
            position = event.sequence;
        }
        Ok(Page { events, position: newest, newest, expired })
    }

    /// The sequence behind which somebody reads.
    fn place(&self, interest: &Interest, since: Since) -> Result<u64> {
        let (since, known) = match since {
            Since::Known { after, expired } => (Since::After(after), expired),
            since => (since, 0),
        };
        let before = |event: Option<&Event>| event.map_or(self.newest, |event| event.sequence - 1);
        match since {
            Since::Now => Ok(self.newest),
            Since::Start => Ok(before(self.events.values().next())),
            Since::Time(at) => Ok(before(self.events.values().find(|event| at <= event.at))),
            Since::After(sequence) if self.newest < sequence => {
                let what = format!("no event has come yet with the sequence {sequence}");
                Err(Error::new(Code::InvalidCursor, what))
            }
            Since::After(sequence) if self.has_expired(interest, sequence, known) => {
                let oldest = self.events.keys().next().map_or(self.newest + 1, |oldest| *oldest);
                let what = format!("events behind it have expired: {oldest} is the oldest left");
                Err(Error::new(Code::CursorExpired, what))
            }
            Since::After(sequence) | Since::Known { after: sequence, .. } => Ok(sequence),
        }
    }

    /// Whether an event behind a place has expired that may have been wanted, and that is news.
    fn has_expired(&self, interest: &Interest, after: u64, known: u64) -> bool {
        let overlaps = |rule: &TopicFilter| interest.filters().iter().any(|it| it.overlaps(rule));
        let is_news = |sequence, expiry| after < sequence && known < expiry;
        self.expired
            .iter()
            .any(|(rule, &(sequence, expiry))| is_news(sequence, expiry) && overlaps(rule))
    }

    pub(super) fn create_queue(
        &mut self,
        name: &QueueName,
        settings: QueueSettings,
        since: Since,
    ) -> Result<Created> {
        if let Some(queue) = self.queues.get(name) {
            if queue.settings == settings {
                return Ok(Created { queue: queue.state(&self.events), new: false });
            }
            let what = format!("there is a queue {name} with other settings");
            return Err(Error::new(Code::Conflict, what));
        }
        let place = self.place(&settings.interest, since)?;
        let queue = Queue::new(name.clone(), settings, place);
        let created = Created { queue: queue.state(&self.events), new: true };
        self.queues.insert(name.clone(), queue);
        Ok(created)
    }

    pub(super) fn delete_queue(&mut self, name: &QueueName) -> bool {
        self.queues.remove(name).is_some()
    }

    pub(super) fn queue(&self, name: &QueueName) -> Option<QueueState> {
        self.queues.get(name).map(|queue| queue.state(&self.events))
    }

    pub(super) fn queues(&self) -> Vec<QueueState> {
        self.queues.values().map(|queue| queue.state(&self.events)).collect()
    }

    pub(super) fn pull(&mut self, name: &QueueName, max: u32, now: Millis) -> Option<Pulled> {
        let given_up = self.queues.get_mut(name)?.sweep(&self.events, now);
        self.give_up(given_up, now);
        Some(self.queues.get_mut(name)?.pull(&self.events, max, now))
    }

    pub(super) fn settle(&mut self, settlement: Settlement) -> Option<Vec<Settled>> {
        let Settlement { queue, deliveries, now } = settlement;
        let (mut all, mut given_up) = (Vec::new(), Vec::new());
        let own = self.queues.get_mut(&queue.name)?;
        for delivery in deliveries {
            let (settled, letter) = own.settle(&self.events, delivery, now);
            all.push(settled);
            given_up.extend(letter);
        }
        if own.has_returned(now) {
            self.ready.insert(queue.name);
        }
        self.put_letters(given_up, now);
        Some(all)
    }

    pub(super) fn sweep(&mut self, now: Millis) {
        let mut given_up = Vec::new();
        for (name, queue) in &mut self.queues {
            given_up.extend(queue.sweep(&self.events, now));
            if queue.has_returned(now) {
                self.ready.insert(name.clone());
            }
        }
        self.give_up(given_up, now);
    }

    /// Those whose time was up first come first, then those of the first queue.
    fn give_up(&mut self, mut letters: Vec<GivenUp>, now: Millis) {
        letters.sort_by(|a, b| (a.at, &a.queue, a.sequence).cmp(&(b.at, &b.queue, b.sequence)));
        self.put_letters(letters, now);
    }

    fn put_letters(&mut self, letters: Vec<GivenUp>, now: Millis) {
        for GivenUp { queue: name, sequence, attempts, reason, .. } in letters {
            let queue = self.queues.get(&name);
            if let (Some(queue), Some(event)) = (queue, self.events.get(&sequence)) {
                let (name, topic) = (Arc::from(name.as_str()), Arc::from(event.body.topic()));
                let letter = DeadLetter { queue: name, reason, attempts, topic, sequence };
                let body = event.body.given_up(&queue.settings.dead_letter_topic, &letter);
                self.append(body, now);
            }
        }
    }

    pub(super) fn attend(&mut self, attendance: Attendance) {
        let Attendance { client, gateway, present, session, at, .. } = attendance;
        if !present {
            let stay = self.clients.get_mut(&client);
            let Some(stay) =
                stay.filter(|it| it.gateways.get(&gateway).is_some_and(|noted| *noted <= session))
            else {
                return;
            };
            stay.newest = session.max(stay.newest);
            stay.gateways.remove(&gateway);
            self.end_stay(&client, at);
            return;
        }
        let stay = self.clients.entry(client.clone()).or_default();
        let first = stay.gateways.is_empty();
        stay.newest = session.max(stay.newest);
        let noted = stay.gateways.entry(gateway).or_default();
        *noted = session.max(*noted);
        if first {
            self.append(Turn::Online.told(&client, session), at);
        }
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    pub(super) fn gateways(&self) -> impl Iterator<Item = GatewayId> {
        self.clients.values().flat_map(|stay| stay.gateways.keys().copied())
    }

    pub(super) fn abandon(&mut self, gone: &Gone, now: Millis) -> u64 {
        let mut notes = 0;
        for stay in self.clients.values_mut() {
            let before = stay.gateways.len();
            stay.gateways.retain(|gateway, _| !gone.includes(*gateway));
            notes += (before - stay.gateways.len()) as u64;
        }
        let clients: Vec<ClientId> = self.clients.keys().cloned().collect();
        for client in clients {
            self.end_stay(&client, now);
        }
        notes
    }

    /// Announces that a client has gone, if it has.
    fn end_stay(&mut self, client: &ClientId, at: Millis) {
        let is_over = |stay: &&Stay| stay.gateways.is_empty();
        if let Some(newest) = self.clients.get(client).filter(is_over).map(|stay| stay.newest) {
            self.clients.remove(client);
            self.append(Turn::Offline.told(client, newest), at);
        }
    }

    pub(super) fn expire(&mut self, rules: &[Retention], now: Millis) -> u64 {
        let mut count = 0;
        for (place, rule) in rules.iter().enumerate() {
            let is_under = |event: &&Event| rule_of(rules, event.body.topic()) == Some(place);
            let under: Vec<Event> = self.events.values().filter(is_under).cloned().collect();
            let bytes = |event: &Event| event.body.as_bytes().len() as u64;
            let mut kept: u64 = under.iter().map(bytes).sum();
            for event in under {
                let too_old = rule.age_ms.is_some_and(|age_ms| age_ms < now.since(event.at));
                if !too_old && rule.bytes.is_none_or(|max| kept <= max) {
                    break;
                }
                kept -= bytes(&event);
                count += 1;
                self.events.remove(&event.sequence);
                let (expired, expiry) = self.expired.entry(rule.filter.clone()).or_default();
                *expired = event.sequence.max(*expired);
                *expiry = self.expiries + 1;
            }
        }
        self.expiries += u64::from(0 < count);
        self.queues.values_mut().for_each(|queue| queue.expire(&self.events));
        count
    }
}
