//! Chats and inboxes as the writer left them, the group under way included.

use std::{collections::HashMap, sync::Arc};

use super::{
    keys::{ChatKey, UserKey},
    reader::Shared,
    recent::ChatHead,
};
use crate::Error;

/// How many of each are kept in memory: beyond it they are read again when they are needed.
const KEPT: usize = 1 << 18;

/// What the writer decides by.
#[derive(Debug)]
pub(super) struct Heads {
    shared: Arc<Shared>,
    chats: HashMap<ChatKey, ChatHead>,
    newest: HashMap<UserKey, u64>,
}

impl Heads {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, chats: HashMap::new(), newest: HashMap::new() }
    }

    /// A chat; without messages where there is none.
    pub(super) fn chat(&mut self, key: ChatKey) -> Result<&mut ChatHead, Error> {
        use std::collections::hash_map::Entry;
        Ok(match self.chats.entry(key) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(place) => place.insert(self.shared.chat(key)?.unwrap_or_default()),
        })
    }

    /// The sequence of the newest entry of an inbox.
    pub(super) fn newest(&mut self, key: UserKey) -> Result<&mut u64, Error> {
        use std::collections::hash_map::Entry;
        Ok(match self.newest.entry(key) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(place) => place.insert(self.shared.newest(key)?),
        })
    }

    /// Lets go of what can be read again. Nothing may be under way.
    pub(super) fn tidy(&mut self) {
        if KEPT <= self.chats.len() {
            self.chats.clear();
        }
        if KEPT <= self.newest.len() {
            self.newest.clear();
        }
    }
}
