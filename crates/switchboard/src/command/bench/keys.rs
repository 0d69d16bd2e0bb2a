//! Which keys a connection sends.

use switchboard_core::ingest::Key;

/// How many answered keys are remembered to be repeated.
const REMEMBERED: usize = 4_096;

/// Steps through all keys in a scattered order: a prime that does not divide their number.
const STEP: u64 = 1_000_000_007;

/// A key to send, and the id that it must have if it was answered before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) key: Key,
    pub(super) first_id: Option<u64>,
}

/// Keys of one connection; no two connections of a run have any in common.
#[derive(Debug)]
pub(super) struct Keys {
    next: u64,
    stride: u64,
    /// Of 2^32 choices, how many are repeats.
    repeats: u64,
    random: u64,
    answered: Vec<(Key, u64)>,
    oldest: usize,
}

impl Keys {
    /// The keys of connection `place` of `places`.
    pub(super) fn new(place: u64, places: u64, duplicates: f64, seed: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1")]
        let repeats = (duplicates * 4_294_967_296.0) as u64;
        let random = (seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1;
        Self { next: place, stride: places, repeats, random, answered: Vec::new(), oldest: 0 }
    }

    /// The next key to send.
    pub(super) fn choose(&mut self) -> Choice {
        // xorshift64: cheap, and good enough to choose by.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let (low, high) = (self.random & 0xffff_ffff, self.random >> 32);
        if low < self.repeats && !self.answered.is_empty() {
            // Below the length, since `high` is below 2^32.
            let place = (high * self.answered.len() as u64) >> 32;
            let (key, id) = self.answered[usize::try_from(place).unwrap_or_default()];
            return Choice { key, first_id: Some(id) };
        }
        let number = self.next * STEP % u64::from(Key::COUNT);
        self.next += self.stride;
        let key = u32::try_from(number).ok().and_then(Key::from_number);
        Choice { key: key.unwrap_or_else(|| unreachable!("below the count")), first_id: None }
    }

    /// A key was answered for the first time, with this id.
    pub(super) fn answered(&mut self, key: Key, id: u64) {
        if self.answered.len() < REMEMBERED {
            self.answered.push((key, id));
        } else {
            self.answered[self.oldest] = (key, id);
            self.oldest = (self.oldest + 1) % REMEMBERED;
        }
    }
}
