//! Users and chats as the store names them.

use std::hash::Hasher;

use switchboard_core::chat::ClientMessageId;

/// A user: the number of his tenant, and the digits of his phone number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct UserKey {
    pub(super) tenant: u32,
    pub(super) phone: u64,
}

/// A chat: its two users, the one with the lower number first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ChatKey {
    pub(super) tenant: u32,
    pub(super) users: [u64; 2],
}

/// Which of a chat's two users: an index.
pub(super) type Side = usize;

impl ChatKey {
    /// The chat of two users, and which of them is the first that was named.
    pub(super) fn of(tenant: u32, user: u64, peer: u64) -> (Self, Side) {
        if user < peer {
            (Self { tenant, users: [user, peer] }, 0)
        } else {
            (Self { tenant, users: [peer, user] }, 1)
        }
    }

    /// One of the two.
    pub(super) fn user(&self, side: Side) -> UserKey {
        UserKey { tenant: self.tenant, phone: self.users[side] }
    }

    /// As a key of a table, in the order of the type.
    pub(super) fn to_bytes(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&self.tenant.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.users[0].to_be_bytes());
        bytes[12..].copy_from_slice(&self.users[1].to_be_bytes());
        bytes
    }
}

impl UserKey {
    /// What a message of this user that he calls so is known by.
    pub(super) fn name(self, id: &ClientMessageId, to: &mut impl Hasher) {
        to.write_u32(self.tenant);
        to.write_u64(self.phone);
        to.write(id.as_str().as_bytes());
    }

    /// As a key of a table, in the order of the type.
    pub(super) fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.tenant.to_be_bytes());
        bytes[4..].copy_from_slice(&self.phone.to_be_bytes());
        bytes
    }
}

/// A key of a table with a number behind it.
pub(super) fn with_number<const N: usize, const M: usize>(key: [u8; N], number: u64) -> [u8; M] {
    let mut bytes = [0; M];
    bytes[..N].copy_from_slice(&key);
    bytes[N..].copy_from_slice(&number.to_be_bytes());
    bytes
}
