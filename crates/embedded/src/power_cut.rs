//! What a power cut, a failing disk, a full disk and damaged files may do to the store.
//!
//! A [`disk::SimDisk`] remembers what was made durable and what was not. [`cuts`] builds what a
//! power cut may leave behind at every point of a history, [`check`] opens each such image and
//! compares it with what was acknowledged. Everything runs on one thread from a seed: a failure
//! names the seed, and `SEED=` runs it again.

mod check;
mod corruption;
mod cuts;
mod disk;
mod failing;
mod full;
mod histories;
mod messages;
mod model;
mod records;
mod reports;
mod rig;

/// Numbers that are the same with every run from one seed.
#[derive(Debug)]
struct Random(u64);

impl Random {
    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = self.0;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((drawn ^ (drawn >> 31)) >> 1).unwrap() % end
    }
}
