//! The bus: typed events to topics, and who wants them.

mod matcher;
mod topic;

pub use self::{
    matcher::{Matcher, Subscription},
    topic::{FilterWord, TOPIC_BYTES_MAX, Topic, TopicFilter, WORDS_MAX},
};
