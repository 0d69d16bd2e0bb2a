//! A phone number, as all the world writes it.

use std::{fmt, str::FromStr};

use rlibphonenumber::PHONE_NUMBER_UTIL;

use crate::{Code, Error};

/// A phone number in E.164: a country's code and up to 15 digits in all.
///
/// Held as the number that its digits are, which no other phone number is: none begins with a 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumber(u64);

/// The most digits of a number in E.164.
const DIGITS_MAX: usize = 15;

/// The longest writing that is looked at, in bytes.
const WRITTEN_MAX: usize = 64;

impl PhoneNumber {
    /// The digits as one number.
    pub const fn digits(self) -> u64 {
        self.0
    }

    /// The phone number with these digits, which were taken from one that was judged before.
    pub const fn from_digits(digits: u64) -> Option<Self> {
        // At least a country's code and one digit, at most fifteen.
        if 10 <= digits && digits < 1_000_000_000_000_000 { Some(Self(digits)) } else { None }
    }

    /// The digits of a number that is written as this type writes it, which says nothing about
    /// whether it exists. For looking up whether it was judged before.
    pub fn written_digits(text: &str) -> Option<u64> {
        let digits = text.strip_prefix('+')?;
        let plain = (2..=DIGITS_MAX).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0');
        if plain { digits.parse().ok() } else { None }
    }
}

/// Takes any usual international writing: `+41 79 123 45 67`, `+41 (0)79 123 45 67`,
/// `0041791234567`, `tel:+41-79-123-45-67`.
///
/// Judged by the rules of Google's libphonenumber: a number must be possible, that is of a known
/// country and of a length that its numbers have. Whether it was ever given to anybody is not
/// asked, since numbers are handed out faster than the rules are published.
impl FromStr for PhoneNumber {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        judge(text).ok_or_else(|| {
            let what = "this is no possible phone number: write it with its country's code, for \
                example +41 79 123 45 67";
            Error::new(Code::InvalidPhone, what)
        })
    }
}

fn judge(text: &str) -> Option<PhoneNumber> {
    if WRITTEN_MAX < text.len() {
        return None;
    }
    let text = text.trim();
    let text = text.strip_prefix("tel:").unwrap_or(text).trim_start();
    // Most of the world dials 00 for what is written +.
    let rest = text.strip_prefix('+').or_else(|| text.strip_prefix("00"))?;
    // The library takes letters for digits, extensions, and more; a user's name should not.
    let usual = |symbol: char| {
        symbol.is_ascii_digit() || matches!(symbol, ' ' | '\u{a0}' | '-' | '.' | '(' | ')' | '/')
    };
    if !rest.starts_with(|first: char| first.is_ascii_digit()) || !rest.chars().all(usual) {
        return None;
    }
    let number = PHONE_NUMBER_UTIL.parse(format!("+{rest}"), None).ok()?;
    if !PHONE_NUMBER_UTIL.is_possible_number(&number) {
        return None;
    }
    let written = PHONE_NUMBER_UTIL.format(&number, rlibphonenumber::PhoneNumberFormat::E164);
    PhoneNumber::from_digits(PhoneNumber::written_digits(&written)?)
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.0)
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhoneNumber({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let parsed = text.parse::<PhoneNumber>();
        assert_eq!(parsed.as_ref().ok().map(ToString::to_string).as_deref(), expected, "{text:?}");
        if let Err(error) = parsed {
            assert_eq!(error.code(), Code::InvalidPhone);
        }
    }

    #[test]
    fn usual_writings() {
        for written in [
            "+41791234567",
            "+41 79 123 45 67",
            "  +41 79 123 45 67 ",
            "+41 (0)79 123 45 67",
            "+41-79-123-45-67",
            "+41.79.123.45.67",
            "+41\u{a0}79/123 45 67",
            "0041791234567",
            "0041 79 123 45 67",
            "tel:+41-79-123-45-67",
        ] {
            check(written, Some("+41791234567"));
        }
        check("+1 (555) 000-1111", Some("+15550001111"));
        check("+39 02 3661 8300", Some("+390236618300"));
        check("+7 912 345 67 89", Some("+79123456789"));
    }

    #[test]
    fn what_can_not_exist() {
        for written in [
            "",
            "+",
            "00",
            "hello",
            "12345",
            "079 123 45 67",
            "41791234567",
            "+4179123",
            "+999123456789",
            "+0041791234567",
            "++41791234567",
            "+41 79 123 45 67 8888888",
            "+41 79 CALL NOW",
            "+41791234567a",
            "+41791234567 ext 5",
            "+41791234567;ext=5",
            "+٤١٧٩١٢٣٤٥٦٧",
            "+41791234567\n+41791234568",
            &format!("+41{}", "7".repeat(100)),
        ] {
            check(written, None);
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_judged(text in "\\PC{0,70}") {
            let _ = text.parse::<PhoneNumber>();
        }

        #[test]
        fn what_is_written_is_read_again(text in "[+]?[0-9 ()-]{2,20}") {
            if let Ok(number) = text.parse::<PhoneNumber>() {
                let written = number.to_string();
                prop_assert_eq!(written.parse::<PhoneNumber>().unwrap(), number);
                prop_assert_eq!(PhoneNumber::written_digits(&written), Some(number.digits()));
                prop_assert_eq!(PhoneNumber::from_digits(number.digits()), Some(number));
            }
        }
    }
}
