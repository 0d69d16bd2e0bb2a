//! What topics and types are called, as numbers.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};

use hashbrown::HashTable;

/// The topics and types of some events, numbered from 0 in the order in which they came.
///
/// An event is looked up by both at once: so what came before is found by one hash.
#[derive(Debug, Default)]
pub(super) struct Labels {
    pub(super) topics: Names,
    pub(super) kinds: Names,
    table: HashTable<u32>,
    pairs: Vec<Pair>,
    hashing: RandomState,
}

/// A topic and a type that some event has, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) topic: u32,
    pub(super) kind: u32,
}

/// Names, numbered from 0 in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Names {
    table: HashTable<u32>,
    names: Vec<Arc<str>>,
}

impl Labels {
    /// The number of a topic and type together. There are fewer than 2^32 events.
    #[inline]
    pub(super) fn number(&mut self, topic: &str, kind: &str) -> u32 {
        let hash = self.hashing.hash_one((topic, kind));
        let is_it = |&number: &u32| {
            let pair = self.pairs[number as usize];
            *self.topics.names[pair.topic as usize] == *topic
                && *self.kinds.names[pair.kind as usize] == *kind
        };
        if let Some(&number) = self.table.find(hash, is_it) {
            return number;
        }
        let number = u32::try_from(self.pairs.len()).unwrap_or(u32::MAX);
        let pair = Pair {
            topic: self.topics.number(topic, &self.hashing),
            kind: self.kinds.number(kind, &self.hashing),
        };
        self.pairs.push(pair);
        let name = |number: u32| {
            let Pair { topic, kind } = self.pairs[number as usize];
            (&*self.topics.names[topic as usize], &*self.kinds.names[kind as usize])
        };
        self.table.insert_unique(hash, number, |&it| self.hashing.hash_one(name(it)));
        number
    }

    pub(super) fn pair(&self, number: u32) -> Pair {
        self.pairs[number as usize]
    }

    /// What both are called.
    pub(super) fn names(&self, number: u32) -> (&str, &str) {
        let Pair { topic, kind } = self.pairs[number as usize];
        (&self.topics.names[topic as usize], &self.kinds.names[kind as usize])
    }

    pub(super) fn clear(&mut self) {
        *self = Self { hashing: self.hashing.clone(), ..Self::default() };
    }
}

impl Names {
    fn number(&mut self, name: &str, hashing: &RandomState) -> u32 {
        let hash = hashing.hash_one(name);
        if let Some(&number) = self.table.find(hash, |&it| &*self.names[it as usize] == name) {
            return number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.into());
        let names = &self.names;
        self.table.insert_unique(hash, number, |&it| hashing.hash_one(&*names[it as usize]));
        number
    }

    /// By number.
    pub(super) fn all(&self) -> &[Arc<str>] {
        &self.names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_one_number() {
        let mut labels = Labels::default();
        let numbers = [("a", "x"), ("a", "y"), ("b", "x"), ("a", "x"), ("ax", ""), ("", "ax")]
            .map(|(topic, kind)| labels.number(topic, kind));
        assert_eq!(numbers, [0, 1, 2, 0, 3, 4]);
        assert_eq!(labels.pair(2), Pair { topic: 1, kind: 0 });
        let topics = ["a", "b", "ax", ""].map(Arc::from);
        assert_eq!(labels.topics.all(), topics);
        for number in 0..1000 {
            assert_eq!(labels.number(&number.to_string(), "x"), 5 + number);
        }
        assert_eq!(labels.number("500", "x"), 505);
        labels.clear();
        assert_eq!((labels.number("b", "y"), labels.topics.all().len()), (0, 1));
    }
}
