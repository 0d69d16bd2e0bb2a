//! The keys of ingest.

use std::{fmt, str::FromStr};

use crate::{Code, Error};

/// A key: `K-`, five of `[0-9a-z]`, `-`, one of `[A-Z]`.
///
/// There are 36^5 × 26 = 1,572,120,576 keys, so a key is a number of 32 bits, and is kept as one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(u32);

/// The letters of the end, by value.
const LETTERS: &[u8; 26] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// The digits of the middle, by value.
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

impl Key {
    /// The length of every key as written, in bytes.
    pub const LEN: usize = 9;

    /// How many keys there are.
    pub const COUNT: u32 = 36_u32.pow(5) * 26;

    /// The place of the key among all keys in the order of their text, from 0.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The key at a place, if there are so many.
    pub const fn from_number(number: u32) -> Option<Self> {
        if number < Self::COUNT { Some(Self(number)) } else { None }
    }

    /// The key as written, in ASCII.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = *b"K-00000-A";
        bytes[8] = LETTERS[(self.0 % 26) as usize];
        let mut rest = self.0 / 26;
        for place in (2..7).rev() {
            bytes[place] = DIGITS[(rest % 36) as usize];
            rest /= 36;
        }
        bytes
    }
}

impl FromStr for Key {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text.as_bytes()).ok_or_else(|| {
            Error::new(
                Code::InvalidKey,
                "a key is K-, five of 0-9 and a-z, -, and one of A-Z, for example K-4bbf1-P",
            )
        })
    }
}

fn parse(text: &[u8]) -> Option<Key> {
    let [b'K', b'-', middle @ .., b'-', last @ b'A'..=b'Z'] = text else { return None };
    let middle: &[u8; 5] = middle.try_into().ok()?;
    let mut number = 0;
    for &byte in middle {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'z' => byte - b'a' + 10,
            _ => return None,
        };
        number = number * 36 + u32::from(digit);
    }
    Some(Key(number * 26 + u32::from(last - b'A')))
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(str::from_utf8(&self.to_bytes()).unwrap_or_default())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, valid: bool) {
        let actual = text.parse::<Key>().ok().map(|key| key.to_string());
        assert_eq!(actual.as_deref(), valid.then_some(text), "{text:?}");
    }

    #[test]
    fn keys() {
        check("K-4bbf1-P", true);
        check("K-h53dk-A", true);
        check("K-867vc-C", true);
        check("K-00000-A", true);
        check("K-zzzzz-Z", true);
        check("", false);
        check("k-4bbf1-P", false);
        check("K-4bbf1-p", false);
        check("K-4BBF1-P", false);
        check("K-4bbf-P", false);
        check("K-4bbf11-P", false);
        check("K-4bbf1-P ", false);
        check(" K-4bbf1-P", false);
        check("K-4bbf1-P\n", false);
        check("K-4bbé-P", false);
        check("K_4bbf1-P", false);
        check("K-4bbf1_P", false);
        check("K-A", false);
    }

    #[test]
    fn the_error_shows_the_expected_form() {
        let error = "K-4bbf1".parse::<Key>().unwrap_err();
        assert_eq!(error.code(), Code::InvalidKey);
        assert!(error.to_string().contains("K-4bbf1-P"), "{error}");
    }

    #[test]
    fn the_last_number_is_the_last_key() {
        assert_eq!(Key::from_number(Key::COUNT - 1).unwrap().to_string(), "K-zzzzz-Z");
        assert_eq!(Key::from_number(Key::COUNT), None);
    }

    proptest! {
        #[test]
        fn a_key_is_its_number(number in 0..Key::COUNT) {
            let key = Key::from_number(number).unwrap();
            prop_assert_eq!(key.number(), number);
            prop_assert_eq!(key.to_string().parse::<Key>().unwrap(), key);
        }

        #[test]
        fn only_what_has_the_form_is_a_key(text in ".{0,12}") {
            let bytes = text.as_bytes();
            let form = bytes.len() == 9
                && bytes.starts_with(b"K-")
                && bytes[2..7].iter().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
                && bytes[7] == b'-'
                && bytes[8].is_ascii_uppercase();
            prop_assert_eq!(text.parse::<Key>().is_ok(), form);
        }

        #[test]
        fn keys_order_as_their_text(a in 0..Key::COUNT, b in 0..Key::COUNT) {
            let [a, b] = [a, b].map(|number| Key::from_number(number).unwrap());
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }
    }
}
