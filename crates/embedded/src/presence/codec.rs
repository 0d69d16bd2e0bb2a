//! Reports in a payload of the log.
//!
//! ```text
//! record     length u32 | report     several in one payload; a long one: `pieces.rs`
//! ```
//!
//! Numbers are little-endian. What a report is as bytes, the core says.

use std::iter;

/// How many bytes a report of so many takes as a record.
pub(super) const fn record_len(report: usize) -> usize {
    4 + report
}

/// Appends a report as a record.
pub(super) fn put_record(report: &[u8], payload: &mut Vec<u8>) {
    // Bounded by the size of a segment.
    payload.extend(u32::try_from(report.len()).unwrap_or(u32::MAX).to_le_bytes());
    payload.extend_from_slice(report);
}

/// The records of a payload. What is no record any more comes as one that is no report.
pub(super) fn records(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = payload;
    iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut reader = Reader(rest);
        let record = reader.u32().and_then(|len| reader.bytes(len as usize));
        rest = if record.is_some() { reader.0 } else { &[] };
        Some(record.unwrap_or_default())
    })
}

pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(super) fn array<const LEN: usize>(&mut self) -> Option<[u8; LEN]> {
        self.bytes(LEN)?.try_into().ok()
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn records_come_back(written in vec(vec(any::<u8>(), 0..60), 0..4)) {
            let mut payload = Vec::new();
            for record in &written {
                put_record(record, &mut payload);
            }
            prop_assert_eq!(records(&payload).collect::<Vec<_>>(), written);
        }

        #[test]
        fn any_bytes_can_be_read(bytes in vec(any::<u8>(), 0..200)) {
            let read: usize = records(&bytes).map(<[u8]>::len).sum();
            prop_assert!(read <= bytes.len());
        }
    }
}
