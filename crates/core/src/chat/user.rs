//! Who writes to whom.

use std::{fmt, sync::Arc};

use super::PhoneNumber;
use crate::{Code, Error, Millis, Result, Tenant};

/// A user of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct User {
    /// Whose user he is.
    pub tenant: Tenant,
    /// His number.
    pub phone: PhoneNumber,
}

/// What a user is called: 1 to 128 characters, none of them a control character. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Name(Arc<str>);

impl Name {
    /// The most characters (Unicode scalar values) of a name.
    pub const CHARS_MAX: usize = 128;

    /// Takes a name as it is written.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] for none, one that is too long, or control characters.
    pub fn new(name: &str) -> Result<Self> {
        let chars = name.chars().count();
        if chars == 0 || Self::CHARS_MAX < chars || name.chars().any(char::is_control) {
            let what = "a name is 1 to 128 characters, none of them a control character";
            return Err(Error::new(Code::InvalidRequest, what));
        }
        Ok(Self(name.into()))
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({:?})", &*self.0)
    }
}

/// What is known of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// His number.
    pub phone: PhoneNumber,
    /// His name, if he has set one.
    pub name: Option<Name>,
    /// When he was made known.
    pub created_at: Millis,
}

/// A user was made known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// As he is known now.
    pub profile: Profile,
    /// Whether this was the first time.
    pub new: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, valid: bool) {
        assert_eq!(Name::new(name).ok().as_ref().map(Name::as_str), valid.then_some(name));
    }

    #[test]
    fn names() {
        check("Zoë", true);
        check(&"é".repeat(128), true);
        check(&"é".repeat(129), false);
        check("", false);
        check("a\tb", false);
    }
}
