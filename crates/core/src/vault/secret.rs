//! Bytes that nobody is to see.

use std::fmt;

/// Bytes that are wiped when they are dropped, and printed as `[redacted]`.
///
/// They are not copied unless somebody asks for it: there is no `Clone`, and what grows does so in
/// a new place with the old one wiped.
#[derive(Default, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes bytes, with whatever room they have.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Takes a text, with whatever room it has.
    pub fn text(text: String) -> Self {
        Self(text.into_bytes())
    }

    /// None yet, with room for so many.
    pub fn with_room(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Makes room for so many more bytes; where there is none, in a new place, and the old one is
    /// wiped.
    pub fn reserve(&mut self, more: usize) {
        if self.0.capacity() - self.0.len() < more {
            let mut larger = Self::with_room((self.0.len() + more).next_power_of_two());
            larger.0.extend_from_slice(&self.0);
            *self = larger;
        }
    }

    /// Appends bytes, for which it makes room.
    pub fn push(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, to be changed where they are.
    pub fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // All of its room, which a shorter text may have had before. Filling is as fast as memory;
        // the barrier keeps the compiler from leaving it out.
        let room = self.0.capacity();
        self.0.clear();
        self.0.resize(room, 0);
        zeroize::optimization_barrier(self.0.as_slice());
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_nothing_of_itself() {
        let secret = Secret::text("canary".to_owned());
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(secret.expose(), b"canary");
    }
}
