//! Which events somebody wants.

use std::sync::Arc;

use super::{EventType, TopicFilter};
use crate::{Code, Error, Result};

/// The most filters of one interest, and the most types.
pub const FILTERS_MAX: usize = 32;

/// Which events somebody wants: those whose topic one of some filters matches and, if types are
/// named, whose type is one of these. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Interest {
    filters: Arc<[TopicFilter]>,
    types: Arc<[EventType]>,
}

impl Interest {
    /// Takes filters and types as they are written. Repeated ones count once, in whatever order.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidTopic`] and [`Code::InvalidType`]; [`Code::InvalidRequest`] for no filter,
    /// [`Code::TooLarge`] for too many.
    pub fn new<'a>(
        filters: impl IntoIterator<Item = &'a str>,
        types: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self> {
        let mut filters = filters.into_iter().map(TopicFilter::new).collect::<Result<Vec<_>>>()?;
        let mut types = types.into_iter().map(EventType::new).collect::<Result<Vec<_>>>()?;
        if filters.is_empty() {
            let what = "say which topics are wanted: > stands for all";
            return Err(Error::new(Code::InvalidRequest, what));
        }
        if FILTERS_MAX < filters.len() || FILTERS_MAX < types.len() {
            let what = format!("at most {FILTERS_MAX} filters and {FILTERS_MAX} types are taken");
            return Err(Error::new(Code::TooLarge, what));
        }
        filters.sort_unstable();
        filters.dedup();
        types.sort_unstable();
        types.dedup();
        Ok(Self { filters: filters.into(), types: types.into() })
    }

    /// The filters, of which one must match.
    pub fn filters(&self) -> &[TopicFilter] {
        &self.filters
    }

    /// The types, of which one must be that of the event; none: any.
    pub fn types(&self) -> &[EventType] {
        &self.types
    }

    /// Whether a topic is wanted.
    pub fn wants_topic(&self, topic: &str) -> bool {
        self.filters.iter().any(|filter| filter.matches(topic))
    }

    /// Whether a type is wanted.
    pub fn wants_type(&self, kind: &str) -> bool {
        self.types.is_empty() || self.types.iter().any(|wanted| wanted.as_str() == kind)
    }

    /// Whether an event is wanted.
    pub fn wants(&self, topic: &str, kind: &str) -> bool {
        self.wants_type(kind) && self.wants_topic(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted() {
        let interest = Interest::new(["a.*", "b"], ["x", "y"]).unwrap();
        assert!(interest.wants("a.c", "x") && interest.wants("b", "y"));
        assert!(!interest.wants("a.c", "z") && !interest.wants("c", "x"));
        let any = Interest::new([">"], []).unwrap();
        assert!(any.wants("a.b.c", "whatever"));
    }

    #[test]
    fn the_same_in_another_order_is_the_same() {
        let one = Interest::new(["a", "b", "a"], ["x", "y"]).unwrap();
        assert_eq!(one, Interest::new(["b", "a"], ["y", "x", "y"]).unwrap());
    }

    #[test]
    fn what_is_refused() {
        let code = |filters: &[&str], types: &[&str]| {
            Interest::new(filters.iter().copied(), types.iter().copied()).unwrap_err().code()
        };
        assert_eq!(code(&[], &["x"]), Code::InvalidRequest);
        assert_eq!(code(&["a.>.b"], &[]), Code::InvalidTopic);
        assert_eq!(code(&["a"], &["x y"]), Code::InvalidType);
        assert_eq!(code(&["a"; 33], &[]), Code::TooLarge);
        assert_eq!(code(&["a"], &["x"; 33]), Code::TooLarge);
    }
}
