//! Says of most slots that are not in a sorted file that they are not, without reading it.
//!
//! A Bloom filter whose bits for one slot stand in one cache line (Putze, Sanders and Singler,
//! "Cache-, Hash- and Space-Efficient Bloom Filters", 2007): 10 bits a slot, 6 of them set, about
//! 1.5 % false answers.

/// The words of one line.
pub(super) const LINE: usize = 8;

const BITS_PER_SLOT: u64 = 10;
const BITS_SET: u32 = 6;

/// A filter over the slots of one file.
#[derive(Debug)]
pub(super) struct Filter(Vec<u64>);

impl Filter {
    /// How many words a filter for so many slots has.
    pub(super) fn words(slots: u64) -> usize {
        let lines = (slots * BITS_PER_SLOT).div_ceil(LINE as u64 * 64).max(1);
        usize::try_from(lines).unwrap_or(usize::MAX / LINE) * LINE
    }

    /// A filter for so many slots that holds none yet.
    pub(super) fn new(slots: u64) -> Self {
        Self(vec![0; Self::words(slots)])
    }

    /// A filter that was kept.
    pub(super) fn from_words(words: Vec<u64>) -> Self {
        Self(words)
    }

    pub(super) fn as_words(&self) -> &[u64] {
        &self.0
    }

    pub(super) fn insert(&mut self, slot: u64) {
        let line = self.line(slot);
        for (word, bit) in bits(slot) {
            self.0[line + word] |= bit;
        }
    }

    /// Whether a slot may be in the file; false means that it is not.
    pub(super) fn may_hold(&self, slot: u64) -> bool {
        let line = self.line(slot);
        bits(slot).all(|(word, bit)| self.0[line + word] & bit != 0)
    }

    /// The first word of a slot's line.
    fn line(&self, slot: u64) -> usize {
        let lines = self.0.len() / LINE;
        // The upper half of a product: uniform over the lines, without a division.
        let line = (u128::from(slot) * lines as u128) >> 64;
        usize::try_from(line).unwrap_or_default() * LINE
    }
}

/// The bits of a slot within its line. The upper bits of a slot chose the line, so these are taken
/// from the slot scattered once more.
fn bits(slot: u64) -> impl Iterator<Item = (usize, u64)> {
    let mut rest = slot.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    rest ^= rest >> 29;
    (0..BITS_SET).map(move |_| {
        let place = rest % 512;
        rest >>= 9;
        // Below 8.
        ((place / 64) as usize, 1 << (place % 64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_inserted_and_little_else() {
        let slot = |n: u64| n.wrapping_mul(0x2545_f491_4f6c_dd1d);
        let mut filter = Filter::new(10_000);
        for n in 0..10_000 {
            filter.insert(slot(n));
        }
        assert!((0..10_000).all(|n| filter.may_hold(slot(n))));
        let wrong = (10_000..110_000).filter(|&n| filter.may_hold(slot(n))).count();
        assert!(wrong < 3_000, "{wrong} of 100,000 are taken for held");
    }
}
