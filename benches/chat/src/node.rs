//! Those who write to each other on a node.

pub(crate) use switchboard_peers::node::Node;

/// The phone number of a user of the benchmark.
pub(crate) fn phone(number: usize) -> String {
    format!("+4179{number:07}")
}

/// What is written: a hundred characters.
pub(crate) const TEXT: &str = "The quick brown fox jumps over the lazy dog, and then, as \
    every day, it does so once more until dusk.";
