//! What chats and users are known by.

use switchboard_core::{
    Tenant,
    chat::{Marks, PhoneNumber, User},
};

/// A chat: its two users, the lower number first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ChatKey {
    pub(crate) tenant: Tenant,
    pub(crate) users: [PhoneNumber; 2],
}

/// Which of a chat's two users: 0 is the one with the lower number.
pub(crate) type Side = usize;

/// How a chat is after its last message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) last_id: u64,
    /// How many messages are by the lower number.
    pub(super) by_low: u64,
    /// What each has not read of the other's.
    pub(super) unread: [u64; 2],
    pub(super) marks: [Marks; 2],
    /// Where the last message is in the inbox of each.
    pub(super) activity: [u64; 2],
}

impl ChatKey {
    /// The chat of a user with another, and which of the two he is.
    pub(crate) fn of(user: &User, peer: PhoneNumber) -> (Self, Side) {
        let side = usize::from(peer < user.phone);
        let users = if side == 0 { [user.phone, peer] } else { [peer, user.phone] };
        (Self { tenant: user.tenant, users }, side)
    }

    /// One of its two users.
    pub(super) fn user(&self, side: Side) -> User {
        User { tenant: self.tenant, phone: self.users[side] }
    }
}

/// A number as PostgreSQL takes it. Sequences and ids count from 1, and come nowhere near the end.
pub(crate) fn bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The digits of a phone number, likewise: at most fifteen.
pub(crate) fn digits(phone: PhoneNumber) -> i64 {
    bigint(phone.digits())
}
