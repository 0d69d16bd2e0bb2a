//! What ingest writes to the log.
//!
//! ```text
//! tenant    1 u8 | length u8 | name                            gives the tenant the next number
//! entries   2 u8 | first id u64 | count u32 | count × (tenant u32, key u32)
//! ```
//!
//! Numbers are little-endian. A group's tenants stand before its entries.

use switchboard_core::{Tenant, ingest::Key};

const TENANT: u8 = 1;
const ENTRIES: u8 = 2;

const ENTRIES_HEADER: usize = 1 + 8 + 4;
const ENTRY: usize = 4 + 4;
const TENANT_MAX: usize = 2 + Tenant::LEN_MAX;

/// The most bytes that so many entries of so many new tenants take.
pub(super) fn bytes_max(entries: usize, tenants: usize) -> usize {
    ENTRIES_HEADER + entries * ENTRY + tenants * TENANT_MAX
}

/// New tenants and entries of the group under way.
#[derive(Debug, Default)]
pub(super) struct Group {
    tenants: Vec<u8>,
    first_id: u64,
    entries: Vec<u8>,
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.tenants.len() + ENTRIES_HEADER + self.entries.len()
    }

    pub(super) fn define(&mut self, tenant: &Tenant) {
        // At most 64 bytes.
        let len = u8::try_from(tenant.as_bytes().len()).unwrap_or(u8::MAX);
        self.tenants.extend([TENANT, len]);
        self.tenants.extend(tenant.as_bytes());
    }

    pub(super) fn add(&mut self, id: u64, tenant: u32, key: Key) {
        if self.entries.is_empty() {
            self.first_id = id;
        }
        let mut entry = [0; ENTRY];
        entry[..4].copy_from_slice(&tenant.to_le_bytes());
        entry[4..].copy_from_slice(&key.number().to_le_bytes());
        self.entries.extend_from_slice(&entry);
    }

    /// Appends the group to a payload and begins the next.
    pub(super) fn write(&mut self, payload: &mut Vec<u8>) {
        payload.append(&mut self.tenants);
        let count = u32::try_from(self.entries.len() / ENTRY).unwrap_or(u32::MAX);
        payload.push(ENTRIES);
        payload.extend(self.first_id.to_le_bytes());
        payload.extend(count.to_le_bytes());
        payload.append(&mut self.entries);
    }
}

/// One thing that a payload says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Tenant(Tenant),
    Entry { id: u64, tenant: u32, key: Key },
}

/// Reads a payload step by step.
#[derive(Debug)]
pub(super) struct Decoder<'a> {
    rest: &'a [u8],
    /// The id of the next entry, and how many are left in the section.
    id: u64,
    left: u32,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload, id: 0, left: 0 }
    }

    /// The next step; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Step>, String> {
        loop {
            if 0 < self.left {
                return self.entry().map(Some).ok_or_else(|| "an entry is cut off".to_owned());
            }
            match self.rest.split_first() {
                None => return Ok(None),
                Some((&TENANT, rest)) => {
                    self.rest = rest;
                    return self.tenant().map(Some).ok_or_else(|| "a tenant is no name".to_owned());
                }
                Some((&ENTRIES, rest)) => {
                    self.rest = rest;
                    self.section().ok_or_else(|| "a section is cut off".to_owned())?;
                }
                Some((kind, _)) => return Err(format!("a record has a section of kind {kind}")),
            }
        }
    }

    fn section(&mut self) -> Option<()> {
        self.id = u64::from_le_bytes(self.take()?);
        self.left = u32::from_le_bytes(self.take()?);
        Some(())
    }

    fn entry(&mut self) -> Option<Step> {
        let tenant = u32::from_le_bytes(self.take()?);
        let key = Key::from_number(u32::from_le_bytes(self.take()?))?;
        let id = self.id;
        self.id = id.checked_add(1)?;
        self.left -= 1;
        Some(Step::Entry { id, tenant, key })
    }

    fn tenant(&mut self) -> Option<Step> {
        let [len] = self.take()?;
        let (name, rest) = self.rest.split_at_checked(usize::from(len))?;
        self.rest = rest;
        Some(Step::Tenant(str::from_utf8(name).ok()?.parse().ok()?))
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn steps(payload: &[u8]) -> Result<Vec<Step>, String> {
        let mut decoder = Decoder::new(payload);
        let mut steps = Vec::new();
        while let Some(step) = decoder.next()? {
            steps.push(step);
        }
        Ok(steps)
    }

    #[test]
    fn a_group_comes_back() {
        let [a, b] = ["a", "3bd1c697"].map(|name| name.parse::<Tenant>().unwrap());
        let [k, l] = [5, 7].map(|number| Key::from_number(number).unwrap());
        let mut group = Group::default();
        group.define(&a);
        group.add(9, 0, k);
        group.define(&b);
        group.add(10, 1, l);
        let mut payload = Vec::new();
        let len = group.len();
        group.write(&mut payload);
        assert_eq!(payload.len(), len);
        assert!(len <= bytes_max(2, 2));
        assert!(group.is_empty());
        let expected = [
            Step::Tenant(a),
            Step::Tenant(b),
            Step::Entry { id: 9, tenant: 0, key: k },
            Step::Entry { id: 10, tenant: 1, key: l },
        ];
        assert_eq!(steps(&payload).unwrap(), expected);
        for cut in 1..payload.len() {
            assert!(steps(&payload[..cut]).map_or(true, |steps| steps.len() < expected.len()));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = steps(&bytes);
        }
    }
}
