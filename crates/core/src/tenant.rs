//! Whose world a request is about.

use std::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use crate::{Code, Error};

/// One application's own world: `[A-Za-z0-9._-]{1,64}`.
///
/// Held in place, without an allocation: a tenant travels with every entry of every batch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tenant {
    /// The name, then zeros: so the derived comparisons are those of the names.
    bytes: [u8; Self::LEN_MAX],
    len: u8,
}

impl Tenant {
    /// The longest name, in bytes.
    pub const LEN_MAX: usize = 64;

    /// The name as written.
    pub fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The name as written, in ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl FromStr for Tenant {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let name = text.as_bytes();
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
        match u8::try_from(name.len()) {
            Ok(len @ 1..=64) if name.iter().all(allowed) => {
                let mut bytes = [0; Self::LEN_MAX];
                bytes[..name.len()].copy_from_slice(name);
                Ok(Self { bytes, len })
            }
            _ => Err(Error::new(
                Code::InvalidTenant,
                "a tenant is 1 to 64 of the letters A-Z and a-z, digits, '.', '_' and '-'",
            )),
        }
    }
}

impl Hash for Tenant {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tenant({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, valid: bool) {
        let name = text.parse::<Tenant>().map(|tenant| tenant.to_string());
        assert_eq!(name.ok().as_deref(), valid.then_some(text));
    }

    #[test]
    fn tenants() {
        check("default", true);
        check("3bd1c697", true);
        check("A.b_c-9", true);
        check(&"x".repeat(64), true);
        check("", false);
        check(&"x".repeat(65), false);
        check(&"x".repeat(1_000), false);
        check("a b", false);
        check("a/b", false);
        check("é", false);
        check("a\0", false);
    }

    proptest! {
        #[test]
        fn a_name_comes_back_and_orders_as_its_text(
            a in "[A-Za-z0-9._-]{1,64}",
            b in "[A-Za-z0-9._-]{1,64}",
        ) {
            let (first, second): (Tenant, Tenant) = (a.parse()?, b.parse()?);
            prop_assert_eq!(first.as_str(), &a);
            prop_assert_eq!(first.cmp(&second), a.cmp(&b));
        }
    }
}
