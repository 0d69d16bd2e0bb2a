//! From where on events are read.

use std::{fmt, hash::Hasher as _};

use siphasher::sip::SipHasher13;

use crate::{Code, Error, Millis, Result, Tenant};

/// From where on events are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// Those that come from now on.
    Now,
    /// The oldest that is kept.
    Start,
    /// Those behind a sequence; all before it were seen.
    After(u64),
    /// Those that were published at a time or later.
    Time(Millis),
}

impl Since {
    /// Takes a place as it is written: `now`, `start`, a cursor of this tenant, a sequence, or a
    /// time as `@` and milliseconds. Empty is `default`.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidCursor`].
    pub fn read(tenant: &Tenant, text: &str, default: Self) -> Result<Self> {
        match text {
            "" => return Ok(default),
            "now" => return Ok(Self::Now),
            "start" => return Ok(Self::Start),
            _ => {}
        }
        let digits = |text: &str| {
            let number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            number.then(|| text.parse::<u64>().ok()).flatten()
        };
        if let Some(time) = text.strip_prefix('@') {
            let time = digits(time).and_then(|time| i64::try_from(time).ok()).ok_or_else(invalid);
            return time.map(|time| Self::Time(Millis(time)));
        }
        let sequence = match text.split_once('-') {
            None => digits(text),
            Some((sequence, tag)) if tag == format!("{:08x}", tag_of(tenant)) => digits(sequence),
            Some(_) => None,
        };
        sequence.map(Self::After).ok_or_else(invalid)
    }
}

/// A place behind a sequence, as it is given out: opaque to its holder.
///
/// The tag is no secret and protects nothing; it tells a cursor of another tenant, or one that was
/// cut off, so that it is refused instead of being read as a place that it does not mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    sequence: u64,
    tag: u32,
}

impl Cursor {
    /// The place behind a sequence.
    pub fn new(tenant: &Tenant, sequence: u64) -> Self {
        Self { sequence, tag: tag_of(tenant) }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:08x}", self.sequence, self.tag)
    }
}

fn tag_of(tenant: &Tenant) -> u32 {
    // The same in every node and for ever.
    let mut hasher = SipHasher13::new_with_keys(4, 0);
    hasher.write(tenant.as_bytes());
    u32::try_from(hasher.finish() >> 32).unwrap_or_default()
}

fn invalid() -> Error {
    let what = "this is no place among the events: now, start, a cursor as it was given, a \
                sequence, or a time as @ and milliseconds";
    Error::new(Code::InvalidCursor, what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Since> {
        Since::read(&"a".parse().unwrap(), text, Since::Now)
    }

    #[test]
    fn places() {
        assert_eq!(read("").unwrap(), Since::Now);
        assert_eq!(read("now").unwrap(), Since::Now);
        assert_eq!(read("start").unwrap(), Since::Start);
        assert_eq!(read("17").unwrap(), Since::After(17));
        assert_eq!(read("@1763719200000").unwrap(), Since::Time(Millis(1_763_719_200_000)));
        let written = Cursor::new(&"a".parse().unwrap(), 9).to_string();
        assert_eq!(read(&written).unwrap(), Since::After(9));
        let other = Cursor::new(&"b".parse().unwrap(), 9).to_string();
        let too_long = u64::MAX.to_string() + "0";
        let cut = &written[..written.len() - 1];
        for bad in [&other, cut, "then", "-1", "+1", "@", "@-1", "@x", "1.5", &too_long] {
            assert_eq!(read(bad).unwrap_err().code(), Code::InvalidCursor, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_read(text in "\\PC{0,40}", sequence: u64) {
            let _ = read(&text);
            let written = Cursor::new(&"a".parse().unwrap(), sequence).to_string();
            prop_assert_eq!(read(&written).unwrap(), Since::After(sequence));
        }
    }
}
