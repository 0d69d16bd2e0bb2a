//! Who wants an event, among very many who want others.
//!
//! A trie over words: from each node an edge for each next word that some filter has there, one for
//! `*`, and the subscriptions that end here or with `>` behind here. A type that is wanted is one
//! more word at the end. So finding those that want an event takes time in proportion to the words
//! of its topic and to them, and not to all. Edges stand in one table for the whole trie, words are
//! kept once, and subscriptions are linked lists in one vector: a million subscriptions take little
//! more than a million words.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    ops::{Index, IndexMut},
};

use hashbrown::HashTable;

use super::{EventType, FilterWord, TopicFilter};

/// A subscription, by the number that its owner gives it.
pub type Subscription = u32;

/// Stands for nothing: no node, word or link has this number.
const NONE: u32 = u32::MAX;

const ROOT: u32 = 0;

/// What stands before a type that is the last word of a filter, or follows on its `>`: no word of a
/// topic has either.
const TYPE_HERE: char = '=';
const TYPE_BEHIND: char = '>';

/// Subscriptions by their filters.
#[derive(Debug)]
pub struct Matcher {
    words: Words,
    /// From a node by a word to the next.
    edges: HashMap<(u32, u32), u32>,
    nodes: Slab<Node>,
    links: Slab<Link>,
    subscriptions: usize,
    /// How many of them want one type alone: while none does, none is looked for.
    typed: usize,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    /// The node behind `*`.
    any: u32,
    /// The subscriptions that end here.
    here: u32,
    /// Those with `>` behind here.
    rest: u32,
    parent: u32,
    /// By which word it is reached; none for the root and behind `*`.
    word: u32,
    /// How many nodes are reached from here.
    children: u32,
}

/// A subscription in a list.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    subscription: Subscription,
    next: u32,
}

impl Default for Matcher {
    fn default() -> Self {
        let mut nodes = Slab::default();
        nodes.insert(Node::new(NONE, NONE));
        Self {
            words: Words::default(),
            edges: HashMap::new(),
            nodes,
            links: Slab::default(),
            subscriptions: 0,
            typed: 0,
        }
    }
}

impl Matcher {
    /// How many subscriptions there are.
    pub fn len(&self) -> usize {
        self.subscriptions
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.subscriptions == 0
    }

    /// Adds a subscription to events of one type, or of any. The same one may have several filters
    /// and types, and is then found once for each that matches.
    pub fn insert(
        &mut self,
        filter: &TopicFilter,
        kind: Option<&EventType>,
        subscription: Subscription,
    ) {
        let mut node = ROOT;
        let mut rest = false;
        for word in filter.words() {
            match word {
                FilterWord::Is(word) => node = self.child(node, word),
                FilterWord::Any => node = self.child_of_any(node),
                FilterWord::Rest => rest = true,
            }
        }
        if let Some(kind) = kind {
            node = self.child(node, &type_word(kind.as_str(), rest));
            rest = false;
            self.typed += 1;
        }
        let link = Link { subscription, next: NONE };
        let link = self.links.insert(link);
        let node = &mut self.nodes[node];
        let list = if rest { &mut node.rest } else { &mut node.here };
        self.links[link].next = std::mem::replace(list, link);
        self.subscriptions += 1;
    }

    /// Removes a subscription with a filter and type, and says whether it was there.
    pub fn remove(
        &mut self,
        filter: &TopicFilter,
        kind: Option<&EventType>,
        subscription: Subscription,
    ) -> bool {
        let Some((node, rest)) = self.find(filter, kind) else { return false };
        let mut before = NONE;
        let mut at = if rest { self.nodes[node].rest } else { self.nodes[node].here };
        while at != NONE && self.links[at].subscription != subscription {
            before = at;
            at = self.links[at].next;
        }
        if at == NONE {
            return false;
        }
        let next = self.links[at].next;
        if before != NONE {
            self.links[before].next = next;
        } else if rest {
            self.nodes[node].rest = next;
        } else {
            self.nodes[node].here = next;
        }
        self.links.remove(at);
        self.subscriptions -= 1;
        self.typed -= usize::from(kind.is_some());
        self.tidy(node);
        true
    }

    /// Tells every subscription that wants the events of a topic and type, as these are written.
    pub fn matching(&self, topic: &str, kind: &str, mut found: impl FnMut(Subscription)) {
        let word = |behind| self.words.get(&type_word(kind, behind));
        let typed = 0 < self.typed;
        let (here, behind) = if typed { (word(false), word(true)) } else { (None, None) };
        // At each word there are two ways at most, by the word and by `*`.
        let mut at = vec![ROOT];
        let mut next = Vec::new();
        for word in topic.split('.') {
            let word = self.words.get(word);
            for &node in &at {
                let Node { any, rest, .. } = self.nodes[node];
                self.tell(rest, &mut found);
                self.tell_typed(node, behind, &mut found);
                next.extend((any != NONE).then_some(any));
                next.extend(word.and_then(|word| self.edges.get(&(node, word)).copied()));
            }
            std::mem::swap(&mut at, &mut next);
            next.clear();
        }
        for node in at {
            self.tell(self.nodes[node].here, &mut found);
            self.tell_typed(node, here, &mut found);
        }
    }

    /// Tells those that want one type alone, at the end of their filters.
    fn tell_typed(&self, node: u32, kind: Option<u32>, found: &mut impl FnMut(Subscription)) {
        if let Some(&node) = kind.and_then(|kind| self.edges.get(&(node, kind))) {
            self.tell(self.nodes[node].here, found);
        }
    }

    fn tell(&self, mut link: u32, found: &mut impl FnMut(Subscription)) {
        while link != NONE {
            let Link { subscription, next } = self.links[link];
            found(subscription);
            link = next;
        }
    }

    fn child(&mut self, node: u32, word: &str) -> u32 {
        let known = self.words.get(word).and_then(|word| self.edges.get(&(node, word)));
        if let Some(&child) = known {
            return child;
        }
        let word = self.words.take(word);
        let child = self.nodes.insert(Node::new(node, word));
        self.edges.insert((node, word), child);
        self.nodes[node].children += 1;
        child
    }

    fn child_of_any(&mut self, node: u32) -> u32 {
        if self.nodes[node].any == NONE {
            let child = self.nodes.insert(Node::new(node, NONE));
            self.nodes[node].any = child;
            self.nodes[node].children += 1;
        }
        self.nodes[node].any
    }

    /// Where a filter ends, with its type if it has one, and whether with `>`.
    fn find(&self, filter: &TopicFilter, kind: Option<&EventType>) -> Option<(u32, bool)> {
        let (mut node, mut rest) = (ROOT, false);
        for word in filter.words() {
            match word {
                FilterWord::Is(word) => node = *self.edges.get(&(node, self.words.get(word)?))?,
                FilterWord::Any => node = Some(self.nodes[node].any).filter(|&it| it != NONE)?,
                FilterWord::Rest => rest = true,
            }
        }
        let Some(kind) = kind else { return Some((node, rest)) };
        let kind = self.words.get(&type_word(kind.as_str(), rest))?;
        Some((*self.edges.get(&(node, kind))?, false))
    }

    /// Removes a node that nothing needs any more, and those that led to it alone.
    fn tidy(&mut self, mut node: u32) {
        while node != ROOT {
            let Node { any, here, rest, parent, word, children } = self.nodes[node];
            if any != NONE || here != NONE || rest != NONE || 0 < children {
                return;
            }
            if word == NONE {
                self.nodes[parent].any = NONE;
            } else {
                self.edges.remove(&(parent, word));
                self.words.give_back(word);
            }
            self.nodes[parent].children -= 1;
            self.nodes.remove(node);
            node = parent;
        }
    }
}

/// A type as the word that it is at the end of a filter.
fn type_word(kind: &str, behind: bool) -> String {
    let mark = if behind { TYPE_BEHIND } else { TYPE_HERE };
    let mut word = String::with_capacity(1 + kind.len());
    word.push(mark);
    word.push_str(kind);
    word
}

impl Default for Node {
    fn default() -> Self {
        Self::new(NONE, NONE)
    }
}

impl Node {
    fn new(parent: u32, word: u32) -> Self {
        Self { any: NONE, here: NONE, rest: NONE, parent, word, children: 0 }
    }
}

/// Words by number, each for as long as an edge has it.
#[derive(Debug, Default)]
struct Words {
    /// By their texts, which stand with the words alone.
    numbers: HashTable<u32>,
    known: Slab<Word>,
    hashing: RandomState,
}

#[derive(Debug, Default)]
struct Word {
    text: Box<str>,
    edges: u32,
}

impl Words {
    fn get(&self, text: &str) -> Option<u32> {
        let hash = self.hashing.hash_one(text);
        self.numbers.find(hash, |&number| *self.known[number].text == *text).copied()
    }

    /// The number of a word that one more edge has.
    fn take(&mut self, text: &str) -> u32 {
        if let Some(number) = self.get(text) {
            self.known[number].edges += 1;
            return number;
        }
        let number = self.known.insert(Word { text: text.into(), edges: 1 });
        let Self { numbers, known, hashing } = self;
        let hash = |number: &u32| hashing.hash_one(&*known[*number].text);
        numbers.insert_unique(hash(&number), number, hash);
        number
    }

    /// One edge less has a word.
    fn give_back(&mut self, number: u32) {
        let word = &mut self.known[number];
        word.edges -= 1;
        if word.edges == 0 {
            let hash = self.hashing.hash_one(&*word.text);
            if let Ok(found) = self.numbers.find_entry(hash, |&it| it == number) {
                found.remove();
            }
            self.known.remove(number);
        }
    }
}

/// Things by number, of which those that are gone are given again.
#[derive(Debug, Default)]
struct Slab<T> {
    places: Vec<T>,
    free: Vec<u32>,
}

impl<T: Default> Slab<T> {
    fn insert(&mut self, thing: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self[number] = thing;
            return number;
        }
        // Each takes some bytes of memory: there are fewer than 2^32.
        let number = u32::try_from(self.places.len()).unwrap_or(NONE);
        self.places.push(thing);
        number
    }

    fn remove(&mut self, number: u32) {
        self[number] = T::default();
        self.free.push(number);
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        &self.places[number as usize]
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        &mut self.places[number as usize]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::new(text).unwrap()
    }

    fn found(matcher: &Matcher, topic: &str, kind: &str) -> Vec<Subscription> {
        let mut found = Vec::new();
        matcher.matching(topic, kind, |subscription| found.push(subscription));
        found.sort_unstable();
        found
    }

    #[test]
    fn who_wants_a_topic_is_found() {
        let mut matcher = Matcher::default();
        let filters = ["a.b", "a.*", "a.>", ">", "*.b", "a", "b.>", "a.b.c", "a.b"];
        for (filter_text, subscription) in filters.iter().zip(0..) {
            matcher.insert(&filter(filter_text), None, subscription);
        }
        assert_eq!(found(&matcher, "a.b", "x"), [0, 1, 2, 3, 4, 8]);
        assert_eq!(found(&matcher, "a", "x"), [3, 5]);
        assert_eq!(found(&matcher, "a.b.c", "x"), [2, 3, 7]);
        assert_eq!(found(&matcher, "nobody", "x"), [3]);
        assert!(matcher.remove(&filter("a.b"), None, 8));
        assert!(!matcher.remove(&filter("a.b"), None, 8), "gone already");
        assert!(!matcher.remove(&filter("a.b"), None, 3), "of another filter");
        assert_eq!(found(&matcher, "a.b", "x"), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn who_wants_a_type_is_found() {
        let mut matcher = Matcher::default();
        let [x, y] = ["x", "y"].map(|kind| EventType::new(kind).unwrap());
        for (filter_text, kind, subscription) in
            [("a.b", Some(&x), 0), ("a.>", Some(&y), 1), (">", Some(&x), 2), ("a.*", None, 3)]
        {
            matcher.insert(&filter(filter_text), kind, subscription);
        }
        assert_eq!(found(&matcher, "a.b", "x"), [0, 2, 3]);
        assert_eq!(found(&matcher, "a.b", "y"), [1, 3]);
        assert_eq!(found(&matcher, "a.b", "z"), [3]);
        assert_eq!(found(&matcher, "a.b.c", "y"), [1]);
        assert!(!matcher.remove(&filter("a.b"), None, 0), "of one type");
        assert!(matcher.remove(&filter("a.b"), Some(&x), 0));
        assert_eq!(found(&matcher, "a.b", "x"), [2, 3]);
    }

    #[test]
    fn nothing_is_left_of_what_was_removed() {
        let mut matcher = Matcher::default();
        let kind = EventType::new("x").unwrap();
        for round in 0..3 {
            for number in 0..100 {
                matcher.insert(&filter(&format!("a.{number}.*.>")), Some(&kind), number);
            }
            assert_eq!(matcher.len(), 100);
            for number in 0..100 {
                let filter = filter(&format!("a.{number}.*.>"));
                assert!(matcher.remove(&filter, Some(&kind), number));
            }
            assert!(matcher.is_empty() && matcher.edges.is_empty(), "round {round}");
            assert!(matcher.words.numbers.is_empty(), "round {round}");
            // Places are used again.
            assert_eq!(matcher.nodes.places.len(), 1 + 1 + 3 * 100);
        }
    }

    proptest! {
        #[test]
        fn the_same_are_found_as_by_asking_each(
            wanted in prop::collection::vec(("([ab*]\\.){0,3}[ab*>]", 0..3_usize), 0..30),
            removed in prop::collection::vec(any::<bool>(), 30),
            topics in prop::collection::vec("([ab]\\.){0,3}[abc]", 1..10),
        ) {
            let mut matcher = Matcher::default();
            let kinds = ["x", "y"].map(|kind| EventType::new(kind).unwrap());
            let each = |(text, kind): &(String, usize)| (filter(text), kinds.get(*kind));
            let all: Vec<_> = wanted.iter().map(each).zip(0..).collect();
            for ((filter, kind), number) in &all {
                matcher.insert(filter, *kind, *number);
            }
            let mut left = Vec::new();
            for (((filter, kind), number), gone) in all.into_iter().zip(removed) {
                if gone {
                    prop_assert!(matcher.remove(&filter, kind, number));
                } else {
                    left.push((filter, kind, number));
                }
            }
            prop_assert_eq!(matcher.len(), left.len());
            for (topic, type_of_it) in topics.iter().flat_map(|topic| [(topic, "x"), (topic, "z")]) {
                let expected: Vec<_> = left
                    .iter()
                    .filter(|(_, kind, _)| kind.is_none_or(|kind| kind.as_str() == type_of_it))
                    .filter(|(filter, ..)| filter.matches(topic))
                    .map(|(.., number)| *number)
                    .collect();
                prop_assert_eq!(found(&matcher, topic, type_of_it), expected);
            }
        }
    }
}
