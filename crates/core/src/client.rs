//! Who is at the other end of a connection.

use std::{fmt, sync::Arc};

use crate::{Code, Error, Result, Tenant};

/// A client's own id within its tenant: 1 to 128 bytes of UTF-8. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(Arc<str>);

impl ClientId {
    /// The longest id, in bytes.
    pub const LEN_MAX: usize = 128;

    /// Takes an id as it is written.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] for none, one that is too long, or control characters.
    pub fn new(id: &str) -> Result<Self> {
        if id.is_empty() || Self::LEN_MAX < id.len() || id.chars().any(char::is_control) {
            let what = "a client's id is 1 to 128 bytes of UTF-8 without control characters";
            return Err(Error::new(Code::InvalidRequest, what));
        }
        Ok(Self(id.into()))
    }

    /// The id as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientId({:?})", &*self.0)
    }
}

/// A client of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Whose client it is.
    pub tenant: Tenant,
    /// The client.
    pub client: ClientId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(id: &str, valid: bool) {
        let taken = ClientId::new(id);
        assert_eq!(taken.ok().as_ref().map(ClientId::as_str), valid.then_some(id));
    }

    #[test]
    fn client_ids() {
        check("a", true);
        check("+41791234567", true);
        check("Zoë 🦀", true);
        check(&"x".repeat(128), true);
        check("", false);
        check(&"x".repeat(129), false);
        check(&"é".repeat(65), false);
        check("a\nb", false);
    }
}
