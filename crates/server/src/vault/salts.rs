//! Random bytes for records.

use rand::Rng as _;
use switchboard_core::{Code, Error, Result, vault::RECORD_SALT_BYTES};

/// A salt that is used once. From the generator of this thread, which the machine seeds again and
/// again: asking the machine each time costs a quarter of what sealing does.
pub(super) fn draw() -> [u8; RECORD_SALT_BYTES] {
    let mut salt = [0; RECORD_SALT_BYTES];
    rand::rng().fill_bytes(&mut salt);
    salt
}

/// Random bytes of the machine.
pub(super) fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| {
        let what = "the machine gives no random number";
        Error::new(Code::Internal, what).caused_by(error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_salt_comes_twice() {
        let drawn: HashSet<_> = (0..1_000).map(|_| draw()).collect();
        assert_eq!(drawn.len(), 1_000);
    }
}
