//! A (tenant, key) as one number.

use switchboard_core::ingest::Key;

/// Scatters slots, differently in each data directory.
///
/// The 32 bits of a tenant's number and the 32 bits of a key are put side by side and scattered by
/// a bijection, so that two slots are equal only if both parts are, and their bits can serve as a
/// hash as they are. The seed is random and secret: a caller who chooses his keys can't choose
/// where they fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(pub(crate) u64);

impl Seed {
    /// The slot of a tenant's key.
    #[inline]
    pub(crate) fn slot(self, tenant: u32, key: Key) -> u64 {
        // Twice the finalizer of MurmurHash3 (fmix64), the seed mixed in before each.
        let pair = u64::from(tenant) << 32 | u64::from(key.number());
        scatter(scatter(pair ^ self.0) ^ self.0.rotate_left(32))
    }

    /// The number of the tenant and the key whose slot it is, if it is one.
    pub(crate) fn pair(self, slot: u64) -> Option<(u32, Key)> {
        let pair = gather(gather(slot) ^ self.0.rotate_left(32)) ^ self.0;
        let [tenant, key] = [pair >> 32, pair & u64::from(u32::MAX)].map(u32::try_from);
        Some((tenant.ok()?, Key::from_number(key.ok()?)?))
    }
}

#[inline]
fn scatter(mut bits: u64) -> u64 {
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ (bits >> 33)
}

/// What was scattered: the same steps backwards, with the inverses of the factors.
fn gather(mut bits: u64) -> u64 {
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0x9cb4_b2f8_1293_37db);
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0x4f74_430c_22a5_4005);
    bits ^ (bits >> 33)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_of_many_share_a_slot() {
        let seed = Seed(0x1234_5678_9abc_def0);
        let slots: HashSet<u64> = (0..100)
            .flat_map(|tenant| (0..1_000).map(move |key| (tenant, Key::from_number(key).unwrap())))
            .map(|(tenant, key)| seed.slot(tenant, key))
            .collect();
        assert_eq!(slots.len(), 100_000);
    }

    #[test]
    fn a_slot_tells_its_key() {
        let seed = Seed(0x1234_5678_9abc_def0);
        for (tenant, number) in [(0, 0), (7, 5), (u32::MAX, Key::COUNT - 1)] {
            let key = Key::from_number(number).unwrap();
            assert_eq!(seed.pair(seed.slot(tenant, key)), Some((tenant, key)));
        }
    }

    #[test]
    fn another_seed_puts_the_same_key_elsewhere() {
        let key = Key::from_number(1).unwrap();
        assert_ne!(Seed(1).slot(0, key), Seed(2).slot(0, key));
    }
}
