//! What happened since the last checkpoint, in memory: what the tables do not have yet.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use switchboard_core::{
    Millis,
    chat::{Marks, Name},
};

use super::keys::{ChatKey, Side, UserKey};

/// The bit of a posting that says that the first of a chat's two users sent the message.
pub(super) const BY_FIRST: u64 = 1 << 63;

/// Where a message stands, and which of the two sent it.
pub(super) fn posting(location: u64, from: Side) -> u64 {
    if from == 0 { location | BY_FIRST } else { location }
}

/// A chat at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ChatHead {
    /// The id of the last message.
    pub(super) last_id: u64,
    /// Where it stands.
    pub(super) last: u64,
    /// How far each of the two has come.
    pub(super) marks: [Marks; 2],
    /// How many messages of the other each has not read.
    pub(super) unread: [u64; 2],
}

/// What a user has said of himself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Card {
    pub(super) created_at: Millis,
    pub(super) name: Option<Name>,
}

/// Whether it was delivered or read, and by which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Receipt {
    pub(super) by: Side,
    pub(super) read: bool,
    pub(super) up_to: u64,
    pub(super) at: i64,
}

/// What one entry of the log changes, with the chat as it is then.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Message { chat: ChatKey, from: Side, location: u64, head: ChatHead, sequences: [u64; 2] },
    Receipt { chat: ChatKey, receipt: Receipt, location: u64, head: ChatHead, sequence: u64 },
    User { user: UserKey, card: Card },
}

/// What happened between two checkpoints.
#[derive(Debug, Default)]
pub(super) struct Generation {
    pub(super) chats: HashMap<ChatKey, RecentChat>,
    pub(super) users: HashMap<UserKey, RecentUser>,
    /// How many entries of the log are in it.
    pub(super) entries: usize,
}

#[derive(Debug, Default)]
pub(super) struct RecentChat {
    pub(super) head: ChatHead,
    /// The id of the last message before these.
    pub(super) before: u64,
    pub(super) postings: Vec<u64>,
    pub(super) receipts: Vec<Receipt>,
}

#[derive(Debug, Default)]
pub(super) struct RecentUser {
    /// The sequence of the last entry before these.
    pub(super) before: u64,
    /// Where the entries of the inbox stand.
    pub(super) entries: Vec<u64>,
    /// The user's chats that have messages here: by where the last stands, with whom.
    pub(super) order: BTreeMap<u64, u64>,
    pub(super) card: Option<Card>,
}

impl Generation {
    /// Takes what happened next.
    pub(super) fn apply(&mut self, change: Change) {
        self.entries += 1;
        match change {
            Change::Message { chat, from, location, head, sequences } => {
                let recent = self.chats.entry(chat).or_insert_with(|| RecentChat {
                    before: head.last_id - 1,
                    ..RecentChat::default()
                });
                let earlier = (!recent.postings.is_empty()).then_some(recent.head.last);
                recent.head = head;
                recent.postings.push(posting(location, from));
                // The sender's sequence is told first.
                for (side, sequence) in [(from, sequences[0]), (1 - from, sequences[1])] {
                    let user = self.user(chat.user(side), sequence);
                    user.entries.push(location);
                    if let Some(earlier) = earlier {
                        user.order.remove(&earlier);
                    }
                    user.order.insert(location, chat.users[1 - side]);
                }
            }
            Change::Receipt { chat, receipt, location, head, sequence } => {
                let recent = self.chats.entry(chat).or_insert_with(|| RecentChat {
                    before: head.last_id,
                    ..RecentChat::default()
                });
                recent.head = head;
                recent.receipts.push(receipt);
                let peer = chat.user(1 - receipt.by);
                self.user(peer, sequence).entries.push(location);
            }
            Change::User { user, card } => {
                // Sequences begin with the first entry of the inbox.
                self.users.entry(user).or_default().card = Some(card);
            }
        }
    }

    fn user(&mut self, user: UserKey, sequence: u64) -> &mut RecentUser {
        let recent = self.users.entry(user).or_default();
        if recent.entries.is_empty() {
            recent.before = sequence - 1;
        }
        recent
    }
}

impl RecentUser {
    /// The sequence of the newest entry here, if there is any.
    pub(super) fn newest(&self) -> Option<u64> {
        (!self.entries.is_empty()).then(|| self.before + self.entries.len() as u64)
    }
}

impl RecentChat {
    /// Where the last message stands that is not behind a place, if it is here.
    pub(super) fn last_until(&self, place: u64) -> Option<u64> {
        let count = self.postings.partition_point(|&posting| posting & !BY_FIRST <= place);
        count.checked_sub(1).map(|last| self.postings[last] & !BY_FIRST)
    }
}

/// The generations that readers need beside the tables.
#[derive(Debug, Default)]
pub(super) struct Recent {
    pub(super) current: Generation,
    /// That which is being written to the tables.
    pub(super) flushing: Option<Arc<Generation>>,
}

impl Recent {
    /// From the newest to the oldest.
    pub(super) fn generations(&self) -> impl Iterator<Item = &Generation> {
        [Some(&self.current), self.flushing.as_deref()].into_iter().flatten()
    }
}
