//! What kind of event something is, and what its bytes are.

use std::{fmt, sync::Arc};

use crate::{Code, Error, Result};

/// The longest type, in bytes.
pub const TYPE_BYTES_MAX: usize = 128;

/// The longest content type, in bytes.
pub const CONTENT_TYPE_BYTES_MAX: usize = 127;

/// The content type of JSON.
pub const JSON: &str = "application/json";

/// What kind of event something is: 1 to 128 of `[A-Za-z0-9._-]`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(Arc<str>);

impl EventType {
    /// Takes a type as it is written.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidType`].
    pub fn new(text: &str) -> Result<Self> {
        check_type(text)?;
        Ok(Self(text.into()))
    }

    /// One of Switchboard's own, which is as it should be.
    pub(super) fn own(text: &str) -> Self {
        debug_assert!(check_type(text).is_ok(), "{text}");
        Self(text.into())
    }

    /// The type as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventType({:?})", &*self.0)
    }
}

/// Checks a type where it stands.
pub(super) fn check_type(text: &str) -> Result<()> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=TYPE_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_part) {
        return Ok(());
    }
    let what = "a type is 1 to 128 of A-Z, a-z, 0-9, '.', '_' and '-'";
    Err(Error::new(Code::InvalidType, what))
}

/// Checks what somebody says the bytes of an event are.
pub(super) fn check_content_type(text: &str) -> Result<()> {
    if text.len() <= CONTENT_TYPE_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    let what = "a content type is up to 127 characters of visible ASCII";
    Err(Error::new(Code::InvalidType, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        for good in ["a", "order.created", "A-1_b", &"x".repeat(128)] {
            assert_eq!(EventType::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a/b", "é", "*", &"x".repeat(129)] {
            assert_eq!(EventType::new(bad).unwrap_err().code(), Code::InvalidType, "{bad}");
        }
    }

    #[test]
    fn content_types() {
        for good in ["", JSON, "text/plain;charset=utf-8"] {
            check_content_type(good).unwrap();
        }
        for bad in ["a b", "é", "a\n", &"x".repeat(128)] {
            assert!(check_content_type(bad).is_err(), "{bad}");
        }
    }
}
