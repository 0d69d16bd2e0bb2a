//! Random bytes for records.

use std::sync::{Mutex, PoisonError};

use switchboard_core::{Code, Error, Result, vault::RECORD_SALT_BYTES};

/// How many salts are drawn at once: asking the machine costs more than sealing. Few, so that two
/// copies of one machine have few in common.
const AT_ONCE: usize = 16;

/// Salts, each used once.
#[derive(Debug, Default)]
pub(super) struct Salts(Mutex<Vec<[u8; RECORD_SALT_BYTES]>>);

impl Salts {
    pub(super) fn draw(&self) -> Result<[u8; RECORD_SALT_BYTES]> {
        let mut salts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(salt) = salts.pop() {
            return Ok(salt);
        }
        let mut drawn = [0; AT_ONCE * RECORD_SALT_BYTES];
        random(&mut drawn)?;
        let (drawn, _) = drawn.as_chunks();
        salts.extend_from_slice(drawn);
        salts.pop().ok_or_else(none)
    }
}

/// Random bytes of the machine.
pub(super) fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| none().caused_by(error.to_string()))
}

fn none() -> Error {
    Error::new(Code::Internal, "the machine gives no random number")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_salt_comes_twice() {
        let salts = Salts::default();
        let drawn: HashSet<_> = (0..1_000).map(|_| salts.draw().unwrap()).collect();
        assert_eq!(drawn.len(), 1_000);
    }
}
