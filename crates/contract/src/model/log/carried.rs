//! Events and queues, as they are carried.

use switchboard_core::{
    Result, Tenant,
    bus::{DeliveryId, QueueId},
    transfer::{Expiry, Held, Progress, Row, Section, Stay},
};

use super::{
    super::transfer::conflict,
    Log,
    own::{self, Own},
    queue::{self, Place, Queue},
};

impl Log {
    /// All rows of a section.
    pub(in super::super) fn rows(&self, section: Section) -> Vec<Row> {
        let kept = self.lock();
        kept.tenants.iter().flat_map(|(&tenant, own)| own.rows(tenant, section)).collect()
    }

    /// Takes a row.
    pub(in super::super) fn put(&self, row: Row) -> Result<()> {
        let mut kept = self.lock();
        let is_it = match row {
            Row::Expiry(Expiry { tenant, filter, sequence, count }) => {
                let own = kept.of(tenant);
                own.expiries = own.expiries.max(count);
                *own.expired.entry(filter).or_insert((sequence, count)) == (sequence, count)
            }
            Row::Event { tenant, event } => {
                let own = kept.of(tenant);
                if !event.body.key().is_empty() {
                    own.keys.insert(event.body.key().to_owned(), event.sequence);
                }
                *own.events.entry(event.sequence).or_insert(event.clone()) == event
            }
            Row::Head { tenant, newest, at } => {
                let own = kept.of(tenant);
                if own.newest == 0 {
                    (own.newest, own.newest_at) = (newest, at);
                }
                (own.newest, own.newest_at) == (newest, at)
            }
            Row::Queue { queue: QueueId { tenant, name }, settings, progress } => {
                let mut made = Queue::new(name.clone(), settings.clone(), progress.cursor);
                made.dead_lettered = progress.dead_lettered;
                made.acknowledged = progress.acknowledged;
                made.redelivered = progress.redelivered;
                let there = kept.of(tenant).queues.entry(name).or_insert(made);
                there.settings == settings && there.progress() == progress
            }
            Row::Delivery { queue: QueueId { tenant, name }, id, held } => {
                let place = match held {
                    Held::Until(until) => Place::InFlight { until },
                    Held::Again(at) => Place::Waits { at },
                };
                let Some(queue) = kept.of(tenant).queues.get_mut(&name) else {
                    return Err(conflict());
                };
                let made = || queue::Held { attempts: id.attempt, place };
                let there = queue.held.entry(id.sequence).or_insert_with(made);
                (there.attempts, there.place) == (id.attempt, place)
            }
            Row::Stay(Stay { tenant, client, newest, gateways }) => {
                let stay = own::Stay { gateways: gateways.into_iter().collect(), newest };
                *kept.of(tenant).clients.entry(client).or_insert(stay.clone()) == stay
            }
            _ => true,
        };
        if is_it { Ok(()) } else { Err(conflict()) }
    }
}

impl Own {
    fn rows(&self, tenant: Tenant, section: Section) -> Vec<Row> {
        match section {
            Section::Expiries => {
                let rows = self.expired.iter().map(|(filter, &(sequence, count))| {
                    let filter = filter.clone();
                    Row::Expiry(Expiry { tenant, filter, sequence, count })
                });
                rows.collect()
            }
            Section::Events => {
                let row = |event: &_| Row::Event { tenant, event: Clone::clone(event) };
                self.events.values().map(row).collect()
            }
            Section::Heads if self.newest == 0 => Vec::new(),
            Section::Heads => {
                vec![Row::Head { tenant, newest: self.newest, at: self.newest_at }]
            }
            Section::Queues => {
                let rows = self.queues.iter().map(|(name, queue)| Row::Queue {
                    queue: QueueId { tenant, name: name.clone() },
                    settings: queue.settings.clone(),
                    progress: queue.progress(),
                });
                rows.collect()
            }
            Section::Deliveries => {
                let mut rows = Vec::new();
                for (name, queue) in &self.queues {
                    let id = QueueId { tenant, name: name.clone() };
                    rows.extend(queue.deliveries(&id));
                }
                rows
            }
            _ => {
                let rows = self.clients.iter().map(|(client, stay)| {
                    let gateways = stay.gateways.iter().map(|(&it, &session)| (it, session));
                    let (client, newest) = (client.clone(), stay.newest);
                    Row::Stay(Stay { tenant, client, newest, gateways: gateways.collect() })
                });
                rows.collect()
            }
        }
    }
}

impl Queue {
    fn progress(&self) -> Progress {
        Progress {
            cursor: self.place,
            dead_lettered: self.dead_lettered,
            acknowledged: self.acknowledged,
            redelivered: self.redelivered,
        }
    }

    fn deliveries(&self, queue: &QueueId) -> Vec<Row> {
        let row = |(&sequence, held): (&u64, &queue::Held)| Row::Delivery {
            queue: queue.clone(),
            id: DeliveryId { sequence, attempt: held.attempts },
            held: match held.place {
                Place::InFlight { until } => Held::Until(until),
                Place::Waits { at } => Held::Again(at),
            },
        };
        self.held.iter().map(row).collect()
    }
}
