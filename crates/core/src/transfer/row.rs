//! What a store holds, row by row, in the words of the domain.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::Section;
use crate::{
    ClientId, Millis, Tenant,
    bus::{DeliveryId, Event, QueueId, QueueSettings, TopicFilter},
    chat::{Message, Name, PhoneNumber, User},
    ingest::Entry,
    presence::GatewayId,
    vault::{Profile, Record, RecordId},
};

/// One thing that a store holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// A key of ingest.
    Key {
        /// The key.
        entry: Entry,
        /// Its id.
        id: u64,
    },
    /// A user who was made known.
    User {
        /// Who it is.
        user: User,
        /// What he is called.
        name: Option<Name>,
        /// When he was made known.
        created_at: Millis,
    },
    /// A message.
    Said(Said),
    /// A mark that has moved.
    Receipt(Receipt),
    /// How a tenant's keys are derived.
    Profile {
        /// Whose.
        tenant: Tenant,
        /// How.
        profile: Profile,
    },
    /// Which versions of a tenant's records are not used again.
    Version {
        /// Whose.
        tenant: Tenant,
        /// The version that a record has at least where none is.
        first: u64,
    },
    /// A sealed record.
    Record {
        /// Whose.
        tenant: Tenant,
        /// Under which id.
        id: RecordId,
        /// The record.
        record: Record,
    },
    /// What of a tenant's events has expired.
    Expiry(Expiry),
    /// An event that is kept.
    Event {
        /// Whose.
        tenant: Tenant,
        /// The event.
        event: Event,
    },
    /// How far the events of a tenant have come.
    Head {
        /// Whose.
        tenant: Tenant,
        /// The sequence of the newest, kept or not.
        newest: u64,
        /// No event comes with a time before this.
        at: Millis,
    },
    /// A queue.
    Queue {
        /// Which.
        queue: QueueId,
        /// As it was made.
        settings: QueueSettings,
        /// How far it has come.
        progress: Progress,
    },
    /// An event that a queue delivered and that is not done with.
    Delivery {
        /// Of which queue.
        queue: QueueId,
        /// The last delivery of the event.
        id: DeliveryId,
        /// Where the event is.
        held: Held,
    },
    /// A client that is announced as online.
    Stay(Stay),
}

/// A message with its places.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// Whose users they are.
    pub tenant: Tenant,
    /// The message.
    pub message: Message,
    /// Where it stands in the inboxes of both.
    pub sequences: Sequences,
    /// When it was durable, as is told of it.
    pub stored: Millis,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequences {
    /// In the inbox of the sender.
    pub from: u64,
    /// In the inbox of the recipient.
    pub to: u64,
}

/// A mark that has moved, as its peer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Whose mark.
    pub user: User,
    /// Whose messages he has, and who was told.
    pub peer: PhoneNumber,
    /// Whether he has read them, and not only got them.
    pub read: bool,
    /// Those up to this id.
    pub up_to: u64,
    /// Where that stands in the inbox of the peer.
    pub sequence: u64,
    /// When he stated it.
    pub at: Millis,
}

/// Up to where events have expired by rules of one filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// Whose events.
    pub tenant: Tenant,
    /// The filter of the rules.
    pub filter: TopicFilter,
    /// The greatest sequence that expired by them.
    pub sequence: u64,
    /// Which time it was that events of the tenant expired: the last one of these rules.
    pub count: u64,
}

/// How far a queue has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Up to here all events were delivered, are not for this queue, or have expired.
    pub cursor: u64,
    /// Events that were ever given up.
    pub dead_lettered: u64,
    /// Events that were ever acknowledged.
    pub acknowledged: u64,
    /// Deliveries beyond the first of their events.
    pub redelivered: u64,
}

/// Where an event is that was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// With a consumer, until then.
    Until(Millis),
    /// Back in the queue, to be delivered again then.
    Again(Millis),
}

/// From when a client came to its first gateway until it leaves the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stay {
    /// Whose client.
    pub tenant: Tenant,
    /// Which.
    pub client: ClientId,
    /// The newest of all its sessions.
    pub newest: u64,
    /// The newest session at each gateway, by gateway.
    pub gateways: Vec<(GatewayId, u64)>,
}

impl Row {
    /// To which section it belongs.
    pub fn section(&self) -> Section {
        match self {
            Self::Key { .. } => Section::Keys,
            Self::User { .. } => Section::Users,
            Self::Said(_) | Self::Receipt(_) => Section::Messages,
            Self::Profile { .. } => Section::Profiles,
            Self::Version { .. } => Section::Versions,
            Self::Record { .. } => Section::Records,
            Self::Expiry(_) => Section::Expiries,
            Self::Event { .. } => Section::Events,
            Self::Head { .. } => Section::Heads,
            Self::Queue { .. } => Section::Queues,
            Self::Delivery { .. } => Section::Deliveries,
            Self::Stay(_) => Section::Stays,
        }
    }

    /// About how many bytes it is, beside what every row takes.
    pub fn size(&self) -> usize {
        match self {
            Self::Said(said) => said.message.text.as_str().len(),
            Self::Record { record, .. } => record.sealed.as_bytes().len(),
            Self::Event { event, .. } => event.body.as_bytes().len(),
            Self::Stay(stay) => 16 * stay.gateways.len(),
            _ => 0,
        }
    }

    /// A number that follows from all that the row says, and is another for any other row.
    pub fn digest(&self) -> u128 {
        let mut words = Words(SipHasher13::new_with_keys(6, 0));
        // The same in every store and for ever.
        words.number(self.section() as u64);
        match self {
            Self::Key { entry, id } => {
                words.tenant(&entry.tenant);
                words.number(entry.key.number().into());
                words.number(*id);
            }
            Self::User { user, name, created_at } => {
                words.user(user);
                words.bytes(name.as_ref().map_or("", Name::as_str).as_bytes());
                words.time(*created_at);
            }
            Self::Said(said) => words.said(said),
            Self::Receipt(Receipt { user, peer, read, up_to, sequence, at }) => {
                words.user(user);
                words.number(peer.digits());
                words.number((*read).into());
                words.number(*up_to);
                words.number(*sequence);
                words.time(*at);
            }
            Self::Profile { tenant, profile } => words.profile(tenant, profile),
            Self::Version { tenant, first } => {
                words.tenant(tenant);
                words.number(*first);
            }
            Self::Record { tenant, id, record } => words.record(tenant, id, record),
            Self::Expiry(Expiry { tenant, filter, sequence, count }) => {
                words.tenant(tenant);
                words.bytes(filter.as_str().as_bytes());
                words.number(*sequence);
                words.number(*count);
            }
            Self::Event { tenant, event } => {
                words.tenant(tenant);
                words.number(event.sequence);
                words.time(event.at);
                words.bytes(event.body.as_bytes());
            }
            Self::Head { tenant, newest, at } => {
                words.tenant(tenant);
                words.number(*newest);
                words.time(*at);
            }
            Self::Queue { queue, settings, progress } => words.queue(queue, settings, *progress),
            Self::Delivery { queue, id, held } => words.delivery(queue, *id, *held),
            Self::Stay(stay) => words.stay(stay),
        }
        words.0.finish128().as_u128()
    }
}

/// What a row says, as a hash takes it: numbers as eight bytes, texts behind their lengths.
struct Words(SipHasher13);

impl Words {
    fn number(&mut self, number: u64) {
        self.0.write(&number.to_le_bytes());
    }

    fn time(&mut self, at: Millis) {
        self.number(at.0.cast_unsigned());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.write(bytes);
    }

    fn tenant(&mut self, tenant: &Tenant) {
        self.bytes(tenant.as_bytes());
    }

    fn user(&mut self, user: &User) {
        self.tenant(&user.tenant);
        self.number(user.phone.digits());
    }

    fn said(&mut self, said: &Said) {
        let Said { tenant, message, sequences, stored } = said;
        let Message { id, from, to, text, client_message_id, sent_at, trace } = message;
        self.tenant(tenant);
        for number in [*id, from.digits(), to.digits(), sequences.from, sequences.to] {
            self.number(number);
        }
        self.bytes(text.as_str().as_bytes());
        self.bytes(client_message_id.as_str().as_bytes());
        self.time(*sent_at);
        self.time(*stored);
        self.number(trace.is_some().into());
        if let Some(trace) = trace {
            self.0.write(&trace.trace_id.to_le_bytes());
            self.number(trace.span_id);
            self.number(trace.flags.into());
        }
    }

    fn profile(&mut self, tenant: &Tenant, profile: &Profile) {
        self.tenant(tenant);
        self.number(profile.number.into());
        self.bytes(&profile.salt);
        let work = profile.work;
        for number in [work.memory_kib, work.passes, work.lanes] {
            self.number(number.into());
        }
    }

    fn record(&mut self, tenant: &Tenant, id: &RecordId, record: &Record) {
        let Record { version, updated_at, expires_at, sealed } = record;
        self.tenant(tenant);
        self.bytes(id.as_str().as_bytes());
        self.number(*version);
        self.time(*updated_at);
        self.number(expires_at.is_some().into());
        self.time(expires_at.unwrap_or_default());
        self.bytes(sealed.as_bytes());
    }

    fn queue_id(&mut self, queue: &QueueId) {
        self.tenant(&queue.tenant);
        self.bytes(queue.name.as_str().as_bytes());
    }

    fn queue(&mut self, queue: &QueueId, settings: &QueueSettings, progress: Progress) {
        let QueueSettings { interest, ack_timeout_ms, max_deliveries, dead_letter_topic } =
            settings;
        self.queue_id(queue);
        self.number(interest.filters().len() as u64);
        for filter in interest.filters() {
            self.bytes(filter.as_str().as_bytes());
        }
        self.number(interest.types().len() as u64);
        for kind in interest.types() {
            self.bytes(kind.as_str().as_bytes());
        }
        self.number((*ack_timeout_ms).into());
        self.number((*max_deliveries).into());
        self.bytes(dead_letter_topic.as_str().as_bytes());
        let Progress { cursor, dead_lettered, acknowledged, redelivered } = progress;
        for number in [cursor, dead_lettered, acknowledged, redelivered] {
            self.number(number);
        }
    }

    fn delivery(&mut self, queue: &QueueId, id: DeliveryId, held: Held) {
        self.queue_id(queue);
        self.number(id.sequence);
        self.number(id.attempt.into());
        let (kind, at) = match held {
            Held::Until(at) => (0, at),
            Held::Again(at) => (1, at),
        };
        self.number(kind);
        self.time(at);
    }

    fn stay(&mut self, stay: &Stay) {
        let Stay { tenant, client, newest, gateways } = stay;
        self.tenant(tenant);
        self.bytes(client.as_str().as_bytes());
        self.number(*newest);
        self.number(gateways.len() as u64);
        for (gateway, session) in gateways {
            self.number(gateway.0);
            self.number(*session);
        }
    }
}

/// How many rows there are, and what follows from all of them, in whatever order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub rows: u64,
    /// The sum of their digests.
    pub checksum: u128,
}

impl Tally {
    /// One row more.
    pub fn add(&mut self, row: &Row) {
        self.rows += 1;
        self.checksum = self.checksum.wrapping_add(row.digest());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(tenant: &str, key: &str, id: u64) -> Row {
        let entry = Entry { tenant: tenant.parse().unwrap(), key: key.parse().unwrap() };
        Row::Key { entry, id }
    }

    #[test]
    fn the_order_of_rows_does_not_count_and_everything_else_does() {
        let tally = |rows: &[Row]| {
            let mut tally = Tally::default();
            for row in rows {
                tally.add(row);
            }
            tally
        };
        let (a, b) = (row("a", "K-00000-A", 1), row("a", "K-00000-B", 2));
        let both = tally(&[a.clone(), b.clone()]);
        assert_eq!(tally(&[b.clone(), a.clone()]), both);
        for other in [row("a", "K-00000-B", 3), row("a", "K-00000-C", 2), row("b", "K-00000-B", 2)]
        {
            assert_ne!(tally(&[a.clone(), other]), both);
        }
        assert_ne!(tally(&[a.clone(), a]), tally(&[b.clone(), b]));
    }

    #[test]
    fn digests_are_the_same_for_ever() {
        let digest = row("default", "K-4bbf1-P", 1).digest();
        assert_eq!(digest, 182_987_295_198_827_968_418_440_462_373_964_903_821);
    }
}
