//! A record as it is kept, and what stands in the log.
//!
//! ```text
//! key        length of the tenant u8 | tenant | id
//! record     version u64 | updated at i64 | expires at i64 | sealed | checksum u32
//!
//! put        1 u8 | length of the key u16 | length of the record u32 | key | record
//! delete     2 u8 | length of the key u16 | version u64 | key
//! profile    3 u8 | length of the tenant u8 | tenant | profile (29 bytes)
//! removed    4 u8 | length of the tenant u8 | tenant | version u64      up to it none is put again
//! ```
//!
//! Numbers are big-endian. The checksum is CRC-32C of the key and of what stands before it, so that
//! a record that came to another place is damaged too.

use switchboard_core::{
    Millis, Tenant,
    vault::{Found, Profile, Record, RecordId, SALT_BYTES, Sealed, Work},
};

const PUT: u8 = 1;
const DELETE: u8 = 2;
const PROFILE: u8 = 3;
const REMOVED: u8 = 4;

/// What stands before and behind what is sealed.
const HEADER: usize = 3 * 8;
const CHECKSUM: usize = 4;

/// Stands for a record that never expires.
const NEVER: i64 = i64::MAX;

/// A profile's number, salt, and work.
const PROFILE_BYTES: usize = 1 + SALT_BYTES + 3 * 4;

/// Where a record is: keys are ordered by tenant, then by id.
pub(super) type Key = Box<[u8]>;

/// What every key of a tenant begins with.
pub(super) fn tenant_key(tenant: &Tenant) -> Vec<u8> {
    let name = tenant.as_bytes();
    let mut key = Vec::with_capacity(1 + name.len() + RecordId::BYTES_MAX);
    // A tenant has at most 64 bytes.
    key.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    key.extend_from_slice(name);
    key
}

pub(super) fn key(tenant: &Tenant, id: &RecordId) -> Key {
    let mut key = tenant_key(tenant);
    key.extend_from_slice(id.as_str().as_bytes());
    key.into()
}

/// The tenant and the id of a key.
pub(super) fn read_key(key: &[u8]) -> Option<(Tenant, RecordId)> {
    let (&len, rest) = key.split_first()?;
    let (tenant, id) = rest.split_at_checked(len.into())?;
    let tenant = str::from_utf8(tenant).ok()?.parse().ok()?;
    Some((tenant, RecordId::new(str::from_utf8(id).ok()?).ok()?))
}

/// A record as it is kept under a key.
pub(super) fn write(key: &[u8], record: &Record) -> Vec<u8> {
    let sealed = record.sealed.as_bytes();
    let mut bytes = Vec::with_capacity(HEADER + sealed.len() + CHECKSUM);
    bytes.extend_from_slice(&record.version.to_be_bytes());
    bytes.extend_from_slice(&record.updated_at.0.to_be_bytes());
    bytes.extend_from_slice(&record.expires_at.map_or(NEVER, |at| at.0).to_be_bytes());
    bytes.extend_from_slice(sealed);
    bytes.extend_from_slice(&checksum(key, &bytes).to_be_bytes());
    bytes
}

/// Reads what is kept under a key, damaged or not.
pub(super) fn read(key: &[u8], bytes: &[u8]) -> Found {
    let body = bytes.len().saturating_sub(CHECKSUM);
    let (body, sum) = bytes.split_at(body);
    let whole = sum == checksum(key, body).to_be_bytes();
    let record = Record {
        version: version(body),
        updated_at: Millis(word(body, 1)),
        expires_at: expires_at(body).map(Millis),
        sealed: Sealed::new(body.get(HEADER..).unwrap_or_default().to_vec()),
    };
    if whole && HEADER <= body.len() { Found::Whole(record) } else { Found::Damaged(record) }
}

/// The version of a record, without looking at the rest.
pub(super) fn version(bytes: &[u8]) -> u64 {
    word(bytes, 0).cast_unsigned()
}

/// When a record expires, without looking at the rest.
pub(super) fn expires_at(bytes: &[u8]) -> Option<i64> {
    Some(word(bytes, 2)).filter(|&at| at != NEVER && HEADER <= bytes.len())
}

fn word(bytes: &[u8], index: usize) -> i64 {
    bytes.get(8 * index..).and_then(<[u8]>::first_chunk).map_or(0, |&it| i64::from_be_bytes(it))
}

fn checksum(key: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), body)
}

/// An entry of the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry<'a> {
    Put { key: &'a [u8], record: &'a [u8] },
    Delete { key: &'a [u8], version: u64 },
    Profile { tenant: Tenant, profile: Profile },
    Removed { tenant: Tenant, version: u64 },
}

impl Entry<'_> {
    /// How long it is in the log.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Put { key, record } => 1 + 2 + 4 + key.len() + record.len(),
            Self::Delete { key, .. } => 1 + 2 + 8 + key.len(),
            Self::Profile { tenant, .. } => 1 + 1 + tenant.as_bytes().len() + PROFILE_BYTES,
            Self::Removed { tenant, .. } => 1 + 1 + tenant.as_bytes().len() + 8,
        }
    }

    /// Appends it.
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        match self {
            Self::Put { key, record } => {
                to.push(PUT);
                to.extend_from_slice(&short(key.len()));
                // A record is bounded by a segment, which is far shorter than 4 GiB.
                let len = u32::try_from(record.len()).unwrap_or(u32::MAX);
                to.extend_from_slice(&len.to_be_bytes());
                to.extend_from_slice(key);
                to.extend_from_slice(record);
            }
            Self::Delete { key, version } => {
                to.push(DELETE);
                to.extend_from_slice(&short(key.len()));
                to.extend_from_slice(&version.to_be_bytes());
                to.extend_from_slice(key);
            }
            Self::Profile { tenant, profile } => {
                to.push(PROFILE);
                to.extend_from_slice(&tenant_key(tenant));
                write_profile(profile, to);
            }
            Self::Removed { tenant, version } => {
                to.push(REMOVED);
                to.extend_from_slice(&tenant_key(tenant));
                to.extend_from_slice(&version.to_be_bytes());
            }
        }
    }
}

/// A key has a few hundred bytes at most.
fn short(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes()
}

/// Reads the first entry, and what stands behind it.
pub(super) fn read_entry(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    match kind {
        PUT => {
            let (&key_len, rest) = rest.split_first_chunk()?;
            let (&len, rest) = rest.split_first_chunk()?;
            let (key, rest) = rest.split_at_checked(u16::from_be_bytes(key_len).into())?;
            let len = usize::try_from(u32::from_be_bytes(len)).ok()?;
            let (record, rest) = rest.split_at_checked(len)?;
            Some((Entry::Put { key, record }, rest))
        }
        DELETE => {
            let (&key_len, rest) = rest.split_first_chunk()?;
            let (&version, rest) = rest.split_first_chunk()?;
            let (key, rest) = rest.split_at_checked(u16::from_be_bytes(key_len).into())?;
            Some((Entry::Delete { key, version: u64::from_be_bytes(version) }, rest))
        }
        PROFILE => {
            let (tenant, rest) = read_tenant(rest)?;
            let (profile, rest) = read_profile(rest)?;
            Some((Entry::Profile { tenant, profile }, rest))
        }
        REMOVED => {
            let (tenant, rest) = read_tenant(rest)?;
            let (&version, rest) = rest.split_first_chunk()?;
            Some((Entry::Removed { tenant, version: u64::from_be_bytes(version) }, rest))
        }
        _ => None,
    }
}

/// Reads a tenant behind its length, and what stands behind it.
fn read_tenant(bytes: &[u8]) -> Option<(Tenant, &[u8])> {
    let (&len, rest) = bytes.split_first()?;
    let (tenant, rest) = rest.split_at_checked(len.into())?;
    Some((str::from_utf8(tenant).ok()?.parse().ok()?, rest))
}

/// Appends a profile.
pub(super) fn write_profile(profile: &Profile, to: &mut Vec<u8>) {
    let Profile { number, salt, work: Work { memory_kib, passes, lanes } } = profile;
    to.push(*number);
    to.extend_from_slice(salt);
    for number in [memory_kib, passes, lanes] {
        to.extend_from_slice(&number.to_be_bytes());
    }
}

/// Reads a profile, and what stands behind it.
pub(super) fn read_profile(bytes: &[u8]) -> Option<(Profile, &[u8])> {
    let (&number, rest) = bytes.split_first()?;
    let (&salt, rest) = rest.split_first_chunk()?;
    let (words, rest) = rest.split_first_chunk::<12>()?;
    let mut words = words.as_chunks().0.iter().map(|&word| u32::from_be_bytes(word));
    let work = Work { memory_kib: words.next()?, passes: words.next()?, lanes: words.next()? };
    Some((Profile { number, salt, work }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(expires_at: Option<Millis>) -> Record {
        let sealed = Sealed::new(vec![1, 2, 3, 4, 5]);
        Record { version: 7, updated_at: Millis(-1), expires_at, sealed }
    }

    #[test]
    fn what_is_written_is_read() {
        let key = key(&"acme".parse().unwrap(), &RecordId::new("Zoë").unwrap());
        for record in [record(None), record(Some(Millis(9)))] {
            let bytes = write(&key, &record);
            assert_eq!(read(&key, &bytes), Found::Whole(record.clone()));
            assert_eq!(version(&bytes), 7);
            assert_eq!(expires_at(&bytes), record.expires_at.map(|at| at.0));
        }
        let (tenant, id) = read_key(&key).unwrap();
        assert_eq!((tenant.as_str(), id.as_str()), ("acme", "Zoë"));
    }

    #[test]
    fn damage_is_noticed_wherever_it_is() {
        let whole = write(b"\x01ab", &record(None));
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert!(matches!(read(b"\x01ab", &bytes), Found::Damaged(_)), "byte {at}");
        }
        for cut in 0..whole.len() {
            assert!(matches!(read(b"\x01ab", &whole[..cut]), Found::Damaged(_)), "cut {cut}");
        }
        assert!(matches!(read(b"\x01ac", &whole), Found::Damaged(_)), "swapped");
        assert!(matches!(read(b"\x01ab", &whole), Found::Whole(_)));
    }

    #[test]
    fn entries() {
        let work = Work { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
        let profile = Profile { number: 2, salt: *b"0123456789abcdef", work };
        let entries = [
            Entry::Put { key: b"\x01ab", record: &[1; 300] },
            Entry::Delete { key: b"\x01ab", version: u64::MAX },
            Entry::Profile { tenant: "acme".parse().unwrap(), profile },
            Entry::Removed { tenant: "acme".parse().unwrap(), version: 1 << 40 },
        ];
        let mut bytes = Vec::new();
        for entry in &entries {
            let before = bytes.len();
            entry.write(&mut bytes);
            assert_eq!(bytes.len() - before, entry.len());
        }
        let mut rest = &bytes[..];
        for entry in entries {
            let (read, behind) = read_entry(rest).unwrap();
            assert_eq!(read, entry);
            for cut in 0..rest.len() - behind.len() {
                assert_eq!(read_entry(&rest[..cut]), None, "{entry:?} cut at {cut}");
            }
            rest = behind;
        }
        assert_eq!(read_entry(rest), None);
        assert_eq!(read_entry(&[9]), None);
    }
}
