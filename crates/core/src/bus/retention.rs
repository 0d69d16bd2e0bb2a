//! For how long events are kept.

use super::TopicFilter;

/// For how long the events of some topics are kept: of the rules whose filter matches a topic, the
/// first counts; where none does, its events are kept for ever. Each tenant is looked at by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Which topics.
    pub filter: TopicFilter,
    /// Those older than so many milliseconds expire.
    pub age_ms: Option<i64>,
    /// The oldest expire while all of a tenant's together are more than so many bytes.
    pub bytes: Option<u64>,
}

/// The rule that counts for a topic, by its place.
pub fn rule_of(rules: &[Retention], topic: &str) -> Option<usize> {
    rules.iter().position(|rule| rule.filter.matches(topic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_counts() {
        let rule = |filter| Retention {
            filter: TopicFilter::new(filter).unwrap(),
            age_ms: None,
            bytes: None,
        };
        let rules = [rule("a.b"), rule("a.>"), rule("*")];
        let of = |topic| rule_of(&rules, topic);
        assert_eq!((of("a.b"), of("a.c"), of("x"), of("x.y")), (Some(0), Some(1), Some(2), None));
    }
}
