//! Puts what was said into an order in which it can have happened.
//!
//! Inboxes are ordered each by itself, and a message stands in two of them. A store that keeps one
//! order of everything has to take each entry behind those that stand before it, and gets them as
//! another store tells them: mostly in the order of their times, which is nearly such an order.

use std::collections::{BTreeMap, HashMap};

use super::{Receipt, Row, Said};
use crate::chat::User;

/// A message or a receipt.
#[derive(Clone, Debug, PartialEq)]
pub enum Happened {
    /// A message.
    Said(Box<Said>),
    /// A receipt.
    Receipt(Receipt),
}

/// What waits for others that stand before it.
#[derive(Debug, Default)]
pub struct Waiting {
    /// By the inbox in which it waits, and by its place there.
    waiting: HashMap<User, BTreeMap<u64, Happened>>,
    count: usize,
}

impl Happened {
    /// What a row says that is one.
    pub fn of(row: Row) -> Option<Self> {
        match row {
            Row::Said(said) => Some(Self::Said(Box::new(said))),
            Row::Receipt(receipt) => Some(Self::Receipt(receipt)),
            _ => None,
        }
    }

    /// The inboxes in which it stands, and where.
    pub fn places(&self) -> [Option<(User, u64)>; 2] {
        match self {
            Self::Said(said) => {
                let Said { tenant, message, sequences, .. } = &**said;
                let user = |phone| User { tenant: *tenant, phone };
                [Some((user(message.from), sequences.from)), Some((user(message.to), sequences.to))]
            }
            Self::Receipt(Receipt { user, peer, sequence, .. }) => {
                let told = User { tenant: user.tenant, phone: *peer };
                [Some((told, *sequence)), None]
            }
        }
    }
}

impl Waiting {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Lets one wait until what stands before a place of an inbox is there.
    pub fn wait(&mut self, (user, sequence): (User, u64), happened: Happened) {
        let before = self.waiting.entry(user).or_default().insert(sequence, happened);
        self.count += usize::from(before.is_none());
    }

    /// What waits for the place behind this one in an inbox, if anything does.
    pub fn next(&mut self, user: User, newest: u64) -> Option<Happened> {
        let inbox = self.waiting.get_mut(&user)?;
        let next = inbox.remove(&newest.checked_add(1)?)?;
        if inbox.is_empty() {
            self.waiting.remove(&user);
        }
        self.count -= 1;
        Some(next)
    }
}
