//! Who wants an event, among very many who want others.
//!
//! A trie over words: from each node an edge for each next word that some filter has there, one for
//! `*`, and the subscriptions that end here or with `>` behind here. A type that is wanted is one
//! more word at the end. So finding those that want an event takes time in proportion to the words
//! of its topic and to them, and not to all. With very many subscriptions that time is spent
//! waiting for memory. So a node has its first edge in itself, as most have no other, and only
//! those beyond stand in one table for the whole trie; what is added together stands together.
//! Words are kept once, and subscriptions are linked lists in one vector: a million subscriptions
//! take little more than a million words.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    ops::{Index, IndexMut},
};

use hashbrown::HashTable;

use super::{EventType, FilterWord, Interest, TopicFilter};

/// A subscription, by the number that its owner gives it.
pub type Subscription = u32;

/// A subscription's place in a matcher: what it is removed by.
#[derive(Debug, PartialEq, Eq)]
pub struct Handle(u32);

/// Stands for nothing: no node, word or link has this number.
const NONE: u32 = u32::MAX;

const ROOT: u32 = 0;

/// What stands before a type that is the last word of a filter, or follows on its `>`: no word of a
/// topic has either.
const TYPE_HERE: char = '=';
const TYPE_BEHIND: char = '>';

/// Subscriptions by what they want.
#[derive(Debug)]
pub struct Matcher {
    words: Words,
    /// From a node by a word to the next, where it is not the node's first edge.
    edges: HashMap<(u32, u32), u32>,
    nodes: Slab<Node>,
    links: Slab<Link>,
    subscriptions: usize,
    /// How many links are to one type alone: while none is, no type is looked for.
    typed: usize,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    /// The first edge: its word, and the node behind it.
    first: (u32, u32),
    /// How many edges stand in the table.
    others: u32,
    /// The node behind `*`.
    any: u32,
    /// The subscriptions that end here.
    here: u32,
    /// Those with `>` behind here.
    rest: u32,
    parent: u32,
    /// By which word it is reached; none for the root and behind `*`.
    word: u32,
}

/// Two stand in one line of a processor's cache.
const _: () = assert!(size_of::<Node>() == 32);

/// A subscription in the list of one of its filters.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    subscription: Subscription,
    next: u32,
    previous: u32,
    /// The node that it is at: twice its number, and one more if it is behind it.
    at: u32,
    /// The link of its next filter.
    sibling: u32,
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

    /// Adds a subscription. It is found once for each of its filters that matches.
    pub fn insert(&mut self, interest: &Interest, subscription: Subscription) -> Handle {
        let mut first = NONE;
        for filter in interest.filters() {
            if interest.types().is_empty() {
                first = self.link(filter, None, subscription, first);
            }
            for kind in interest.types() {
                first = self.link(filter, Some(kind), subscription, first);
            }
        }
        self.subscriptions += 1;
        Handle(first)
    }

    fn link(
        &mut self,
        filter: &TopicFilter,
        kind: Option<&EventType>,
        subscription: Subscription,
        sibling: u32,
    ) -> u32 {
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
        let at = node << 1 | u32::from(rest);
        let next = *self.list(at);
        let link = self.links.insert(Link { subscription, next, previous: NONE, at, sibling });
        if next != NONE {
            self.links[next].previous = link;
        }
        *self.list(at) = link;
        link
    }

    /// The beginning of the list at a node, or behind it.
    fn list(&mut self, at: u32) -> &mut u32 {
        let node = &mut self.nodes[at >> 1];
        if at & 1 == 1 { &mut node.rest } else { &mut node.here }
    }

    /// Removes a subscription.
    #[expect(clippy::needless_pass_by_value, reason = "it is good for one removal")]
    pub fn remove(&mut self, handle: Handle) {
        let Handle(mut at) = handle;
        while at != NONE {
            let sibling = self.links[at].sibling;
            self.unlink(at);
            at = sibling;
        }
        self.subscriptions -= 1;
    }

    fn unlink(&mut self, link: u32) {
        let Link { next, previous, at, .. } = self.links[link];
        if next != NONE {
            self.links[next].previous = previous;
        }
        if previous == NONE {
            *self.list(at) = next;
        } else {
            self.links[previous].next = next;
        }
        self.links.remove(link);
        let node = at >> 1;
        let word = self.nodes[node].word;
        let typed =
            word != NONE && self.words.known[word].text.starts_with([TYPE_HERE, TYPE_BEHIND]);
        self.typed -= usize::from(typed);
        self.tidy(node);
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
                next.extend(word.and_then(|word| self.edge(node, word)));
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
        if let Some(node) = kind.and_then(|kind| self.edge(node, kind)) {
            self.tell(self.nodes[node].here, found);
        }
    }

    /// From a node by a word to the next.
    fn edge(&self, node: u32, word: u32) -> Option<u32> {
        let Node { first, others, .. } = self.nodes[node];
        if first.0 == word {
            return Some(first.1);
        }
        if others == 0 { None } else { self.edges.get(&(node, word)).copied() }
    }

    fn tell(&self, mut link: u32, found: &mut impl FnMut(Subscription)) {
        while link != NONE {
            let Link { subscription, next, .. } = self.links[link];
            found(subscription);
            link = next;
        }
    }

    fn child(&mut self, node: u32, word: &str) -> u32 {
        let known = self.words.get(word).and_then(|word| self.edge(node, word));
        if let Some(child) = known {
            return child;
        }
        let word = self.words.take(word);
        let child = self.nodes.insert(Node::new(node, word));
        let Node { first, others, .. } = &mut self.nodes[node];
        if first.0 == NONE {
            *first = (word, child);
        } else {
            *others += 1;
            self.edges.insert((node, word), child);
        }
        child
    }

    fn child_of_any(&mut self, node: u32) -> u32 {
        if self.nodes[node].any == NONE {
            let child = self.nodes.insert(Node::new(node, NONE));
            self.nodes[node].any = child;
        }
        self.nodes[node].any
    }

    /// Removes a node that nothing needs any more, and those that led to it alone.
    fn tidy(&mut self, mut node: u32) {
        while node != ROOT {
            let Node { first, others, any, here, rest, parent, word } = self.nodes[node];
            if first.0 != NONE || 0 < others || [any, here, rest] != [NONE; 3] {
                return;
            }
            let above = &mut self.nodes[parent];
            if word == NONE {
                above.any = NONE;
            } else if above.first.0 == word {
                above.first = (NONE, NONE);
            } else {
                above.others -= 1;
                self.edges.remove(&(parent, word));
            }
            if word != NONE {
                self.words.give_back(word);
            }
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
        let first = (NONE, NONE);
        Self { first, others: 0, any: NONE, here: NONE, rest: NONE, parent, word }
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

    fn interest(filters: &[&str], types: &[&str]) -> Interest {
        Interest::new(filters.iter().copied(), types.iter().copied()).unwrap()
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
        let insert =
            |(filter, number): (&&str, u32)| matcher.insert(&interest(&[*filter], &[]), number);
        let mut handles: Vec<_> = filters.iter().zip(0..).map(insert).collect();
        assert_eq!(found(&matcher, "a.b", "x"), [0, 1, 2, 3, 4, 8]);
        assert_eq!(found(&matcher, "a", "x"), [3, 5]);
        assert_eq!(found(&matcher, "a.b.c", "x"), [2, 3, 7]);
        assert_eq!(found(&matcher, "nobody", "x"), [3]);
        matcher.remove(handles.remove(8));
        assert_eq!(found(&matcher, "a.b", "x"), [0, 1, 2, 3, 4]);
        matcher.remove(handles.remove(0));
        assert_eq!(found(&matcher, "a.b", "x"), [1, 2, 3, 4]);
        assert_eq!(found(&matcher, "a.b.c", "x"), [2, 3, 7]);
    }

    #[test]
    fn who_wants_a_type_is_found() {
        let mut matcher = Matcher::default();
        let mut insert =
            |filter, types: &[&str], number| matcher.insert(&interest(&[filter], types), number);
        let first = insert("a.b", &["x"], 0);
        insert("a.>", &["y", "z"], 1);
        insert(">", &["x"], 2);
        insert("a.*", &[], 3);
        assert_eq!(found(&matcher, "a.b", "x"), [0, 2, 3]);
        assert_eq!(found(&matcher, "a.b", "y"), [1, 3]);
        assert_eq!(found(&matcher, "a.b", "w"), [3]);
        assert_eq!(found(&matcher, "a.b.c", "z"), [1]);
        matcher.remove(first);
        assert_eq!(found(&matcher, "a.b", "x"), [2, 3]);
    }

    #[test]
    fn nothing_is_left_of_what_was_removed() {
        let mut matcher = Matcher::default();
        for round in 0..3 {
            let insert = |number| {
                let (one, other) = (format!("a.{number}.*.>"), format!("b.{number}"));
                matcher.insert(&interest(&[&one, &other], &["x"]), number)
            };
            let handles: Vec<_> = (0..100).map(insert).collect();
            assert_eq!(matcher.len(), 100);
            assert_eq!(found(&matcher, "a.7.b.c", "x"), [7]);
            for handle in handles {
                matcher.remove(handle);
            }
            assert!(matcher.is_empty() && matcher.edges.is_empty(), "round {round}");
            assert!(matcher.words.numbers.is_empty(), "round {round}");
            assert_eq!(matcher.typed, 0, "round {round}");
            // Places are used again.
            assert_eq!(matcher.nodes.places.len(), 1 + 2 + 5 * 100);
        }
    }

    proptest! {
        #[test]
        fn the_same_are_found_as_by_asking_each(
            wanted in prop::collection::vec(
                (prop::collection::vec("([ab*]\\.){0,3}[ab*>]", 1..3), 0..4_usize),
                0..30,
            ),
            removed in prop::collection::vec(any::<bool>(), 30),
            topics in prop::collection::vec("([ab]\\.){0,3}[abc]", 1..10),
        ) {
            const TYPES: [&[&str]; 4] = [&[], &["x"], &["y"], &["x", "y"]];
            let mut matcher = Matcher::default();
            let all = wanted.iter().map(|(filters, types)| {
                Interest::new(filters.iter().map(String::as_str), TYPES[*types].iter().copied())
            });
            let all: Vec<_> = all.map(Result::unwrap).collect();
            let insert = |(interest, number): (&Interest, u32)| matcher.insert(interest, number);
            let handles: Vec<_> = all.iter().zip(0..).map(insert).collect();
            let mut left = Vec::new();
            for (((interest, handle), gone), number) in
                all.iter().zip(handles).zip(removed).zip(0..)
            {
                if gone {
                    matcher.remove(handle);
                } else {
                    left.push((interest, number));
                }
            }
            prop_assert_eq!(matcher.len(), left.len());
            for (topic, kind) in topics.iter().flat_map(|topic| [(topic, "x"), (topic, "z")]) {
                let expected: Vec<_> = left
                    .iter()
                    .filter(|(interest, _)| interest.wants(topic, kind))
                    .map(|(_, number)| *number)
                    .collect();
                let mut found = found(&matcher, topic, kind);
                found.dedup();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
