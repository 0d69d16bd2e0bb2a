//! What stands in the log of the bus.
//!
//! ```text
//! entry      checksum u32 | length of what it says u32 | kind u8 | what it says
//!
//! event      1 | tenant u32 | sequence u64 | at i64 | number u64 | body
//! tenant     2 | name                                       the next number is this tenant's
//! ```
//!
//! Numbers are little-endian. The checksum is CRC-32C of all that follows it. An event has a
//! checksum, its tenant and its sequence of its own because it stands so in volumes too: wherever
//! it is damaged, or comes to be where another should be, that is noticed.

use switchboard_core::Tenant;

use super::bytes::{Bytes, put_text};

/// What a tenant takes at most.
pub(super) const TENANT_MAX: usize = HEADER + 2 + Tenant::LEN_MAX;

const EVENT: u8 = 1;
const TENANT: u8 = 2;

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

/// An entry of the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry<'a> {
    Event(EventEntry<'a>),
    Tenant(Tenant),
}

impl Entry<'_> {
    /// Appends it.
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        match self {
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

    /// How long it is at most.
    pub(super) fn len_max(&self) -> usize {
        match self {
            Self::Event(event) => EVENT_HEADER + event.body.len(),
            Self::Tenant(_) => TENANT_MAX,
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
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(body: &[u8]) -> EventEntry<'_> {
        EventEntry { tenant: 3, sequence: 1 << 40, at: -5, number: 9, body }
    }

    #[test]
    fn entries() {
        let entries = [
            Entry::Event(event(b"body")),
            Entry::Event(event(b"")),
            Entry::Tenant("acme".parse().unwrap()),
        ];
        let mut bytes = Vec::new();
        for entry in &entries {
            let before = bytes.len();
            entry.write(&mut bytes);
            let written = bytes.len() - before;
            assert!(written <= entry.len_max(), "{entry:?}");
            assert_eq!(len(&bytes[before..]), Some(written));
        }
        let mut rest = &bytes[..];
        for entry in entries {
            let (read_now, behind) = read(rest).unwrap();
            assert_eq!(read_now, entry);
            for cut in 0..rest.len() - behind.len() {
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
