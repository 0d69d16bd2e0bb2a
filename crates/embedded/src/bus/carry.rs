//! All events and queues at rest: told, or taken from another store.

use std::{collections::BTreeMap, sync::Arc};

use switchboard_core::{
    Error as Refusal, Millis, Tenant,
    bus::{DeliveryId, Interest, Read, Since},
    store::Unobserved,
    transfer::{BYTES_MAX, Expiry, Held, Page, Place, Progress, Row, Section, Stay},
};

use super::{
    Writer,
    open::{Parts, open},
    queue::{self, Counts, Queue},
};
use crate::{Error, Options, disk::Disk, health::Health, log::Spare, transfer::listed};

/// All events and queues.
#[derive(Debug)]
pub(crate) struct Events {
    writer: Writer,
    pub(crate) spare: Spare,
    /// The rows of the section that was read last, where that is none of events.
    listed: Option<(Section, Vec<Row>)>,
}

impl Events {
    /// Opens what is there, or makes it.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        options: &Options,
        health: &Arc<Health>,
    ) -> Result<Self, Error> {
        let Parts { writer, spare, .. } = open(disk, options, health, Arc::new(Unobserved))?;
        Ok(Self { writer, spare, listed: None })
    }

    /// About how many rows there are.
    pub(crate) fn count(&mut self, section: Section) -> u64 {
        match section {
            Section::Events => self.writer.fresh.numbers,
            _ => self.list(section).len() as u64,
        }
    }

    /// Takes rows, durably.
    pub(crate) fn put(&mut self, rows: Vec<Row>) -> Result<Result<bool, Refusal>, Error> {
        self.listed = None;
        Ok(self.writer.load(rows)?.map(|()| true))
    }

    /// Tells rows.
    pub(crate) fn read(
        &mut self,
        section: Section,
        from: Option<&Place>,
        max: usize,
    ) -> Result<Page, Error> {
        if section == Section::Events {
            return self.events(from, max);
        }
        listed(self.list(section).iter().cloned(), from, max)
    }

    /// The tenants, by number.
    fn tenants(&self) -> impl Iterator<Item = (u32, Tenant)> {
        (0..).zip(self.writer.heads.iter().map(|head| head.tenant))
    }

    /// Events by tenant, then by sequence.
    fn events(&self, from: Option<&Place>, max: usize) -> Result<Page, Error> {
        let damaged = || Error::Corrupt("a place among events is none".to_owned());
        let [from, mut after] = match from {
            None => [0, 0],
            Some(place) => crate::transfer::numbers(place).ok_or_else(damaged)?,
        };
        let place = |tenant: u64, after: u64| {
            Place([tenant, after].iter().flat_map(|number| number.to_be_bytes()).collect())
        };
        let interest = Interest::new([">"], []).map_err(|_| damaged())?;
        let (mut page, mut bytes) = (Page::default(), 0);
        for (number, tenant) in self.tenants().skip(usize::try_from(from).unwrap_or(usize::MAX)) {
            loop {
                let left = max - page.rows.len();
                if left == 0 || BYTES_MAX <= bytes {
                    page.next = Some(place(number.into(), after));
                    return Ok(page);
                }
                let read = Read {
                    tenant,
                    interest: interest.clone(),
                    since: Since::Known { after, expired: u64::MAX },
                    events_max: u32::try_from(left).unwrap_or(u32::MAX),
                    bytes_max: BYTES_MAX - bytes,
                };
                let found = self.writer.shared.page(&read);
                let found = found.map_err(|error| Error::Corrupt(error.to_string()))?;
                for event in found.events {
                    bytes += event.body.as_bytes().len();
                    page.rows.push(Row::Event { tenant, event });
                }
                if found.newest <= found.position {
                    break;
                }
                after = found.position;
            }
            after = 0;
        }
        Ok(page)
    }

    fn list(&mut self, section: Section) -> &[Row] {
        if self.listed.as_ref().is_none_or(|(of, _)| *of != section) {
            self.listed = Some((section, self.rows(section)));
        }
        self.listed.as_ref().map_or(&[], |(_, rows)| rows)
    }

    fn rows(&self, section: Section) -> Vec<Row> {
        match section {
            Section::Expiries => self.expiries(),
            Section::Heads => {
                let heads = self.writer.heads.iter().filter(|head| 0 < head.newest);
                let row = |head: &super::writer::Head| {
                    let (tenant, newest, at) = (head.tenant, head.newest, Millis(head.at));
                    Row::Head { tenant, newest, at }
                };
                heads.map(row).collect()
            }
            Section::Queues => self.queues().map(queue_row).collect(),
            Section::Deliveries => self.queues().flat_map(delivery_rows).collect(),
            Section::Stays => self.stays(),
            _ => Vec::new(),
        }
    }

    fn expiries(&self) -> Vec<Row> {
        let all = self.tenants().flat_map(|(number, tenant)| {
            let told = self.writer.shared.marks(number).told().into_iter();
            told.map(move |(filter, (sequence, count))| {
                Row::Expiry(Expiry { tenant, filter, sequence, count })
            })
        });
        all.collect()
    }

    fn queues(&self) -> impl Iterator<Item = &Queue> {
        let all = self.tenants().flat_map(|(number, _)| self.writer.queues.of(number));
        all.filter_map(|number| self.writer.queues.queue(number))
    }

    fn stays(&self) -> Vec<Row> {
        let state = self.writer.shared.read();
        let all: BTreeMap<_, _> = state.generations().flat_map(|it| &it.stays).collect();
        let stays = all.into_iter().filter(|(_, stay)| !stay.gateways.is_empty());
        let row = |((tenant, client), stay): (&super::work::Place, &super::entry::Stay)| {
            let tenant = self.writer.heads.get(*tenant as usize)?.tenant;
            let mut gateways = stay.gateways.clone();
            gateways.sort_unstable();
            let (client, newest) = (client.clone(), stay.newest);
            Some(Row::Stay(Stay { tenant, client, newest, gateways }))
        };
        stays.filter_map(row).collect()
    }
}

fn queue_row(queue: &Queue) -> Row {
    let Counts { dead_lettered, acknowledged, redelivered } = queue.counts;
    Row::Queue {
        queue: queue.id.clone(),
        settings: queue.settings.clone(),
        progress: Progress { cursor: queue.cursor, dead_lettered, acknowledged, redelivered },
    }
}

fn delivery_rows(queue: &Queue) -> impl Iterator<Item = Row> {
    queue.holds().map(|(sequence, attempts, place)| Row::Delivery {
        queue: queue.id.clone(),
        id: DeliveryId { sequence, attempt: attempts },
        held: match place {
            queue::Place::Leased(until) => Held::Until(Millis(until)),
            queue::Place::Waits(at) => Held::Again(Millis(at)),
        },
    })
}
