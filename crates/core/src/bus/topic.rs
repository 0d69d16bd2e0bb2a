//! Where events go, and which of them somebody wants.

use std::{fmt, sync::Arc};

use crate::{Code, Error, Result};

/// The most words of a topic or filter.
pub const WORDS_MAX: usize = 8;

/// The longest topic or filter, in bytes.
pub const TOPIC_BYTES_MAX: usize = 256;

/// The first word of topics that are Switchboard's own.
const RESERVED: &str = "sys";

/// Where an event goes: up to 8 words of `[A-Za-z0-9_-]` with dots between them, up to 256 bytes.
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>);

/// Which topics somebody wants: a topic in which a word may be `*`, which stands for any one word,
/// and the last may be `>`, which stands for one or more.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter(Arc<str>);

/// A word of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterWord<'a> {
    /// This word.
    Is(&'a str),
    /// Any one word.
    Any,
    /// One word or more.
    Rest,
}

impl Topic {
    /// Takes a topic as it is written.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidTopic`].
    pub fn new(text: &str) -> Result<Self> {
        check(text)?;
        Ok(Self(text.into()))
    }

    /// One of Switchboard's own, which is as it should be.
    pub(super) fn own(text: &str) -> Self {
        debug_assert!(check(text).is_ok(), "{text}");
        Self(text.into())
    }

    /// The topic as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its words.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// Whether only Switchboard itself publishes to it.
    pub fn is_reserved(&self) -> bool {
        is_reserved(&self.0)
    }
}

impl TopicFilter {
    /// Takes a filter as it is written.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidTopic`].
    pub fn new(text: &str) -> Result<Self> {
        if TOPIC_BYTES_MAX < text.len() || WORDS_MAX < text.split('.').count() {
            return Err(too_long("a filter"));
        }
        let mut words = text.split('.').peekable();
        while let Some(word) = words.next() {
            let last = words.peek().is_none();
            if !(is_word(word) || word == "*" || word == ">" && last) {
                let what = "a filter is words of A-Z, a-z, 0-9, _ and -, with dots between them; \
                            a whole word may be *, and the last >";
                return Err(Error::new(Code::InvalidTopic, what));
            }
        }
        Ok(Self(text.into()))
    }

    /// The filter as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its words.
    pub fn words(&self) -> impl Iterator<Item = FilterWord<'_>> {
        self.0.split('.').map(|word| match word {
            "*" => FilterWord::Any,
            ">" => FilterWord::Rest,
            word => FilterWord::Is(word),
        })
    }

    /// Whether a topic is wanted, as it is written.
    pub fn matches(&self, topic: &str) -> bool {
        let mut words = topic.split('.');
        for wanted in self.words() {
            let word = words.next();
            match wanted {
                FilterWord::Rest => return word.is_some(),
                FilterWord::Any if word.is_some() => {}
                FilterWord::Is(is) if word == Some(is) => {}
                FilterWord::Any | FilterWord::Is(_) => return false,
            }
        }
        words.next().is_none()
    }

    /// Whether there are topics, however long, that both match.
    pub fn overlaps(&self, other: &Self) -> bool {
        let mut others = other.words();
        for ours in self.words() {
            let theirs = others.next();
            match (ours, theirs) {
                // What follows in a filter stands for at least one word.
                (FilterWord::Rest, Some(_)) | (_, Some(FilterWord::Rest)) => return true,
                (FilterWord::Is(ours), Some(FilterWord::Is(theirs))) if ours != theirs => {
                    return false;
                }
                (_, Some(_)) => {}
                (_, None) => return false,
            }
        }
        others.next().is_none()
    }
}

/// Checks a topic where it stands.
pub(super) fn check(text: &str) -> Result<()> {
    if TOPIC_BYTES_MAX < text.len() || WORDS_MAX < text.split('.').count() {
        return Err(too_long("a topic"));
    }
    if !text.split('.').all(is_word) {
        let what = "a topic is words of A-Z, a-z, 0-9, _ and -, with dots between them; only a \
                    filter has * and >";
        return Err(Error::new(Code::InvalidTopic, what));
    }
    Ok(())
}

/// Whether only Switchboard itself publishes to a topic.
pub(super) fn is_reserved(topic: &str) -> bool {
    topic.split('.').next() == Some(RESERVED)
}

fn is_word(word: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    !word.is_empty() && word.bytes().all(is_part)
}

fn too_long(what: &str) -> Error {
    let what = format!("{what} has at most {WORDS_MAX} words and {TOPIC_BYTES_MAX} bytes");
    Error::new(Code::InvalidTopic, what)
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic({:?})", &*self.0)
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicFilter({:?})", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(filter: &str, matching: &[&str], others: &[&str]) {
        let filter = TopicFilter::new(filter).unwrap();
        for (topics, expected) in [(matching, true), (others, false)] {
            for topic in topics {
                assert_eq!(filter.matches(topic), expected, "{filter} {topic}");
            }
        }
    }

    #[test]
    fn filters() {
        check("orders.eu", &["orders.eu"], &["orders", "orders.us", "orders.eu.new", "Orders.eu"]);
        check("orders.*", &["orders.eu"], &["orders", "orders.eu.new", "other.eu"]);
        check("*.eu", &["orders.eu"], &["eu", "orders.us"]);
        check("orders.>", &["orders.eu", "orders.eu.new"], &["orders", "order.eu"]);
        check(">", &["orders", "a.b.c.d.e.f.g.h"], &[]);
        check("*.>", &["a.b", "a.b.c"], &["a"]);
        check("a.*.c", &["a.b.c", "a.-.c"], &["a.c", "a.b.d"]);
    }

    #[test]
    fn what_is_no_topic() {
        let long = "x".repeat(257);
        for text in ["", ".", "a.", ".a", "a..b", "a b", "é", "a.*", ">", "a\n", &long] {
            assert_eq!(Topic::new(text).unwrap_err().code(), Code::InvalidTopic, "{text:?}");
        }
        assert!(Topic::new("a.b.c.d.e.f.g.h.i").is_err());
        assert!(Topic::new(&"x".repeat(256)).is_ok());
        assert!(Topic::new("A-z_0.9").is_ok());
    }

    #[test]
    fn what_is_no_filter() {
        for text in ["", "a.", ">.a", "a.>.b", "a*", "**", ">>", "a.b>", "a.b.c.d.e.f.g.h.>"] {
            assert_eq!(TopicFilter::new(text).unwrap_err().code(), Code::InvalidTopic, "{text:?}");
        }
    }

    #[test]
    fn what_is_switchboards_own() {
        for (topic, reserved) in [("sys", true), ("sys.presence.online", true), ("system", false)] {
            assert_eq!(Topic::new(topic).unwrap().is_reserved(), reserved, "{topic}");
        }
    }

    #[test]
    fn filters_that_overlap() {
        let filter = |text| TopicFilter::new(text).unwrap();
        for (one, other, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.c", false),
            ("a.b", "a", false),
            ("a.*", "*.b", true),
            ("a.*", "a", false),
            ("a.*", "*", false),
            ("a.>", "a", false),
            ("a.>", "a.b.c", true),
            ("a.>", "*.b.c", true),
            ("a.>", "b.>", false),
            ("*.>", ">", true),
            ("*.>", "a", false),
            ("a.*.c", "a.>", true),
            ("a.*.c", "a.b.*.d", false),
        ] {
            assert_eq!(filter(one).overlaps(&filter(other)), expected, "{one} {other}");
            assert_eq!(filter(other).overlaps(&filter(one)), expected, "{other} {one}");
        }
    }

    /// All topics of up to four words, each of which is one of three: the third is in no filter.
    fn small_topics() -> Vec<String> {
        let words = ["a", "b", "c"];
        let mut topics: Vec<String> = words.map(str::to_owned).into();
        let mut longest = topics.clone();
        for _ in 0..3 {
            let longer = |topic: &String| words.map(|word| format!("{topic}.{word}"));
            longest = longest.iter().flat_map(longer).collect();
            topics.extend_from_slice(&longest);
        }
        topics
    }

    proptest! {
        #[test]
        fn filters_overlap_where_some_topic_matches_both(
            one in "([ab*]\\.){0,3}[ab*>]",
            other in "([ab*]\\.){0,3}[ab*>]",
        ) {
            let [one, other] = [one, other].map(|text| TopicFilter::new(&text).unwrap());
            let both = |topic: &String| one.matches(topic) && other.matches(topic);
            prop_assert_eq!(one.overlaps(&other), small_topics().iter().any(both));
        }
    }
}
