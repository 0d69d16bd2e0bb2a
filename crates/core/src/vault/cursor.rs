//! Where a list of records goes on.

use std::hash::Hasher as _;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use siphasher::sip::SipHasher13;

use super::{Pattern, RecordId};
use crate::{Code, Error, Result, Tenant};

/// Writes and reads places in the records of one tenant and pattern.
///
/// A cursor is opaque to its holder: an id, and a tag of what is listed. The tag is no secret and
/// protects nothing; it tells a cursor that was cut off, or came from another list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    tag: u32,
}

impl Cursor {
    /// Places in the records of a tenant under a pattern.
    pub fn new(tenant: &Tenant, pattern: &Pattern) -> Self {
        // The same in every node and for ever.
        let mut hasher = SipHasher13::new_with_keys(0, 0);
        hasher.write(b"vault");
        hasher.write(tenant.as_bytes());
        hasher.write_u8(0);
        hasher.write(pattern.as_str().as_bytes());
        Self { tag: u32::try_from(hasher.finish() >> 32).unwrap_or_default() }
    }

    /// Writes the place behind a record.
    pub fn write(self, after: &RecordId) -> String {
        let id = Base64UrlUnpadded::encode_string(after.as_str().as_bytes());
        format!("{id}.{:08x}", self.tag)
    }

    /// Reads the place behind a record.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidCursor`].
    pub fn read(self, text: &str) -> Result<RecordId> {
        self.id(text).ok_or_else(|| {
            let what = "this is no cursor of this list: pass one on as it was given, or none";
            Error::new(Code::InvalidCursor, what)
        })
    }

    fn id(self, text: &str) -> Option<RecordId> {
        let (id, tag) = text.split_once('.')?;
        if tag != format!("{:08x}", self.tag) {
            return None;
        }
        let id = String::from_utf8(Base64UrlUnpadded::decode_vec(id).ok()?).ok()?;
        RecordId::new(&id).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursor(tenant: &str, pattern: &str) -> Cursor {
        Cursor::new(&tenant.parse().unwrap(), &Pattern::new(pattern).unwrap())
    }

    #[test]
    fn a_cursor_is_read_by_its_own_list_alone() {
        let id = RecordId::new("Zoë").unwrap();
        let written = cursor("a", "*").write(&id);
        assert_eq!(cursor("a", "*").read(&written).unwrap(), id);
        for other in [cursor("b", "*"), cursor("a", "Z*")] {
            assert_eq!(other.read(&written).unwrap_err().code(), Code::InvalidCursor);
        }
        for cut in 0..written.len() {
            assert!(written.is_char_boundary(cut));
            assert!(cursor("a", "*").read(&written[..cut]).is_err());
        }
        assert!(cursor("a", "*").read(&(written + "0")).is_err());
    }

    proptest! {
        #[test]
        fn any_text_can_be_read(text in "\\PC{0,60}") {
            let _ = cursor("a", "*").read(&text);
        }
    }
}
