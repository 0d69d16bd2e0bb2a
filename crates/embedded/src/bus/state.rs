//! What queues say of themselves, and what is pulled of them: as far as it is read.

use switchboard_core::{
    Result as Answer,
    bus::{Delivery, DeliveryId, Pulled, QueueState},
};

use super::{
    reader::{Shared, unreadable},
    work::{Leases, Look},
};

impl Shared {
    /// How a queue is.
    pub(super) fn queue_state(&self, look: Look) -> Answer<QueueState> {
        let Look { tenant, name, settings, cursor, counts, in_flight, waits, oldest } = look;
        let others = self.count(tenant, &settings.interest, cursor)?;
        let mut oldest = oldest;
        let mut after = cursor;
        while oldest.is_none() && 0 < others {
            let ahead = self.ahead(tenant, &settings.interest, after, 1)?;
            oldest = ahead.sequences.first().copied();
            after = ahead.position;
            if ahead.newest <= after {
                break;
            }
        }
        let event = oldest.map(|sequence| self.event(tenant, sequence));
        let event = event.transpose().map_err(unreadable)?.flatten();
        Ok(QueueState {
            name,
            settings,
            depth: others + waits as u64,
            in_flight: in_flight as u64,
            oldest_at: event.map(|event| event.at),
            dead_lettered: counts.dead_lettered,
            acknowledged: counts.acknowledged,
            redelivered: counts.redelivered,
        })
    }

    /// What was pulled. What can't be read is left out: it comes again, like all that nobody
    /// settles.
    pub(super) fn pulled(&self, leases: Leases) -> Pulled {
        let Leases { tenant, deliveries, until, more, next_at } = leases;
        let delivery = |(sequence, attempt)| {
            let event = self.event(tenant, sequence).map_err(unreadable).ok().flatten()?;
            Some(Delivery { id: DeliveryId { sequence, attempt }, event, until })
        };
        let deliveries = deliveries.into_iter().filter_map(delivery).collect();
        Pulled { deliveries, more, next_at }
    }
}
