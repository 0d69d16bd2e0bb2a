//! The bytes of the log: a header for each segment, and records.
//!
//! ```text
//! segment   "SWBLOG01" | number u64 | salt u64 | length of the file u64 | 0 u32 | crc u32
//!           | 24 bytes of 0                                                            (64 bytes)
//! record    length u32 | crc u32 | sequence u64 | payload | zeros up to a multiple of 8
//! ```
//!
//! Numbers are little-endian. A record's CRC32C covers the segment's salt, the sequence, the length
//! and the payload. The salt is drawn anew for each segment, so that no caller can send bytes that
//! look like a record to whoever looks for one in the middle of a payload.

/// The length of a segment's header, in bytes.
pub(super) const SEGMENT_HEADER: usize = 64;

/// The length of a record's header, in bytes.
pub(super) const RECORD_HEADER: usize = 16;

/// Records begin at multiples of this.
pub(super) const ALIGN: usize = 8;

const MAGIC: &[u8; 8] = b"SWBLOG01";

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) number: u64,
    pub(super) salt: u64,
    /// How long the segment is, in bytes: one that was cut off is known by it.
    pub(super) len: u64,
}

impl SegmentHeader {
    pub(super) fn to_bytes(self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.salt.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.len.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..36]);
        bytes[36..40].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; SEGMENT_HEADER]) -> Option<Self> {
        let [number, salt, len] = [u64_at(bytes, 8)?, u64_at(bytes, 16)?, u64_at(bytes, 24)?];
        let header = Self { number, salt, len };
        (header.to_bytes() == *bytes).then_some(header)
    }
}

/// How many bytes a record with such a payload takes.
pub(super) const fn record_len(payload: usize) -> usize {
    (RECORD_HEADER + payload).next_multiple_of(ALIGN)
}

/// Fills in the header of a record whose payload stands behind room for it, and pads it.
pub(super) fn seal(record: &mut Vec<u8>, salt: u64, sequence: u64) {
    let payload = record.len() - RECORD_HEADER;
    // A payload is bounded by the size of a segment, far below 4 GiB.
    let length = u32::try_from(payload).unwrap_or(u32::MAX);
    record[..4].copy_from_slice(&length.to_le_bytes());
    record[8..16].copy_from_slice(&sequence.to_le_bytes());
    let crc = crc(salt, sequence, &record[RECORD_HEADER..]);
    record[4..8].copy_from_slice(&crc.to_le_bytes());
    record.resize(record_len(payload), 0);
}

/// The record that begins where `bytes` begin: its sequence and payload, if it is whole.
pub(super) fn open(bytes: &[u8], salt: u64) -> Option<(u64, &[u8])> {
    let length = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let stated = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
    let sequence = sequence(bytes)?;
    let payload = bytes.get(RECORD_HEADER..RECORD_HEADER.checked_add(length)?)?;
    let whole = length != 0 && sequence != 0 && crc(salt, sequence, payload) == stated;
    whole.then_some((sequence, payload))
}

/// The sequence that a record which begins where `bytes` begin would have.
pub(super) fn sequence(bytes: &[u8]) -> Option<u64> {
    u64_at(bytes, 8)
}

fn crc(salt: u64, sequence: u64, payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&salt.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &sequence.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &payload.len().to_le_bytes());
    crc32c::crc32c_append(crc, payload)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealed(payload: &[u8], salt: u64, sequence: u64) -> Vec<u8> {
        let mut record = vec![0; RECORD_HEADER];
        record.extend(payload);
        seal(&mut record, salt, sequence);
        record
    }

    fn payloads() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(any::<u8>(), 1..100)
    }

    proptest! {
        #[test]
        fn a_record_comes_back(payload in payloads(), salt: u64) {
            let record = sealed(&payload, salt, 7);
            prop_assert_eq!(record.len() % ALIGN, 0);
            prop_assert_eq!(open(&record, salt), Some((7, &payload[..])));
            prop_assert_eq!(open(&record, !salt), None);
        }

        #[test]
        fn a_flipped_bit_is_seen(payload in payloads(), bit: usize) {
            let mut record = sealed(&payload, 1, 7);
            let bit = bit % ((RECORD_HEADER + payload.len()) * 8);
            record[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(open(&record, 1), None);
        }

        #[test]
        fn any_bytes_can_be_looked_at(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = open(&bytes, 0);
        }
    }

    #[test]
    fn a_segment_header_comes_back() {
        let header = SegmentHeader { number: 3, salt: 9, len: 4096 };
        assert_eq!(SegmentHeader::from_bytes(&header.to_bytes()), Some(header));
        assert_eq!(SegmentHeader::from_bytes(&[0; SEGMENT_HEADER]), None);
    }
}
