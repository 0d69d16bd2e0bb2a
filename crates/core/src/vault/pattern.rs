//! Which records a request speaks of.

use super::RecordId;
use crate::{Code, Error, Result};

/// An id, or a pattern of ids, in which each `*` stands for any number of any characters. Nothing
/// else is special, and the whole id must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
}

impl Pattern {
    /// The longest pattern, in bytes.
    pub const BYTES_MAX: usize = 512;

    /// Takes a pattern as it is written.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidId`] for none, one that is too long, or control characters.
    pub fn new(text: &str) -> Result<Self> {
        let literal = text.bytes().filter(|&byte| byte != b'*').count();
        if text.is_empty()
            || Self::BYTES_MAX < text.len()
            || RecordId::BYTES_MAX < literal
            || text.chars().any(char::is_control)
        {
            let what = "an id or pattern is 1 to 256 bytes of UTF-8 without control characters, \
                        and with any number of * up to 512 bytes";
            return Err(Error::new(Code::InvalidId, what));
        }
        Ok(Self { text: text.into() })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The id, where it is the pattern of one id only.
    pub fn exact(&self) -> Option<RecordId> {
        RecordId::new(&self.text).ok()
    }

    /// What every id that matches begins with.
    pub fn prefix(&self) -> &str {
        self.text.split('*').next().unwrap_or_default()
    }

    /// Whether an id matches as a whole. Takes time in proportion to the id and the pattern.
    pub fn matches(&self, id: &RecordId) -> bool {
        let Some((first, rest)) = self.text.split_once('*') else {
            return *self.text == *id.as_str();
        };
        // The last part must stand at the end; of those between, the earliest place is the best.
        let (between, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        let left = id.as_str().strip_prefix(first).and_then(|left| left.strip_suffix(last));
        let Some(mut left) = left else { return false };
        for part in between.split('*') {
            let Some(at) = left.find(part) else { return false };
            left = &left[at + part.len()..];
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let pattern = Pattern::new(pattern).unwrap();
        for (ids, expected) in [(matching, true), (others, false)] {
            for id in ids {
                let id = RecordId::new(id).unwrap();
                assert_eq!(pattern.matches(&id), expected, "{pattern:?} {id}");
                assert!(!expected || id.as_str().starts_with(pattern.prefix()));
            }
        }
    }

    #[test]
    fn patterns() {
        check("a", &["a"], &["b", "aa", "A"]);
        check("engineering-jobs-*", &["engineering-jobs-1", "engineering-jobs-"], &["engineering"]);
        check("*", &["a", "Zoë 🦀"], &[]);
        check("**", &["a"], &[]);
        check("a*a", &["aa", "aba", "aaa"], &["a", "ab", "ba"]);
        check("*b*", &["b", "abc", "bb"], &["a"]);
        check("a*b*c", &["abc", "aXbYc", "abbc", "abcbc"], &["acb", "ab", "bc"]);
        check("*ab", &["ab", "aab", "abab"], &["aba"]);
        check("*ë*", &["Zoë"], &["Zoe"]);
        check("*\u{ab}", &["é\u{ab}"], &["ë"]);
    }

    #[test]
    fn nothing_but_the_star_is_special() {
        check("a.c", &["a.c"], &["abc"]);
        check("%", &["%"], &["a", "ab"]);
        check("_", &["_"], &["a"]);
        check("[ab]", &["[ab]"], &["a", "b"]);
        check("$", &["$"], &["a"]);
        check("^a", &["^a"], &["a"]);
        check("a?", &["a?"], &["ab"]);
        check("\\*", &["\\", "\\a"], &["a"]);
        check("a+", &["a+"], &["aa"]);
        check("{a,b}*", &["{a,b}c"], &["a", "b"]);
    }

    #[test]
    fn what_is_no_pattern() {
        for text in ["", "a\n*", &"x".repeat(257), &"*".repeat(513)] {
            assert_eq!(Pattern::new(text).unwrap_err().code(), Code::InvalidId, "{text:?}");
        }
        assert!(Pattern::new(&("x".repeat(256) + "*")).is_ok());
        assert_eq!(Pattern::new("a*b").unwrap().exact(), None);
        assert_eq!(Pattern::new("ab").unwrap().exact(), RecordId::new("ab").ok());
    }

    /// The definition, as slow as it is plain.
    fn plainly(pattern: &[char], id: &[char]) -> bool {
        match (pattern.split_first(), id.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => {
                plainly(rest, id) || id.split_first().is_some_and(|(_, id)| plainly(pattern, id))
            }
            (Some((a, pattern)), Some((b, id))) => a == b && plainly(pattern, id),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_as_it_is_defined(pattern in "[ab*é]{1,8}", id in "[abé]{1,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = plainly(&chars(&pattern), &chars(&id));
            let (pattern, id) = (Pattern::new(&pattern).unwrap(), RecordId::new(&id).unwrap());
            prop_assert_eq!(pattern.matches(&id), expected);
        }
    }
}
