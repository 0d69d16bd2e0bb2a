//! Under what a record is kept.

use std::{fmt, sync::Arc};

use crate::{Code, Error, Result};

/// The id of a record: 1 to 256 bytes of UTF-8 without `*` and control characters. A name, not a
/// secret. Cheap to clone; ordered by its bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(Arc<str>);

impl RecordId {
    /// The longest id, in bytes.
    pub const BYTES_MAX: usize = 256;

    /// Takes an id as it is written.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidId`].
    pub fn new(id: &str) -> Result<Self> {
        let foreign = |c: char| c == '*' || c.is_control();
        if id.is_empty() || Self::BYTES_MAX < id.len() || id.chars().any(foreign) {
            let what = "the id of a record is 1 to 256 bytes of UTF-8 without * and control \
                        characters";
            return Err(Error::new(Code::InvalidId, what));
        }
        Ok(Self(id.into()))
    }

    /// The id as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordId({:?})", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(id: &str, valid: bool) {
        let taken = RecordId::new(id);
        assert_eq!(taken.as_ref().ok().map(RecordId::as_str), valid.then_some(id));
        if let Err(error) = taken {
            assert_eq!(error.code(), Code::InvalidId);
        }
    }

    #[test]
    fn ids() {
        check("a", true);
        check("engineering-jobs-1", true);
        check(".%_[$?\\/ \"'", true);
        check("Zoë 🦀", true);
        check(&"x".repeat(256), true);
        check("", false);
        check(&"x".repeat(257), false);
        check(&"é".repeat(129), false);
        check("a*", false);
        check("a\nb", false);
        check("a\u{7f}", false);
        check("a\u{85}", false);
    }
}
