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

    use switchboard_core::{
        ClientId, Millis,
        presence::{GatewayId, Report, Sighting, Status, TenantReport},
    };

    use super::*;

    fn reports() -> impl Strategy<Value = Report> {
        let status = prop_oneof![Just(Status::Unknown), Just(Status::Even), Just(Status::Odd)];
        let sighting = ("[^\\p{Cc}]{1,30}", any::<Option<i64>>(), status, any::<u16>()).prop_map(
            |(client, seen, status, sessions)| Sighting {
                client: ClientId::new(&client).unwrap(),
                seen: seen.map(Millis),
                status,
                sessions,
            },
        );
        let tenant = ("[A-Za-z0-9._-]{1,64}", any::<u32>(), vec(sighting, 0..5)).prop_map(
            |(tenant, connected, sightings)| TenantReport {
                tenant: tenant.parse().unwrap(),
                connected,
                sightings,
            },
        );
        (any::<u64>(), any::<i64>(), vec(tenant, 0..4)).prop_map(|(gateway, at, tenants)| Report {
            gateway: GatewayId(gateway),
            at: Millis(at),
            tenants,
        })
    }

    proptest! {
        #[test]
        fn reports_come_back(reports in vec(reports(), 0..4)) {
            let mut payload = Vec::new();
            for report in &reports {
                put_record(&report.to_bytes(), &mut payload);
            }
            let found: Option<Vec<_>> = records(&payload).map(Report::from_bytes).collect();
            prop_assert_eq!(found, Some(reports));
        }

        #[test]
        fn any_bytes_can_be_read(bytes in vec(any::<u8>(), 0..200)) {
            let _ = Report::from_bytes(&bytes);
            let _: Vec<_> = records(&bytes).map(Report::from_bytes).collect();
        }
    }
}
