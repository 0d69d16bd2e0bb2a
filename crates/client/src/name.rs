//! Names that nobody else has.

use std::hash::{BuildHasher as _, RandomState};

/// A name of 128 random bits, as 32 hexadecimal digits.
pub(crate) fn made_up() -> String {
    let [first, second] = [0_u8, 1].map(|part| RandomState::new().hash_one(part));
    format!("{first:016x}{second:016x}")
}
