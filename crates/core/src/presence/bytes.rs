//! A report as bytes, as stores keep it.
//!
//! ```text
//! report     1 u8 | gateway u64 | at i64 | count u32 | count × tenant
//! tenant     length u8 | name | connected u32 | count u32 | count × sighting
//! sighting   length u8 | client | status and 0x80 if seen u8 | sessions u16 | seen i64 if seen
//! ```
//!
//! Numbers are little-endian; times are milliseconds of Unix time. The first byte is the version of
//! the format: whatever was ever written is read.

use super::{GatewayId, Report, Sighting, Status, TenantReport};
use crate::{ClientId, Millis};

const VERSION: u8 = 1;
const SEEN: u8 = 0x80;

impl Report {
    /// The report as bytes, which [`Report::from_bytes`] reads.
    pub fn to_bytes(&self) -> Vec<u8> {
        let sightings: usize = self.tenants.iter().map(|part| part.sightings.len()).sum();
        let mut bytes = Vec::with_capacity(32 + 64 * self.tenants.len() + 32 * sightings);
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes();
        let text = |bytes: &mut Vec<u8>, text: &[u8]| {
            // Names are at most 64 bytes long, clients 128.
            bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
            bytes.extend_from_slice(text);
        };
        bytes.push(VERSION);
        bytes.extend(self.gateway.0.to_le_bytes());
        bytes.extend(self.at.0.to_le_bytes());
        bytes.extend(count(self.tenants.len()));
        for part in &self.tenants {
            text(&mut bytes, part.tenant.as_bytes());
            bytes.extend(part.connected.to_le_bytes());
            bytes.extend(count(part.sightings.len()));
            for Sighting { client, seen, status, sessions } in &part.sightings {
                text(&mut bytes, client.as_str().as_bytes());
                let status = match status {
                    Status::Unknown => 0,
                    Status::Even => 1,
                    Status::Odd => 2,
                };
                bytes.push(status | if seen.is_some() { SEEN } else { 0 });
                bytes.extend(sessions.to_le_bytes());
                if let Some(Millis(seen)) = seen {
                    bytes.extend(seen.to_le_bytes());
                }
            }
        }
        bytes
    }

    /// The report that bytes are; none if they are none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        if reader.array()? != [VERSION] {
            return None;
        }
        let gateway = GatewayId(u64::from_le_bytes(reader.array()?));
        let at = Millis(i64::from_le_bytes(reader.array()?));
        let tenants = (0..reader.u32()?).map(|_| reader.tenant()).collect::<Option<_>>()?;
        reader.0.is_empty().then_some(Self { gateway, at, tenants })
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const LEN: usize>(&mut self) -> Option<[u8; LEN]> {
        self.bytes(LEN)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        let [len] = self.array()?;
        str::from_utf8(self.bytes(len.into())?).ok()
    }

    fn tenant(&mut self) -> Option<TenantReport> {
        let tenant = self.text()?.parse().ok()?;
        let connected = self.u32()?;
        let sightings = (0..self.u32()?).map(|_| self.sighting()).collect::<Option<_>>()?;
        Some(TenantReport { tenant, connected, sightings })
    }

    fn sighting(&mut self) -> Option<Sighting> {
        let client = ClientId::new(self.text()?).ok()?;
        let [flags] = self.array()?;
        let status = match flags & !SEEN {
            0 => Status::Unknown,
            1 => Status::Even,
            2 => Status::Odd,
            _ => return None,
        };
        let sessions = u16::from_le_bytes(self.array()?);
        let seen = match flags & SEEN {
            0 => None,
            _ => Some(Millis(i64::from_le_bytes(self.array()?))),
        };
        Some(Sighting { client, seen, status, sessions })
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

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
        fn a_report_comes_back(report in reports()) {
            prop_assert_eq!(Report::from_bytes(&report.to_bytes()), Some(report));
        }

        #[test]
        fn any_bytes_can_be_read(mut bytes in vec(any::<u8>(), 0..200), known in any::<bool>()) {
            if let (Some(first), true) = (bytes.first_mut(), known) {
                *first = VERSION;
            }
            let _ = Report::from_bytes(&bytes);
        }
    }
}
