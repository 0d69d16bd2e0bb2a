//! What stands in the log of the bus.
//!
//! ```text
//! entry      checksum u32 | length of what it says u32 | kind u8 | what it says
//!
//! event      1 | tenant u32 | sequence u64 | at i64 | number u64 | body
//! tenant     2 | name                                       the next number is this tenant's
//! queue      3 | queue u32 | tenant u32 | cursor u64 | name | settings      one was made
//! removed    4 | queue u32
//! leased     5 | queue u32 | until i64 | cursor u64 | sequences
//! settled    6 | queue u32 | sequences                      they were acknowledged
//! returned   7 | queue u32 | (sequence, at i64) each        they are to be delivered again
//! given up   8 | queue u32 | sequence u64                   the event before it tells so
//! forgotten  9 | queue u32 | sequences                      they had expired
//! stay      10 | tenant u32 | client | newest u64 | (gateway u64, session u64) each
//! expired   11 | tenant u32 | marks
//! head      12 | tenant u32 | newest u64 | at i64          events up to there are not here
//! counts    13 | queue u32 | dead lettered u64 | acknowledged u64 | redelivered u64
//! held      14 | queue u32 | sequence u64 | attempts u32 | waits u8 | at i64
//! ```
//!
//! The last three say what another store told that was carried here.
//!
//! Numbers are little-endian. The checksum is CRC-32C of all that follows it. An event has a
//! checksum, its tenant and its sequence of its own because it stands so in volumes too: wherever
//! it is damaged, or comes to be where another should be, that is noticed.

use std::borrow::Cow;

use switchboard_core::{
    ClientId, Tenant,
    bus::{Interest, QueueName, QueueSettings, Topic},
    presence::GatewayId,
};

use super::{
    bytes::{Bytes, put_list, put_text},
    marks::{Mark, marks, put_marks},
    queue::{Counts, Place as Held},
};

/// What a tenant takes at most.
pub(super) const TENANT_MAX: usize = HEADER + 2 + Tenant::LEN_MAX;

const EVENT: u8 = 1;
const TENANT: u8 = 2;
const QUEUE: u8 = 3;
const REMOVED: u8 = 4;
const LEASED: u8 = 5;
const SETTLED: u8 = 6;
const RETURNED: u8 = 7;
const GIVEN_UP: u8 = 8;
const FORGOTTEN: u8 = 9;
const STAY: u8 = 10;
const EXPIRED: u8 = 11;
const HEAD: u8 = 12;
const COUNTS: u8 = 13;
const HELD: u8 = 14;

/// The most deliveries of one entry.
pub(super) const LIST_MAX: usize = 256;

/// What an entry takes at most that is about one delivery.
pub(super) const DELIVERY_MAX: usize = 64;

/// What stands before what an entry says.
const HEADER: usize = 4 + 4 + 1;

/// What stands before the body of an event.
pub(super) const EVENT_HEADER: usize = HEADER + 4 + 8 + 8 + 8;

/// An event as it stands in the log and in volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventEntry<'a> {
    pub(super) tenant: u32,
    pub(super) sequence: u64,
    pub(super) at: i64,
    /// Counts the events of all tenants.
    pub(super) number: u64,
    pub(super) body: &'a [u8],
}

/// From when a client came to its first gateway until it leaves the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stay {
    /// The newest session at each gateway. None: it is over.
    pub(super) gateways: Vec<(GatewayId, u64)>,
    /// The newest of all, those included that have ended.
    pub(super) newest: u64,
}

/// An entry of the log.
#[derive(Debug, PartialEq)]
pub(super) enum Entry<'a> {
    Event(EventEntry<'a>),
    Tenant(Tenant),
    Queue {
        queue: u32,
        tenant: u32,
        cursor: u64,
        name: QueueName,
        settings: Cow<'a, QueueSettings>,
    },
    Removed {
        queue: u32,
    },
    Leased {
        queue: u32,
        until: i64,
        cursor: u64,
        sequences: Cow<'a, [u64]>,
    },
    Settled {
        queue: u32,
        sequences: Cow<'a, [u64]>,
    },
    Returned {
        queue: u32,
        deliveries: Cow<'a, [(u64, i64)]>,
    },
    GivenUp {
        queue: u32,
        sequence: u64,
    },
    Forgotten {
        queue: u32,
        sequences: Cow<'a, [u64]>,
    },
    Stay {
        tenant: u32,
        client: ClientId,
        stay: Cow<'a, Stay>,
    },
    Expired {
        tenant: u32,
        marks: Cow<'a, [Mark]>,
    },
    Head {
        tenant: u32,
        newest: u64,
        at: i64,
    },
    Counts {
        queue: u32,
        counts: Counts,
    },
    Held {
        queue: u32,
        sequence: u64,
        attempts: u32,
        place: Held,
    },
}

impl Entry<'_> {
    /// Appends it.
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        match self {
            Self::Queue { queue, tenant, cursor, name, settings } => put(QUEUE, to, |to| {
                to.extend_from_slice(&queue.to_le_bytes());
                to.extend_from_slice(&tenant.to_le_bytes());
                to.extend_from_slice(&cursor.to_le_bytes());
                put_text(name.as_str(), to);
                put_settings(settings, to);
            }),
            Self::Removed { queue } => {
                put(REMOVED, to, |to| to.extend_from_slice(&queue.to_le_bytes()));
            }
            Self::Leased { queue, until, cursor, sequences } => put(LEASED, to, |to| {
                to.extend_from_slice(&queue.to_le_bytes());
                to.extend_from_slice(&until.to_le_bytes());
                to.extend_from_slice(&cursor.to_le_bytes());
                put_sequences(sequences, to);
            }),
            Self::Settled { queue, sequences } => put_of(SETTLED, *queue, sequences, to),
            Self::Forgotten { queue, sequences } => put_of(FORGOTTEN, *queue, sequences, to),
            Self::Returned { queue, deliveries } => put(RETURNED, to, |to| {
                to.extend_from_slice(&queue.to_le_bytes());
                put_list(deliveries, to, |(sequence, at), to| {
                    to.extend_from_slice(&sequence.to_le_bytes());
                    to.extend_from_slice(&at.to_le_bytes());
                });
            }),
            Self::GivenUp { queue, sequence } => put(GIVEN_UP, to, |to| {
                to.extend_from_slice(&queue.to_le_bytes());
                to.extend_from_slice(&sequence.to_le_bytes());
            }),
            Self::Expired { tenant, marks } => put(EXPIRED, to, |to| {
                to.extend_from_slice(&tenant.to_le_bytes());
                put_marks(marks, to);
            }),
            Self::Head { .. } | Self::Counts { .. } | Self::Held { .. } => self.write_carried(to),
            Self::Stay { tenant, client, stay } => put(STAY, to, |to| {
                to.extend_from_slice(&tenant.to_le_bytes());
                put_text(client.as_str(), to);
                put_stay(stay, to);
            }),
            Self::Event(event) => put(EVENT, to, |to| {
                to.extend_from_slice(&event.tenant.to_le_bytes());
                to.extend_from_slice(&event.sequence.to_le_bytes());
                to.extend_from_slice(&event.at.to_le_bytes());
                to.extend_from_slice(&event.number.to_le_bytes());
                to.extend_from_slice(event.body);
            }),
            Self::Tenant(tenant) => put(TENANT, to, |to| put_text(tenant.as_str(), to)),
        }
    }

    /// Appends what was carried from another store.
    fn write_carried(&self, to: &mut Vec<u8>) {
        match self {
            Self::Head { tenant, newest, at } => put(HEAD, to, |to| {
                to.extend_from_slice(&tenant.to_le_bytes());
                to.extend_from_slice(&newest.to_le_bytes());
                to.extend_from_slice(&at.to_le_bytes());
            }),
            Self::Counts { queue, counts } => put(COUNTS, to, |to| {
                to.extend_from_slice(&queue.to_le_bytes());
                let Counts { dead_lettered, acknowledged, redelivered } = counts;
                for count in [dead_lettered, acknowledged, redelivered] {
                    to.extend_from_slice(&count.to_le_bytes());
                }
            }),
            Self::Held { queue, sequence, attempts, place } => put(HELD, to, |to| {
                to.extend_from_slice(&queue.to_le_bytes());
                to.extend_from_slice(&sequence.to_le_bytes());
                to.extend_from_slice(&attempts.to_le_bytes());
                let (waits, at) = match place {
                    Held::Leased(until) => (0, until),
                    Held::Waits(at) => (1, at),
                };
                to.push(waits);
                to.extend_from_slice(&at.to_le_bytes());
            }),
            _ => {}
        }
    }
}

/// Appends an entry of a kind: fills in what stands before what it says.
fn put(kind: u8, to: &mut Vec<u8>, says: impl FnOnce(&mut Vec<u8>)) {
    let begin = to.len();
    to.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, kind]);
    says(to);
    // A payload is bounded by a segment, which is far shorter than 4 GiB.
    let len = u32::try_from(to.len() - begin - HEADER).unwrap_or(u32::MAX);
    to[begin + 4..begin + 8].copy_from_slice(&len.to_le_bytes());
    let checksum = crc32c::crc32c(&to[begin + 4..]);
    to[begin..begin + 4].copy_from_slice(&checksum.to_le_bytes());
}

/// Appends an entry about deliveries of a queue.
fn put_of(kind: u8, queue: u32, sequences: &[u64], to: &mut Vec<u8>) {
    put(kind, to, |to| {
        to.extend_from_slice(&queue.to_le_bytes());
        put_sequences(sequences, to);
    });
}

fn put_sequences(sequences: &[u64], to: &mut Vec<u8>) {
    put_list(sequences, to, |sequence, to| to.extend_from_slice(&sequence.to_le_bytes()));
}

/// `ack timeout u32 | deliveries u32 | filters | types | dead letter topic`
pub(super) fn put_settings(settings: &QueueSettings, to: &mut Vec<u8>) {
    to.extend_from_slice(&settings.ack_timeout_ms.to_le_bytes());
    to.extend_from_slice(&settings.max_deliveries.to_le_bytes());
    put_list(settings.interest.filters(), to, |filter, to| put_text(filter.as_str(), to));
    put_list(settings.interest.types(), to, |kind, to| put_text(kind.as_str(), to));
    put_text(settings.dead_letter_topic.as_str(), to);
}

pub(super) fn settings(bytes: &mut Bytes<'_>) -> Option<QueueSettings> {
    let (ack_timeout_ms, max_deliveries) = (bytes.u32()?, bytes.u32()?);
    let (filters, types) = (bytes.list(Bytes::text)?, bytes.list(Bytes::text)?);
    Some(QueueSettings {
        interest: Interest::new(filters, types).ok()?,
        ack_timeout_ms,
        max_deliveries,
        dead_letter_topic: Topic::new(bytes.text()?).ok()?,
    })
}

/// `newest u64 | (gateway u64, session u64) each`
pub(super) fn put_stay(stay: &Stay, to: &mut Vec<u8>) {
    to.extend_from_slice(&stay.newest.to_le_bytes());
    put_list(&stay.gateways, to, |(gateway, session), to| {
        to.extend_from_slice(&gateway.0.to_le_bytes());
        to.extend_from_slice(&session.to_le_bytes());
    });
}

pub(super) fn stay(bytes: &mut Bytes<'_>) -> Option<Stay> {
    let newest = bytes.u64()?;
    let gateways = bytes.list(|bytes| Some((GatewayId(bytes.u64()?), bytes.u64()?)))?;
    Some(Stay { gateways, newest })
}

/// How long the entry is that stands at the beginning, as it says itself.
pub(super) fn len(bytes: &[u8]) -> Option<usize> {
    let len = bytes.get(4..)?.first_chunk().map(|&len| u32::from_le_bytes(len))?;
    HEADER.checked_add(usize::try_from(len).ok()?)
}

/// Reads the first entry if it is whole, and what stands behind it.
pub(super) fn read(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let (entry, rest) = bytes.split_at_checked(len(bytes)?)?;
    let (stated, checked) = entry.split_first_chunk()?;
    if crc32c::crc32c(checked) != u32::from_le_bytes(*stated) {
        return None;
    }
    let says = Bytes(entry.get(HEADER..)?);
    Some((read_entry(*entry.get(HEADER - 1)?, says)?, rest))
}

/// Reads an event where it stands.
pub(super) fn read_event(bytes: &[u8]) -> Option<EventEntry<'_>> {
    match read(bytes)? {
        (Entry::Event(event), _) => Some(event),
        _ => None,
    }
}

/// The time of an event that is known to be whole.
pub(super) fn time_of(bytes: &[u8]) -> Option<i64> {
    bytes.get(HEADER + 12..)?.first_chunk().map(|&at| i64::from_le_bytes(at))
}

/// The sequence of an event that is known to be whole.
pub(super) fn sequence_of(bytes: &[u8]) -> Option<u64> {
    bytes.get(HEADER + 4..)?.first_chunk().map(|&sequence| u64::from_le_bytes(sequence))
}

/// The number of an event that is known to be whole.
pub(super) fn number_of(bytes: &[u8]) -> Option<u64> {
    bytes.get(HEADER + 20..)?.first_chunk().map(|&number| u64::from_le_bytes(number))
}

fn read_entry(kind: u8, mut says: Bytes<'_>) -> Option<Entry<'_>> {
    Some(match kind {
        EVENT => Entry::Event(EventEntry {
            tenant: says.u32()?,
            sequence: says.u64()?,
            at: says.i64()?,
            number: says.u64()?,
            body: says.0,
        }),
        TENANT => Entry::Tenant(says.tenant()?),
        QUEUE => Entry::Queue {
            queue: says.u32()?,
            tenant: says.u32()?,
            cursor: says.u64()?,
            name: QueueName::new(says.text()?).ok()?,
            settings: Cow::Owned(settings(&mut says)?),
        },
        REMOVED => Entry::Removed { queue: says.u32()? },
        LEASED => Entry::Leased {
            queue: says.u32()?,
            until: says.i64()?,
            cursor: says.u64()?,
            sequences: says.list(Bytes::u64)?.into(),
        },
        SETTLED => Entry::Settled { queue: says.u32()?, sequences: says.list(Bytes::u64)?.into() },
        RETURNED => Entry::Returned {
            queue: says.u32()?,
            deliveries: says.list(|says| Some((says.u64()?, says.i64()?)))?.into(),
        },
        GIVEN_UP => Entry::GivenUp { queue: says.u32()?, sequence: says.u64()? },
        FORGOTTEN => {
            Entry::Forgotten { queue: says.u32()?, sequences: says.list(Bytes::u64)?.into() }
        }
        EXPIRED => Entry::Expired { tenant: says.u32()?, marks: marks(&mut says)?.into() },
        HEAD => Entry::Head { tenant: says.u32()?, newest: says.u64()?, at: says.i64()? },
        COUNTS => Entry::Counts {
            queue: says.u32()?,
            counts: Counts {
                dead_lettered: says.u64()?,
                acknowledged: says.u64()?,
                redelivered: says.u64()?,
            },
        },
        HELD => Entry::Held {
            queue: says.u32()?,
            sequence: says.u64()?,
            attempts: says.u32()?,
            place: match (says.u8()?, says.i64()?) {
                (0, until) => Held::Leased(until),
                (1, at) => Held::Waits(at),
                _ => return None,
            },
        },
        STAY => Entry::Stay {
            tenant: says.u32()?,
            client: ClientId::new(says.text()?).ok()?,
            stay: Cow::Owned(stay(&mut says)?),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use switchboard_core::bus::TopicFilter;

    use super::*;

    fn event(body: &[u8]) -> EventEntry<'_> {
        EventEntry { tenant: 3, sequence: 1 << 40, at: -5, number: 9, body }
    }

    #[test]
    fn entries() {
        let filters = [&*"a".repeat(255), "b.>"];
        let settings = QueueSettings {
            interest: Interest::new(filters, ["x", "y"]).unwrap(),
            ack_timeout_ms: 1,
            max_deliveries: u32::MAX,
            dead_letter_topic: Topic::new("sys.dead_letters.work").unwrap(),
        };
        let stay = Stay { gateways: vec![(GatewayId(1), 5), (GatewayId(u64::MAX), 3)], newest: 7 };
        let filter = |text| TopicFilter::new(text).unwrap();
        let mark = Mark { filter: filter("a.>"), but: vec![filter("a.b")], sequence: 4, expiry: 2 };
        let many: Vec<u64> = (0..LIST_MAX as u64).collect();
        let returned: Vec<(u64, i64)> = many.iter().map(|&it| (it, -1)).collect();
        let entries = [
            Entry::Event(event(b"body")),
            Entry::Event(event(b"")),
            Entry::Tenant("acme".parse().unwrap()),
            Entry::Queue {
                queue: 1,
                tenant: 2,
                cursor: 3,
                name: QueueName::new("work").unwrap(),
                settings: Cow::Borrowed(&settings),
            },
            Entry::Removed { queue: 1 },
            Entry::Leased { queue: 1, until: 9, cursor: 8, sequences: (&many[..]).into() },
            Entry::Settled { queue: 1, sequences: (&many[..]).into() },
            Entry::Returned { queue: 1, deliveries: (&returned[..]).into() },
            Entry::GivenUp { queue: 1, sequence: 5 },
            Entry::Forgotten { queue: 1, sequences: [4, 5][..].into() },
            Entry::Expired { tenant: 2, marks: Cow::Borrowed(std::slice::from_ref(&mark)) },
            Entry::Head { tenant: 2, newest: 1 << 40, at: -5 },
            Entry::Counts {
                queue: 1,
                counts: Counts { dead_lettered: 1, acknowledged: 2, redelivered: 3 },
            },
            Entry::Held { queue: 1, sequence: 4, attempts: 2, place: Held::Leased(-9) },
            Entry::Held { queue: 1, sequence: 5, attempts: 1, place: Held::Waits(9) },
            Entry::Stay {
                tenant: 2,
                client: ClientId::new("Zoë").unwrap(),
                stay: Cow::Borrowed(&stay),
            },
        ];
        let mut bytes = Vec::new();
        for entry in &entries {
            let before = bytes.len();
            entry.write(&mut bytes);
            let written = bytes.len() - before;
            assert!(written < 6 * 1024, "{entry:?}");
            assert_eq!(len(&bytes[before..]), Some(written));
        }
        let mut rest = &bytes[..];
        for entry in entries {
            let (read_now, behind) = read(rest).unwrap();
            assert_eq!(read_now, entry);
            let len = rest.len() - behind.len();
            for cut in [0, 1, 8, 9, len / 2, len - 1] {
                assert_eq!(read(&rest[..cut]), None, "{entry:?} cut at {cut}");
            }
            rest = behind;
        }
        assert_eq!(read(rest), None);
    }

    #[test]
    fn damage_is_noticed_wherever_it_is() {
        let mut bytes = Vec::new();
        Entry::Event(event(b"body")).write(&mut bytes);
        assert_eq!(sequence_of(&bytes), Some(1 << 40));
        assert_eq!((time_of(&bytes), number_of(&bytes)), (Some(-5), Some(9)));
        assert_eq!(&bytes[EVENT_HEADER..], b"body");
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert_eq!(read_event(&bytes), None, "byte {at}");
            bytes[at] ^= 1;
        }
        assert_eq!(read_event(&bytes), Some(event(b"body")));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_looked_at(mut bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = read(&bytes);
            // Also where the checksum was made to fit.
            if let Some(len) = len(&bytes).filter(|len| *len <= bytes.len()) {
                let checksum = crc32c::crc32c(&bytes[4..len]);
                bytes[..4].copy_from_slice(&checksum.to_le_bytes());
                let _ = read(&bytes);
            }
        }
    }
}
