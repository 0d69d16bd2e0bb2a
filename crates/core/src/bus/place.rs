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
    /// The same for a reader that knows what had expired when it was told so. Who begins at the
    /// oldest event that is kept, where others have expired, reads on so: what it never saw is not
    /// told again and again to have gone.
    Known {
        /// The sequence.
        after: u64,
        /// How often events had expired by then, as [`super::Page::expired`] says.
        expired: u64,
    },
    /// Those that were published at a time or later.
    Time(Millis),
}

impl Since {
    /// Takes a place as it is written: `now`, `start`, a cursor of this tenant, a sequence, a time
    /// as `@` and milliseconds, or a cursor and a sequence behind it with `/` between them, for
    /// whoever began at the cursor and has come to the sequence. Empty is `default`.
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
        let (cursor, come_to) = match text.split_once('/') {
            None => (text, None),
            Some((cursor, sequence)) => (cursor, Some(digits(sequence).ok_or_else(invalid)?)),
        };
        let (place, expired) = match cursor.split_once('-') {
            None if come_to.is_none() => {
                return digits(cursor).map(Self::After).ok_or_else(invalid);
            }
            Some((place, tag)) if tag == format!("{:08x}", tag_of(tenant)) => {
                place.split_once('.').unwrap_or((place, "0"))
            }
            _ => return Err(invalid()),
        };
        let began = digits(place).ok_or_else(invalid)?;
        let expired = digits(expired).ok_or_else(invalid)?;
        let after = come_to.unwrap_or(began);
        if after < began {
            return Err(invalid());
        }
        Ok(Self::at(after, expired))
    }

    /// Behind a sequence, for a reader that knows what had expired so often.
    pub fn at(after: u64, expired: u64) -> Self {
        if expired == 0 { Self::After(after) } else { Self::Known { after, expired } }
    }
}

/// A place behind a sequence, as it is given out: opaque to its holder.
///
/// The tag is no secret and protects nothing; it tells a cursor of another tenant, or one that was
/// cut off, so that it is refused instead of being read as a place that it does not mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    sequence: u64,
    expired: u64,
    tag: u32,
}

impl Cursor {
    /// The place behind a sequence, for a reader that knows what had expired so often.
    pub fn new(tenant: &Tenant, sequence: u64, expired: u64) -> Self {
        Self { sequence, expired, tag: tag_of(tenant) }
    }

    /// The same for a later sequence.
    #[must_use]
    pub fn behind(self, sequence: u64) -> Self {
        Self { sequence, ..self }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, expired, tag } = self;
        match expired {
            0 => write!(f, "{sequence}-{tag:08x}"),
            _ => write!(f, "{sequence}.{expired}-{tag:08x}"),
        }
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
        let written = Cursor::new(&"a".parse().unwrap(), 9, 0).to_string();
        assert_eq!(read(&written).unwrap(), Since::After(9));
        assert_eq!(read(&format!("{written}/12")).unwrap(), Since::After(12));
        let knowing = Cursor::new(&"a".parse().unwrap(), 9, 4).to_string();
        assert_eq!(read(&knowing).unwrap(), Since::Known { after: 9, expired: 4 });
        let later = Since::Known { after: 12, expired: 4 };
        assert_eq!(read(&format!("{knowing}/12")).unwrap(), later);
        let earlier = format!("{knowing}/8");
        let other = Cursor::new(&"b".parse().unwrap(), 9, 0).to_string();
        let too_long = u64::MAX.to_string() + "0";
        let cut = &written[..written.len() - 1];
        let all =
            [&other, cut, &earlier, &too_long, "then", "-1", "+1", "@", "@-1", "@x", "1.5", "9/12"];
        for bad in all {
            assert_eq!(read(bad).unwrap_err().code(), Code::InvalidCursor, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_read(text in "\\PC{0,40}", sequence: u64, expired: u64) {
            let _ = read(&text);
            let written = Cursor::new(&"a".parse().unwrap(), sequence, expired).to_string();
            prop_assert_eq!(read(&written).unwrap(), Since::at(sequence, expired));
        }
    }
}
