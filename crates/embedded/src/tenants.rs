//! Tenants by number: what stands in the log and in a slot instead of a name.

use std::collections::HashMap;

use switchboard_core::Tenant;

/// All tenants that ever recorded anything, numbered from 0 in the order of their first.
#[derive(Debug, Default)]
pub(crate) struct Tenants {
    numbers: HashMap<Tenant, u32>,
    /// Entries of one tenant mostly come together.
    latest: Option<(Tenant, u32)>,
}

impl Tenants {
    pub(crate) fn new(names: Vec<Tenant>) -> Self {
        Self { numbers: names.into_iter().zip(0..).collect(), latest: None }
    }

    /// The number of a tenant, if it has one.
    #[inline]
    pub(crate) fn number(&mut self, tenant: &Tenant) -> Option<u32> {
        if let Some((latest, number)) = &self.latest
            && latest == tenant
        {
            return Some(*number);
        }
        let number = *self.numbers.get(tenant)?;
        self.latest = Some((*tenant, number));
        Some(number)
    }

    /// Gives a tenant the next number.
    pub(crate) fn define(&mut self, tenant: Tenant) -> u32 {
        let number = self.count();
        self.numbers.insert(tenant, number);
        number
    }

    pub(crate) fn count(&self) -> u32 {
        // Each takes some 100 bytes of memory: there are far fewer than 2^32.
        u32::try_from(self.numbers.len()).unwrap_or(u32::MAX)
    }
}
